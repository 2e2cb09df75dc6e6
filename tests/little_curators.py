"""A curator that stands for others in the tests of the loader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from frazil.data.batch import Batch


@dataclass(frozen=True)
class Kept:
    kept: np.ndarray


@dataclass(frozen=True)
class Hardest:
    """Keeps the samples that the learner is worst at; what `frazil.JEST` is like from outside."""

    losses: Callable[[Batch], Any] | None
    keep: float = 0.5
    needs: str = "losses"

    def fingerprint(self) -> str:
        return f"hardest {self.keep}"

    def select(
        self, learner: np.ndarray, reference: np.ndarray | None, *, epoch: int, step: int, count: int
    ) -> Kept:
        score = learner if reference is None else learner - reference
        return Kept(np.argsort(score)[::-1][:count])
