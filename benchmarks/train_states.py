"""Train the initial states of the coders on one half of the fields; show on the other half what they gain.

    FRAZIL_DATA=... python benchmarks/train_states.py states.bin   # writes a table
    FRAZIL_DATA=... python benchmarks/train_states.py --compare    # newest table against none

A table that has been released never changes: a new one gets the next number in
`frazil.entropy.states`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fields
import numpy as np

from frazil.entropy import coder, states
from frazil.interpolation import pyramid, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUNDS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4)
MODELS = 3
CELL = 45
# Slots that count for more than six decisions made unseen fields lose.
CREDIT = 6


def cases(half: int) -> Iterator[tuple[str, float, Any, Any]]:
    """Yield name, bound, numbers and mask of chunks of every second variable."""
    names: dict[str, int] = {}
    for field in fields.read():
        variable = field.name.split("[", maxsplit=1)[0]
        which = names.setdefault(variable, len(names))
        if which % 2 != half or field.points:
            continue
        x = field.values.reshape(-1, *field.values.shape[-2:])
        x = x[:8, :360, :360].astype(np.float64)
        valid = np.isfinite(x)
        if valid.mean() < 0.05:
            continue
        low, high = x[valid].min(), x[valid].max()
        if low == high:
            continue
        for bound in BOUNDS:
            unit = 2 * bound * (high - low) / CELL
            numbers = np.rint((np.where(valid, x, low) - low) / unit).astype(np.int32)
            yield field.name, bound, numbers, None if valid.all() else valid


def run(numbers: Any, valid: Any, table: states.States) -> tuple[Any, ...]:
    """Encode; return slots and mix as they are at the end, and the bytes."""
    slots, mix = table.start(MODELS)
    machine, words = coder.writer(numbers.size * 2)
    rebuilt = np.empty_like(numbers)
    masked = valid is not None
    mask = valid.view(np.uint8) if masked else np.ones((1, 1, 1), np.uint8)
    cells = np.full((1, 1, 1), CELL, np.int32)
    levels = pyramid.depth(*numbers.shape[1:])
    pyramid.walk(
        False,
        False,
        False,
        stream.meets(numbers, valid),
        numbers,
        masked,
        mask,
        False,
        cells,
        stream.scales_of(stream.is_smooth(numbers[0], cells[0], mask[0] if masked else None)),
        0,
        table.stencils,
        table.weights.copy(),
        slots,
        mix,
        machine,
        words,
        np.zeros(levels + 1, np.int64),
        rebuilt,
        *numbers.shape[1:],
    )
    return slots, mix, 2 * int(machine[2])


def merge(seen: list[Any], start: Any) -> Any:
    """Return slots with the mean of those ``seen`` and a count that says how much they differed."""
    one = 1 << 22
    total = np.zeros(start.size)
    mean = np.zeros(start.size)
    square = np.zeros(start.size)
    times = np.zeros(start.size)
    for slots in seen:
        count = (slots & 511).astype(float) - (start & 511)
        weight = count / (count + 10)
        p = (slots >> 9) / one
        total += weight
        times += count > 0
        mean += weight * p
        square += weight * p * p
    used = total > 0
    prior = (start >> 9) / one
    # A slot that few fields came to stays near what it was.
    mean = (mean + 0.2 * prior) / (total + 0.2)
    spread = np.where(used, square / np.where(used, total, 1) - (mean) ** 2, 0.05).clip(1e-6)
    trust = (mean * (1 - mean) / spread - 1).clip(1, CREDIT)
    trust = np.where(times < 3, np.minimum(trust, 3), trust)
    trust = np.where(used, trust, start & 511)
    return ((mean * one).astype(np.int64).clip(64, one - 64) << 9 | trust.astype(np.int64)).astype(np.int32)


def train() -> states.States:
    """Train a table in two passes."""
    table = states.load(0)
    chunks = list(cases(0))
    print(f"{len(chunks)} chunks of {len({name for name, *_ in chunks})} fields")
    for turn in range(2):  # slots, then how to mix them
        seen, mixes = [], []
        for _, _, numbers, valid in chunks:
            slots, mix, _ = run(numbers, valid, table)
            seen.append(slots)
            mixes.append(mix)
        changed = np.array([mix != table.mix for mix in mixes])
        mix = np.where(changed, mixes, 0).sum(0) / np.maximum(changed.sum(0), 1)
        mix = np.where(changed.any(0), mix, table.mix).astype(np.int32)
        slots = merge(seen, table.slots) if turn == 0 else table.slots
        # Stencils and weights as they were: trained ones made unseen fields lose up to a quarter.
        table = states.States(slots, mix, table.stencils, table.weights)
    return table


def compare(table: states.States) -> None:
    """Print sizes of unseen fields, whole and as chunks of 64 x 64, without and with the table."""
    logs: dict[tuple[str, float], list[float]] = {}
    worst = ("", 0.0, 0.0)
    for name, bound, numbers, valid in cases(1):
        small = slice(64, 128)
        for size, part in (
            ("whole", (slice(None),) * 3),
            ("64 x 64", (slice(None), small, small)),
            ("one 64 x 64", (slice(1), small, small)),
        ):
            chunk = np.ascontiguousarray(numbers[part])
            if min(chunk.shape[1:]) < 32:
                continue
            mask = None if valid is None else np.ascontiguousarray(valid[part])
            if mask is not None and not mask.any():
                continue
            mask = None if mask is None or mask.all() else mask
            before = run(chunk, mask, states.load(0))[-1]
            after = run(chunk, mask, table)[-1]
            gain = math.log((before + 30) / (after + 30))
            logs.setdefault((size, bound), []).append(gain)
            if gain < worst[2]:
                worst = (f"{name} {size}", bound, gain)
    for (size, bound), gains in sorted(logs.items()):
        print(f"{size:12s} {bound:7g}  x{math.exp(np.mean(gains)):.3f}  least x{math.exp(min(gains)):.3f}")
    print("worst:", worst)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--compare", action="store_true")
    args = parser.parse_args()
    if args.table:
        table = train()
        data = states.pack(table)
        args.table.write_bytes(data)
        print(f"{args.table}: {len(data)} bytes")
        compare(states.unpack(data))
    elif args.compare:
        compare(states.load(states.NEWEST))


if __name__ == "__main__":
    main()
