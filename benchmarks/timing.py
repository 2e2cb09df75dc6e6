"""CPU time, compared fairly on a busy machine: contenders take turns, and ratios are taken turn by turn."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VERSIONS = ("frazil", "numpy", "numba", "glymur", "imagecodecs")
SHORTEST = 0.01  # seconds of one measurement; what is faster is called several times


@dataclass(frozen=True)
class Times:
    """Seconds of CPU time a call, by contender, turn by turn."""

    turns: dict[str, list[float]]

    def seconds(self, name: str) -> float:
        """Median over the turns."""
        return statistics.median(self.turns[name])

    def speedup(self, name: str, over: str) -> float:
        """How many times faster ``name`` is: the median of the ratios of ``over`` to it in each turn."""
        return statistics.median(b / a for a, b in zip(self.turns[name], self.turns[over], strict=True))

    def beyond(self, name: str, other: str) -> float:
        """Seconds that ``name`` takes more than ``other``: the median of the differences in each turn."""
        return statistics.median(a - b for a, b in zip(self.turns[name], self.turns[other], strict=True))


def compare(repeats: int, /, **contenders: Callable[[], Any]) -> Times:
    """Measure calls by turns: A B C, A B C, ... after a warm-up call of each.

    Parameters
    ----------
    repeats : int
        Turns.
    **contenders
        Functions without arguments.
    """
    often = {}
    for name, call in contenders.items():
        call()
        start = time.process_time()
        call()
        often[name] = max(int(SHORTEST / max(time.process_time() - start, 1e-5)), 1)
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            for name, call in contenders.items():
                start = time.process_time()
                for _ in range(often[name]):
                    call()
                turns[name].append((time.process_time() - start) / often[name])
    finally:
        gc.enable()
    return Times(turns)


def geomean(values: Iterable[float]) -> float:
    """Geometric mean."""
    return statistics.geometric_mean(values)


def machine() -> str:
    """Describe what the figures were made on, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return (
        f"{cpu} ({platform.machine()}), {os.cpu_count()} cores, {platform.system()}; "
        f"Python {platform.python_version()}, {versions}"
    )
