"""The command ``frazil``: demo, compress, inspect, verify, tune, curate, models, export-jp2, import-jp2.

Exit codes: 0 fine, 1 a check failed, 2 wrong usage or bad input, 130 interrupted.
Errors are one sentence on stderr; ``--debug`` adds the traceback.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from frazil.errors import FrazilError, FrazilWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
EXTRAS = {"typer": "cli", "rich": "cli", "matplotlib": "cli", "yaml": "cli", "zarr": "zarr", "xarray": "zarr"}
EXTRAS |= {"dask": "zarr", "netCDF4": "io", "h5netcdf": "io", "fsspec": "io"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Examples
    --------
    >>> main(["--version"])
    frazil 0.1.0
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        import typer

        from frazil.cli.app import app

        command = typer.main.get_command(app)
    except ModuleNotFoundError as error:
        return _fail(_install(error), debug=debug)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
                warnings.simplefilter("default", FrazilWarning)
                warnings.showwarning = _show_warning
            code = command.main(args=words, prog_name="frazil", standalone_mode=False)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing that looks complete was written", INTERRUPTED, debug=debug)
    except ModuleNotFoundError as error:
        return _fail(_install(error), debug=debug)
    except (FrazilError, OSError) as error:
        return _fail(_sentence(error), debug=debug)
    except Exception as error:  # noqa: BLE001 - the rim: usage errors of typer's parser, and bugs
        return _other(error, debug=debug)
    return code if isinstance(code, int) else FINE


def _other(error: Exception, *, debug: bool) -> int:
    """Report an exception that is not ours: typer's, or one that nobody expected."""
    kind = type(error).__name__
    if kind == "Abort":  # typer's name for Ctrl-C
        return _fail("interrupted; nothing that looks complete was written", INTERRUPTED, debug=debug)
    if kind == "NoArgsIsHelpError":
        return USAGE
    if hasattr(error, "format_message"):  # click.ClickException, which typer may bring under its own name
        return _fail(f"{error.format_message().rstrip('.')}; see frazil --help", debug=debug)
    return _fail(f"unexpected {kind}: {error} (--debug shows where)", debug=debug)


def _fail(sentence: str, code: int = USAGE, *, debug: bool) -> int:
    if debug and sys.exc_info()[0] is not None:
        import traceback

        traceback.print_exc()
    print(f"frazil: {sentence}", file=sys.stderr)  # noqa: T201 - a command line speaks
    return code


def _sentence(error: Exception) -> str:
    """One line: what the error says, and the file for the system's own errors."""
    if isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{named}"
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _install(error: ModuleNotFoundError) -> str:
    missing = (error.name or "a package").partition(".")[0]
    extra = EXTRAS.get(missing, "all")
    return f"this command needs {missing}: pip install 'frazil[{extra}]'"


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"frazil: warning: {' '.join(str(message).split())}", file=sys.stderr)  # noqa: T201 - as above
