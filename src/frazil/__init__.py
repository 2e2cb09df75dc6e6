"""Codecs for weather, climate, ocean and satellite arrays, and what one needs around them.

Names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frazil import bounds, models
    from frazil.access import open_zarr, to_zarr
    from frazil.codecs.bounded import Bounded
    from frazil.codecs.codeword import Codeword
    from frazil.codecs.jp2k import JP2K
    from frazil.codecs.latent import Latent
    from frazil.data.batches import ZarrBatches
    from frazil.data.curation.jest import JEST
    from frazil.data.curation.members import ReducedResolution
    from frazil.data.curation.preprocessing import curate
    from frazil.data.curation.saln import SALN
    from frazil.data.curation.selection import Selection
    from frazil.data.curation.selectors import MostRecent, RandomDiscard
    from frazil.data.dataset import TorchBatches, ZarrDataset
    from frazil.data.latents import read_codewords, read_latents
    from frazil.data.lazy import to_dask, to_xarray
    from frazil.data.loader import make_loader
    from frazil.data.normalise import Normaliser
    from frazil.data.pool import ChunkPool
    from frazil.data.shuffle import ChunkShuffle
    from frazil.data.stores import StoreReader
    from frazil.data.windows import SamplePlan
    from frazil.errors import FrazilError, LossyRewriteWarning, TargetWarning
    from frazil.models import list_models

__version__ = "0.1.0"

__all__ = [
    "JEST",
    "JP2K",
    "SALN",
    "Bounded",
    "ChunkPool",
    "ChunkShuffle",
    "Codeword",
    "FrazilError",
    "Latent",
    "LossyRewriteWarning",
    "MostRecent",
    "Normaliser",
    "RandomDiscard",
    "ReducedResolution",
    "SamplePlan",
    "Selection",
    "StoreReader",
    "TargetWarning",
    "TorchBatches",
    "ZarrBatches",
    "ZarrDataset",
    "bounds",
    "curate",
    "list_models",
    "make_loader",
    "models",
    "open_zarr",
    "read_codewords",
    "read_latents",
    "to_dask",
    "to_xarray",
    "to_zarr",
]

_HOMES = {
    "JEST": "frazil.data.curation.jest",
    "JP2K": "frazil.codecs.jp2k",
    "SALN": "frazil.data.curation.saln",
    "Bounded": "frazil.codecs.bounded",
    "ChunkPool": "frazil.data.pool",
    "ChunkShuffle": "frazil.data.shuffle",
    "Codeword": "frazil.codecs.codeword",
    "FrazilError": "frazil.errors",
    "Latent": "frazil.codecs.latent",
    "LossyRewriteWarning": "frazil.errors",
    "MostRecent": "frazil.data.curation.selectors",
    "Normaliser": "frazil.data.normalise",
    "RandomDiscard": "frazil.data.curation.selectors",
    "ReducedResolution": "frazil.data.curation.members",
    "SamplePlan": "frazil.data.windows",
    "Selection": "frazil.data.curation.selection",
    "StoreReader": "frazil.data.stores",
    "TargetWarning": "frazil.errors",
    "TorchBatches": "frazil.data.dataset",
    "ZarrBatches": "frazil.data.batches",
    "ZarrDataset": "frazil.data.dataset",
    "bounds": "frazil.bounds",
    "curate": "frazil.data.curation.preprocessing",
    "list_models": "frazil.models",
    "make_loader": "frazil.data.loader",
    "models": "frazil.models",
    "open_zarr": "frazil.access",
    "read_codewords": "frazil.data.latents",
    "read_latents": "frazil.data.latents",
    "to_dask": "frazil.data.lazy",
    "to_xarray": "frazil.data.lazy",
    "to_zarr": "frazil.access",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'frazil' has no attribute {name!r}; it has {', '.join(__all__)}")
    home = import_module(_HOMES[name])
    value = home if _HOMES[name] == f"frazil.{name}" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
