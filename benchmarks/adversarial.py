"""Adversarial data under every method: not one point may miss its bound.

    python benchmarks/adversarial.py                       # a million points for every method, minutes
    python benchmarks/adversarial.py --points 100000000    # nightly
    python benchmarks/adversarial.py --seed 7 --methods wavelet

Slices of random shape, dtype, kind and bound; each is encoded and decoded by one method after another. A
slice that fails is described so that it can be made again: kind, seed, shape, dtype, bound.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from methods import METHODS, codec, lost

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Rng = np.random.Generator

SLICE = 1 << 16  # points, about
DTYPES = ("f4", "f4", "f4", "f8", "u2", "i2")
SHARES = (0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-9)  # of the range


def _smooth(rng: Rng, shape: tuple[int, ...]) -> Array:
    waves = [np.sin(np.arange(n) * rng.uniform(0.01, 0.5) + rng.uniform(0, 6)) for n in shape]
    return waves[0][:, None, None] + waves[1][None, :, None] * waves[2][None, None, :]


def smooth(rng: Rng, shape: tuple[int, ...]) -> Array:
    return 280 + 20 * _smooth(rng, shape)


def noise(rng: Rng, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30)


def bits(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Draw from all float32 there are, NaN and infinities among them."""
    return rng.integers(0, 1 << 32, shape, dtype="u4").view("f4")


def spikes(rng: Rng, shape: tuple[int, ...]) -> Array:
    x = smooth(rng, shape)
    x[rng.random(shape) < 10.0 ** rng.uniform(-4, -1)] *= 10.0 ** rng.integers(1, 30)
    return x


def denormals(rng: Rng, shape: tuple[int, ...]) -> Array:
    return rng.integers(-5000, 5000, shape) * float(np.finfo("f4").smallest_subnormal)


