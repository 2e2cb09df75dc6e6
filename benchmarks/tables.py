"""Tables for the terminal and, between HTML comments, for docs/benchmarks.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).resolve().parents[1] / "docs/benchmarks.md"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a Markdown table, aligned so that it reads in a terminal as well; text left, figures right.

    Examples
    --------
    >>> print(table(["field", "ratio"], [["t", 32.0]]))
    | field | ratio |
    |:------|------:|
    | t     |    32 |
    """
    cells = [list(header), *([_show(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    left = [all(isinstance(row[i], str) for row in rows) and bool(rows) for i in range(len(header))]
    lines = [
        "| "
        + " | ".join(c.ljust(w) if a else c.rjust(w) for c, w, a in zip(row, widths, left, strict=True))
        + " |"
        for row in cells
    ]
    rule = (
        "|"
        + "|".join(
            ":" + "-" * (w + 1) if a else "-" * (w + 1) + ":" for w, a in zip(widths, left, strict=True)
        )
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def publish(name: str, text: str, *, write: bool) -> None:
    """Print ``text``; with ``write`` also put it between the page's comments for ``name``."""
    print(f"\n== {name}\n\n{text}\n", flush=True)
    if not write:
        return
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE} has no place for {name!r}: add <!-- {name} --> and <!-- /{name} -->")
    PAGE.write_text(pattern.sub(lambda m: f"{m[1]}\n{text}\n\n{m[2]}", page), encoding="utf-8")


def _show(cell: object) -> str:
    if cell is None:
        return "-"
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.4g}" if abs(cell) < 1000 else str(cell)
