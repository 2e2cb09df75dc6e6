"""Codecs for weather, climate, ocean and satellite arrays, and what one needs around them.

Names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frazil import bounds
    from frazil.access import open_zarr, to_zarr
    from frazil.codecs.bounded import Bounded
    from frazil.codecs.jp2k import JP2K
    from frazil.errors import FrazilError, LossyRewriteWarning, TargetWarning

__version__ = "0.1.0"

__all__ = [
    "JP2K",
    "Bounded",
    "FrazilError",
    "LossyRewriteWarning",
    "TargetWarning",
    "bounds",
    "open_zarr",
    "to_zarr",
]

_HOMES = {
    "JP2K": "frazil.codecs.jp2k",
    "Bounded": "frazil.codecs.bounded",
    "FrazilError": "frazil.errors",
    "LossyRewriteWarning": "frazil.errors",
    "TargetWarning": "frazil.errors",
    "bounds": "frazil.bounds",
    "open_zarr": "frazil.access",
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
