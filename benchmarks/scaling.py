"""Which scale should be the default: by extremes or by standard deviations, for a chunk or for each plane.

    python benchmarks/scaling.py [--write]

Two errors of each stack, at the same ratio: the RMSE over all its points, and the mean over its planes of
their RMSE divided by their standard deviation. Both are given relative to JP2K's default.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from fields import Field, described, read
from reference import rmse
from tables import publish, table
from timing import geomean, machine

import frazil
from frazil.planes import to_planes

RATIOS = (32, 100)
WAYS = [("minmax", "chunk"), ("minmax", "plane"), ("standard", "chunk"), ("standard", "plane")]
KINDS = ("times", "levels", "bands", "members")


@dataclass(frozen=True)
class Row:
    """Errors of one stack, by way of scaling, in the order of `WAYS`."""

    field: str
    stack: str
    spread: float
    ratio: int
    total: list[float]
    relative: list[float]


def measure(field: Field, ratio: int) -> Row:
    x, valid = field.values, field.valid
    planes, known = to_planes(x), to_planes(valid)
    spreads = np.array(
        [np.std(p[k], dtype="f8") if k.any() else 0.0 for p, k in zip(planes, known, strict=True)]
    )
    alive = [k for k in range(len(planes)) if spreads[k] > 0]
    total, relative = [], []
    for scaling, per in WAYS:
        codec = frazil.JP2K(ratio=ratio, scaling=scaling, per=per)
        decoded = to_planes(codec.decode(codec.encode(x)))
        total.append(rmse(planes, decoded, known))
        relative.append(float(np.mean([rmse(planes[k], decoded[k], known[k]) / spreads[k] for k in alive])))
    spread = float(spreads[alive].max() / spreads[alive].min())
    return Row(field.name, field.stack, spread, ratio, total, relative)


def against(errors: list[float]) -> list[str]:
    return [f"{error / errors[0]:.3f}" if errors[0] else "-" for error in errors[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="fields whose name contains this")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    options = parser.parse_args()
    stacks = [f for f in read() if f.stack != "plane" and not f.points and options.only in f.name]
    rows = [measure(field, ratio) for field in stacks for ratio in RATIOS]
    ways = [f"{scaling}, {per}" for scaling, per in WAYS[1:]]
    header = [*(f"total: {way}" for way in ways), *(f"by plane: {way}" for way in ways)]
    publish("scaling: setting", f"Of {described()}, the stacks. {machine()}", write=options.write)
    means = []
    for kind in KINDS:
        some = [r for r in rows if kind == r.stack.split(" x ")[-1] and r.total[0] and r.relative[0]]
        if some:
            ratios = [[r.total[i] / r.total[0] for r in some] for i in (1, 2, 3)]
            ratios += [[r.relative[i] / r.relative[0] for r in some] for i in (1, 2, 3)]
            means.append([kind, len(some), *(f"{geomean(values):.3f}" for values in ratios)])
    publish("scaling: means", table(["stacks of", "measurements", *header], means), write=options.write)
    publish(
        "scaling: stacks",
        table(
            ["field", "stack", "sd, largest over smallest", "ratio", *header],
            [
                [r.field, r.stack, f"{r.spread:.3g}", r.ratio, *against(r.total), *against(r.relative)]
                for r in rows
            ],
        ),
        write=options.write,
    )


if __name__ == "__main__":
    main()
