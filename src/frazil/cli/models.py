"""``frazil models list | show | check``: models that come with frazil, and whether they run right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from frazil.models.store import Model

app = typer.Typer(help="List, describe and test the models of the learned codecs.", no_args_is_help=True)


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
