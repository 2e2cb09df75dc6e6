"""``frazil verify SRC DST``: check that a compressed store says what its source says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from frazil.verification import Verdict


def verify(
    src: Annotated[str, typer.Argument(metavar="SRC", help="The original: NetCDF or Zarr, a path or a URL.")],
    dst: Annotated[str, typer.Argument(metavar="DST", help="The compressed store.")],
    *,
    max_error: Annotated[
        list[str] | None,
        typer.Option(metavar="[VAR=]X", help="Largest error allowed, in the variable's units."),
    ] = None,
    max_rmse: Annotated[
        list[str] | None,
        typer.Option(metavar="[VAR=]X", help="Largest RMSE allowed, in the variable's units."),
    ] = None,
    max_relative: Annotated[
        list[str] | None,
        typer.Option(metavar="[VAR=]X", help="Largest error / range of the original allowed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare every value of SRC with DST; exit code 1 if a check fails.

    Checked always: all variables there, same shapes, same missing points,
    lossless variables identical, errors within the bounds that codecs keep.
    A limit without a name is for all lossy variables.
    """
    from frazil.cli.settings import read_limits
    from frazil.verification import Limits
    from frazil.verification import verify as compare

    given = {
        "max_error": read_limits(max_error or [], "--max-error"),
        "rmse": read_limits(max_rmse or [], "--max-rmse"),
        "relative": read_limits(max_relative or [], "--max-relative"),
    }
    limits = Limits(
        max_error=given["max_error"][0],
        rmse=given["rmse"][0],
        relative=given["relative"][0],
        named={key: named for key, (_, named) in given.items()},
    )
    verdicts = list(compare(src, dst, limits))
    _print_json(verdicts) if as_json else _print_table(verdicts)
    if any(verdict.problems for verdict in verdicts):
        raise typer.Exit(1)


def _print_table(verdicts: list[Verdict]) -> None:
    from rich.text import Text

    from frazil.cli.console import console, table

    bounded = any(verdict.bound for verdict in verdicts)
    errors = [">max error", *([">/ bound"] if bounded else []), ">/ range", ">RMSE", ">PSNR", ">bias"]
    rows = [_row(verdict, bounded=bounded) for verdict in verdicts]
    screen = console()
    screen.print(table(["variable", "codec", ">points", ">missing", *errors, ""], rows))
    failed = [verdict for verdict in verdicts if verdict.problems]
    for verdict in failed:
        for problem in verdict.problems:
            screen.print(Text(f"{verdict.name} {problem}", style="red"))
    if not failed:
        screen.print(f"all {len(verdicts)} variables pass")


def _row(verdict: Verdict, *, bounded: bool) -> list[str | Text]:
    from rich.text import Text

    from frazil.cli.console import figures

    s = verdict.scores
    mark = Text("FAILED", style="bold red") if verdict.problems else Text("ok", style="green")
    first = [verdict.name, verdict.codec, str(s.points), str(s.missing)]
    if s.identical and not verdict.problems:
        return [*first, "identical", *[""] * (4 + bounded), mark]
    share = [""] if verdict.share is None else [f"{verdict.share:.3f}"]
    errors = [figures(s.max_error), *(share if bounded else []), f"{s.relative:.2%}", figures(s.rmse)]
    return [*first, *errors, f"{s.psnr:.1f} dB", figures(s.bias, 2), mark]


def _print_json(verdicts: list[Verdict]) -> None:
    import json
    import math

    keys = ("points", "missing", "mask_differs", "differing", "max_error", "relative", "rmse", "psnr", "bias")
    found = [
        {"name": v.name, "codec": v.codec, "lossy": v.lossy, "problems": v.problems, "bound": v.bound}
        | {k: x if math.isfinite(x := getattr(v.scores, k)) else None for k in keys}
        | {"share": v.share if v.share is not None and math.isfinite(v.share) else None}
        for v in verdicts
    ]
    typer.echo(json.dumps(found, indent=2))