def huge(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Make a range that overflows float32 itself."""
    return np.clip(_smooth(rng, shape), -1, 1) * float(np.finfo("f4").max) * rng.choice([0.3, 0.999, 1.0])


def lattice(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Multiples of a step, as packed data are, sometimes with a few points off it."""
    step = float(rng.choice([0.1, 0.01, 1.0, 1 / 3, 2.0**-7]))
    x = np.rint(smooth(rng, shape) / step) * step + rng.choice([0.0, 0.05, 1e6])
    if rng.random() < 0.5:
        x[rng.random(shape) < 1e-3] += step * rng.random()
    return x


def steps(rng: Rng, shape: tuple[int, ...]) -> Array:
    return np.where(
        _smooth(rng, shape) > rng.uniform(-1, 1), 10.0 ** rng.integers(-3, 8), rng.choice([0.0, -1.0])
    )


def alternating(rng: Rng, shape: tuple[int, ...]) -> Array:
    signs = (-1.0) ** np.add.reduce(np.indices(shape))
    return signs * rng.uniform(0.5, 1) * 10.0 ** rng.integers(-10, 10) + rng.choice([0.0, 1.0])


def mixed(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Magnitudes over many decades, side by side."""
    return rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-38, 38, shape)


def constant(rng: Rng, shape: tuple[int, ...]) -> Array:
    x = np.full(shape, rng.choice([0.0, -0.0, 1.5, 273.15, 3e38]))
    if rng.random() < 0.5:
        x.reshape(-1)[rng.integers(x.size)] += 1
    return x


def rain(rng: Rng, shape: tuple[int, ...]) -> Array:
    return np.maximum(rng.gamma(0.3, 4, shape) * (_smooth(rng, shape) > 0.5), 0)


def holes(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Missing points, from single ones to nearly all, in NaN of several kinds and infinities."""
    x = smooth(rng, shape)
    x[rng.random(shape) < rng.choice([1e-4, 0.1, 0.5, 0.99, 1.0])] = np.nan
    x[rng.random(shape) < 1e-3] = rng.choice([np.inf, -np.inf, np.nan])
    return x


def neighbours(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Stay a few units in the last place around one number."""
    base = np.float32(rng.choice([1.0, 273.15, 1e30, 1e-30, 65536.0]))
    return (base.view("u4") + rng.integers(0, 9, shape, dtype="u4")).view("f4").astype("f8")


KINDS: tuple[Callable[[Rng, tuple[int, ...]], Array], ...] = (
    smooth, noise, bits, spikes, denormals, huge, lattice,
    steps, alternating, mixed, constant, rain, holes, neighbours,
)  # fmt: skip


def shaped(rng: Rng, most: int) -> tuple[int, int, int]:
    """Draw a shape: planes from single points over long lines to squares."""
    y = int(np.exp(rng.uniform(0, np.log(600))))
    x = int(np.exp(rng.uniform(0, np.log(600))))
    return max(1, min(int(rng.integers(1, 9)), most // (y * x))), y, x


def cast(x: Array, dtype: str) -> Array:
    if dtype[0] == "f":
        with np.errstate(over="ignore"):
            return x.astype(dtype)
    info = np.iinfo(dtype)
    finite = np.nan_to_num(x, nan=0, posinf=0, neginf=0)
    low, span = finite.min(), max(float(np.ptp(np.clip(finite, -1e300, 1e300))), 1e-300)
    with np.errstate(over="ignore"):
        unit = np.clip((finite - low) / span, 0, 1)
    return (info.min + unit * (info.max - info.min)).astype(dtype)


def bound_of(rng: Rng, x: Array) -> float:
    """Draw a bound: fractions of the range, units in the last place, nothing at all, and round numbers."""
    finite = x[np.isfinite(x)].astype("f8") if x.dtype.kind == "f" else x.astype("f8").ravel()
    if not finite.size:
        return 0.1
    with np.errstate(over="ignore"):
        span = float(np.clip(finite.max() - finite.min(), 0, 1e300))
    kind = rng.integers(4)
    if kind == 0 and x.dtype.kind == "f":
        last = float(np.spacing(np.abs(x[np.isfinite(x)]).max()))
        return min(last * float(rng.choice([0.25, 0.499, 0.5, 0.51, 1.0, 1.5, 4.0])), 1e300)
    if kind == 1:
        return float(rng.choice([0.0, 1e-300, 1e-45, 0.5, 1.0, 0.1, 1e30]))
    return span * float(rng.choice(SHARES))


def varied(rng: Rng, bound: float, shape: tuple[int, ...]) -> Array:
    """Draw a bound for each point around ``bound``: smooth, rough, or exact in places."""
    kind = rng.integers(3)
    if kind == 0:
        return bound * np.exp(_smooth(rng, shape))
    field = bound * 10.0 ** rng.uniform(-2, 1, shape)
    if kind == 1:
        field[rng.random(shape) < 0.1] = 0.0
    return np.minimum(field, 1e300)


def violations(x: Array, y: Array, limit: float | Array) -> int:
    """Count points beyond their bound, in extended precision, and missing ones that changed."""
    finite = np.isfinite(x)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(y.astype(np.longdouble) - x.astype(np.longdouble))
    over = ~(error <= np.broadcast_to(limit, x.shape)) & finite
    return int(over.sum()) + lost(x, y)


def attempt(method: str, seed: int, most: int) -> tuple[str, int, int, str]:
    """Make one slice, take it through one method: (kind, points, violations, what it was)."""
    rng = np.random.default_rng(seed)
    make = KINDS[seed % len(KINDS)]
    shape, dtype = shaped(rng, most), str(rng.choice(DTYPES))
    with np.errstate(all="ignore"):
        x = cast(make(rng, shape), dtype)
        bound = bound_of(rng, x)
    what = f"{make.__name__}, seed {seed}, shape {shape}, {dtype}, bound {bound!r}"
    if rng.random() < 0.25:
        limit: float | Array = varied(rng, bound, shape)
        y = _back(codec(method, "array"), x, limit)
        what += " varied"
    else:
        limit = bound
        y = _back(codec(method, bound), x, None)
    return make.__name__, x.size, violations(x, y, limit), what


def _back(some: Any, x: Array, bounds: Array | float | None) -> Array:
    data = some.encode(x) if bounds is None else some.encode_chunk(x, bounds=bounds)
    return np.asarray(some.decode(data)).reshape(x.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=float, default=1e6, help="for each method")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=tuple(METHODS))
    parser.add_argument("--seed", type=int, default=0, help="of the first slice")
    parser.add_argument("--slice", type=int, default=SLICE, help="points of a slice, at most about")
    options = parser.parse_args()
    warnings.simplefilter("error")
    failed = 0
    for method in options.methods:
        done, bad, counts, seed = 0, 0, Counter(), options.seed
        start = shown = time.monotonic()
        while done < options.points:
            try:
                kind, points, missed, what = attempt(method, seed, options.slice)
            except Exception as error:  # noqa: BLE001 - the other slices are tried all the same
                print(f"RAISED {method}, seed {seed}: {type(error).__name__}: {error}", flush=True)
                kind, points, missed, what = "raised", 1, 1, f"seed {seed}"
            if missed and kind != "raised":
                print(f"VIOLATION {method}: {missed} points of {what}", flush=True)
            done, bad, seed = done + points, bad + missed, seed + 1
            counts[kind] += points
            if time.monotonic() - shown > 30:
                shown = time.monotonic()
                print(f"{method}: {done:.3g} points, {bad} violations", flush=True)
        parts = ", ".join(f"{kind} {n:.2g}" for kind, n in sorted(counts.items()))
        seconds, slices = time.monotonic() - start, seed - options.seed
        print(f"{method}: {done} points, {slices} slices, {bad} violations, {seconds:.0f} s; {parts}")
        failed += bad
    if failed:
        raise SystemExit(f"{failed} points missed their bound, or chunks raised")


if __name__ == "__main__":
    main()
