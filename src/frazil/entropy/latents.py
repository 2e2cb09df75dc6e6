"""Quantised latents of a model to bytes and back; what the coder knows of the model before the first one.

::

    states = LatentStates.learn([(latents, step), ...], channels)     # or LatentStates.fresh(channels)
    data = encode(latents, states, step)
    encode's array again = decode(data, latents.shape, states, step)

The states travel with the model, as whole numbers (`LatentStates.to_tensors`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from frazil.entropy import coder
from frazil.entropy import latent_kernel as kernel
from frazil.entropy.latent_slots import fresh_slots, open_slots, slot_count
from frazil.errors import ConfigurationError, FormatError, UnsupportedArrayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    Array = npt.NDArray[Any]

PREFIX = "coder."
MOST_STEP = 65535
UNUSED = (np.zeros((1, 1, 1, 1), np.float32), np.zeros(1))  # what only `choose` gives the kernel
MOST_CHANNELS = 3640  # 2 k places fit 16 bits


@dataclass(frozen=True, eq=False)
class LatentStates:
    """What the coder of one model's latents starts from; all arrays are whole numbers.

    k channels; s is 1, or 2 if samples after the first have states of their own, which look at the sample
    before. A
    *source* is a channel of this sample, or k + a channel of the sample before.

    Parameters
    ----------
    shifts : ndarray, shape (s, k), uint8
        Means are sums in units of 2^-shift, 0 to 24.
    offsets : ndarray, shape (s, k), int32
        Added to means, in 1/64, for a step of 1.
    own : ndarray, shape (s, k, 6), int16
        Weights of the channel's neighbours W, N, NW, NE, WW, NN in the mean.
    tap_counts : ndarray, shape (s, k), uint16
        How many other values are in each mean.
    taps : ndarray, shape (t,), uint16
        They: 9 source + place.
    tap_weights : ndarray, shape (t,), int16
    floors : ndarray, shape (s, k, 2), int32
        Energies where all is zero, in 2^-14, not negative: one is divided by the step, the other not.
    near : ndarray, shape (s, k, 5), uint16
        Weights in the energy of the differences at W, N, NW and NE, WW, NN, in 2^-14.
    kin_counts : ndarray, shape (s, k), uint16
    kins : ndarray, shape (m,), uint16
        Other differences in each energy: 3 source + ring.
    kin_weights : ndarray, shape (m,), uint16
    odds, counts : ndarray, shape (`slots`,), uint8
        What a probability is at first, and how many decisions it counts for.
    mix : ndarray, shape (768,), int16
        Mixing weights, in 1/4096.
    """

    shifts: Array
    offsets: Array
    own: Array
    tap_counts: Array
    taps: Array
    tap_weights: Array
    floors: Array
    near: Array
    kin_counts: Array
    kins: Array
    kin_weights: Array
    odds: Array
    counts: Array
    mix: Array

    KINDS: ClassVar[dict[str, str]] = {
        "shifts": "u1", "offsets": "<i4", "own": "<i2",
        "tap_counts": "<u2", "taps": "<u2", "tap_weights": "<i2",
        "floors": "<i4", "near": "<u2", "kin_counts": "<u2", "kins": "<u2", "kin_weights": "<u2",
        "odds": "u1", "counts": "u1", "mix": "<i2",
    }  # fmt: skip

    @property
    def channels(self) -> int:
        """How many channels the latents have."""
        return int(self.shifts.shape[1])

    @classmethod
    def fresh(cls, channels: int) -> LatentStates:
        """Return states without training: neighbours and the two channels before say a little.

        Examples
        --------
        >>> len(encode(np.zeros((1, 4, 8, 8), np.int32), LatentStates.fresh(4))) < 8
        True
        """
        if not 1 <= channels <= MOST_CHANNELS:
            raise ConfigurationError(f"latents have 1 to {MOST_CHANNELS} channels, not {channels}")
        k = channels
        odds, counts, mix = fresh_slots(k)
        sources = [[c - d for d in (1, 2) if d <= c] for c in range(k)]
        kins = [3 * source + ring for each in sources for source in each for ring in (0, 1)]
        return cls(
            shifts=np.full((1, k), 14, "u1"),
            offsets=np.zeros((1, k), "<i4"),
            own=np.zeros((1, k, 6), "<i2"),
            tap_counts=np.zeros((1, k), "<u2"),
            taps=np.zeros(0, "<u2"),
            tap_weights=np.zeros(0, "<i2"),
            floors=np.full((1, k, 2), (1600, 160), "<i4"),
            near=np.full((1, k, 5), (4000, 4000, 1200, 600, 600), "<u2"),
            kin_counts=np.array([[2 * len(each) for each in sources]], "<u2"),
            kins=np.array(kins, "<u2"),
            kin_weights=np.tile(np.array([1600, 300], "<u2"), len(kins) // 2),
            odds=odds,
            counts=counts,
            mix=mix,
        )

    @classmethod
    def learn(
        cls, latents: Iterable[tuple[Array, int]], channels: int, *, taps: int = 48, kin: int = 10
    ) -> LatentStates:
        """Learn states from latents like those to be coded.

        Parameters
        ----------
        latents : iterable of (ndarray, int)
            Latents, whole numbers of shape (n, k, h, w), each with its step. The steps that will be used
            should all occur.
        channels : int
            k.
        taps, kin : int
            How many values at most are in each mean, how many channels in each energy; each tap costs four
            bytes of the model.

        Raises
        ------
        ConfigurationError
            If there is nothing to learn from.
        """
        from frazil.entropy.latent_training import train

        pairs = [(as_latents(array), _step(step)) for array, step in latents]
        return train(pairs, channels, taps, kin)

    def to_tensors(self) -> dict[str, Array]:
        """Return the arrays by name, each name with `PREFIX`."""
        return {PREFIX + name: getattr(self, name) for name in self.KINDS}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> LatentStates:
        """Return the states that `to_tensors` gave; other names are ignored.

        Raises
        ------
        FormatError
            If an array is missing, or holds what no states do.
        """
        parts = {}
        for name, kind in cls.KINDS.items():
            if PREFIX + name not in tensors:
                raise FormatError(
                    f"the model has no tensor {PREFIX + name}, which the coder of latents starts from"
                )
            part = np.asarray(tensors[PREFIX + name])
            if part.dtype != np.dtype(kind):
                raise FormatError(f"{PREFIX + name} is {part.dtype}, not {np.dtype(kind).name}")
            parts[name] = part
        states = cls(**parts)
        _check(states)
        return states


@dataclass(frozen=True)
class _Tables:
    """States as the kernel takes them."""

    fixed: tuple[Array, ...]
    slots: Array
    mix: Array


def tables(states: LatentStates) -> _Tables:
    """Return states as the kernel takes them; slots and mix are copies that it may change."""

    def starts(counts: Array) -> Array:
        return np.concatenate([[0], np.cumsum(counts.ravel(), dtype=np.int64)]).astype(np.int32)

    def whole(part: Array) -> Array:
        return np.ascontiguousarray(part, np.int32)

    fixed = (
        whole(states.own), whole(states.shifts), whole(states.offsets),
        starts(states.tap_counts), whole(states.taps), whole(states.tap_weights),
        whole(states.floors), whole(states.near),
        starts(states.kin_counts), whole(states.kins), whole(states.kin_weights),
    )  # fmt: skip
    slots = open_slots(states.odds, states.counts)
    return _Tables(fixed, slots, states.mix.astype(np.int32) << 4)


def _check(states: LatentStates) -> None:
    """Raise unless the kernel can take the states."""
    if states.shifts.ndim != 2 or not 1 <= states.channels <= MOST_CHANNELS:
        raise FormatError(f"{PREFIX}shifts has shape {states.shifts.shape}, not (1 or 2, channels)")
    kinds, k = states.shifts.shape
    shapes = {
        "shifts": (kinds, k), "offsets": (kinds, k), "own": (kinds, k, 6), "tap_counts": (kinds, k),
        "floors": (kinds, k, 2), "near": (kinds, k, 5), "kin_counts": (kinds, k),
        "odds": (slot_count(k),), "counts": (slot_count(k),), "mix": (kernel.MIX,),
        "taps": (int(states.tap_counts.sum(dtype=np.int64)),), "tap_weights": states.taps.shape,
        "kins": (int(states.kin_counts.sum(dtype=np.int64)),), "kin_weights": states.kins.shape,
    }  # fmt: skip
    for part in fields(states):
        found = getattr(states, part.name).shape
        if found != shapes[part.name]:
            raise FormatError(f"{PREFIX}{part.name} has shape {found}, not {shapes[part.name]}")
    if kinds not in {1, 2}:
        raise FormatError(f"{PREFIX}shifts has shape {states.shifts.shape}, not (1 or 2, channels)")
    if states.shifts.max() > 24 or states.floors.min() < 0 or states.floors.max() > 1 << 30:
        raise FormatError(f"{PREFIX}shifts or {PREFIX}floors are out of their range")
    if max(states.tap_counts.max(), states.kin_counts.max()) > 4096:
        raise FormatError("a channel depends on more than 4096 others")
    channel = np.arange(kinds * k)
    for counts, each, per in ((states.tap_counts, states.taps, 9), (states.kin_counts, states.kins, 3)):
        of = np.repeat(channel, counts.ravel())
        source = each.astype(np.int64) // per
        if not ((source < of % k) | ((of >= k) & (source >= k) & (source < 2 * k))).all():
            raise FormatError("a channel depends on one that is coded later")


def as_latents(array: Array) -> Array:
    """Return latents as int32 of shape (n, k, h, w).

    Raises
    ------
    UnsupportedArrayError
        If they are anything else, or larger than 2^20.
    """
    array = np.asarray(array)
    if array.ndim != 4 or array.dtype.kind not in "iu":
        raise UnsupportedArrayError(
            f"latents are whole numbers of shape (n, k, h, w), not {array.dtype} of shape {array.shape}"
        )
    if array.size and max(int(array.max()), -int(array.min())) > kernel.FURTHEST:
        raise UnsupportedArrayError(f"latents are at most {kernel.FURTHEST} in magnitude; take a larger step")
    return np.ascontiguousarray(array, np.int32)


def _step(step: int | None) -> int:
    step = 1 if step is None else int(step)
    if not 1 <= step <= MOST_STEP:
        raise ConfigurationError(f"a step is a whole number from 1 to {MOST_STEP}, not {step}")
    return step


def encode(latents: Array, states: LatentStates, step: int | None = None) -> bytes:
    """Return latents as bytes.

    Parameters
    ----------
    latents : ndarray, shape (n, k, h, w), whole numbers
        n samples, one after the other in time if there is such an order; at most 2^20 in magnitude.
    states : LatentStates
        Of the model that made them, k channels.
    step : int, optional
        What they were divided by when they were rounded, 1 to 65535; 1 by default.

    Examples
    --------
    >>> latents = np.arange(-8, 8, dtype=np.int32).reshape(1, 1, 4, 4)
    >>> states = LatentStates.fresh(1)
    >>> bool((decode(encode(latents, states), latents.shape, states) == latents).all())
    True
    """
    latents = as_latents(latents)
    _match(latents.shape, states)
    if not latents.size:
        return b""
    given = tables(states)
    points = latents.size
    while True:
        machine, words = coder.writer(points)
        slots, mix = given.slots.copy(), given.mix.copy()
        kernel.encode_latents(latents, _step(step), *given.fixed, slots, mix, machine, words, *UNUSED)
        if not coder.overflown(machine, words):
            return coder.finish(machine, words)
        points *= 2


def decode(
    data: bytes | memoryview, shape: tuple[int, ...], states: LatentStates, step: int | None = None
) -> npt.NDArray[np.int32]:
    """Return the latents that `encode` made ``data`` of, int32 of ``shape`` (n, k, h, w).

    Raises
    ------
    TruncatedError
        If the bytes end too early.
    """
    _match(shape, states)
    latents = np.zeros(shape, np.int32)
    if not latents.size:
        return latents
    given = tables(states)
    machine, words = coder.reader(data)
    kernel.decode_latents(latents, _step(step), *given.fixed, given.slots, given.mix, machine, words, *UNUSED)
    coder.check(machine, words)
    return latents


def choose(
    exact: Array, states: LatentStates, step: int | None = None, *, worth: float | Array = 0.05
) -> npt.NDArray[np.int32]:
    """Round latents so that they take fewer bytes for the error that they make.

    Each becomes 0 or one of the two whole numbers next to it, the one for which squared error plus ``worth``
    times bits is least, as the coder stands there (rate-distortion optimised quantisation; G. J. Sullivan and
    T. Wiegand 1998, doi:10.1109/79.733497). Decoders need not know.

    Parameters
    ----------
    exact : ndarray, shape (n, k, h, w), real numbers
        Latents before they are divided or rounded.
    states : LatentStates
        Of the model that made them, k channels.
    step : int, optional
        They are divided by it first; 1 by default.
    worth : float or ndarray, shape (k,)
        What a bit is worth, in squares of the step; 0 takes the nearest whole number. A linear model's files
        are smallest for their error at 0.12 or so, 16 % smaller; an autoencoder's, which learned to expect
        nearest numbers, at 0.05, 2 to 6 % smaller (Sentinel-2, shipped model and `fit_klt`).

    Returns
    -------
    ndarray, shape (n, k, h, w), int32
        What `encode` takes.

    Examples
    --------
    >>> exact, states = np.full((1, 1, 1, 1), 2.2), LatentStates.fresh(1)
    >>> choose(exact, states, 4, worth=0).item(), choose(exact, states, 4).item()
    (1, 0)
    """
    step = _step(step)
    divided = np.ascontiguousarray(np.asarray(exact, np.float64) / step, np.float32)
    if not np.isfinite(divided).all():
        raise UnsupportedArrayError("latents that are not finite cannot be rounded")
    latents = as_latents(np.rint(divided).astype(np.int64))
    _match(latents.shape, states)
    each = np.array(np.broadcast_to(np.asarray(worth, np.float64), states.channels))
    if not (np.isfinite(each) & (each >= 0)).all():
        raise ConfigurationError(f"a bit is worth 0 or more squares of the step, not {worth}")
    if latents.size:
        given = tables(states)
        machine, words = coder.writer(4 * latents.size)
        kernel.choose_latents(
            latents, step, *given.fixed, given.slots, given.mix, machine, words, divided, each
        )
    return latents


def _match(shape: tuple[int, ...], states: LatentStates) -> None:
    if len(shape) != 4 or shape[1] != states.channels:
        raise ConfigurationError(
            f"latents of shape {tuple(shape)} are not (n, {states.channels}, h, w), as the model's are"
        )
