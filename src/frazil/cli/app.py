"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from frazil.cli import compress, curate, demo, inspect, jp2, models, tune, verify

app = typer.Typer(
    name="frazil",
    help="Compress weather, climate, ocean and satellite arrays to Zarr, and look at what came out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from frazil import __version__

        typer.echo(f"frazil {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and all warnings.")] = False,
) -> None:
    """Exit codes: 0 fine, 1 a check failed, 2 wrong usage or bad input."""


app.command("demo")(demo.demo)
app.command("compress")(compress.compress)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("tune")(tune.tune)
app.command("curate")(curate.curate)
app.add_typer(models.app, name="models")
app.command("export-jp2")(jp2.export_jp2)
app.command("import-jp2")(jp2.import_jp2)
