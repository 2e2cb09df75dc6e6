"""What `bounded` measures, and the tables that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peers import best
from results import Target
from tables import table
from timing import geomean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peers import Outcome

# Aims by bound: over the best peer of each field, over the mask method, over EBCC.
OVER_BEST = {1e-1: 1.7, 1e-2: 1.6, 1e-3: 1.5, 1e-4: 1.45}
OVER_MASK = {1e-1: 1.8, 1e-2: 1.5, 1e-3: 1.35, 1e-4: 1.25}
OVER_EBCC = {1e-1: 4, 1e-2: 2.4, 1e-3: 1.7, 1e-4: 1.5}
JP2K_OVER_MASK = {1e-1: 1.25, 1e-2: 1.25, 1e-3: 1.15}
ENCODE = {1e-2: 60, 1e-3: 35}
DECODE = {1e-2: 80, 1e-3: 45}
FAST_DECODE = {1e-2: 150, 1e-3: 120}
SMALL = 20  # MB/s of small planes


@dataclass(frozen=True)
class Row:
    """A field at one bound.

    Parameters
    ----------
    raw : int
        Bytes of the field in its own dtype.
    bound : float
        Over the range.
    """

    field: str
    raw: int
    bound: float
    ours: dict[str, Outcome]
    peers: dict[str, Outcome]

    def over(self, method: str, other: str | None = None) -> float | None:
        """How many times smaller a method is than ``other``, or than the best peer."""
        theirs = self.peers | self.ours
        name = best(self.peers) if other is None else other
        if method not in self.ours or name not in theirs:
            return None
        return theirs[name].size / self.ours[method].size


@dataclass(frozen=True)
class Local:
    """A field under a bound that varies from point to point; ``least`` is over the range."""

    field: str
    spec: str
    raw: int
    least: float
    ours: dict[str, Outcome]
    peers: dict[str, Outcome]


@dataclass(frozen=True)
class Stack:
    """A stack at one bound: bytes together, of its planes one by one, and of the best volume coders."""

    field: str
    raw: int
    bound: float
    size: int
    alone: int
    peers: dict[str, Outcome]


@dataclass(frozen=True)
class Speed:
    """MB/s of float32 input a second of CPU time, by method."""

    field: str
    planes: str
    points: int
    bound: float
    encode: dict[str, float]
    decode: dict[str, float]


@dataclass(frozen=True)
class Quality:
    """RMSE over the range at equal ratios."""

    field: str
    ratio: float
    rmse: float
    within: float
    peers: dict[str, float] = field(default_factory=dict)


def _mark(outcome: Outcome, raw: int) -> str:
    return f"{raw / outcome.size:.4g}" + (f" !{outcome.violations}" if outcome.violations else "")


def fields_table(rows: list[Row]) -> str:
    """Lay out ratios, field by field; peers that broke the bound show at how many points."""
    methods = list(rows[0].ours)
    body: list[list[object]] = []
    for r in rows:
        name = best(r.peers)
        body.append(
            [
                r.field,
                *(_mark(r.ours[m], r.raw) for m in methods),
                f"{name} {_mark(r.peers[name], r.raw)}",
                _mark(r.peers["EBCC"], r.raw) if "EBCC" in r.peers else None,
                _over(r.over("auto")),
                _over(r.over("auto", "mask")),
                _over(r.over("auto", "EBCC")),
            ]
        )
    means = [_over(_mean(r.over("auto", o) for r in rows)) for o in (None, "mask", "EBCC")]
    middle = [f"{geomean(r.raw / r.ours[m].size for r in rows):.4g}" for m in methods]
    body.append(["**geometric mean**", *middle, "", "", *means])
    header = ["field", *methods, "best peer", "EBCC", "auto over best", "over mask", "over EBCC"]
    return table(header, body)


def _over(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _mean(values: Iterable[float | None]) -> float | None:
    kept = [v for v in values if v is not None]
    return geomean(kept) if kept else None


def local_table(rows: list[Local]) -> str:
    """Lay out bounds that vary."""
    methods, others = list(rows[0].ours), list(dict.fromkeys(name for r in rows for name in r.peers))
    return table(
        ["field", "bound", "least bound / range", *methods, *others],
        [
            [
                r.field,
                r.spec,
                f"{r.least:.2g}",
                *(_mark(r.ours[m], r.raw) for m in methods),
                *(_mark(r.peers[p], r.raw) if p in r.peers else "-" for p in others),
            ]
            for r in rows
        ],
    )


def stack_table(rows: list[Stack]) -> str:
    """Lay out what neighbouring planes are worth."""
    others = list(dict.fromkeys(name for r in rows for name in r.peers))
    return table(
        ["stack", "bound", "together", "planes alone", "over alone", *others, "over the best"],
        [
            [
                r.field,
                f"{r.bound:g}",
                f"{r.raw / r.size:.4g}",
                f"{r.raw / r.alone:.4g}",
                f"{r.alone / r.size:.2f}",
                *(_mark(r.peers[p], r.raw) if p in r.peers else "-" for p in others),
                f"{min(o.size for o in r.peers.values()) / r.size:.2f}",
            ]
            for r in rows
        ],
    )


def speed_table(rows: list[Speed]) -> str:
    """Lay out MB/s, encoding / decoding."""
    methods = list(rows[0].encode)
    body: list[list[object]] = [
        [r.field, r.planes, f"{r.bound:g}", *(f"{r.encode[m]:.0f} / {r.decode[m]:.0f}" for m in methods)]
        for r in rows
    ]
    for bound in dict.fromkeys(r.bound for r in rows):
        some = [r for r in rows if r.bound == bound]
        middle = [
            f"{geomean(r.encode[m] for r in some):.0f} / {geomean(r.decode[m] for r in some):.0f}"
            for m in methods
        ]
        body.append(["**geometric mean**", "", f"{bound:g}", *middle])
    return table(["field", "planes", "bound", *methods], body)


def quality_table(rows: list[Quality]) -> str:
    """Lay out RMSE over the range at equal ratios."""
    others = list(dict.fromkeys(name for r in rows for name in r.peers))
    return table(
        ["field", "ratio", "RMSE / range", "max error / bound", *others, "over the best"],
        [
            [
                r.field,
                f"{r.ratio:.3g}",
                f"{r.rmse:.2e}",
                f"{r.within:.2f}",
                *(f"{r.peers[p]:.2e}" if p in r.peers else "-" for p in others),
                f"{r.rmse / min(r.peers.values()):.2f}" if r.peers else "-",
            ]
            for r in rows
        ],
    )


def targets(
    rows: list[Row], local: list[Local], stacks: list[Stack], speeds: list[Speed], quality: list[Quality]
) -> str:
    """Put every aim beside what was reached."""

    def ratios(aims: dict[float, float], method: str, other: str | None, what: str) -> list[Target]:
        return [
            Target(f"{what}, {bound:g} of the range", aim, values)
            for bound, aim in aims.items()
            if (
                values := [
                    (v, r.field)
                    for r in rows
                    if r.bound == bound and (v := r.over(method, other)) is not None
                ]
            )
        ]

    found = [
        *ratios(OVER_BEST, "auto", None, "over the best peer of each field"),
        *ratios(OVER_MASK, "auto", "mask", 'over `residual="mask"`'),
        *ratios(OVER_EBCC, "auto", "EBCC", "over EBCC"),
        *ratios(JP2K_OVER_MASK, "JP2K", "mask", 'JP2K with `residual="context"` over `residual="mask"`'),
        *ratios(dict.fromkeys(OVER_BEST, 1.1), "JP2K", "SPERR", "the same over SPERR"),
    ]
    worst = [(v, f"{r.field} at {r.bound:g}") for r in rows if (v := r.over("auto")) is not None]
    found.append(Target("no field larger than with its best peer", 1.0, worst, middle=min))
    for others, aim in ((("mask",), 1.3), (("SPERR",), 2.2), (("SZ3", "pysz"), 2.2)):
        for kind in dict.fromkeys(r.spec.partition(":")[0] for r in local):
            values = [
                (min(sizes) / r.ours["auto"].size, r.field)
                for r in local
                if r.spec.startswith(kind)
                and (sizes := [o.size for n, o in (r.ours | r.peers).items() if n.startswith(others)])
            ]
            found.append(Target(f"bounds by {kind}: over {' and '.join(others)}", aim, values))
    correlated = [r for r in stacks if r.field.startswith(("era5_t2m", "echam5"))]
    found += [
        Target(
            "hourly and 6-hourly stacks: together over planes alone",
            1.2,
            [(r.alone / r.size, f"{r.field} at {r.bound:g}") for r in correlated],
        ),
        Target(
            "the same over the best volume coder",
            1.0,
            [
                (min(o.size for o in r.peers.values()) / r.size, f"{r.field} at {r.bound:g}")
                for r in correlated
            ],
        ),
    ]
    for what, method, aims, of in (
        ("encode", "auto", ENCODE, lambda r: r.encode),
        ("decode", "auto", DECODE, lambda r: r.decode),
        ('`profile="fast"`: decode', "fast", FAST_DECODE, lambda r: r.decode),
    ):
        found += [
            Target(f"{what}, MB/s at {bound:g}", aim, _speeds(speeds, bound, method, of))
            for bound, aim in aims.items()
        ]
    small = [(r, f"{r.field} at {r.bound:g}") for r in speeds if r.planes == "33x49"]
    found += [
        Target("planes of 33x49: encode, MB/s", SMALL, [(r.encode["auto"], name) for r, name in small]),
        Target("planes of 33x49: decode, MB/s", SMALL, [(r.decode["auto"], name) for r, name in small]),
        Target(
            "RMSE over that of the best peer at the same ratio",
            1.0,
            [(q.rmse / min(q.peers.values()), q.field) for q in quality if q.peers],
            least=False,
        ),
    ]
    outcomes = [(o.violations, f"{name}: {r.field}") for r in [*rows, *local] for name, o in r.ours.items()]
    if outcomes:
        count, name = max(outcomes)
        total = sum(v for v, _ in outcomes)
        lines = [["violations of ours, points", "0", str(total), str(count), name if count else "", ""]]
    else:
        lines = []
    header = ["target", "aim", "middle", "worst", "worst at", "met"]
    return table(header, [*lines, *(t.line() for t in found if t.values)])


def _speeds(
    rows: list[Speed], bound: float, method: str, of: Callable[[Speed], dict[str, float]]
) -> list[tuple[float, str]]:
    return [
        (of(r)[method], r.field) for r in rows if r.bound == bound and method in of(r) and r.planes != "33x49"
    ]
