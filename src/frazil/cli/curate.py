"""``frazil curate STORE --out selection.json``: choose the samples to train on, and show what was chosen."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from frazil.data.curation.contrast import Contrast
    from frazil.data.curation.manifest import Manifest

ROWS = 12  # superbatches in the table; --json has all
PATIENCE = "10s"  # for a scheduler to answer
CURATORS = ("saln", "random", "recent")
FIGURES = ("samples", "missing", "mean", "sd", "min", "max")


def curate(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Zarr store: a path or a URL.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the selection is written, as JSON.")],
    keep: Annotated[float, typer.Option(metavar="SHARE", help="Share of each superbatch to keep.")] = 0.5,
    curator: Annotated[
        str, typer.Option(metavar="NAME", help="saln, or what to compare it with: random, recent.")
    ] = "saln",
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="Of saln: connected, inverse or combined.")
    ] = "connected",
    score: Annotated[
        str, typer.Option(metavar="SCORE", help="Of saln: fiedler_abs, fiedler_signed or degree.")
    ] = "fiedler_abs",
    on: Annotated[str, typer.Option(metavar="WHAT", help="Of saln: fields or increments.")] = "fields",
    embed: Annotated[
        int | None,
        typer.Option(
            metavar="LEVELS", help="Of saln: halvings of the resolution to compare at; 2 unless told."
        ),
    ] = None,
    superbatch: Annotated[
        int | None, typer.Option(metavar="N", help="Samples to choose among; 16 batches unless told.")
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Samples of a batch in training.")] = 16,
    variables: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="t2m,z@500,z@850; all unless told.")
    ] = None,
    inputs: Annotated[str, typer.Option(metavar="STEP,...", help="Input steps of a window.")] = "-1,0",
    targets: Annotated[str, typer.Option(metavar="STEP,...", help="Its target steps; '' for none.")] = "1",
    times: Annotated[
        str | None, typer.Option(metavar="FIRST/LAST", help="Part of the time axis: 2001/2015.")
    ] = None,
    level: Annotated[int, typer.Option(metavar="LEVEL", help="Resolution of the training: 1/2^LEVEL.")] = 0,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs to curate.")] = 1,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of the shuffle, and of random.")] = 0,
    memory: Annotated[str, typer.Option(metavar="BYTES", help="For decoded chunks: 2GiB, 500MB.")] = "2GiB",
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a dask cluster that does the work.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw kept, dropped and original values: a PNG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Choose the samples of STORE that a training is to see, superbatch by superbatch.

    make_loader(selection=FILE) with the same windows and batch size reads what was kept, in the same batches.
    Windows, batch size, seed and memory decide what the superbatches are.
    """
    from frazil.data.curation.preprocessing import curate as choose
    from frazil.data.samples import Samples

    samples = Samples(
        store,
        variables=read_variables(variables),
        inputs=read_steps(inputs, "--inputs"),
        targets=read_steps(targets, "--targets"),
        times=read_range(times),
        level=level,
    )
    chooser = _curator(curator, keep=keep, seed=seed, mode=mode, score=score, on=on, embed=embed)
    client = _client(dask)
    try:
        manifest = choose(
            samples,
            chooser,
            out=out,
            client=client,
            epochs=epochs,
            batch_size=batch_size,
            superbatch=superbatch,
            seed=seed,
            memory=memory,
        )
    finally:
        if client is not None:
            client.close()
    contrasts = None
    if report is not None:
        from frazil.data.curation.contrast import contrast
        from frazil.data.curation.figure import draw

        contrasts = contrast(samples, manifest)
        kept, dropped = len(manifest.kept()), manifest.dropped()
        draw(
            contrasts, samples, report, title=f"{store}: {kept} samples kept, {dropped} dropped, {chooser!r}"
        )
    _print_json(manifest, contrasts, out) if as_json else _print(manifest, contrasts, out, report)


def read_variables(text: str | None) -> list[tuple[str, list[Any] | None]] | None:
    """Read channels as loaders name them.

    Examples
    --------
    >>> read_variables("t2m,z@500,z@850")
    [('t2m', None), ('z', [500]), ('z', [850])]
    """
    if text is None:
        return None
    found: list[tuple[str, list[Any] | None]] = []
    for word in text.split(","):
        name, *at = word.strip().split("@")
        if not name or len(at) > 1:
            raise ConfigurationError(
                f"--variables wants names, or name@value along one further axis, between commas; got {word!r}"
            )
        found.append((name, [_number(at[0])] if at else None))
    return found


