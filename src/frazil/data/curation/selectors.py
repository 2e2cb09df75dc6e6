"""Curators to compare with: chance, and the latest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from frazil.data.curation.selection import Selection, kept_count, name_setting, scheduled
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class RandomDiscard:
    """Keep a random share: what every other curator has to be compared with.

    Parameters
    ----------
    keep : float or callable, default 0.5
        Share that is kept; or a function of epoch and step.
    seed : int, default 0

    Examples
    --------
    >>> len(RandomDiscard(keep=0.25).select(16).kept)
    4
    """

    keep: float | Callable[[int, int], float] = 0.5
    seed: int = 0

    needs: ClassVar[str] = "nothing"

    def __post_init__(self) -> None:
        """Refuse a share or a seed that is none."""
        if not callable(self.keep):
            kept_count(self.keep, 3)
        check_seed(self.seed)

    def select(self, members: Any, *, epoch: int = 0, step: int = 0, count: int | None = None) -> Selection:
        """Choose among members, an array of shape (n, ...) or their number; each step chooses anew."""
        n = how_many(members)
        scores = uniform(n, self.seed, epoch, step)
        wanted = kept_count(scheduled(self.keep, epoch, step), n, count)
        kept = np.argsort(scores, kind="stable")[:wanted]
        return Selection.of(kept, n, {"curator": "RandomDiscard"}, scores)

    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest("RandomDiscard", self.keep, self.seed)


@dataclass(frozen=True)
class MostRecent:
    """Keep the latest members.

    Parameters
    ----------
    keep : float or callable, default 0.5
        Share that is kept; or a function of epoch and step.

    Examples
    --------
    >>> MostRecent(keep=0.5).select(4, times=[3, 9, 1, 7]).kept
    array([1, 3])
    """

    keep: float | Callable[[int, int], float] = 0.5

    needs: ClassVar[str] = "times"

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        if not callable(self.keep):
            kept_count(self.keep, 3)

    def select(
        self, members: Any, *, times: Any = None, epoch: int = 0, step: int = 0, count: int | None = None
    ) -> Selection:
        """Choose among members, an array of shape (n, ...) or their number.

        Parameters
        ----------
        times : (n,) array, optional
            Of each member; without it they are in the order of time.
        """
        n = how_many(members)
        when = np.arange(n) if times is None else np.asarray(times)
        if when.shape != (n,):
            raise ConfigurationError(f"times holds one for each of the {n} members; got shape {when.shape}")
        wanted = kept_count(scheduled(self.keep, epoch, step), n, count)
        kept = np.argsort(when, kind="stable")[n - wanted :]
        return Selection.of(kept, n, {"curator": "MostRecent"})

    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest("MostRecent", self.keep)


def how_many(members: Any) -> int:
    """Return the number of members, given as a number or by an array of them."""
    n = int(members) if isinstance(members, Integral) else len(members)
    if n < 1:
        raise ConfigurationError("there are no members to choose from")
    return n


def check_seed(seed: Any) -> None:
    """Refuse what is no seed."""
    if not isinstance(seed, Integral) or seed < 0:
        raise ConfigurationError(f"seed is a whole number from 0 on; got {seed!r}")


def uniform(n: int, *seed: int) -> Any:
    """Numbers between 0 and 1 from raw bits, whose stream numpy promises never to change.

    Examples
    --------
    >>> uniform(2, 1, 2).round(3)
    array([0.448, 0.431])
    """
    bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(n)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def digest(*values: Any) -> str:
    """Hash of settings; functions count by their names."""
    text = json.dumps([name_setting(value) for value in values])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
