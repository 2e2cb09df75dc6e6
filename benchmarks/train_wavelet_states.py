"""Train the wavelet coder's initial states on one half of the fields; show on the other half what they gain.

    FRAZIL_DATA=... python benchmarks/train_wavelet_states.py states.bin   # writes a table

A table that has been released never changes: a new one gets the next number in
`frazil.wavelet.states`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from train_states import CELL, cases, merge

from frazil.entropy import states
from frazil.filling import fill
from frazil.wavelet import choice, stream

if TYPE_CHECKING:
    from collections.abc import Iterator


def works(half: int, side: int | None = None) -> Iterator[tuple[str, float, Any]]:
    """Yield name, bound and transformed planes of the chunks of one half of the fields."""
    for name, bound, numbers, valid in cases(half):
        if side is not None:
            if min(numbers.shape[1:]) < side:
                continue
            numbers = np.ascontiguousarray(numbers[:1, :side, :side])  # noqa: PLW2901 - a part of it
            valid = None if valid is None else np.ascontiguousarray(valid[:1, :side, :side])  # noqa: PLW2901
        if valid is not None:
            if not valid.any(axis=(1, 2)).all():
                continue
            for plane, known in zip(numbers, valid, strict=True):
                if not known.all():
                    fill(plane, np.packbits(~known, axis=1))
        yield name, bound, stream._prepare(numbers, CELL, valid, "best")  # noqa: SLF001 - it trains its insides


class Start:
    """A table whose states are kept as they are when coding ends."""

    def __init__(self, table: states.States) -> None:
        self.table = table

    def start(self, models: int) -> Any:
        """Return states to be changed, and keep them."""
        self.slots, self.mix = self.table.start(models)
        return self.slots, self.mix


def run(work: Any, table: states.States) -> tuple[Any, Any, int]:
    """Encode; return slots and mix as they are at the end, and the bytes."""
    start = Start(table)
    stream.states.load = lambda _: start  # the stream asks for its table here
    step = choice.best(work.foretell(choice.STEPS))
    size = len(work.attempt(step, stream.PRICE)[0])
    return start.slots, start.mix, size


def main() -> None:
    """Train in two passes, write, compare."""
    nothing = states.load(0)
    empty = replace(nothing, stencils=nothing.stencils * 0, weights=nothing.weights * 0)
    table = empty
    for turn in range(2):  # slots, then how to mix them
        ends = [run(work, table) for _, _, work in works(0)]
        changed = np.array([mix != table.mix for _, mix, _ in ends])
        mix = np.where(changed, [mix for _, mix, _ in ends], 0).sum(0) / np.maximum(changed.sum(0), 1)
        mix = np.where(changed.any(0), mix, table.mix).astype(np.int32)
        slots = merge([slots for slots, _, _ in ends], table.slots) if turn == 0 else table.slots
        table = replace(table, slots=slots, mix=mix)
    data = states.pack(table)
    Path(sys.argv[1]).write_bytes(data)
    print(f"{len(ends)} chunks, {len(data)} bytes")
    table = states.unpack(data)
    for side in (None, 64):
        gains: dict[float, list[float]] = {}
        for _, bound, work in works(1, side):
            before, after = run(work, empty)[-1], run(work, table)[-1]
            gains.setdefault(bound, []).append(math.log((before + 30) / (after + 30)))
        for bound, logs in gains.items():
            mean, least = math.exp(np.mean(logs)), math.exp(min(logs))
            print(f"{side or 'whole'} {bound:7g}  x{mean:.3f}  least x{least:.3f}")


if __name__ == "__main__":
    main()
