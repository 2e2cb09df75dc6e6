"""What `jp2k` measures, and the tables that it becomes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tables import table
from timing import geomean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEDIUM = 65_536  # points (256 x 256) from which a ratio is promised


@dataclass
class Row:
    """What was measured of one field at one ratio; None where there is nothing to compare."""

    field: str
    points: int
    masked: bool
    unstructured: bool
    ratio: int
    achieved: float
    achieved_ht: float
    error: float | None
    error_ht: float | None
    error_free: float | None
    ebcot: float
    ht: float
    ht_psnr: float | None
    missed: float | None
    decode: float


@dataclass
class Reading:
    """CPU time of a full decoding over that of one at lower resolution, and the share of the bytes read."""

    field: str
    coder: str
    level1: float
    level2: float
    bytes1: float
    bytes2: float


@dataclass
class Layers:
    """Milliseconds a megapixel: the engine's call that made the codestream, those before, the rest.

    ``masked`` says whether a mask is part of the rest.
    """

    field: str
    masked: bool
    coder: str
    engine: float
    search: float
    rest: float
    decode_engine: float
    decode_rest: float

    def share(self, seconds: float) -> float:
        """Of the whole encoding, in per cent."""
        return 100 * seconds / (self.engine + self.search + self.rest)


@dataclass
class File:
    """Our engine in memory against glymur's file."""

    field: str
    same: bool
    encode: float
    decode: float
    codec: float


def present(values: Iterable[float | None]) -> list[float]:
    """Leave out what was not measured, and zeros: exact results."""
    return [v for v in values if v is not None and v > 0]


def mean(values: Iterable[float | None]) -> float | None:
    """Geometric mean of what was measured."""
    kept = present(values)
    return geomean(kept) if kept else None


def fields_table(rows: list[Row]) -> str:
    """Lay out errors and speeds, field by field."""
    names = ("error", "error_ht", "error_free", "ebcot", "ht", "ht_psnr", "decode")
    body: list[list[object]] = [
        [
            r.field,
            r.points,
            f"{r.achieved:.1f}",
            f"{r.achieved_ht:.1f}",
            *(_short(getattr(r, name)) for name in names),
            None if r.missed is None else f"{r.missed:+.2f}",
        ]
        for r in rows
    ]
    body.append(
        ["**geometric mean**", "", "", "", *(_short(mean(getattr(r, n) for r in rows)) for n in names), ""]
    )
    header = ["field", "points", "ratio", "ratio HT", "RMSE", "RMSE HT", "mask free"]
    return table([*header, "encode", "encode HT", "HT, psnr=", "decode HT", "psnr off, dB"], body)


def _short(value: float | None) -> str:
    return (
        "-" if value is None else "exact" if value == 0 else f"{value:.3f}" if value < 2 else f"{value:.1f}"
    )


@dataclass(frozen=True)
class Target:
    """One promise, and what it is judged by: pairs of a value and the field that it was measured on.

    ``least`` says that the values should be at least ``aim``, ``middle`` how they are summarised.
    """

    what: str
    aim: float
    values: list[tuple[float, str]]
    least: bool = True
    middle: Callable[[Iterable[float]], float] = geomean

    def line(self) -> list[object]:
        """Return the cells of this target's line."""
        aim = f"{'>=' if self.least else '<='} {self.aim:g}"
        if not self.values:
            return [self.what, aim, "not measured", "", "", ""]
        worst, name = (min if self.least else max)(self.values)
        met = sum(v >= self.aim if self.least else v <= self.aim for v, _ in self.values)
        middle = self.middle([v for v, _ in self.values])
        return [self.what, aim, f"{middle:.3g}", f"{worst:.3g}", name, f"{met} of {len(self.values)}"]


