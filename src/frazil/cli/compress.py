"""``frazil compress SRC DST``: a compressed Zarr store from NetCDF or Zarr."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from frazil.transcode import Done, Job


def compress(
    src: Annotated[str, typer.Argument(metavar="SRC", help="NetCDF file or Zarr store: a path or a URL.")],
    dst: Annotated[str, typer.Argument(metavar="DST", help="Zarr store to write: a path or a URL.")],
    *,
    codec: Annotated[
        str | None, typer.Option(metavar="CODEC", help="For all variables, e.g. jp2k:ratio=32 or lossless.")
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=CODEC", help="For one variable, e.g. t2m=jp2k:psnr=60,coder=ht."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with codec, variables, chunks, zarr_format.")
    ] = None,
    chunks: Annotated[
        str | None,
        typer.Option(metavar="DIM=N,...", help="Chunk lengths: time=1,lat=721; -1 is the whole axis."),
    ] = None,
    zarr_format: Annotated[
        int | None, typer.Option(metavar="2|3", help="Zarr format of DST; 3 unless told.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store at DST.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no table.")] = False,
) -> None:
    """Compress SRC (NetCDF or Zarr) to the Zarr store DST.

    Coordinates, flags, variables of fewer than two axes or less than 64 KiB,
    and dtypes that the codec does not hold stay lossless, unless named by --var.
    """
    from frazil.cli.settings import gather
    from frazil.transcode import transcode

    settings = gather(codec, var or [], chunks, zarr_format, config)
    meter = _Meter(hidden=quiet)
    with meter.bar:
        jobs = transcode(
            src,
            dst,
            settings.codec,
            settings.variables,
            chunks=settings.chunks,
            zarr_format=settings.zarr_format,
            overwrite=overwrite,
            planned=meter.begin,
            progress=meter.advance,
        )
    if not quiet:
        _report(jobs, meter.stored, dst)


class _Meter:
    """The progress bar: bytes done, rate, ratio so far, time left."""

    def __init__(self, *, hidden: bool) -> None:
        from rich import progress as bars

        from frazil.cli.console import console

        screen = console(stderr=True)
        self.stored: dict[str, int] = {}
        self._raw = 0
        self.bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TransferSpeedColumn(),
            bars.TextColumn("ratio {task.fields[ratio]}"),
            bars.TimeRemainingColumn(),
            console=screen,
            transient=True,
            disable=hidden or not screen.is_terminal,
        )
        self._task = self.bar.add_task("reading", total=None, ratio="-")

    def begin(self, jobs: list[Job]) -> None:
        self.bar.update(self._task, total=sum(job.raw for job in jobs))

    def advance(self, done: Done) -> None:
        from frazil.metrics import ratio

        self.stored[done.name] = self.stored.get(done.name, 0) + done.stored
        self._raw += done.raw
        so_far = ratio(self._raw, sum(self.stored.values()))
        self.bar.update(self._task, advance=done.raw, description=done.name, ratio=f"{so_far:.1f}")


def _report(jobs: list[Job], stored: dict[str, int], dst: str) -> None:
    from frazil.cli.console import console, figures, lengths, size, table
    from frazil.metrics import ratio
    from frazil.notation import codec_text

    rows = [
        [
            job.name,
            lengths(job.shape),
            codec_text(job.codec.get_config()) if job.codec else f"lossless ({job.reason})",
            size(job.raw),
            size(stored.get(job.name, 0)),
            figures(ratio(job.raw, stored.get(job.name, 0))),
        ]
        for job in jobs
    ]
    raw, written = sum(job.raw for job in jobs), sum(stored.values())
    screen = console()
    screen.print(table(["variable", "shape", "codec", ">raw", ">stored", ">ratio"], rows))
    screen.print(
        f"{size(raw)} -> {size(written)} in {dst}, ratio {figures(ratio(raw, written))}", markup=False
    )
