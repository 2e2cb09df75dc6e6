"""``frazil models list | show | check | fit-klt``: models that come with frazil, and one of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from frazil.cli.training import Fields
    from frazil.models.store import Model

app = typer.Typer(help="List, describe, test and fit the models of the learned codecs.", no_args_is_help=True)
TRIED = 1 << 20  # values that a fitted model is tried on


@app.command("list")
def list_() -> None:
    """List the models that come with frazil."""
    from frazil.cli.console import console, size, table
    from frazil.models.store import find, list_models

    rows = []
    for name in list_models():
        decoder = find(name).decoder
        licence = str(decoder.card.get("licence", ""))
        rows.append(
            [
                name,
                decoder.kind,
                str(decoder.channels),
                str(decoder.factor),
                size(len(decoder.data)),
                decoder.digest,
                licence,
            ]
        )
    columns = ["name", "kind", ">channels", ">factor", ">decoder", "digest", "licence"]
    console().print(table(columns, rows))


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, or its decoder's file.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a model is, and where it comes from."""
    import json

    from frazil.models.store import find

    entries = describe(find(model))
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    width = max(map(len, entries))
    for key, value in entries.items():
        text = value if isinstance(value, str) else json.dumps(value)
        typer.echo(f"{key:<{width}}  {text}")


def describe(model: Model) -> dict[str, Any]:
    """Collect what there is to say of a model."""
    decoder = model.decoder
    entries: dict[str, Any] = {
        "name": model.name,
        "kind": decoder.kind,
        "channels": decoder.channels,
        "axis of the channels": decoder.axis,
        "points for a latent": f"{decoder.factor} x {decoder.factor}",
    }
    if decoder.steps is not None:
        steps = decoder.steps
        entries |= {
            "latents": decoder.inputs,
            "steps": [steps.least, steps.most],
            "usual step": steps.default,
        }
    else:
        entries |= {"codebooks": decoder.inputs, "codewords in each": decoder.size}
    entries |= {
        "layers": len(decoder.layers),
        "halo": decoder.halo,
        "largest sum": max((getattr(layer, "peak", 0) for layer in decoder.layers), default=0),
        "decoder": f"{len(decoder.data)} bytes, {decoder.digest}",
        "encoder": f"{len(model.encoder.data)} bytes, {model.encoder.digest}"
        if model.encoder
        else "not here",
        "trusted to": f"{decoder.trust:g} standard deviations",
    }
    return entries | {f"card: {key}": value for key, value in decoder.card.items()}


@app.command("check")
def check() -> None:
    """Decode the same latents on every backend that is installed; exit with 1 if any bit differs."""
    from frazil.models.selftest import compare
    from frazil.models.store import find, list_models

    fine = True
    for name in list_models():
        found = compare(find(name).decoder)
        same = len(set(found.values())) == 1
        fine = fine and same
        words = found if same else [f"{backend}={digest[:16]}" for backend, digest in found.items()]
        typer.echo(" ".join([name, "identical" if same else "differs", *words]))
    raise typer.Exit(0 if fine else 1)


@app.command("fit-klt")
def fit(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="NetCDF or Zarr, a path or a URL.")],
    *,
    variable: Annotated[
        list[str], typer.Option("--variable", metavar="NAME", help="What to fit to; again for more channels.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where its two files go.")],
    channels: Annotated[
        str | None,
        typer.Option(metavar="DIM[=N]", help="Axis that holds the channels; N of its points at a time."),
    ] = None,
    factor: Annotated[int, typer.Option(metavar="N", help="Side of a block, in points.")] = 8,
    error: Annotated[
        float, typer.Option(metavar="STD", help="Error to aim at, in standard deviations of each channel.")
    ] = 0.05,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the model; else of the variable.")
    ] = None,
    points: Annotated[
        bool, typer.Option("--points", help="The last axis counts points without an order in space.")
    ] = False,
    steps: Annotated[
        str | None,
        typer.Option(metavar="START:STOP", help="Fit to these steps of the first axis, try on the others."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="FROM/UNTIL", help="Fit to these dates, try on the others.")
    ] = None,
) -> None:
    """Fit a linear model to data, in seconds: blocks of points and all channels, in their principal axes.

    Missing values are filled in as the codec does it. The model serves
    `frazil compress --codec "latent(model=FOLDER/NAME.decoder.safetensors)"`.
    """
    from time import perf_counter

    from frazil.cli.training import divide, gather
    from frazil.errors import ConfigurationError
    from frazil.models.format import NAME
    from frazil.models.klt import fit_klt
    from frazil.sources import open_source

    title = name or "-".join(["klt", *variable]).lower().replace("/", "-")
    if not NAME.fullmatch(title):
        raise ConfigurationError(
            f"a model's name is small letters, digits, '.', '_', '-', got {title!r}; give --name"
        )
    with open_source(source) as ds:
        whole = gather(ds, variable, channels=channels, points=points)
        if not whole.lead and (steps or time):
            raise ConfigurationError(f"{variable[0]!r} is one field: there are no steps to choose from")
        train, test = divide(ds, steps, time, str(ds[variable[0]].dims[0]))
        if test is not None and whole.dim and test.sizes[whole.dim] < whole.count:
            test = None  # too little to try it on
        fields = gather(train, variable, channels=channels, points=points)
        begun = perf_counter()
        model = fit_klt(
            fields,
            factor=factor,
            error=error,
            name=title,
            axis=fields.axis,
            card={
                "data": Path(source).name,
                "variables": ", ".join(variable),
                "steps": steps or time or "all",
            },
        )
        seconds = perf_counter() - begun
        path = model.save(output)
        tried = fields if test is None else gather(test, variable, channels=channels, points=points)
        _report(model, tried, path, seconds, held_out=test is not None)


def _report(model: Model, fields: Fields, path: Path, seconds: float, *, held_out: bool) -> None:
    """Print what the model does to a part of the data."""
    import numpy as np

    from frazil.cli.console import console, figures, size, table
    from frazil.cli.training import tried_on

    scores = tried_on(model, fields, TRIED)
    decoder, screen = model.decoder, console()
    rows = [
        [label, figures(middle), figures(spread), figures(rmse), figures(rmse / spread)]
        for label, middle, spread, rmse in zip(
            fields.labels, decoder.offset, decoder.spread, scores.rmse, strict=True
        )
    ]
    screen.print(table(["channel", ">mean", ">deviation", ">RMSE", ">in deviations"], rows))
    whole = float(np.sqrt(np.nanmean((scores.rmse / np.asarray(decoder.spread)) ** 2)))
    where = "steps that it was not fitted to" if held_out else "what it was fitted to"
    encoder = len(model.encoder.data) if model.encoder else 0
    block = f"{decoder.factor} x {decoder.factor} points and {decoder.channels} channels"
    lines = [
        f"{decoder.inputs} latents of {block}, fitted in {seconds:.1f} s",
        f"decoder {size(len(decoder.data))} in {path}; encoder {size(encoder)}",
        f"on {where}: ratio {figures(scores.ratio)}, error {figures(whole)} standard deviations",
    ]
    if fields.dim:
        lines.append(f"chunks hold all channels with --chunks {fields.dim}={fields.count}")
    screen.print("\n".join(lines), markup=False)