def targets(
    rows: list[Row],
    readings: list[Reading],
    shares: list[Layers],
    files: list[File],
    others: dict[str, float],
) -> str:
    """Put every aim beside what was reached."""

    def of(some: list[Row], name: str) -> list[tuple[float, str]]:
        return [(v, f"{r.field} at {r.ratio}") for r in some if (v := getattr(r, name))]

    grids = [r for r in rows if not r.unstructured]
    large = [r for r in grids if r.points >= MEDIUM]
    classes = {
        "256 x 256 points and more": large,
        "smaller": [r for r in grids if r.points < MEDIUM],
        "unstructured": [r for r in rows if r.unstructured],
    }
    found = []
    for chunks, some in classes.items():
        whole, gaps = [r for r in some if not r.masked], [r for r in some if r.masked]
        found += [
            Target(f"RMSE over direct OpenJPEG; {chunks}", 1.02, of(whole, "error"), least=False),
            Target(f"HT: RMSE over direct OpenJPEG; {chunks}", 1.08, of(whole, "error_ht"), least=False),
            Target(f"RMSE over a mean fill; masked, {chunks}", 1, of(gaps, "error"), least=False),
            Target(f"HT: RMSE over a mean fill; masked, {chunks}", 1, of(gaps, "error_ht"), least=False),
            Target(f"encode, ratio 32, 100; {chunks}", 1.8, of([r for r in some if r.ratio >= 32], "ebcot")),
            Target(f"HT encode with ratio=; {chunks}", 9, of(some, "ht")),
            Target(f"HT encode with psnr=; {chunks}", 14, of(some, "ht_psnr")),
            Target(f"HT decode over EBCOT decode; {chunks}", 2, of(some, "decode")),
        ]
    found = [target for target in found if target.values]
    off = [(abs(r.achieved / r.ratio - 1) * 100, f"{r.field} at {r.ratio}") for r in large if r.error]
    off_ht = [
        (abs(r.achieved_ht / r.ratio - 1) * 100, f"{r.field} at {r.ratio}") for r in large if r.error_ht
    ]
    found += [
        Target("ratio off by, %; 256 x 256 points and more", 5, off, least=False, middle=statistics.median),
        Target("the same, HT", 5, off_ht, least=False, middle=statistics.median),
        Target("engine in memory over glymur's file, encode", 1, [(f.encode, f.field) for f in files]),
        Target("engine in memory over glymur's file, decode", 1, [(f.decode, f.field) for f in files]),
        Target("JP2K(ratio=32) over glymur's file, encode", 1, [(f.codec, f.field) for f in files]),
    ]
    for coder, half, quarter in (("ebcot", 1.3, 3), ("ht", 2.5, 8)):
        some_readings = [r for r in readings if r.coder == coder]
        found += [
            Target(
                f"{coder.upper()}: level 1 over full decoding",
                half,
                [(r.level1, r.field) for r in some_readings],
            ),
            Target(
                f"{coder.upper()}: level 2 over full decoding",
                quarter,
                [(r.level2, r.field) for r in some_readings],
            ),
        ]
    for masked, kind in ((False, "no mask"), (True, "with mask")):
        ebcot = [s for s in shares if s.coder == "ebcot" and s.masked == masked]
        for what, aim, values in (
            ("our layers in an EBCOT encoding, %", 10, [s.share(s.rest) for s in ebcot]),
            (
                "the same with the search's calls of an engine, %",
                10,
                [s.share(s.rest + s.search) for s in ebcot],
            ),
            ("our layers when decoding EBCOT, ms a megapixel", 2, [s.decode_rest for s in ebcot]),
        ):
            pairs = [(v, s.field) for v, s in zip(values, ebcot, strict=True)]
            found.append(Target(f"{what}; {kind}", aim, pairs, least=False, middle=statistics.median))
    for what, aim, key in (
        ("`import frazil` beyond numpy, seconds of CPU", 0.05, "import"),
        ("encoding (24, 721, 1440) float32: memory beyond the input, in chunks", 3, "ebcot"),
        ("the same, HT", 3, "ht"),
    ):
        found.append(Target(what, aim, [(others[key], "")], least=False, middle=statistics.median))
    return table(["target", "aim", "middle", "worst", "worst at", "met"], [t.line() for t in found])


def reading_table(readings: list[Reading]) -> str:
    """Lay out how much less CPU time and bytes low resolutions take."""
    return table(
        ["field", "coder", "level 1", "level 2", "bytes, level 1", "bytes, level 2"],
        [
            [
                r.field,
                r.coder,
                *(f"{v:.2f}" for v in (r.level1, r.level2)),
                f"{r.bytes1:.0%}",
                f"{r.bytes2:.0%}",
            ]
            for r in readings
        ],
    )


def layers_table(shares: list[Layers]) -> str:
    """Lay out where the time of encoding and decoding goes."""
    return table(
        ["field", "coder", "engine", "search", "rest", "rest, share", "decode: engine", "decode: rest"],
        [
            [
                s.field,
                s.coder,
                *(f"{v:.1f}" for v in (s.engine, s.search, s.rest)),
                f"{s.share(s.rest):.0f} %",
                f"{s.decode_engine:.1f}",
                f"{s.decode_rest:.2f}",
            ]
            for s in shares
        ],
    )


def files_table(files: list[File]) -> str:
    """Lay out the comparison with glymur."""
    return table(
        ["field", "packets", "encode", "decode", "JP2K(ratio=32)"],
        [
            [
                f.field,
                "identical" if f.same else "differ",
                *(f"{v:.2f}" for v in (f.encode, f.decode, f.codec)),
            ]
            for f in files
        ],
    )
