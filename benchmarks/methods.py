"""Our error-bounded methods on a field: bytes, errors, violations; kept like those of the peers.

What was measured with other sources of frazil is measured again, unless the method is in ``trusted``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from peers import CACHE, Outcome, compared

import frazil

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.codecs.base import PlaneCodec

SOURCES = Path(frazil.__file__).parent
METHODS: dict[str, dict[str, Any]] = {
    "auto": {},
    "fast": {"profile": "fast"},
    "interpolation": {"base": "interpolation"},
    "wavelet": {"base": "wavelet"},
    "JP2K": {"base": frazil.JP2K(), "residual": "context"},
    "mask": {"base": frazil.JP2K(), "residual": "mask"},
}


def codec(method: str, bound: float | str, **options: Any) -> PlaneCodec:
    """Make the codec of a method."""
    return frazil.Bounded(bound=bound, **METHODS[method], **options)


@functools.cache
def sources() -> str:
    """Hash of everything that makes the bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(SOURCES.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def lost(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> int:
    """Count the points without data, NaN above all, that did not come back bit for bit."""
    if x.dtype.kind != "f":
        return 0
    bits = f"u{x.dtype.itemsize}"
    return int((~np.isfinite(x) & (x.view(bits) != y.view(bits))).sum())


def measure(
    codec: PlaneCodec,
    values: npt.NDArray[Any],
    limit: float | npt.NDArray[Any],
    bounds: npt.NDArray[Any] | None = None,
) -> Outcome:
    """Encode, decode and compare; ``limit`` is the bound that must hold, ``bounds`` an array to hand over."""
    start = time.process_time()
    data = codec.encode(values) if bounds is None else codec.encode_chunk(values, bounds=bounds)  # type: ignore[call-arg]
    middle = time.process_time()
    back = np.asarray(codec.decode(data)).reshape(values.shape)
    end = time.process_time()
    if back.dtype != values.dtype:
        raise SystemExit(f"{codec} gave {back.dtype} for {values.dtype}")
    violations, worst, rmse = compared(values, back, np.isfinite(values), limit)
    return Outcome(len(data), violations + lost(values, back), worst, rmse, middle - start, end - middle)


def outcome(
    method: str,
    values: npt.NDArray[Any],
    bound: float | str,
    limit: float | npt.NDArray[Any],
    *,
    given: npt.NDArray[Any] | None = None,
    trusted: frozenset[str] = frozenset(),
    **options: Any,
) -> Outcome:
    """Take a measurement from the cache or make it."""
    digest = hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16)
    digest.update(repr((values.shape, str(values.dtype), method, bound, sorted(options.items()))).encode())
    if given is not None:
        digest.update(np.ascontiguousarray(given).tobytes())
    file = CACHE / f"ours-{digest.hexdigest()}.json"
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept.pop("sources") == sources() or method in trusted:
            return Outcome(**kept)
    found = measure(codec(method, bound, **options), values, limit, given)
    CACHE.mkdir(exist_ok=True)
    text = json.dumps({**dataclasses.asdict(found), "sources": sources()})
    file.write_text(text, encoding="utf-8")
    return found
