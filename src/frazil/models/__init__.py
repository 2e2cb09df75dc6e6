"""Models of the learned codecs: what they are, where they are found, what runs them.

A decoder computes in whole numbers and gives the same bits on every machine.
It is known by the SHA-256 of its file (docs/format/intdec.md). Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frazil.models.backends import backend, use_backend
    from frazil.models.beside import register_models, write_models
    from frazil.models.encoder import Encoder
    from frazil.models.format import Decoder, Steps
    from frazil.models.inline import from_inline, to_inline
    from frazil.models.klt import fit_klt
    from frazil.models.runtime import run, values
    from frazil.models.selftest import fingerprint
    from frazil.models.store import Model, ModelStore, allow_network, find, list_models, register

__all__ = [
    "Decoder",
    "Encoder",
    "Model",
    "ModelStore",
    "Steps",
    "allow_network",
    "backend",
    "find",
    "fingerprint",
    "fit_klt",
    "from_inline",
    "list_models",
    "register",
    "register_models",
    "run",
    "to_inline",
    "use_backend",
    "values",
    "write_models",
]

_HOMES = {
    "Decoder": "format",
    "Encoder": "encoder",
    "Model": "store",
    "ModelStore": "store",
    "Steps": "format",
    "allow_network": "store",
    "backend": "backends",
    "find": "store",
    "fingerprint": "selftest",
    "fit_klt": "klt",
    "from_inline": "inline",
    "list_models": "store",
    "register": "store",
    "register_models": "beside",
    "run": "runtime",
    "to_inline": "inline",
    "use_backend": "backends",
    "values": "runtime",
    "write_models": "beside",
}


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'frazil.models' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"frazil.models.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
