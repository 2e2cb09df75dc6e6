"""Error-bounded methods against each other and against those of other packages.

    pip install 'frazil[peers]'
    python benchmarks/bounded.py                           # everything (an hour the first time)
    python benchmarks/bounded.py --part ratios --fields ostia --bounds 1e-2 1e-3
    python benchmarks/bounded.py --part ratios --methods auto fast --trust mask JP2K
    python benchmarks/bounded.py --write                   # and puts the tables into docs/benchmarks.md

The other packages are in `peers`, our methods in `methods`, what becomes of the figures in `verdicts`. All
bytes of a chunk count for us, and so does every point: a violation is one point beyond its bound, or one
point without data whose bits changed, in the stored dtype.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from fields import Field, described, read
from matching import at_size
from methods import METHODS, codec, outcome
from peers import BOUNDS, PEERS, outcomes, prepare
from spreads import Case, local_cases, spread_cases
from tables import publish
from timing import compare, machine
from verdicts import (
    Local,
    Quality,
    Row,
    Speed,
    Stack,
    fields_table,
    local_table,
    quality_table,
    speed_table,
    stack_table,
    targets,
)

from frazil.planes import to_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARTS = ("ratios", "speed", "pointwise", "stacks", "quality")
LARGE = 400_000  # points from which speed is promised
SPEED_BOUNDS = (1e-2, 1e-3)
SPEED_METHODS = ("auto", "fast", "interpolation", "wavelet")
SPEED_PEERS = ("SPERR", "SZ3", "ZFP")
MATCHED = 60  # the ratio at which errors are compared
WIDEST = 0.1  # of the range: the bound that then holds as well


def chosen(pattern: str, *, everything: bool = False) -> Iterator[Field]:
    """Yield the measured fields on grids, and with ``everything`` the others too."""
    for field in read():
        if pattern in field.name and (everything or not (field.simulated or field.points)):
            yield field


def ratio(field: Field, share: float, options: argparse.Namespace) -> Row:
    given = prepare(field)
    bound = share * given.span
    ours = {
        name: outcome(name, field.values, bound, bound, trusted=options.trust) for name in options.methods
    }
    row = Row(field.name, field.values.nbytes, share, ours, outcomes(given, bound))
    parts = [
        f"{name} {row.raw / o.size:.4g}" + f" !{o.violations}" * bool(o.violations)
        for name, o in ours.items()
    ]
    over = row.over(options.methods[0])
    print(f"{field.name} {share:g}: {', '.join(parts)}; over the best peer {over:.2f}", flush=True)
    return row


def local(case: Case, options: argparse.Namespace) -> Local:
    """Measure under a bound that varies; peers know only its least value."""
    finite = np.isfinite(case.values)
    ours = {
        name: outcome(name, case.values, case.spec, case.limit, given=case.given, trusted=options.trust)
        for name in options.methods
        if name != "fast"
    }
    given = prepare(Field(case.name, case.values, "", simulated=False, points=False))
    least = float(case.limit[finite].min())
    peers = outcomes(given, least, [p for p in PEERS if p.name.startswith(("SPERR", "SZ3", "pysz"))])
    row = Local(case.name, case.spec, case.values.nbytes, least / given.span, ours, peers)
    parts = [
        f"{n} {row.raw / o.size:.4g}" + f" !{o.violations}" * bool(o.violations)
        for n, o in (ours | peers).items()
    ]
    print(f"{case.name} {case.spec}: {', '.join(parts)}", flush=True)
    return row


def stack(field: Field, share: float, options: argparse.Namespace) -> Stack:
    """Measure what neighbouring planes are worth: the chunk against its planes as chunks of their own."""
    given = prepare(field)
    bound = share * given.span
    whole = outcome("auto", field.values, bound, bound, trusted=options.trust)
    planes = to_planes(field.values)
    alone = sum(len(codec("auto", bound).encode(np.ascontiguousarray(plane))) for plane in planes)
    volume = [p for p in PEERS if p.name.endswith("3-D") and not p.name.startswith("ZFP")]
    row = Stack(field.name, field.values.nbytes, share, whole.size, alone, outcomes(given, bound, volume))
    print(row, flush=True)
    return row


def speed(field: Field, share: float, repeats: int) -> Speed:
    """Measure MB/s of float32 input, all methods by turns."""
    given, values = prepare(field), field.values
    bound = share * given.span
    codecs = {name: codec(name, bound) for name in SPEED_METHODS}
    peers = {peer.name: peer for peer in PEERS if peer.name in SPEED_PEERS}
    data = {name: c.encode(values) for name, c in codecs.items()}
    streams = {name: peer.encode(given.planes, bound) for name, peer in peers.items()}
    calls: dict[str, Callable[[], Any]] = {
        name: lambda c=c: c.encode(values) for name, c in codecs.items()
    } | {name: lambda p=p: p.encode(given.planes, bound) for name, p in peers.items()}
    back: dict[str, Callable[[], Any]] = {
        name: lambda c=c, d=data[name]: c.decode(d) for name, c in codecs.items()
    } | {name: lambda p=p, s=streams[name]: p.decode(s, given.planes.shape) for name, p in peers.items()}
    mega = 4 * values.size / 1e6
    there, again = compare(repeats, **calls), compare(repeats, **back)
    shape = "x".join(map(str, values.shape[-2:]))
    row = Speed(
        field.name,
        shape,
        values.size,
        share,
        {name: mega / there.seconds(name) for name in calls},
        {name: mega / again.seconds(name) for name in back},
    )
    print(row, flush=True)
    return row


def first_call(repeats: int) -> float:
    """Seconds of CPU time that the first call in a fresh process takes more than the second."""
    code = (
        "import time, numpy as np, frazil; c = frazil.Bounded(bound=0.01);"
        "x = np.add.outer(np.sin(np.arange(64) / 9), np.cos(np.arange(64) / 7)).astype('f4');"
        "t = [time.process_time()];"
        "[(c.decode(c.encode(x)), t.append(time.process_time())) for _ in range(2)];"
        "print(2 * t[1] - t[0] - t[2])"
    )

    def spent() -> float:
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return float(run.stdout)

    spent()
    return statistics.median(spent() for _ in range(repeats))


def quality(field: Field) -> Quality | None:
    """Measure the error at a ratio, and what others make of as many bytes."""
    given = prepare(field)
    bound = WIDEST * given.span
    ours = outcome("auto", field.values, bound, bound, ratio=MATCHED)
    reached = field.values.nbytes / ours.size
    if reached < 0.95 * MATCHED:
        print(f"{field.name}: only {reached:.3g} times smaller within {WIDEST:g} of the range", flush=True)
        return None
    peers = {name: error / given.span for name, error in at_size(given, ours.size).items()}
    row = Quality(field.name, reached, ours.rmse / given.span, ours.worst, peers)
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--fields", default="", help="fields whose name contains this")
    parser.add_argument("--all", action="store_true", help="ratios of simulated and unstructured fields too")
    parser.add_argument("--bounds", nargs="+", type=float, default=BOUNDS, help="of the range")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=tuple(METHODS))
    parser.add_argument(
        "--trust", nargs="+", default=(), help="methods whose kept figures of older sources count"
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of each measurement of time")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    options = parser.parse_args()
    options.trust = frozenset(options.trust)
    measured = list(chosen(options.fields))
    stacks = [f for f in measured if to_planes(f.values).shape[0] > 1 and f.values.dtype.kind == "f"]
    large = [f for f in measured if f.values.size >= LARGE and f.values.dtype.kind == "f"]
    rows: list[Row] = []
    locals_: list[Local] = []
    pairs: list[Stack] = []
    speeds: list[Speed] = []
    errors: list[Quality] = []
    if "ratios" in options.part:
        some = list(chosen(options.fields, everything=options.all))
        rows = [ratio(f, share, options) for f in some for share in options.bounds]
    if "pointwise" in options.part:
        for cases in (local_cases, spread_cases):
            locals_ += [local(case, options) for case in cases(options.fields)]
    if "stacks" in options.part:
        pairs = [stack(f, share, options) for f in stacks for share in options.bounds]
    if "speed" in options.part:
        speeds = [speed(f, share, options.repeats) for f in large for share in SPEED_BOUNDS]
    if "quality" in options.part:
        errors = [row for f in measured if f.values.dtype.kind == "f" and (row := quality(f))]

    write = options.write
    publish("bounded: setting", f"{described()}. {machine()}", write=write)
    for share in options.bounds if rows else ():
        publish(f"bounded: {share:g}", fields_table([r for r in rows if r.bound == share]), write=write)
    if locals_:
        publish("bounded: pointwise", local_table(locals_), write=write)
    if pairs:
        publish("bounded: stacks", stack_table(pairs), write=write)
    if speeds:
        publish("bounded: speed", speed_table(speeds), write=write)
        text = f"First call, kernels cached: {first_call(options.repeats):.2f} s more than the second."
        publish("bounded: first call", text, write=write)
    if errors:
        publish("bounded: quality", quality_table(errors), write=write)
    publish("bounded: targets", targets(rows, locals_, pairs, speeds, errors), write=write)


if __name__ == "__main__":
    main()
