"""Which samples there are: windows of steps around an anchor, cut to patches; plain numbers, no store."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

BEYOND = "windows that reach beyond the data"
GAPS = "windows across a gap of the time axis"


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """Samples of a store: every window of steps that lies inside the data, in every patch of the area.

    A sample is a window around an *anchor*, a step of the sample axis; ``inputs`` and ``targets`` are offsets
    from it. Its number is ``anchor * patches + patch``, so without patches a sample's number is its step.

    Parameters
    ----------
    length : int
        Steps along the sample axis.
    inputs, targets : tuple of int
        Offsets in steps: ``inputs=(-1, 0), targets=(1,)`` predicts the next step from the last two.
    stride : int, default 1
        Anchors are ``stride`` steps apart.
    steps : (int, int), optional
        First step, and the one after the last, that windows may touch: a split of the data.
    breaks : tuple of int
        Steps that do not follow the one before at the usual distance; no window lies across one.
    chunk : int, default 1
        Steps in a stored chunk, the largest over the variables.
    area : tuple of (int, int)
        Region along each spatial axis, [low, high) in points.
    patch : tuple of int, optional
        Points of a patch along each spatial axis; without it the area is one patch.
    area_chunks : tuple of int
        Points of a stored chunk along each spatial axis; patches that begin in one chunk are drawn together.

    Raises
    ------
    ConfigurationError
        If no offset is given, a window is longer than the data, or a patch larger than the area.

    Examples
    --------
    >>> plan = SamplePlan(length=10, inputs=(-1, 0), targets=(1,))
    >>> plan.samples
    array([1, 2, 3, 4, 5, 6, 7, 8])
    >>> plan.window(np.array([1, 8]))
    array([[0, 1, 2],
           [7, 8, 9]])
    >>> plan.dropped
    {'windows that reach beyond the data': 2}
    """

    length: int
    inputs: tuple[int, ...] = (0,)
    targets: tuple[int, ...] = ()
    stride: int = 1
    steps: tuple[int, int] | None = None
    breaks: tuple[int, ...] = ()
    chunk: int = 1
    area: tuple[tuple[int, int], ...] = ()
    patch: tuple[int, ...] | None = None
    area_chunks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what makes no samples."""
        if not self.inputs:
            raise ConfigurationError("inputs= is empty; name at least one step, such as inputs=[0]")
        if self.stride < 1:
            raise ConfigurationError(f"stride counts steps between anchors, 1 or more; got {self.stride}")
        first, stop = self.span
        if not 0 <= first < stop <= self.length:
            raise ConfigurationError(
                f"the steps {first} to {stop} that were asked for are not among the {self.length} of the data"
            )
        # The anchor itself is among the data as well, so inputs=(5,) wants six steps.
        if self.reach >= stop - first:
            raise ConfigurationError(
                f"a window of {self.reach + 1} steps ({self.describe()}) is longer than the data, which have "
                f"{stop - first}; shorten inputs= or targets="
            )
        for axis, (size, (low, high)) in enumerate(zip(self.patch or (), self.area, strict=False)):
            if not 0 < size <= high - low:
                raise ConfigurationError(
                    f"a patch of {size} points along spatial axis {axis} does not fit into {high - low}"
                )

    @property
    def offsets(self) -> tuple[int, ...]:
        """Offsets of the inputs, then of the targets."""
        return (*self.inputs, *self.targets)

    @property
    def reach(self) -> int:
        """Steps from the first of a window, or its anchor, to its last."""
        return max(0, *self.offsets) - min(0, *self.offsets)

    @property
    def span(self) -> tuple[int, int]:
        """First step that windows may touch, and the one after the last."""
        return self.steps or (0, self.length)

    @property
    def halo(self) -> int:
        """Chunks beyond those of its anchors that a run of chunks needs."""
        before, after = -min(0, *self.offsets), max(0, *self.offsets)
        return -(-before // self.chunk) + -(-after // self.chunk)

    def describe(self) -> str:
        """Say what a window is, for messages."""
        return f"inputs {list(self.inputs)}, targets {list(self.targets)}"

    @cached_property
    def _candidates(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """All anchors of the span, and which of their windows cross no gap."""
        first, stop = self.span
        low, high = first - min(0, *self.offsets), stop - max(0, *self.offsets)
        anchors = np.arange(low, high, self.stride, dtype=np.int64)
        breaks = np.asarray(self.breaks, np.int64)
        crossed = np.searchsorted(breaks, anchors + min(self.offsets), "right") < np.searchsorted(
            breaks, anchors + max(self.offsets), "right"
        )
        return anchors, ~crossed

    @cached_property
    def anchors(self) -> Ints:
        """Steps that have a whole window around them, ascending."""
        anchors, whole = self._candidates
        return anchors[whole]

    @cached_property
    def patches(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Corners of the patches: for each patch [low, high) along each spatial axis.

        They lie side by side; what is left at the end of an axis is covered by one more patch that overlaps
        its neighbour, so that every point is in a patch.
        """
        if self.patch is None:
            return (self.area,)
        along = []
        for size, (low, high) in zip(self.patch, self.area, strict=True):
            starts = [*range(low, high - size + 1, size)]
            if starts[-1] + size < high:
                starts.append(high - size)
            along.append([(start, start + size) for start in starts])
        return tuple(itertools.product(*along))

    @cached_property
    def samples(self) -> Ints:
        """Numbers of all samples, ascending."""
        n = len(self.patches)
        return (self.anchors[:, None] * n + np.arange(n)).reshape(-1)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many samples there would be but for a reason, by reason."""
        anchors, whole = self._candidates
        first, stop = self.span
        possible = -(-(stop - first) // self.stride)
        counts = {BEYOND: possible - len(anchors), GAPS: int((~whole).sum())}
        return {reason: n * len(self.patches) for reason, n in counts.items() if n > 0}

    def anchor(self, samples: Ints) -> Ints:
        """Return the anchor of each sample."""
        return samples // len(self.patches)

    def patch_of(self, samples: Ints) -> Ints:
        """Return the number of each sample's patch."""
        return samples % len(self.patches)

    def window(self, samples: Ints) -> Ints:
        """Return the steps of each sample's window, shape (n, inputs + targets)."""
        return self.anchor(samples)[:, None] + np.asarray(self.offsets, np.int64)

    def homes(self, samples: Ints) -> tuple[Ints, Ints]:
        """Return the tile (of chunks, along space) and the chunk (along the samples) of each sample."""
        tiles = np.zeros(len(self.patches), np.int64)
        for axis, size in enumerate(self.area_chunks if self.patch else ()):
            starts = np.array([corner[axis][0] for corner in self.patches], np.int64) // size
            tiles = tiles * (int(starts.max()) + 1) + starts
        return tiles[self.patch_of(samples)], self.anchor(samples) // self.chunk

    def fingerprint(self) -> str:
        """Hash of everything that decides which samples there are."""
        text = json.dumps(asdict(self), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def find_breaks(times: npt.NDArray[np.generic]) -> tuple[int, ...]:
    """Find the steps of a time axis that do not follow the one before at about the usual (median) distance.

    Months and years, which are longer and shorter, are no gaps; what is half as long again as usual is.

    Examples
    --------
    >>> find_breaks(np.array(["2001-01-01", "2001-01-02", "2001-01-03", "2001-01-06"], "M8[D]"))
    (3,)
    """
    if len(times) < 3 or times.dtype.kind not in "mMiufO":
        return ()
    if times.dtype.kind == "O":  # dates of other calendars, whose differences are timedeltas
        distances = np.diff(times).astype("m8[us]").astype("f8")
    else:
        distances = np.diff(times.astype("f8") if times.dtype.kind == "u" else times).astype("f8")
    usual = np.median(distances)
    odd = np.abs(distances - usual) > 0.5 * abs(usual)
    return tuple(int(step) + 1 for step in np.flatnonzero(odd))
