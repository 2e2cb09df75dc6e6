"""The best that a size allows, or the smallest that an error allows, within a bound.

A bound on the largest error says little about the mean one: coders that just
keep the bound leave errors everywhere. Two knobs trade bytes for smaller
errors: the step of the wavelet's coefficients, and the share of the bound that
the interpolation uses. Both are turned until the target is met, and the
better result is taken (docs/explanation/bounds.md).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frazil.errors import TargetWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from frazil.container import Sections
    from frazil.guarantee.task import Settled, Task

STEPS = (2.0**-12, 16.0)  # of coefficients, in widths of a cell
SHARES = (0.002, 1.0)  # of the bound
TURNS = 10
FINER = 64  # units are a floor below which errors cannot go


@dataclass(frozen=True)
class Try:
    """What one turn of a knob gave."""

    settled: Settled
    size: int
    rmse: float


def reach(task: Task, *, budget: int | None, rmse: float | None, methods: tuple[str, ...]) -> Settled | None:
    """Aim at ``budget`` bytes of sections, or at a root mean square error; None if no method applies.

    Warns
    -----
    TargetWarning
        If the target cannot be met within the bound; what comes nearest is returned.
    """
    tries: list[Try] = []
    if "wavelet" in methods:
        tries += _turn(task, lambda step: _transformed(task, step), STEPS, budget, rmse)
    if "interpolation" in methods:
        tries += _turn(task, lambda share: _interpolated(task, share), SHARES, budget, rmse)
    tries += [_try(task, way) for way in map(task.settle, task.exactly()) if way is not None]
    fitting = [a for a in tries if (a.size <= budget if budget is not None else a.rmse <= (rmse or 0.0))]
    if budget is not None:
        if fitting:
            return min(fitting, key=lambda a: (a.rmse, a.size)).settled
        best = min(tries, key=lambda a: a.size)
        warnings.warn(
            f"{budget} bytes are not enough for the bound: the chunk takes {best.size}; "
            "allow larger errors or a smaller ratio",
            TargetWarning,
            stacklevel=2,
        )
        return best.settled
    return min(fitting, key=lambda a: a.size).settled if fitting else None


def _turn(
    task: Task,
    encode: Callable[[float], Sections | None],
    ends: tuple[float, float],
    budget: int | None,
    rmse: float | None,
) -> list[Try]:
    """Turn a knob, whose larger values make smaller chunks with larger errors, to the target."""
    low, high = map(math.log, ends)
    tries: list[Try] = []

    def small_enough(at: float) -> bool | None:
        sections = encode(math.exp(at))
        settled = task.settle(sections) if sections is not None else None
        if settled is None:
            return None
        tries.append(_try(task, settled))
        return tries[-1].size <= budget if budget is not None else tries[-1].rmse > (rmse or 0.0)

    if small_enough(high) is not True:
        return tries  # not even the coarsest is small enough, or fine enough already
    for _ in range(TURNS):
        middle = (low + high) / 2
        if small_enough(middle):
            high = middle
        else:
            low = middle
    return tries


def _transformed(task: Task, step: float) -> Sections | None:
    cells = task.cells(finer=FINER)
    return None if cells is None else task.transformed(cells, step)


def _interpolated(task: Task, share: float) -> Sections | None:
    cells = task.cells(share)
    return None if cells is None else task.interpolated(cells)


def _try(task: Task, settled: Settled) -> Try:
    error = settled.planes.astype("f8") - task.wide.astype("f8")
    if task.known is not None:
        error = error[task.known]
    return Try(settled, settled.size, float(np.sqrt((error * error).mean())) if error.size else 0.0)
