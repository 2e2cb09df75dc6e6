"""Tables and numbers for people."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
PLAIN_WIDTH = 160  # a file or a pipe has no width; its lines are not to be folded


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout, or for stderr (where progress goes)."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], title: str | None = None) -> Table:
    """Make a table; a column whose name starts with ``>`` is set flush right.

    Examples
    --------
    >>> [c.justify for c in table(["name", ">ratio"], [["t2m", "32.0"]]).columns]
    ['left', 'right']
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for name in columns:
        made.add_column(
            name.removeprefix(">"),
            justify="right" if name.startswith(">") else "left",
            no_wrap=name.startswith(">"),
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def size(nbytes: float) -> str:
    """Bytes in decimal units, three figures.

    Examples
    --------
    >>> size(999), size(4_152_960), size(129_780)
    ('999 B', '4.15 MB', '130 kB')
    """
    if nbytes < 1000:
        return f"{nbytes:.0f} B"
    power = min(int(math.log10(nbytes) // 3), len(UNITS) - 1)
    return f"{figures(nbytes / 1000**power)} {UNITS[power]}"


def figures(value: float, digits: int = 3) -> str:
    """Return ``value`` with at least three significant figures, and no exponent where none is needed.

    Examples
    --------
    >>> figures(31.9876), figures(1234.5), figures(0.00123), figures(1.5e-9), figures(math.inf)
    ('32.0', '1234', '0.00123', '1.50e-09', 'inf')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    power = math.floor(math.log10(abs(value)))
    if power < -5 or power > 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - power)}f}"


def lengths(shape: Sequence[int]) -> str:
    """Write a shape as text.

    Examples
    --------
    >>> lengths((1, 721, 1440)), lengths(())
    ('1 x 721 x 1440', 'scalar')
    """
    return " x ".join(map(str, shape)) or "scalar"
