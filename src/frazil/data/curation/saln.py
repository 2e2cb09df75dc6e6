r"""Keep the members of a superbatch that are connected to one another: SALN.

From the paper (R. Sharifi, Efficient training with spectral analysis of
members, arXiv 2412.17069), as its abstract and summaries tell: cosine
similarities of the members of a batch, the Laplacian D - S of the graph that
they make, its Fiedler vector as a score, and a share that is kept. Its members
are features of a pretrained network. Its text and its code were not available
here, so it is not verified whether the score is the entry, its size or its
rank, nor which end is kept; what stands below is ours. That shares follow a
schedule is from arXiv 2507.04269.

Ours, because fields of weather are not features of images:

- Members are z-scored by channel, and their mean is subtracted. In physical
  units what all have in common makes all similar, and the spectrum has no gap,
  so that little decides the order.
- Negative similarities, half of them and more then, are no edges. Shifted to
  (1 + S) / 2 they are, at the price of a smaller gap; as negative weights they
  would leave no second smallest eigenvalue that means anything.
- The Laplacian is the normalised one, f = u / sqrt(degree).
- Duplicates are one node and count once. Components of a graph that falls
  apart are ordered by themselves and keep the same share of their members;
  members that are similar to nobody are the least connected.

Three scores have names of their own, because they are not the same; small ones
are connected ones:

- ``"fiedler_abs"``: \|f\|, small for members between the parts into which the
  graph would be cut. These need not be similar to many: on real series such
  members were rather similar to few.
- ``"fiedler_signed"``: f, one end of that cut. An eigenvector has no sign, so
  a rule gives it one: of its largest entries the first is positive. A small
  change of the members, such as another resolution, may turn it round, and
  then the other end is kept.
- ``"degree"``: minus the sum of a member's similarities.

`benchmarks/curation.py` measures what is said here of gaps, of negative
similarities, and of the agreement between scores and between resolutions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from frazil.data.curation import graphs
from frazil.data.curation.ranking import (
    check_labels,
    find_twins,
    largest_remainder,
    numbered,
    pooled,
    ranks,
    rounded,
    take,
)
from frazil.data.curation.selection import Selection, kept_count, name_setting, scheduled
from frazil.data.curation.similarity import block_gram, check_members, compare, find_gaps, one_thread
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MODES = ("connected", "inverse", "combined")
SCORES = ("fiedler_abs", "fiedler_signed", "degree")
WEIGHTS = ("relu", "shift")
LAPLACIANS = ("sym", "unnormalised")
TARGETS = ("fields", "increments")

_NOTHING = 1e-7  # similarity that is none: rounding of single precision


@dataclass(frozen=True)
class SALN:
    """Keep the most connected members, the least connected, or most of the ones and some of the others.

    Parameters
    ----------
    keep : float or callable, default 0.5
        Share that is kept; or a function of epoch and step.
    mode : {"connected", "inverse", "combined"} or callable
        Which are kept: those with the smallest scores, those with the largest, or ``share`` of the first and
        the rest from just below the ``buffer``. A function of epoch and step may change between them, so that
        extremes are not forgotten.
    score : {"fiedler_abs", "fiedler_signed", "degree"}
        Size of the entry of the Fiedler vector, small between the parts of the graph; the entry, whose sign
        may turn round with a small change of the members; or minus the sum of weights.
    weight : {"relu", "shift"}
        Similarity S to weight: max(S, 0), or (1 + S) / 2.
    laplacian : {"sym", "unnormalised"}
        I - D^-1/2 W D^-1/2, whose vector is divided by the roots of the degrees; or D - W.
    share : float, default 0.85
        Of ``mode="combined"``.
    buffer : float, default 0.05
        Share of the members, the least connected, that ``mode="combined"`` leaves out as noise.
    on : {"fields", "increments"}
        Whether a loader compares the fields or their change from one step to the next.
    embed : ReducedResolution or callable, optional
        How a loader turns fields into members; default ``ReducedResolution(2)``.
    max_missing : float, default 0.1
        Points that a member may lack beyond those that all lack, as a share of the others'.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> members = rng.normal(size=(2, 1, 4, 4))[[0, 1] * 5] + 0.5 * rng.normal(size=(10, 1, 4, 4))
    >>> found = SALN(keep=0.4).select(members)
    >>> len(found.kept), len(found.dropped), found.diagnostics.components
    (4, 6, 2)
    """

    keep: float | Callable[[int, int], float] = 0.5
    mode: str | Callable[[int, int], str] = "connected"
    score: str = "fiedler_abs"
    weight: str = "relu"
    laplacian: str = "sym"
    share: float = 0.85
    buffer: float = 0.05
    on: str = "fields"
    embed: Any = None
    max_missing: float = 0.1

    needs: ClassVar[str] = "members"

    def __post_init__(self) -> None:
        """Refuse settings that do not exist."""
        if not callable(self.keep):
            kept_count(self.keep, 3)
        choices = {"score": SCORES, "weight": WEIGHTS, "laplacian": LAPLACIANS, "on": TARGETS}
        if not callable(self.mode):
            choices["mode"] = MODES
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name} is one of {', '.join(map(repr, allowed))}; got {getattr(self, name)!r}"
                )
        for name in ("share", "buffer", "max_missing"):
            value = getattr(self, name)
            whole = value == 1 and name == "share"
            if not (isinstance(value, int | float | np.number) and (whole or 0 <= value < 1)):
                raise ConfigurationError(f"{name} is a share between 0 and 1; got {value!r}")

    def select(
        self,
        members: npt.ArrayLike,
        *,
        epoch: int = 0,
        step: int = 0,
        count: int | None = None,
        sources: Any = None,
        groups: Any = None,
    ) -> Selection:
        """Choose among members.

        Parameters
        ----------
        members : (n, ...) array
            Of real numbers; where there are more than two axes, the second is that of the channels.
        epoch, step : int
            For schedules.
        count : int, optional
            How many are kept, in the place of ``keep``.
        sources : (n,) array, optional
            Labels: members of one source are compared with one another only, about their own mean (about that
            of all where members lack different points), and each source keeps the same share. Channels are
            z-scored over all.
        groups : (n,) array, optional
            Labels: members of one group of a source are compared by their mean and are kept or dropped
            together. Whole groups are taken while they fit, so that fewer may be kept than asked for.

        Returns
        -------
        Selection

        Raises
        ------
        ConfigurationError
            If there are fewer than three members, groups, or members of a source; if one holds infinities, no
            values or too few; if no group fits; or if a schedule gives what cannot be.
        """
        found = check_members(np.asanyarray(members))
        compared = [compare(block) for block in self.blocks(found)]
        if not all(whole for _, whole in compared):
            find_gaps(found).check(self.max_missing)
        gram = self.sum_blocks([gram for gram, _ in compared])
        return self.select_gram(gram, epoch=epoch, step=step, count=count, sources=sources, groups=groups)

    def blocks(self, members: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Cut members to their channels, each of shape (n, ...)."""
        if members.ndim > 2:
            yield from np.moveaxis(members, 1, 0)
        else:
            yield members

    def block_gram(self, block: npt.NDArray[Any]) -> Floats:
        """Inner products of the members in one channel, z-scored, their mean subtracted.

        The sum over channels, in their order, is what `select_gram` takes; so channels may be compared
        wherever they are, and the choice is the same bit for bit.
        """
        return block_gram(block)

    def sum_blocks(self, grams: Sequence[Floats]) -> Floats:
        """Sum what `block_gram` returned, in order."""
        total = np.zeros_like(grams[0])
        if any(gram.ndim == 3 for gram in grams):
            total = np.zeros((2, *grams[0].shape[-2:]))
        for gram in grams:
            if gram.ndim == total.ndim:
                total += gram
            else:
                total[0] += gram
                total[1] += np.diagonal(gram)[:, None]
        return total

    def select_gram(
        self,
        gram: Floats,
        *,
        epoch: int = 0,
        step: int = 0,
        count: int | None = None,
        sources: Any = None,
        groups: Any = None,
    ) -> Selection:
        """Choose by the inner products that `sum_blocks` returned; see `select`."""
        n = gram.shape[-1]
        keep, mode = scheduled(self.keep, epoch, step), scheduled(self.mode, epoch, step)
        if mode not in MODES:
            raise ConfigurationError(
                f"mode is one of {', '.join(map(repr, MODES))}; its schedule gave {mode!r}"
            )
        total = kept_count(keep, n, count)
        labels = np.zeros(n, np.int64) if sources is None else numbered(check_labels(sources, n, "sources"))
        together = None if groups is None else check_labels(groups, n, "groups")
        sizes = np.bincount(labels)
        quotas = largest_remainder(sizes, total)
        kept: list[int] = []
        scores, notes = np.zeros(n), []
        for source, quota in enumerate(quotas):
            inside = np.flatnonzero(labels == source)
            part = None if together is None else numbered(together[inside])
            with one_thread():
                order, found, note = self._order(gram[..., inside[:, None], inside], part)
            scores[inside] = found
            notes.append(note)
            chosen = take(order, int(quota), mode, share=self.share, buffer=self.buffer, groups=part)
            kept += inside[chosen].tolist()
        largest = notes[int(np.argmax(sizes))]
        merged = {
            "curator": "SALN",
            "mode": mode,
            "score": self.score,
            **largest,
            "components": sum(note["components"] for note in notes),
            "isolated": sum(note["isolated"] for note in notes),
            "duplicates": sum(note["duplicates"] for note in notes),
            "degenerate": any(note["degenerate"] for note in notes),
        }
        return Selection.of(np.array(kept, np.int64), n, merged, scores)

    def _order(self, gram: Floats, groups: Ints | None) -> tuple[Ints, Floats, dict[str, Any]]:
        """Members from the most to the least connected, their scores, and what was seen."""
        mass = None
        if gram.ndim == 3:
            gram, mass = gram
        nodes = np.arange(len(gram)) if groups is None else groups
        gram = pooled(gram, nodes)
        mass = None if mass is None else pooled(mass, nodes)
        if len(gram) < 3:
            kind = "members" if groups is None else "groups"
            raise ConfigurationError(
                f"{len(gram)} {kind} make no graph to choose from; give at least 3 of each source"
            )
        similar, null = graphs.cosines(graphs.centred(gram) if mass is None else gram, mass)
        twins = find_twins(similar)
        first, alike = np.unique(twins, return_counts=True)
        of_member = np.searchsorted(first, twins[nodes])
        weights = similar[np.ix_(first, first)]
        weights = np.where(weights > _NOTHING, weights, 0) if self.weight == "relu" else (1 + weights) / 2
        weights[null[first], :] = weights[:, null[first]] = 0
        np.fill_diagonal(weights, 0)
        alike[null[first]] = 1
        costs, parts, note = self._costs(weights, alike)
        scores = costs[of_member]
        if self.score != "degree" and note["components"] - note["isolated"] > 1:
            scores = ranks(scores, parts[of_member])
        note["duplicates"] = len(gram) - len(first)
        return np.argsort(scores, kind="stable").astype(np.int64), scores, note

    def _costs(self, weights: Floats, alike: Ints) -> tuple[Floats, Ints, dict[str, Any]]:
        """Scores of the nodes, small for connected ones, their components, and what was seen."""
        parts = graphs.components(weights)
        counts = np.bincount(parts)
        alone = (counts[parts] == 1) & (alike == 1)
        costs = np.where(alone, np.inf, 0)
        seen: dict[int, graphs.Spectrum] = {}
        for number in np.flatnonzero(counts > 1):
            inside = np.flatnonzero(parts == number)
            own = weights[np.ix_(inside, inside)]
            seen[int(number)] = found = graphs.spectrum(own, self.laplacian, alike[inside])
            if found.degenerate or len(own) < 3:  # of two, neither is between the others
                costs[inside] = rounded(-graphs.degrees_of(own, alike[inside]))
            else:
                costs[inside] = rounded(
                    np.abs(found.fiedler) if self.score == "fiedler_abs" else found.fiedler
                )
        if self.score == "degree":  # which compares members of different components as well
            costs = rounded(-graphs.degrees_of(weights, alike))
        largest = seen.get(int(np.argmax(counts)))
        low, high = (None, None) if largest is None else (largest.lambda2, largest.lambda3)
        return (
            costs,
            parts,
            {
                "lambda2": low,
                "lambda3": high,
                "gap": (high - low) / low if low and high is not None else None,
                "components": len(counts),
                "isolated": int(alone.sum()),
                "degenerate": not seen or any(found.degenerate for found in seen.values()),
            },
        )

    def fingerprint(self) -> str:
        """Hash of the settings; functions count by their names."""
        values = {f.name: name_setting(getattr(self, f.name)) for f in fields(self)}
        return "sha256:" + hashlib.sha256(json.dumps(["SALN", values], sort_keys=True).encode()).hexdigest()
