"""The loop that trains every model: Adam, a ramp and a cosine, nothing hidden."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Parameters
    ----------
    steps : int
        Updates.
    rate : float
        Highest learning rate.
    ramp : int
        Updates until it is reached; from there a half cosine leads down to a hundredth (Loshchilov and
        Hutter 2017, arXiv:1608.03983).
    slow : float
        Parameters whose names are in ``slowly`` learn at this fraction of the rate: those that begin well.
    slowly : tuple of str
    held : tuple of str
        Parameters whose names begin so do not learn at all.
    whole_from : float
        Fraction of the updates after which convolutions compute as their whole numbers do.
    clip : float
        Largest norm of a gradient.
    """

    steps: int
    rate: float = 1e-3
    ramp: int = 50
    slow: float = 0.1
    slowly: tuple[str, ...] = ("linear",)
    held: tuple[str, ...] = ()
    whole_from: float = 0.8
    clip: float = 1.0

    def rate_at(self, step: int) -> float:
        """Learning rate of update ``step``, as a fraction of the highest.

        Examples
        --------
        >>> schedule = Schedule(steps=100, ramp=10)
        >>> schedule.rate_at(4), schedule.rate_at(10), round(schedule.rate_at(99), 3)
        (0.5, 1.0, 0.01)
        """
        if step < self.ramp:
            return (step + 1) / self.ramp
        done = (step - self.ramp) / max(1, self.steps - self.ramp)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: nn.Module,
    batches: Iterator[Tensor],
    loss: Callable[[Tensor, float], tuple[Tensor, dict[str, float]]],
    schedule: Schedule,
    *,
    whole: Callable[[bool], None],
    report: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train ``model`` in place and return it.

    Parameters
    ----------
    model : Module
    batches : iterator of Tensor
        Normalised fields (n, C, y, x), without end.
    loss : callable
        Of a batch and the part of training that is done, 0 to 1; returns the loss and numbers to report.
    schedule : Schedule
    whole : callable
        Told when the convolutions compute as their whole numbers do.
    report : callable, optional
        Told of the progress, a line some twenty times.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(schedule.held) if schedule.held else True)
    slow = [p for name, p in model.named_parameters() if any(part in name for part in schedule.slowly)]
    ids = {id(p) for p in slow}
    quick = [p for p in model.parameters() if id(p) not in ids]
    groups = [{"params": quick, "speed": 1.0}, {"params": slow, "speed": schedule.slow}]
    optimiser = torch.optim.Adam([group for group in groups if group["params"]], lr=schedule.rate)
    began = time.monotonic()
    model.train()
    for step in range(schedule.steps):
        if step == int(schedule.whole_from * schedule.steps):
            whole(True)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * schedule.rate_at(step) * group["speed"]
        value, numbers = loss(next(batches), step / schedule.steps)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimiser.step()
        if report is not None and (step + 1) % max(1, schedule.steps // 20) == 0:
            said = ", ".join(f"{name} {number:.4g}" for name, number in numbers.items())
            report(f"{step + 1} of {schedule.steps}, {time.monotonic() - began:.0f} s: {said}")
    whole(True)
    return model.eval()
