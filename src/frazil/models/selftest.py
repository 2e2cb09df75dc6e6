"""Self-tests: an input whose output is known, and numbers that look random and are always the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError
from frazil.models.backends import engine, make_engine, present
from frazil.models.runtime import check_input, run_engine
from frazil.models.runtime_numpy import NumpyEngine

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.models.format import Decoder
    from frazil.models.runtime import Engine


def golden_input(
    given: npt.ArrayLike | None, reach: npt.NDArray[Any] | None, *, indices: bool
) -> npt.NDArray[Any]:
    """Return the input of the self-test: by default numbers all over the range, extremes among them."""
    if given is not None:
        return np.asarray(given).astype(np.int32)
    if reach is None:
        raise FormatError("a latent model needs limits=, a codeword model size=")
    draws = scattered(reach.size * 99).reshape(reach.size, 9, 11)
    count = reach.astype(np.int64)[:, None, None]
    if indices:
        return (draws % count).astype(np.int32)
    numbers = draws % (2 * count + 1) - count
    numbers[:, :2] = np.sign(numbers[:, :2] + 0.5) * count
    return numbers.astype(np.int32)


def scattered(count: int) -> npt.NDArray[np.int64]:
    """Whole numbers below 2**31 that look random and never change (S. Vigna's splitmix64, 2015)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(33)).astype(np.int64)


def golden_output(decoder: Decoder, made: Engine | None = None) -> str:
    """SHA-256 of what a decoder makes of its golden input; in numpy's double precision by default."""
    x = decoder.golden_input[None]
    found = run_engine(decoder, made or NumpyEngine(decoder, double=True), check_input(decoder, x))
    return hashlib.sha256(found[0].astype("<i4").tobytes()).hexdigest()


def fingerprint(decoder: Decoder, backend: str | None = None, *, side: int = 24) -> str:
    """SHA-256 of what a decoder makes of its golden input and of a made-up one all over the range.

    Parameters
    ----------
    decoder : Decoder
    backend : str, optional
        As for `run`.
    side : int
        Latents along y and x of the made-up input.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return _digest(decoder, engine(decoder, backend), side)


def compare(decoder: Decoder, side: int = 24) -> dict[str, str]:
    """Decode on every backend that is installed, without falling back to another.

    Returns
    -------
    dict
        For each backend what `fingerprint` would be, or the error; ``"file"`` if the golden output that the
        model file tells is another than numpy's in double precision.
    """
    found = {}
    for name in present():
        try:
            found[name] = _digest(decoder, make_engine(decoder, name), side)
        except Exception as error:  # noqa: BLE001 - a library's failure is the finding
            found[name] = f"{type(error).__name__}:{error}"
    if golden_output(decoder) != decoder.golden_sha256:
        found["file"] = decoder.golden_sha256
    elif (exact := _digest(decoder, NumpyEngine(decoder, double=True), side)) not in found.values():
        found["exact"] = exact
    return found


def _digest(decoder: Decoder, made: Engine, side: int) -> str:
    first = decoder.traced[1][0]
    draws = scattered(decoder.inputs * side * side).reshape(1, decoder.inputs, side, side)
    low, high = (end[:, None, None] for end in (first.low, first.high))
    made_up = low + draws % (high - low + 1)
    digest = hashlib.sha256()
    for x in (decoder.golden_input[None], made_up):
        digest.update(run_engine(decoder, made, check_input(decoder, x)).astype("<i4").tobytes())
    return digest.hexdigest()
