"""What the coder of codeword indices knows before the first index: small tables, trained on index maps.

A slot is one byte: five bits of log odds above three of how far to trust them.
The coder learns fast, so coarse steps lose little: see ``docs/format/indices.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.entropy import coder, index_mixing
from frazil.entropy.tables import SQUASH, STRETCH
from frazil.errors import ConfigurationError, FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Tables = tuple[Array, Array, Array, Array, Array]

LARGEST = 65536
FEATURES = 4
PREFIX = "coder."
#: How many decisions a slot may claim to have seen.
COUNTS = np.array([0, 1, 2, 3, 4, 6, 9, 14], np.int32)
STEP = 96  # of log odds, in 1/256 of a nat
MOST = 1 << 23  # sum of the frequencies of one head
OWN = 16  # bits of the largest table of a stream's own slots
HALF = 1 << 30  # the slot that has seen nothing


def bits_of(size: int) -> int:
    """Return how many bits an index below ``size`` needs.

    Examples
    --------
    >>> [bits_of(size) for size in (1, 2, 3, 1000, 1024, 65536)]
    [0, 1, 2, 10, 10, 16]
    """
    return (size - 1).bit_length()


def contexts_of(heads: int) -> int:
    """Return how many contexts foretell a decision."""
    return index_mixing.FEW if heads == 1 else index_mixing.MANY


def table_bits(places: int, size: int) -> int:
    """Return the binary logarithm of the slots of a table that starts from nothing."""
    return max(8, min(OWN, (places * bits_of(size)).bit_length()))


def fresh_weights(heads: int, size: int) -> Array:
    """Return mixing weights, in 1/65536, as they are without training."""
    contexts = contexts_of(heads)
    return np.full((heads * bits_of(size), contexts), 137626 // contexts, np.int32)


def fresh_cells(heads: int, size: int) -> Array:
    """Return the refining map that changes nothing yet."""
    line = SQUASH[np.minimum(128 * np.arange(index_mixing.CELLS), 4095)].astype(np.int32)
    return np.tile(line, heads * bits_of(size) * 9)


def pack_features(features: Array) -> Array:
    """Return (heads, size) of int64 with four features, 0 .. 127, in 16 bits each."""
    wide = features.astype(np.int64)
    return np.ascontiguousarray(wide[..., 0] | wide[..., 1] << 16 | wide[..., 2] << 32 | wide[..., 3] << 48)


def plain_features(heads: int, size: int) -> Array:
    """Return features where none were learnt: the high bits of the index."""
    features = np.full((heads, size, FEATURES), 64, np.uint8)
    features[..., 0] = (np.arange(size) << 7) >> bits_of(size)
    return features


def from_nothing(heads: int, size: int, places: int) -> Tables:
    """Return features, slots, own slots, weights and cells of a coder that knows nothing."""
    slots = 1 << table_bits(places, size)
    return (
        pack_features(plain_features(heads, size)),
        np.full((heads, slots), HALF, np.int32),
        np.full((heads, slots), HALF, np.int32),
        fresh_weights(heads, size),
        fresh_cells(heads, size),
    )


@dataclass(frozen=True, eq=False)
class IndexStates:
    """What training leaves for the coder of one model's index maps.

    Parameters
    ----------
    size : int
        Codewords of each codebook, 1 .. 65536.
    slots : ndarray, shape (heads, 2**t), uint8
        8 <= t <= 20.
    weights : ndarray, shape (heads * bits, contexts), int16
        Mixing weights, in 1/4096.
    cells : ndarray, shape (heads * bits * 9, 33), uint16
        The map that refines probabilities.
    frequencies : ndarray, shape (heads, size), uint16
        At least 1, for the static coder.
    features : ndarray, shape (heads, size, 4), uint8, optional
        0 .. 127: where in a plane of likeness a codeword lies.

    Examples
    --------
    >>> maps = [np.random.default_rng(0).integers(0, 40, (2, 20, 20))]
    >>> states = learn(maps, 40)
    >>> tensors = states.to_tensors()
    >>> sorted(tensors)[:2], tensors["coder.frequencies"].shape
    (['coder.cells', 'coder.features'], (2, 40))
    >>> IndexStates.from_tensors(tensors, 2, 40).heads
    2
    """

    size: int
    slots: Array
    weights: Array
    cells: Array
    frequencies: Array
    features: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes, dtypes and ranges."""
        if not 1 <= self.size <= LARGEST:
            msg = f"a codebook of {self.size} entries; 1 to {LARGEST} can be coded"
            raise FormatError(msg)
        heads = self.heads
        lines = heads * bits_of(self.size)
        expected = {
            "weights": ((lines, contexts_of(heads)), np.int16),
            "cells": ((lines * 9, index_mixing.CELLS), np.uint16),
            "frequencies": ((heads, self.size), np.uint16),
            "features": ((heads, self.size, FEATURES), np.uint8),
            "slots": ((heads, self.slots.shape[-1]), np.uint8),
        }
        for name, (shape, dtype) in expected.items():
            array = getattr(self, name)
            if name == "features" and array is None:
                continue
            if array.shape != shape or array.dtype != dtype:
                msg = (
                    f"the coder's {name} are {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
                )
                raise FormatError(msg)
        width = self.slots.shape[1]
        if width & (width - 1) or not 1 << 8 <= width <= 1 << 20:
            msg = f"the coder has {width} slots a head, expected a power of two from 2**8 to 2**20"
            raise FormatError(msg)
        if self.frequencies.min() < 1 or self.frequencies.sum(1, dtype=np.int64).max() > MOST:
            msg = f"frequencies of codewords must be at least 1 and sum to at most {MOST} in each head"
            raise FormatError(msg)
        if self.features is not None and self.features.max() > 127:
            msg = f"a feature of {self.features.max()}, expected at most 127"
            raise FormatError(msg)

    @property
    def heads(self) -> int:
        """How many codebooks there are."""
        return int(self.slots.shape[0])

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], heads: int, size: int) -> IndexStates:
        """Read what `to_tensors` wrote.

        Raises
        ------
        FormatError
            If a tensor is missing, or has another shape or dtype than a model of so many heads and codewords.
        """
        found = {}
        for name in ("slots", "weights", "cells", "frequencies"):
            if PREFIX + name not in tensors:
                msg = f"the model has no tensor {PREFIX + name}, which its coder of indices needs"
                raise FormatError(msg)
            found[name] = tensors[PREFIX + name]
        if found["slots"].ndim != 2 or found["slots"].shape[0] != heads:
            msg = f"the coder's slots have shape {found['slots'].shape}, expected {heads} heads"
            raise FormatError(msg)
        return cls(size, **found, features=tensors.get(PREFIX + "features"))

    def to_tensors(self) -> dict[str, Array]:
        """Return the tables as integer tensors whose names start with ``coder.``."""
        names = ["slots", "weights", "cells", "frequencies"] + ["features"] * (self.features is not None)
        return {PREFIX + name: getattr(self, name) for name in names}

    @cached_property
    def cumulative(self) -> Array:
        """Sums of the frequencies below each codeword, (heads, size + 1), int64."""
        sums = np.zeros((self.heads, self.size + 1), np.int64)
        np.cumsum(self.frequencies, axis=1, out=sums[:, 1:], dtype=np.int64)
        return sums

    @cached_property
    def _begun(self) -> tuple[Array, Array, Array, Array]:
        odds = (2 * (self.slots >> 3).astype(np.int64) - 31) * (STEP // 2)
        ones = SQUASH[(odds >> 1) + 2048].astype(np.int32) << 6
        known = self.features
        return (
            pack_features(plain_features(self.heads, self.size) if known is None else known),
            ones << 9 | COUNTS[self.slots & 7],
            self.weights.astype(np.int32) << 4,
            self.cells.astype(np.int32).ravel(),
        )

    def start(self, places: int) -> Tables:
        """Return features, slots, own slots, weights and cells for a stream of so many ``places``."""
        features, slots, weights, cells = self._begun
        own = np.full((self.heads, 1 << table_bits(places, self.size)), HALF, np.int32)
        return features, slots.copy(), own, weights.copy(), cells.copy()


def learn(maps: Sequence[Array], size: int, *, slots: int | None = None) -> IndexStates:
    """Train the coder on index maps.

    Parameters
    ----------
    maps : sequence of ndarray, shape (heads, y, x) or (n, heads, y, x), integers
        Of training data, the codebook renumbered (`frazil.entropy.renumbering`), each as one stream will have
        it. Maps of mirrored, turned and shifted pictures help.
    size : int
        Codewords of each codebook.
    slots : int, optional
        Binary logarithm of the slots of each head: 17 for one head, else 16, or less for small codebooks.

    Raises
    ------
    ConfigurationError
        If there are no maps, or they differ in their heads.
    """
    each = [one for part in maps for one in (part if part.ndim == 4 else part[None])]
    if not each or len({one.shape[0] for one in each}) > 1:
        msg = f"training needs maps of one number of heads, got {sorted({one.shape[0] for one in each})}"
        raise ConfigurationError(msg)
    heads = each[0].shape[0]
    wide = slots or max(8, min(17 if heads == 1 else 16, bits_of(size) + 8))
    features = (
        None if size > 2048 else np.stack([likeness([one[h] for one in each], size) for h in range(heads)])
    )
    tables = (
        pack_features(plain_features(heads, size) if features is None else features),
        np.full((heads, 1 << wide), HALF, np.int32),
        np.full((heads, 1 << OWN), HALF, np.int32),
        fresh_weights(heads, size),
        fresh_cells(heads, size),
    )
    encode = index_mixing.encode_one if heads == 1 else index_mixing.encode_many
    later = len(maps) // 2
    sums = [np.zeros(table.shape, np.int64) for table in tables[3:]]
    for done, i in enumerate(np.random.default_rng(0).permutation(len(maps))):
        tables[2][:] = HALF
        stream = np.ascontiguousarray(maps[i] if maps[i].ndim == 4 else maps[i][None], np.int32)
        encode(stream, size, bits_of(size), *tables, *coder.writer(8 * stream.size))
        if done >= later:
            sums = [total + table for total, table in zip(sums, tables[3:], strict=True)]
    # The mean over streams is better than what the last of them left.
    weights, cells = (total // (len(maps) - later) for total in sums)
    return IndexStates(
        size,
        _small(tables[1]),
        (weights >> 4).clip(-32768, 32767).astype(np.int16),
        cells.astype(np.uint16).reshape(-1, index_mixing.CELLS),
        np.stack([_frequencies([one[h] for one in each], size) for h in range(heads)]),
        features,
    )


def _small(slots: Array) -> Array:
    odds = STRETCH[(slots >> 19).astype(np.int64)].astype(np.int64)
    level: Array = np.rint((odds / (STEP // 2) + 31) / 2).clip(0, 31).astype(np.uint8)
    count = (np.searchsorted(COUNTS, slots & 511, side="right") - 1).astype(np.uint8)
    return (level << 3 | count).astype(np.uint8)


def _frequencies(planes: Sequence[Array], size: int) -> Array:
    counts = np.zeros(size)
    for plane in planes:
        counts += np.bincount(plane.ravel(), minlength=size)
    counts += 0.5  # R. E. Krichevsky and V. K. Trofimov, 1981
    scale = min(65535 / counts.max(), (MOST // 2) / counts.sum())
    frequencies: Array = np.maximum(1, np.rint(counts * scale)).astype(np.uint16)
    return frequencies


def likeness(planes: Sequence[Array], size: int) -> Array:
    """Place codewords so that those that lie side by side in maps lie near each other.

    The first axes of correspondence analysis (J.-P. Benzécri, 1973) of pairs of neighbours: of all functions
    of a codeword, those whose values at neighbouring places correlate most.

    Returns
    -------
    ndarray, shape (size, 4), uint8
        0 .. 127; 64 is the middle, 32 a standard deviation.
    """
    beside = [(plane[:, 1:], plane[:, :-1]) for plane in planes] + [
        (plane[1:], plane[:-1]) for plane in planes
    ]
    both = np.concatenate([(one.astype(np.int64) * size + other).ravel() for one, other in beside])
    pairs = np.bincount(both, minlength=size * size).reshape(size, size).astype(np.float64)
    pairs += pairs.T
    total = pairs.sum()
    smooth = 1 / np.sqrt(pairs.sum(1) + 0.2 * total / size + 1e-9)  # rare ones would claim the first axes
    vectors = np.linalg.eigh(smooth[:, None] * pairs * smooth)[1][:, ::-1][:, 1 : FEATURES + 1]
    axes = np.zeros((size, FEATURES))
    axes[:, : vectors.shape[1]] = vectors * smooth[:, None] * np.sqrt(total)
    return (np.rint(32 * axes).clip(-64, 63) + 64).astype(np.uint8)
