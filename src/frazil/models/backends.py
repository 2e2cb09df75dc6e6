"""Which library computes: numpy, onnxruntime or torch. It changes the speed, never the bits."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from functools import cache
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Any

from frazil.errors import BackendWarning, ConfigurationError, FormatError, MissingEngineError

if TYPE_CHECKING:
    from frazil.models.format import Decoder
    from frazil.models.runtime import Engine

BACKENDS = ("numpy", "onnxruntime", "torch")
NEEDS = {"numpy": ("numpy",), "onnxruntime": ("onnxruntime", "onnx"), "torch": ("torch",)}
EXTRAS = {"onnxruntime": "onnx", "torch": "torch"}
MOST_ENGINES = 16

_chosen = "auto"
_engines: OrderedDict[tuple[str, str], Any] = OrderedDict()
_lock = RLock()


class _Choice:
    """Undoes `use_backend` at the end of a ``with`` block."""

    def __init__(self, before: str) -> None:
        self._before = before

    def __enter__(self) -> None:
        """Nothing is left to do."""

    def __exit__(self, *_: object) -> None:
        use_backend(self._before)


def use_backend(name: str) -> _Choice:
    """Choose what decodes models in this process; as a context manager, until its end.

    Parameters
    ----------
    name : {"auto", "numpy", "onnxruntime", "torch"}
        "auto" is onnxruntime if it is installed, else numpy.

    Raises
    ------
    ConfigurationError
        If there is no such backend.
    MissingEngineError
        If it is not installed.

    Notes
    -----
    The bits do not depend on it. Each model is tested on its backend before it is first used there; if it
    failed, a warning would say so, and numpy in double precision would take over.

    Examples
    --------
    >>> with use_backend("numpy"):
    ...     backend()
    'numpy'
    >>> backend()
    'auto'
    """
    global _chosen
    if name not in {"auto", *BACKENDS}:
        raise ConfigurationError(f"a backend is 'auto', {', '.join(map(repr, BACKENDS))}, got {name!r}")
    if name != "auto" and not is_present(name):
        needs = " and ".join(NEEDS[name])
        raise MissingEngineError(f"backend {name!r} needs {needs}: pip install 'frazil[{EXTRAS[name]}]'")
    before, _chosen = _chosen, name
    return _Choice(before)


def backend() -> str:
    """Return what `use_backend` chose, "auto" if it was not called."""
    return _chosen


@cache
def is_present(name: str) -> bool:
    """Whether a backend is installed."""
    return all(find_spec(module) is not None for module in NEEDS[name])


def present() -> list[str]:
    """Backends that are installed."""
    return [name for name in BACKENDS if is_present(name)]


def engine(decoder: Decoder, name: str | None = None) -> Engine:
    """Return what runs a decoder, after its self-test.

    Parameters
    ----------
    decoder : Decoder
    name : str, optional
        One of the backends, "auto", or "exact": numpy in double precision. By default what was chosen.

    Raises
    ------
    FormatError
        If even numpy's double precision does not make the golden output: the model file is wrong.
    """
    name = name or _chosen
    if name == "auto":
        name = "onnxruntime" if is_present("onnxruntime") else "numpy"
    key = (decoder.digest, name)
    with _lock:
        if key in _engines:
            _engines.move_to_end(key)
        else:
            _engines[key] = _tested(decoder, name)
            while len(_engines) > MOST_ENGINES:
                _engines.popitem(last=False)
        found: Engine = _engines[key]
        return found


def _tested(decoder: Decoder, name: str) -> Engine:
    from frazil.models.runtime_numpy import NumpyEngine
    from frazil.models.selftest import golden_output

    try:
        made = make_engine(decoder, name)
        if golden_output(decoder, made) == decoder.golden_sha256:
            return made
        wrong = "did not make the same bits of"
    except Exception as error:  # noqa: BLE001 - whatever a library does, numpy can do the work
        wrong = f"failed ({type(error).__name__}: {' '.join(str(error).split())[:200]}) on"
    sure = NumpyEngine(decoder, double=True)
    if golden_output(decoder, sure) != decoder.golden_sha256:
        raise FormatError(
            f"the self-test of {decoder.name} ({decoder.digest[:19]}...) fails: its golden output is not "
            "what its layers make, so the model file is wrong; get it anew"
        )
    warnings.warn(
        f"{name} {wrong} {decoder.name}'s self-test; numpy decodes it in double precision instead",
        BackendWarning,
        stacklevel=2,
    )
    return sure


def make_engine(decoder: Decoder, name: str) -> Engine:
    """Return what runs a decoder, untested."""
    if name == "onnxruntime":
        from frazil.models.runtime_onnx import OnnxEngine

        return OnnxEngine(decoder)
    if name == "torch":
        from frazil.models.runtime_torch import TorchEngine

        return TorchEngine(decoder)
    from frazil.models.runtime_numpy import NumpyEngine

    return NumpyEngine(decoder, double=name == "exact")


def _forget() -> None:
    """Start anew in a forked process: threads and sessions stay with the parent."""
    global _lock  # noqa: PLW0603
    _lock = RLock()
    _engines.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_forget)
