"""Compile every kernel once, into numba's cache, so that no first chunk has to wait for it.

    python -m frazil.warming

takes some minutes of processor time after an installation or an upgrade, and
seconds when there is nothing to do. Without it the first chunk of each kind compiles what it needs.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

PARTS = ("interpolation", "wavelet", "learned")  # as many processes: the first two take longest


def warm(part: str) -> None:
    """Encode and decode a few small chunks by one of the `PARTS`, and what goes with it."""
    from frazil import JP2K, Bounded

    if part == "learned":
        _warm_learned()
        return
    for dtype in ("f4", "f8", "i2"):
        for chunk in _chunks(dtype):
            for profile in ("best", "fast"):
                _there_and_back(Bounded(bound=0.5, base=part, profile=profile), chunk)
            bounds = np.linspace(0.5, 3, chunk.size).reshape(chunk.shape)
            codec = Bounded(bound="array", base=part)
            codec.decode(codec.encode_chunk(chunk, bounds=bounds))
            if part == "wavelet":
                _there_and_back(Bounded(bound=0.5, base=JP2K()), chunk)
            else:
                _there_and_back(Bounded(bound="local_std:window=5", residual="mask"), chunk)
                _there_and_back(JP2K(ratio=8), chunk)


def _warm_learned() -> None:
    """Code a few latents and codewords."""
    from frazil.entropy import indices, latents

    numbers = np.indices((3, 4, 8, 8)).sum(0).astype(np.int32)
    states = latents.LatentStates.fresh(4)
    latents.decode(latents.encode(numbers, states, 2), numbers.shape, states, 2)
    for heads in (1, 2):
        maps = np.indices((heads, 8, 8)).sum(0) % 16
        trained = indices.learn([maps], 16)
        for mode in ("mixing", "table"):
            indices.decode(indices.encode(maps, 16, trained, mode), maps.shape, 16, trained)


def _chunks(dtype: str) -> list[npt.NDArray[Any]]:
    """Make a stack, with and without gaps."""
    t, y, x = np.indices((3, 64, 72))
    stack = (100 * np.sin(y / 9 + t / 5) + 10 * np.cos(x / 7) + (7 * y + 13 * x) % 11).astype(dtype)
    if dtype[0] != "f":
        return [stack]
    gaps = stack.copy()
    gaps[:, 10:20, 30:50] = np.nan
    return [stack, gaps]


def _there_and_back(codec: Any, chunk: npt.NDArray[Any]) -> None:
    codec.decode(codec.encode(chunk))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        warm(sys.argv[1])
    else:
        command = [sys.executable, "-m", "frazil.warming"]
        jobs = [subprocess.Popen([*command, part]) for part in PARTS]  # noqa: S603 - this very module
        sys.exit(max(job.wait() for job in jobs))
