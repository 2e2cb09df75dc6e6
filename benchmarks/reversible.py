"""Ratios of lossless coding: `JP2K(reversible=True)` and Blosc (Zstandard 9 behind bit shuffling).

python benchmarks/reversible.py [--write]
"""

from __future__ import annotations

import sys

import numpy as np
from fields import Field, described, read
from numcodecs import Blosc
from tables import publish, table
from timing import geomean, machine

import frazil
from frazil import container

KINDS = {2: "bits", 3: "lattice"}


def ratios(field: Field) -> list[object]:
    """One row: what the integers stand for, and bytes in over bytes out of each method."""
    values = np.ascontiguousarray(field.values)
    sizes = []
    for coder in ("ebcot", "ht"):
        codec = frazil.JP2K(reversible=True, coder=coder)
        encoded = codec.encode(values)
        if codec.decode(encoded).tobytes() != values.tobytes():
            raise SystemExit(f"{field.name} did not come back bit for bit")
        sizes.append(len(encoded))
    kind = KINDS.get(container.unpack(encoded)[1].get("S", b"\xff")[0], "stored")
    sizes.append(len(Blosc("zstd", 9, Blosc.BITSHUFFLE).encode(values)))
    return [field.name, str(values.dtype), kind, *(values.nbytes / size for size in sizes)]


def main() -> None:
    """Measure and print, or put into docs/benchmarks.md."""
    rows = [ratios(field) for field in read()]
    rows.append(["geometric mean", "", "", *(geomean(row[i] for row in rows) for i in (3, 4, 5))])
    text = f"{described()} {machine()}\n\n"
    text += table(["field", "dtype", "integers from", "EBCOT", "HT", "Blosc"], rows)
    publish("reversible", text, write="--write" in sys.argv)


if __name__ == "__main__":
    main()
