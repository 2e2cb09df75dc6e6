"""``frazil inspect STORE [VAR]``: what a store holds, without decoding any of it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frazil.errors import StoreError

if TYPE_CHECKING:
    from frazil.inventory import ArrayEntry, ChunkEntry

SECTIONS = {"M": "mask", "S": "scale", "J": "packets", "K": "constant", "R": "values as they are"}
OF_MODELS = {"L": "latents", "C": "codewords"}
OF_BOUNDED = {"B": "record", "D": "widths", "S": "signs", "E": "means", "P": "exact points", "Q": "numbers"}
EXACT = ("exact", "stored")  # what these methods decode to is bit for bit what it was


def inspect(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Zarr store: a path or a URL.")],
    var: Annotated[str | None, typer.Argument(metavar="[VAR]", help="Array to show chunk by chunk.")] = None,
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Chunks to list at most; 0 lists all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show codec, ratio and chunks of each array in STORE; with VAR, the sections of each chunk.

    Of chunks that keep a bound also the method and the largest error that they record.
    Only metadata and the heads of the chunks are read; nothing is decoded.
    """
    from frazil.inventory import arrays, chunk_entries, describe, record
    from frazil.sources import open_group

    found = dict(arrays(open_group(store)))
    if var is None:
        entries = [describe(path, array) for path, array in found.items()]
        _print_json([asdict(entry) for entry in entries]) if as_json else _print_arrays(entries)
        return
    if var not in found:
        raise StoreError(f"{store} has no array {var!r}; it has {', '.join(found) or 'none'}")
    entry, chunks = describe(var, found[var]), list(chunk_entries(found[var]))
    if as_json:
        said = record(chunks)
        errors = asdict(said) if said else {}
        _print_json({**asdict(entry), **errors, "chunk_entries": [asdict(chunk) for chunk in chunks]})
    else:
        _print_chunks(entry, chunks, limit or len(chunks))


def _print_arrays(entries: list[ArrayEntry]) -> None:
    from frazil.cli.console import console, figures, lengths, size, table
    from frazil.metrics import ratio

    rows = [
        [
            e.path,
            e.dtype,
            lengths(e.shape),
            lengths(e.chunk_shape) + (f" in shards of {lengths(e.shard_shape)}" if e.shard_shape else ""),
            e.codec,
            f"{e.chunks_stored}/{e.chunks}",
            size(e.raw),
            size(e.stored),
            figures(ratio(e.raw, e.stored)),
        ]
        for e in entries
    ]
    names = ["array", "dtype", "shape", "chunks of", "codec", ">chunks", ">raw", ">stored", ">ratio"]
    console().print(table(names, rows))


def _print_chunks(entry: ArrayEntry, chunks: list[ChunkEntry], limit: int) -> None:
    from frazil.cli.console import console, figures, lengths, size, table
    from frazil.inventory import record
    from frazil.metrics import ratio

    screen = console()
    _print_arrays([entry])
    said = record(chunks)
    rows = [
        [
            ", ".join(map(str, chunk.index)) or "-",
            str(chunk.nbytes),
            figures(ratio(chunk.raw, chunk.nbytes)),
            *(_errors(chunk) if said else []),
            _sections(chunk),
        ]
        for chunk in chunks[:limit]
    ]
    errors = ["method", ">max error", ">/ bound"] if said else []
    screen.print(table(["chunk", ">bytes", ">ratio", *errors, "sections (bytes)"], rows))
    if len(chunks) > limit:
        screen.print(f"... and {len(chunks) - limit} more; --limit 0 lists all")
    if chunks:
        sizes = sorted(chunk.nbytes for chunk in chunks)
        screen.print(
            f"{len(sizes)} of {entry.chunks} chunks stored ({lengths(entry.chunk_shape)}): smallest "
            f"{size(sizes[0])}, median {size(sizes[len(sizes) // 2])}, largest {size(sizes[-1])}"
        )
    if said:
        counts = ", ".join(f"{count} {method}" for method, count in said.methods.items())
        screen.print(
            f"largest error {figures(said.max_error)}, {said.share:.3f} of the bound, as recorded; {counts}",
            markup=False,
        )
        if said.methods.keys() & set(EXACT):
            screen.print(
                "exact and stored are lossless: the bound is finer than the values, or saves nothing"
            )


def _errors(chunk: ChunkEntry) -> list[str]:
    from frazil.cli.console import figures

    if chunk.method is None:
        return ["no data" if chunk.sections is not None and not chunk.note else "", "", ""]
    if chunk.method in EXACT:
        return [chunk.method, "lossless", ""]
    return [chunk.method, figures(chunk.max_error or 0.0), f"{chunk.share or 0.0:.3f}"]


def _sections(chunk: ChunkEntry) -> str:
    if chunk.sections is None:
        return chunk.note or "not a frazil container"
    names = SECTIONS | OF_MODELS | (OF_BOUNDED if "B" in chunk.sections else {})
    parts = [f"{names.get(tag, tag)} {nbytes}" for tag, nbytes in chunk.sections.items()]
    rest = chunk.nbytes - sum(chunk.sections.values())
    return ", ".join([*parts, f"container {rest}"]) + (f" ({chunk.note})" if chunk.note else "")


def _print_json(found: object) -> None:
    import json

    typer.echo(json.dumps(_plain(found), indent=2))


def _plain(found: Any) -> Any:
    """Replace what JSON does not know, an error that is infinite, by null."""
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
