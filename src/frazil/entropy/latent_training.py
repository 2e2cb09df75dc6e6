"""Make the states of a coder of latents: fit means and energies, then let the coder itself learn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.entropy import coder, latents
from frazil.entropy import latent_kernel as kernel
from frazil.entropy.latent_fitting import Energy, Example, Mean, differences, fit_energies, fit_means, select
from frazil.entropy.latent_planes import PLACES
from frazil.entropy.latent_slots import fresh_slots, pack_slots
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]

POINTS = 40_000  # that fits look at; more make them slower, hardly better
SYMBOLS = 20_000_000  # that the coder learns from


def train(pairs: Sequence[tuple[Array, int]], channels: int, taps: int, kin: int) -> latents.LatentStates:
    """Return states learned from latents of shape (n, k, h, w), each with its step."""
    pairs = [pair for pair in pairs if pair[0].size]
    wrong = {array.shape[1] for array, _ in pairs} - {channels}
    if not pairs or wrong:
        of = sorted(wrong) or "no"
        msg = f"states of {channels} channels cannot be learned from latents of {of} channels"
        raise ConfigurationError(msg)
    kinds = [_examples(pairs, again=False)]
    if max(len(array) for array, _ in pairs) > 1:
        kinds.append(_examples(pairs, again=True))
    fits = [_fit(kinds[0], None, taps, kin)]
    fits += [_fit(examples, fits[0][0], taps, kin) for examples in kinds[1:]]
    return _learn(_whole(fits, channels), pairs)


def _examples(pairs: Sequence[tuple[Array, int]], *, again: bool) -> list[Example]:
    """Take samples evenly from the pairs, till there are `POINTS`."""
    places = [(n, i) for n, (array, _) in enumerate(pairs) for i in range(int(again), len(array))]
    mean = sum(pairs[n][0][i][0].size for n, i in places) / len(places)
    some = min(len(places), max(1, round(POINTS / mean)))
    taken = [places[j * len(places) // some] for j in range(some)]
    alike: dict[tuple[int, tuple[int, ...]], list[tuple[int, int]]] = {}
    for n, i in taken:
        alike.setdefault((pairs[n][1], pairs[n][0].shape[2:]), []).append((n, i))
    return [
        Example(
            np.stack([pairs[n][0][i] for n, i in places]).astype(np.float32),
            step,
            np.stack([pairs[n][0][i - 1] for n, i in places]).astype(np.float32) if again else None,
        )
        for (step, _), places in alike.items()
    ]


def _fit(
    examples: list[Example], first: list[Mean] | None, taps: int, kin: int
) -> tuple[list[Mean], list[Energy]]:
    """Fit means and energies; ``first``: the means of samples that have none before."""
    ranked = select(examples, taps)
    means = fit_means(examples, ranked, None)
    before: list[Array] | None = None
    sizes = [differences(e, means) for e in examples]
    _, energies = fit_energies(examples, sizes, None, kin)
    means = fit_means(examples, ranked, energies)
    sizes = [differences(e, means) for e in examples]
    if first is not None:
        before = [differences(Example(e.before, e.step), first) for e in examples if e.before is not None]
    fits, _ = fit_energies(examples, sizes, before, kin)
    return means, fits


def _whole(fits: list[tuple[list[Mean], list[Energy]]], k: int) -> latents.LatentStates:
    """Round the fits to whole numbers."""
    s = len(fits)
    shifts, offsets = np.zeros((s, k), "u1"), np.zeros((s, k), "<i4")
    own, floors, near = np.zeros((s, k, 6), "<i2"), np.zeros((s, k, 2), "<i4"), np.zeros((s, k, 5), "<u2")
    taps: list[list[tuple[int, int]]] = []
    kins: list[list[tuple[int, int]]] = []
    for n, (means, energies) in enumerate(fits):
        for c, (mean, energy) in enumerate(zip(means, energies, strict=True)):
            largest = max(1e-6, *np.abs(mean.weights)) if len(mean.weights) else 1.0
            shift = int(np.clip(np.floor(np.log2(32767 / largest)), 0, 24))
            shifts[n, c] = shift
            offsets[n, c] = round(np.clip(mean.offset * 64, -(1 << 30), 1 << 30))
            taps.append([])
            for feature, weight in zip(mean.features, mean.weights, strict=True):
                rounded = int(np.clip(np.rint(weight * 2.0**shift), -32767, 32767))
                place, source = divmod(feature, k)
                if PLACES <= place < PLACES + kernel.CAUSAL:
                    own[n, c, place - PLACES] = rounded
                elif rounded:
                    later = place >= PLACES
                    place -= later * (PLACES + kernel.CAUSAL)
                    taps[-1].append(((source + later * k) * PLACES + place, rounded))
            floors[n, c] = np.clip(np.rint(np.array(energy.floors) * 16384), 0, 1 << 30)
            near[n, c] = np.clip(np.rint(energy.near * 16384), 0, 65535)
            weights = np.clip(np.rint(energy.weights * 16384), 0, 65535).astype(int)
            kins.append([(kin, int(v)) for kin, v in zip(energy.kin, weights, strict=True) if v])
    odds, counts, mix = fresh_slots(k)
    return latents.LatentStates(
        shifts,
        offsets,
        own,
        np.array([len(each) for each in taps], "<u2").reshape(s, k),
        np.array([tap for each in taps for tap, _ in each], "<u2"),
        np.array([weight for each in taps for _, weight in each], "<i2"),
        floors,
        near,
        np.array([len(each) for each in kins], "<u2").reshape(s, k),
        np.array([kin for each in kins for kin, _ in each], "<u2"),
        np.array([weight for each in kins for _, weight in each], "<u2"),
        odds,
        counts,
        mix,
    )


def _learn(states: latents.LatentStates, pairs: Sequence[tuple[Array, int]]) -> latents.LatentStates:
    """Encode all pairs once, in a mixed order, and keep what the slots know then.

    A second pass makes chunks that were not there larger, by 0.2 to 1 %.
    """
    given = latents.tables(states)
    left = SYMBOLS
    for n in np.random.default_rng(0).permutation(len(pairs)):
        array, step = pairs[n]
        machine, words = coder.writer(4 * array.size)
        kernel.encode_latents(
            array, step, *given.fixed, given.slots, given.mix, machine, words, *latents.UNUSED
        )
        left -= array.size
        if left < 0:
            break
    odds, counts, mix = pack_slots(given.slots, given.mix)
    return replace(states, odds=odds, counts=counts, mix=mix)
