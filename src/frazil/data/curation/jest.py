"""Keep what can be learned: JEST.

T. Evans et al., Data curation via joint example selection further accelerates
multimodal learning, arXiv 2406.17711: batches are drawn from superbatches with
probabilities that grow with the learnability of their examples, the loss of
the learner minus the loss of a reference model. Their joint, blocked sampling
is for losses that depend on pairs of examples. The losses of forecasts belong
to single examples, and then it reduces to weighted sampling without
replacement, which is done here by adding Gumbel noise to the scores and taking
the largest (T. Vieira; W. Kool et al., arXiv 1903.06059).

Ours: the temperature, the variants' names, and that a missing reference counts
as one without loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from frazil.data.curation.selection import Selection, kept_count, scheduled
from frazil.data.curation.selectors import check_seed, digest, uniform
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

VARIANTS = ("learnability", "hard", "easy")


@dataclass(frozen=True)
class JEST:
    """Keep members with a probability that grows with what can be learned from them.

    Parameters
    ----------
    keep : float or callable, default 0.5
        Share that is kept; or a function of epoch and step.
    variant : {"learnability", "hard", "easy"}
        Score: learner's loss minus reference's; the learner's loss; minus the reference's loss.
    losses : callable, optional
        Needed in a loader: given a superbatch, a `Batch`, it returns the learner's losses of its samples,
        shape (n,), or a pair of the learner's and the reference's. It is called in the main process.
    temperature : float, default 1
        In the units of the losses: chances grow with exp(score / temperature). Towards 0 the largest scores
        are kept, whatever chance says.
    seed : int, default 0

    Examples
    --------
    >>> found = JEST(keep=0.5, temperature=1e-6).select([3.0, 1.0, 2.0, 5.0], [0.0, 0.0, 1.5, 0.0])
    >>> found.kept
    array([0, 3])
    """

    keep: float | Callable[[int, int], float] = 0.5
    variant: str = "learnability"
    losses: Callable[[Any], Any] | None = None
    temperature: float = 1.0
    seed: int = 0

    needs: ClassVar[str] = "losses"

    def __post_init__(self) -> None:
        """Refuse settings that do not exist."""
        if not callable(self.keep):
            kept_count(self.keep, 3)
        if self.variant not in VARIANTS:
            raise ConfigurationError(
                f"variant is one of {', '.join(map(repr, VARIANTS))}; got {self.variant!r}"
            )
        if not isinstance(self.temperature, Real) or not 0 < self.temperature < np.inf:
            raise ConfigurationError(f"temperature is a number above 0; got {self.temperature!r}")
        check_seed(self.seed)

    def select(
        self,
        learner: npt.ArrayLike,
        reference: npt.ArrayLike | None = None,
        *,
        epoch: int = 0,
        step: int = 0,
        count: int | None = None,
    ) -> Selection:
        """Choose among members by their losses.

        Parameters
        ----------
        learner, reference : (n,) array
            Loss of each member; without a reference the losses are counted from 0.

        Raises
        ------
        ConfigurationError
            If losses are not finite or not one for each member, or the variant needs a reference.
        """
        ours = _checked(learner, "the learner's losses")
        if reference is None and self.variant == "easy":
            raise ConfigurationError("variant='easy' keeps what the reference finds easy; give its losses")
        theirs = np.zeros_like(ours) if reference is None else _checked(reference, "the reference's losses")
        if theirs.shape != ours.shape:
            raise ConfigurationError(f"{len(ours)} losses of the learner, {len(theirs)} of the reference")
        scores = {"learnability": ours - theirs, "hard": ours, "easy": -theirs}[self.variant]
        n = len(scores)
        chance = np.maximum(uniform(n, self.seed, epoch, step), np.finfo(np.float64).tiny)
        noisy = scores - self.temperature * np.log(-np.log(chance))
        wanted = kept_count(scheduled(self.keep, epoch, step), n, count)
        kept = np.argsort(-noisy, kind="stable")[:wanted]
        return Selection.of(kept, n, {"curator": "JEST", "score": self.variant}, scores)

    def fingerprint(self) -> str:
        """Hash of the settings; the function of losses does not count."""
        return digest("JEST", self.keep, self.variant, self.temperature, self.seed)


def _checked(losses: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    values = np.asarray(losses, np.float64)
    if values.ndim != 1 or not len(values):
        raise ConfigurationError(f"{name} are one number for each member, shape (n,); got {values.shape}")
    if not np.isfinite(values).all():
        raise ConfigurationError(
            f"{name} are not finite for member {int(np.flatnonzero(~np.isfinite(values))[0])}; "
            "look at the model, or leave the member out"
        )
    return values