def read_steps(text: str, option: str) -> list[int]:
    """Read steps of a window; a text without any is no steps.

    Examples
    --------
    >>> read_steps("-1,0", "--inputs"), read_steps("", "--targets")
    ([-1, 0], [])
    """
    try:
        return [int(word) for word in text.split(",") if word.strip()]
    except ValueError as error:
        raise ConfigurationError(f"{option} wants whole numbers, such as -1,0; got {text!r}") from error


def read_range(text: str | None) -> slice | None:
    """Read a part of the time axis, both ends included; either may be left out.

    Examples
    --------
    >>> read_range("2001/2015"), read_range("2016/")
    (slice('2001', '2015', None), slice('2016', None, None))
    """
    if text is None:
        return None
    first, mark, last = text.partition("/")
    if not mark:
        raise ConfigurationError(f"--times wants FIRST/LAST, such as 2001/2015; got {text!r}")
    return slice(first.strip() or None, last.strip() or None)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _curator(name: str, *, keep: float, seed: int, embed: int | None, **settings: Any) -> Any:
    import frazil

    if name == "saln":
        resolution = None if embed is None else frazil.ReducedResolution(embed)
        return frazil.SALN(keep=keep, embed=resolution, **settings)
    if name == "random":
        return frazil.RandomDiscard(keep=keep, seed=seed)
    if name == "recent":
        return frazil.MostRecent(keep=keep)
    raise ConfigurationError(f"--curator is one of {', '.join(CURATORS)}; got {name!r}")


def _client(address: str | None) -> Any:
    if address is None:
        return None
    from distributed import Client

    try:
        return Client(address, timeout=PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"there is no dask scheduler at {address}: {error}") from error


def _rows(manifest: Manifest) -> list[dict[str, Any]]:
    """List what is known of each superbatch of all epochs."""
    rows = []
    for epoch, (kept, diagnostics) in enumerate(
        zip(manifest.kept_samples, manifest.diagnostics, strict=True)
    ):
        for number, (samples, found) in enumerate(zip(kept, diagnostics, strict=True)):
            rows.append({"epoch": epoch, "superbatch": number, "kept": len(samples)} | dict(found or {}))
    return rows


def _print(manifest: Manifest, contrasts: list[Contrast] | None, out: Path, report: Path | None) -> None:
    from frazil.cli.console import console, table

    screen, rows = console(), _rows(manifest)
    columns = (
        "epoch",
        "superbatch",
        "members",
        "kept",
        "lambda2",
        "lambda3",
        "gap",
        "components",
        "degenerate",
    )
    shown = [[_cell(row.get(name)) for name in columns] for row in rows[:ROWS]]
    screen.print(table([f">{name}" for name in columns], shown))
    if len(rows) > ROWS:
        screen.print(f"{len(rows) - ROWS} more superbatches; --json shows all")
    if contrasts is not None:
        values = [
            [c.channel if name == "kept" else "", name, *(_cell(numbers[key]) for key in FIGURES)]
            for c in contrasts
            for name, numbers in c.numbers().items()
        ]
        screen.print(table(["channel", "samples of epoch 0", *(f">{key}" for key in FIGURES)], values))
    for epoch in range(manifest.epochs):
        dropped, kept = manifest.dropped(epoch), len(manifest.kept(epoch))
        screen.print(f"epoch {epoch}: {kept} of {kept + dropped} samples kept, {dropped} dropped")
    written = f"selection written to {out}" + (f", figure to {report}" if report else "")
    screen.print(written, markup=False, soft_wrap=True)


def _print_json(manifest: Manifest, contrasts: list[Contrast] | None, out: Path) -> None:
    import json

    found = {
        "selection": str(out),
        "kept": [len(manifest.kept(epoch)) for epoch in range(manifest.epochs)],
        "dropped": [manifest.dropped(epoch) for epoch in range(manifest.epochs)],
        "curator": manifest.curator,
        "superbatches": _rows(manifest),
    }
    if contrasts is not None:
        found["channels"] = {c.channel: c.numbers() for c in contrasts}
    typer.echo(json.dumps(found, indent=2))


def _cell(value: Any) -> str:
    from frazil.cli.console import figures

    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return figures(value, 4) if isinstance(value, float) else str(value)
