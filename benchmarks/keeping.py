"""What it costs to keep more than the bound: a fixed grid, signs, zeros, the range, means.

python benchmarks/keeping.py [--write]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from fields import Field, described, read
from tables import publish, table
from timing import geomean, machine

from frazil import Bounded

BOUNDS = (1e-1, 1e-2, 1e-3, 1e-4)
EXTRAS: dict[str, dict[str, Any]] = {
    "grid": {"grid": True},
    "sign": {"preserve": ("sign",)},
    "zeros": {"preserve": ("zeros",)},
    "range": {"preserve": ("range",)},
    "mean": {"preserve": ("mean",)},
    "all four": {"preserve": ("sign", "zeros", "range", "mean")},
}
MOST = 1 << 20  # points: more of the same says nothing new


def costs(field: Field, share: float) -> list[float]:
    """Bytes with each extra over bytes without, at ``share`` of the range."""
    values = field.values
    valid = values[field.valid].astype("f8")
    bound = share * float(valid.max() - valid.min())
    plain = len(Bounded(bound=bound).encode(values))
    found = []
    for extra in EXTRAS.values():
        codec = Bounded(bound=bound, **extra)
        encoded = codec.encode(values)
        decoded = codec.decode(encoded)
        with np.errstate(invalid="ignore"):
            if (np.abs(decoded.astype("f8") - values)[field.valid] > bound).any():
                raise SystemExit(f"{field.name} left its bound with {extra}")
        found.append(len(encoded) / plain)
    return found


def main() -> None:
    """Measure and print, or put into docs/benchmarks.md."""
    fields = [f for f in read() if f.values.dtype.kind == "f" and not (f.points or f.simulated)]
    fields = [f for f in fields if f.values.size <= MOST]
    rows: list[list[object]] = []
    for share in BOUNDS:
        table_ = np.array([costs(field, share) for field in fields])
        middle = [100 * (geomean(column) - 1) for column in table_.T]
        worst = [100 * (column.max() - 1) for column in table_.T]
        rows.append([f"{share:g} of the range, middle", *middle])
        rows.append([f"{share:g} of the range, worst", *worst])
    text = f"{len(fields)} fields. {described()} {machine()}\n\n"
    text += table(["more bytes, per cent", *EXTRAS], rows)
    publish("keeping", text, write="--write" in sys.argv)


if __name__ == "__main__":
    main()
