"""Fit what the coder of latents foretells from: the taps of means, the kin of energies.

Floats, and only when a model is made; what comes out is whole numbers, and only they are stored.

Taps are chosen one by one, the one that explains most first (forward regression; S. Chen, S. A. Billings
and W. Luo 1989, doi:10.1080/00207178908953472), while that is worth more than chance (G. Schwarz 1978,
doi:10.1214/aos/1176344136), and weighed where latents are small, because there bits are lost. The weights of
energies are not negative and maximise the likelihood of magnitudes, taken for geometric, by multiplicative
steps (D. D. Lee and H. S. Seung 1999, doi:10.1038/44565).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.entropy.latent_kernel import CAUSAL
from frazil.entropy.latent_planes import PAD, PLACE_X, PLACE_Y, PLACES, RINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

PRIOR = 0.05  # variance of a weight, features and latents being of variance 1
FEW = 2000
FINE = 0.75  # power of a step by which its latents count less: fine ones say more
WORTH = 3e-4  # a tap that explains less of what is left costs more than it saves
ROUNDS = 40  # of multiplicative steps
HASTE = 1.6
NEAR = 5  # W, N, NW + NE, WW, NN


@dataclass(frozen=True)
class Example:
    """Samples of latents, shape (n, k, h, w), their step, and the sample before each or None."""

    latents: Floats
    step: int
    before: Floats | None = None

    @cached_property
    def rim(self) -> Floats:
        """The latents, edges repeated."""
        return _rimmed(self.latents)

    @cached_property
    def rim_before(self) -> Floats | None:
        """The same of the sample before."""
        return None if self.before is None else _rimmed(self.before)


@dataclass(frozen=True)
class Mean:
    """Of one channel: weights of ``features`` (numbers as in `_features`), and what is added, times step."""

    features: list[int]
    weights: Floats
    offset: float


@dataclass(frozen=True)
class Energy:
    """Of one channel: what is added, times step and as it is; weights of neighbours; of kin."""

    floors: tuple[float, float]
    near: Floats
    kin: list[int]
    weights: Floats


def _rimmed(y: Floats) -> Floats:
    """Repeat the edges of planes (..., h, w)."""
    return np.pad(y, [(0, 0)] * (y.ndim - 2) + [(1, 1), (1, 1)], mode="edge")


def _places(y: Floats) -> Floats:
    """Move planes (..., h, w) so that neighbour p lies at [p] of (9, ..., h, w); edges are repeated."""
    h, w = y.shape[-2:]
    rim = _rimmed(y)
    return np.stack(
        [rim[..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in zip(PLACE_Y, PLACE_X, strict=True)]
    )


def _by_channel(parts: Floats) -> Floats:
    """Lay (features, n, k, h, w) out as (features, k, points)."""
    return np.ascontiguousarray(parts.swapaxes(1, 2)).reshape(len(parts), parts.shape[2], -1)


def _causal(y: Floats) -> Floats:
    """Return W, N, NW, NE, WW and NN of planes (k, h, w) as the kernel sees them, shape (6, k, h, w)."""
    k, h, w = y.shape
    done = np.pad(y, ((0, 0), (PAD, 0), (PAD, PAD)), mode="edge")
    west = np.zeros((k, h, w + PAD), y.dtype)
    west[:, :, PAD:] = y
    west[:, 1:, :PAD] = y[:, :-1, :1]
    up = done[:, 1:-1]
    out = np.stack(
        [
            west[:, :, 1 : 1 + w],
            up[:, :, PAD : PAD + w],
            up[:, :, 1 : 1 + w],
            up[:, :, 3 : 3 + w],
            west[:, :, :w],
            done[:, :-PAD, PAD : PAD + w],
        ]
    )
    out[1:4, :, 0] = out[0, :, 0]
    out[5, :, 0] = out[0, :, 0]
    return out


def _features(example: Example, n: int) -> Floats:
    """Return all candidates of a sample: nine places a channel, six causal, nine before; each a row."""
    parts = [_places(example.latents[n]), _causal(example.latents[n])]
    if example.before is not None:
        parts.append(_places(example.before[n]))
    return np.concatenate(parts).reshape(-1, example.latents[0, 0].size)


def _candidates(c: int, k: int, again: bool) -> npt.NDArray[np.int64]:
    lower = [p * k + a for a in range(c) for p in range(PLACES)]
    causal = [(PLACES + p) * k + c for p in range(CAUSAL)]
    before = [(PLACES + CAUSAL + p) * k + c for p in range(PLACES)] if again else []
    return np.array(lower + causal + before)


def _one(example: Example, feature: int) -> Floats:
    """Return one of `_features` of all samples, flat."""
    _, k, h, w = example.latents.shape
    p, a = divmod(feature, k)
    if PLACES <= p < PLACES + CAUSAL:
        own: Floats = _causal(example.latents[:, a])[p - PLACES].ravel()
        return own
    rim = example.rim if p < PLACES else example.rim_before
    assert rim is not None  # noqa: S101 - for the type checker: a feature of the sample before needs one
    y, x = 1 + PLACE_Y[p % (PLACES + CAUSAL)], 1 + PLACE_X[p % (PLACES + CAUSAL)]
    flat: Floats = rim[:, a, y : y + h, x : x + w].ravel()
    return flat


def select(examples: Sequence[Example], most: int) -> list[list[int]]:
    """Rank up to ``most`` features for each channel's mean."""
    k = examples[0].latents.shape[1]
    again = examples[0].before is not None
    total = sum(((e.latents * float(e.step)) ** 2).sum((0, 2, 3)) for e in examples)
    scale = np.sqrt(total / sum(e.latents[:, 0].size for e in examples)) + 1e-3
    size = ((PLACES + CAUSAL) + PLACES * again) * k
    gram = np.zeros((size, size), np.float32)
    norm = np.tile(scale, size // k)[:, None]
    for e, n in [(one, n) for one in examples for n in range(len(one.latents))]:
        x = (_features(e, n) * e.step / norm).astype(np.float32)
        calm = np.abs(x[: PLACES * k]).mean(0) + 0.5 * np.abs(x[:k]).mean() + 0.05
        x *= (1 / calm**0.6).astype(np.float32)
        gram += x @ x.T
    points = _points(examples)
    chosen = []
    for c in range(k):
        some = _candidates(c, k, again)
        path = _forward(
            gram[np.ix_(some, some)].astype(float),
            gram[some, c].astype(float),
            float(gram[c, c]),
            most,
            0.5 / (points * PRIOR),
        )
        chosen.append([int(some[j]) for j in path])
    return chosen


def _forward(a: Floats, b: Floats, left: float, most: int, ridge: float) -> list[int]:
    """Return the numbers of the features, the one that explains most of what is left first."""
    diagonal = a.diagonal() + 1e-9
    room = diagonal * (1 + ridge)
    along = b.copy()
    rows = np.zeros((most, len(b)))
    chosen: list[int] = []
    for n in range(most):
        gain = np.where(room > 1e-3 * diagonal, along**2 / np.maximum(room, 1e-12), -1)
        gain[chosen] = -1
        j = int(gain.argmax())
        if gain[j] < WORTH * left:
            break
        row = a[j] - rows[:n].T @ rows[:n, j]
        row[j] += ridge * diagonal[j]
        row /= np.sqrt(room[j])
        rows[n] = row
        along -= along[j] / np.sqrt(room[j]) * row
        left -= gain[j]
        room = room - row**2
        chosen.append(j)
    return chosen


def fit_means(
    examples: Sequence[Example], ranked: list[list[int]], energies: Sequence[Floats] | None
) -> list[Mean]:
    """Weigh the chosen features by least squares; ``energies`` say how much an error matters where.

    Weights shrink as if they were drawn from a normal distribution before anything was seen.
    """
    points = _points(examples)
    out = []
    for c, features in enumerate(ranked):
        moments = np.zeros((len(features) + 2, len(features) + 2))
        for n, e in enumerate(examples):
            rows = [_one(e, f) for f in features]
            own = e.latents[:, c].ravel()
            x = np.stack([*rows, np.full(own.size, 1 / e.step, np.float32), own])
            x *= e.step if energies is None else float(e.step) ** -FINE / (energies[n][c] + 0.1)
            moments += x @ x.T
        a, b = moments[:-1, :-1], moments[:-1, -1]
        left = 0.5
        for _ in range(2):
            w = np.linalg.solve(a + np.diag(left / (points * PRIOR) * a.diagonal() + 1e-9), b)
            left = (moments[-1, -1] - 2 * w @ b + w @ a @ w) / (moments[-1, -1] + 1e-9)
        out.append(Mean(features, w[:-1], float(w[-1])))
    return out


def _points(examples: Sequence[Example]) -> float:
    """Count the latents of a channel, those of one origin at several steps once; few are much alike."""
    points = sum(e.latents[:, 0].size for e in examples) / len({e.step for e in examples})
    return float(points**2 / (points + FEW))


def differences(example: Example, means: list[Mean]) -> Floats:
    """Return the magnitudes of what is left, in whole numbers, shape (n, k, h, w)."""
    out = np.empty(example.latents.shape, np.float32)
    for c, mean in enumerate(means):
        own = example.latents[:, c]
        m = np.full(own.size, mean.offset / example.step)
        for f, weight in zip(mean.features, mean.weights, strict=True):
            m += weight * _one(example, f)
        out[:, c] = np.abs(own - np.floor(m + 0.5).reshape(own.shape))
    return out


def _rings(sizes: Floats) -> Floats:
    """Return magnitudes (n, k, h, w), sums of the four beside each, of its corners: (3, k, points)."""
    p = _places(sizes)
    return _by_channel(np.stack([p[0], p[1] + p[2] + p[5] + p[6], p[3] + p[4] + p[7] + p[8]]))


def fit_energies(
    examples: Sequence[Example], sizes: Sequence[Floats], before: Sequence[Floats] | None, kin: int
) -> tuple[list[Energy], list[Floats]]:
    """Fit how large differences are, from those around.

    ``sizes``: of each example, as of `differences`; ``before``: those of the sample before each.
    Returns the fits, and the energies (k, points) of each example.
    """
    k = sizes[0].shape[1]
    flat = np.concatenate([_rings(s) for s in sizes], 2)
    old = None if before is None else np.concatenate([_rings(s) for s in before], 2)
    planes = [_causal(s.reshape(-1, *s.shape[2:])).reshape(CAUSAL, *s.shape) for s in sizes]
    causal = np.concatenate([_by_channel(part) for part in planes], 2)
    per_step = np.concatenate(
        [np.full(s[:, 0].size, 1 / e.step, np.float32) for s, e in zip(sizes, examples, strict=True)]
    )
    rough = np.sqrt(flat[0])
    rough -= rough.mean(1, keepdims=True)
    rough /= np.linalg.norm(rough, axis=1, keepdims=True) + 1e-9
    fits, energies = [], np.empty((k, flat.shape[2]), np.float32)
    for c in range(k):
        seen = flat[0, c]
        scale = float(seen.mean() / per_step.mean()) + 1e-6
        parents = np.argsort(-(rough[:c] @ rough[c]), kind="stable")[:kin]
        relatives = [int(a) * RINGS + r for a in parents for r in range(RINGS)]
        x = [
            per_step * scale,
            np.full_like(seen, 0.02),
            causal[0, c],
            causal[1, c],
            causal[2, c] + causal[3, c],
        ]
        x += [causal[4, c], causal[5, c], *(flat[f % RINGS, f // RINGS] for f in relatives)]
        if old is not None:
            relatives += [(k + c) * RINGS + r for r in range(RINGS)]
            x += [old[r, c] for r in range(RINGS)]
        design = np.stack(x)
        weights = np.full(len(x), 0.3 / max(1, len(relatives)), np.float32)
        weights[7:] *= seen.mean() / (design[7:].mean(1) + 1e-6)
        weights[:7] = (0.5, 0.1, 0.15, 0.15, 0.05, 1e-3, 1e-3)
        for _ in range(ROUNDS):
            energy = weights @ design + 1e-4
            weights *= (
                design @ (seen / energy) / np.maximum(design @ ((seen + 1) / (1 + energy)), 1e-9)
            ) ** HASTE
        energies[c] = weights @ design + 1e-4
        floors = (float(weights[0]) * scale, float(weights[1]) * 0.02)
        fits.append(Energy(floors, weights[2:7], relatives, weights[7:]))
    ends = np.cumsum([s[:, 0].size for s in sizes])[:-1]
    return fits, np.split(energies, ends, 1)
