"""``frazil tune SRC``: find a ratio on a few chunks, to write all of them without searching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from frazil.tuning import Tuned


def tune(
    src: Annotated[str, typer.Argument(metavar="SRC", help="NetCDF file or Zarr store: a path or a URL.")],
    *,
    variable: Annotated[str, typer.Option(metavar="NAME", help="The variable to tune for.")],
    bound: Annotated[
        str, typer.Option(metavar="BOUND", help="Largest error: 0.1, rel:1e-3, pw_rel:1e-3, local_std:...")
    ],
    chunks: Annotated[
        str | None,
        typer.Option(metavar="DIM=N,...", help="Chunk lengths: time=1,lat=721; -1 is the whole axis."),
    ] = None,
    sample: Annotated[int, typer.Option(metavar="N", help="Chunks to try, evenly spaced.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print the codec's configuration alone.")] = False,
) -> None:
    """Find the JPEG 2000 ratio with which Bounded(residual="mask") stores a variable in the fewest bytes."""
    import json

    from frazil.cli.settings import read_chunks
    from frazil.tuning import tune as search

    found = search(src, variable, bound, chunks=read_chunks(chunks) if chunks else None, sample=sample)
    config = json.dumps(found.codec.get_config())
    if as_json:
        typer.echo(config)
    else:
        _report(found, config)


def _report(found: Tuned, config: str) -> None:
    import json

    from frazil.cli.console import console, figures, size
    from frazil.metrics import ratio

    screen = console()
    bound = json.dumps(found.codec.bound)
    lines = [
        f"JPEG 2000 at ratio {figures(found.ratio)}, tried on {found.tried} of {found.chunks} chunks:",
        f"{size(found.raw)} -> {size(found.stored)}, ratio {figures(ratio(found.raw, found.stored))}",
        "",
        f'frazil.Bounded(bound={bound}, base=frazil.JP2K(ratio={found.ratio:g}), residual="mask")',
        config,
    ]
    for line in lines:
        screen.print(line, markup=False, soft_wrap=True)
