"""What a curator chose, and what it says of its choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Diagnostics:
    """How a superbatch looked to its curator; None where the curator does not look that way.

    Parameters
    ----------
    curator, mode, score : str
    members, kept, dropped : int
        How many.
    lambda2, lambda3 : float or None
        Second and third eigenvalue of the Laplacian, of the largest component.
    gap : float or None
        ``(lambda3 - lambda2) / lambda2``; where it is small, the order is decided by little.
    components : int or None
        Connected components of the graph.
    isolated : int
        Members, or groups of them, that are similar to no other.
    duplicates : int
        Members, or groups, that are as good as equal to an earlier one.
    degenerate : bool
        Whether the Fiedler vector of a component is not defined, so that the degrees decided, then the index.
    """

    curator: str
    mode: str = ""
    score: str = ""
    members: int = 0
    kept: int = 0
    dropped: int = 0
    lambda2: float | None = None
    lambda3: float | None = None
    gap: float | None = None
    components: int | None = None
    isolated: int = 0
    duplicates: int = 0
    degenerate: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not finite is None."""
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, eq=False)
class Selection:
    """Which members were kept.

    Parameters
    ----------
    kept, dropped : ndarray of int64
        Ascending; together all members.
    diagnostics : Diagnostics
    scores : (n,) ndarray of float64
        What the members were ordered by; empty if by nothing. SALN's are small for connected members.
    """

    kept: Ints
    dropped: Ints
    diagnostics: Diagnostics
    scores: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(
        cls, kept: Ints, n: int, diagnostics: Mapping[str, Any], scores: npt.NDArray[np.float64] | None = None
    ) -> Selection:
        """Complete a choice of some of ``n`` members.

        Examples
        --------
        >>> found = Selection.of(np.array([3, 1]), 4, {"curator": "by hand"})
        >>> found.kept, found.dropped, found.diagnostics.kept
        (array([1, 3]), array([0, 2]), 2)
        """
        kept = np.sort(np.asarray(kept, np.int64))
        dropped = np.setdiff1d(np.arange(n, dtype=np.int64), kept)
        counts = {"members": n, "kept": len(kept), "dropped": len(dropped)}
        known = Diagnostics(**{**diagnostics, **counts})
        return cls(kept, dropped, known, np.zeros(0) if scores is None else scores)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the scores."""
        return {
            "kept": self.kept.tolist(),
            "dropped": self.dropped.tolist(),
            "diagnostics": self.diagnostics.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Selection:
        """Make a selection of what `to_json` returned."""
        kept, dropped = (np.array(values[name], np.int64) for name in ("kept", "dropped"))
        return cls(kept, dropped, Diagnostics(**values["diagnostics"]))


def kept_count(keep: float, n: int, count: int | None = None) -> int:
    """How many of ``n`` members are kept: ``keep * n`` rounded, at least one, unless ``count`` says.

    Raises
    ------
    ConfigurationError
        If the share or the count cannot be.

    Examples
    --------
    >>> kept_count(0.5, 5), kept_count(0.001, 5), kept_count(0.5, 64, count=48)
    (3, 1, 48)
    """
    if not isinstance(keep, Real) or not 0 < keep <= 1:
        raise ConfigurationError(
            f"keep is the share of members that is kept, above 0 and up to 1; got {keep!r}"
        )
    if count is None:
        return max(1, int(keep * n + 0.5))
    if not isinstance(count, Integral) or not 0 < count <= n:
        raise ConfigurationError(f"count is how many of the {n} members are kept; got {count!r}")
    return int(count)


def scheduled(value: Any, epoch: int, step: int) -> Any:
    """Return a setting, or what its schedule says at a step of an epoch.

    Examples
    --------
    >>> scheduled(0.5, 3, 0), scheduled(lambda epoch, step: 1 / (1 + epoch), 3, 0)
    (0.5, 0.25)
    """
    return value(epoch, step) if callable(value) else value


def name_setting(value: Any) -> Any:
    """Return what stands for a setting in a fingerprint, in this process and any other.

    Functions are known by their names, other callables by their class and, where it has one, by its own repr.

    Examples
    --------
    >>> name_setting(0.5), name_setting(np.float32(0.5)), name_setting(np.hypot)
    ('0.5', '0.5', 'numpy.hypot')
    """
    if isinstance(value, partial):
        given = [name_setting(v) for v in (value.func, *value.args)]
        return [*given, {key: name_setting(v) for key, v in value.keywords.items()}]
    if isinstance(value, np.generic):
        return repr(value.item())
    if not callable(value) or isinstance(value, type):
        return repr(value)
    kind = value if hasattr(value, "__qualname__") or isinstance(value, np.ufunc) else type(value)
    name = getattr(kind, "__qualname__", getattr(kind, "__name__", ""))
    # The repr of object holds an address.
    own = kind is not value and getattr(type(value), "__repr__", None) is not object.__repr__
    return f"{getattr(kind, '__module__', 'numpy')}.{name}" + (f": {value!r}" if own else "")
