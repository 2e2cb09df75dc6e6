"""``frazil export-jp2`` and ``import-jp2``: chunks as JP2 files with JSON and mask, and back."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frazil.errors import FormatError, StoreError

if TYPE_CHECKING:
    import zarr

    from frazil.interchange import Triple

FORMAT = "frazil-jp2-1"
DOCUMENTS = {2: (".zarray", ".zattrs"), 3: ("zarr.json",)}


def export_jp2(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Zarr store: a path or a URL.")],
    var: Annotated[str, typer.Argument(metavar="VAR", help="Array of the codec jp2k.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the files.")],
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of VAR in DIR.")] = False,
) -> None:
    """Write each chunk of VAR as NAME.jp2, NAME.json and NAME.mask.png (only where values are missing).

    NAME is VAR for an array of one chunk, and VAR.0.1.2 for chunk (0, 1, 2) of others.
    """
    from frazil.interchange import unpack
    from frazil.inventory import arrays, chunk_entries, codecs_of, read_chunk
    from frazil.sources import open_group

    found = dict(arrays(open_group(store)))
    if var not in found:
        raise StoreError(f"{store} has no array {var!r}; it has {', '.join(found) or 'none'}")
    array = found[var]
    chain = [str(codec["id"]) for codec in codecs_of(array)]
    if chain != ["frazil.jp2k"]:
        raise StoreError(
            f"{var!r} has the codecs {', '.join(chain) or 'none'}; only jp2k can be exported as JP2"
        )
    name = var.replace("/", ".")
    old = [path for path in _files(folder, name) if path.is_file()]
    if old and not overwrite:
        raise StoreError(f"{old[0]} exists; give --overwrite to replace it")
    for path in old:
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"format": FORMAT, "variable": var, "metadata": _metadata(array)}
    single = all(n <= c for n, c in zip(array.shape, array.chunks, strict=True))
    written = 0
    for entry in chunk_entries(array):
        label = name if single else ".".join([name, *map(str, entry.index)])
        triple = unpack(read_chunk(array, entry))
        _write(folder / label, triple, {**shared, "chunk": list(entry.index)})
        written += 1
    typer.echo(f"{written} chunks of {var} in {folder}")


def import_jp2(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Files that export-jp2 wrote.")],
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Zarr store to write to; made if there is none.")
    ],
    var: Annotated[
        str | None, typer.Argument(metavar="[VAR]", help="Array to import; all without it.")
    ] = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace arrays of the same name.")] = False,
) -> None:
    """Make Zarr arrays of the files in DIR; every value decodes as in the store they came from."""
    records: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        record = _read_json(path)
        if record.get("format") == FORMAT:
            records.setdefault(str(record.get("variable")), []).append((path, record))
    if not records:
        raise StoreError(f"{folder} holds no files of export-jp2")
    if var is not None and var not in records:
        raise StoreError(f"{folder} holds no array {var!r}; it holds {', '.join(records)}")
    from frazil.sources import consolidate

    for name in [var] if var is not None else list(records):
        count = _import(name, records[name], store, overwrite=overwrite)
        typer.echo(f"{count} chunks of {name} in {store}")
    consolidate(store)


def _import(name: str, records: list[tuple[Path, dict[str, Any]]], store: str, *, overwrite: bool) -> int:
    """Write the chunks first and the metadata last, so that an interrupted array is none."""
    import math

    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    from frazil.codecs.jp2k import JP2K
    from frazil.errors import FrazilError
    from frazil.interchange import pack

    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name:
        raise FormatError(f"{name!r} is no name for an array")
    documents = records[0][1].get("metadata")
    if not isinstance(documents, dict) or not documents:
        raise FormatError(f"{records[0][0]} does not hold the metadata of its array")
    zarr_format: Literal[2, 3] = 2 if ".zarray" in documents else 3
    template = _template(documents, zarr_format)
    group = zarr.open_group(store, mode="a", zarr_format=_format_of(store) or zarr_format)
    if group.metadata.zarr_format != zarr_format:
        raise StoreError(f"{store} is Zarr v{group.metadata.zarr_format}, {name!r} was Zarr v{zarr_format}")
    if name in group:
        if not overwrite:
            raise StoreError(f"{store} has an array {name!r} already; give --overwrite to replace it")
        del group[name]
    parent, _, _ = name.rpartition("/")
    if parent:
        group.require_group(parent)
    grid = tuple(-(-n // c) for n, c in zip(template.shape, template.chunks, strict=True))
    prototype = default_buffer_prototype()
    root = f"{group.store_path.path}/{name}".strip("/")

    def put(key: str, data: bytes) -> None:
        sync(group.store.set(f"{root}/{key}", prototype.buffer.from_bytes(data)))

    for path, record in records:
        index = tuple(record.get("chunk", ()))
        if len(index) != len(grid) or not all(
            isinstance(i, int) and 0 <= i < n for i, n in zip(index, grid, strict=True)
        ):
            raise FormatError(f"{path} says it is chunk {index}, the grid is {grid}")
        try:
            chunk = pack(_read(path, record))
            JP2K().decode_chunk(chunk, shape=template.chunks, dtype=template.dtype)
        except FrazilError as error:
            raise type(error)(f"{path}: {error}") from error
        put(template.metadata.encode_chunk_key(index), chunk)
    if len(records) > math.prod(grid):
        raise FormatError(f"{len(records)} files for the {math.prod(grid)} chunks of {name!r}")
    for key in DOCUMENTS[zarr_format]:
        if key in documents:
            put(key, json.dumps(documents[key]).encode())
    return len(records)


def _format_of(store: str) -> Literal[2, 3] | None:
    from frazil.sources import is_zarr, open_group

    return open_group(store).metadata.zarr_format if is_zarr(store) else None


def _template(documents: dict[str, Any], zarr_format: Literal[2, 3]) -> zarr.Array[Any]:
    """Open the metadata as an array in memory, so that Zarr checks them."""
    import zarr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync
    from zarr.storage import MemoryStore

    memory = MemoryStore()
    buffer = default_buffer_prototype().buffer
    for key in DOCUMENTS[zarr_format]:
        if key in documents:
            sync(memory.set(key, buffer.from_bytes(json.dumps(documents[key]).encode())))
    try:
        return zarr.open_array(memory, mode="r", zarr_format=zarr_format)
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise FormatError(f"the array's metadata cannot be read: {error}") from error


def _metadata(array: zarr.Array[Any]) -> dict[str, Any]:
    """Metadata documents of the array by file name; a sharded array's chunks become chunks of their own."""
    from zarr.core.buffer import default_buffer_prototype

    made = array.metadata.to_buffer_dict(default_buffer_prototype())
    documents = {key: json.loads(value.to_bytes()) for key, value in made.items()}
    if array.shards is not None:
        from frazil.inventory import codec_documents

        meta = documents["zarr.json"]
        meta["codecs"] = codec_documents(array)
        meta["chunk_grid"]["configuration"]["chunk_shape"] = list(array.chunks)
    return documents


def _files(folder: Path, name: str) -> list[Path]:
    """Files in ``folder`` that an export of ``name`` would write."""
    import re

    chunk = re.compile(re.escape(name) + r"(\.\d+)*\.(jp2|json|mask\.png)")
    return sorted(path for path in folder.iterdir() if chunk.fullmatch(path.name)) if folder.is_dir() else []


def _write(base: Path, triple: Triple, shared: dict[str, Any]) -> None:
    text = json.dumps({**shared, **triple.record}, indent=1)
    if triple.jp2 is not None:
        base.with_name(base.name + ".jp2").write_bytes(triple.jp2)
    if triple.missing is not None:
        from PIL import Image

        Image.fromarray(triple.missing).save(base.with_name(base.name + ".mask.png"), optimize=True)
    base.with_name(base.name + ".json").write_text(text + "\n", encoding="utf-8")


def _read(path: Path, record: dict[str, Any]) -> Triple:
    import numpy as np

    from frazil.interchange import Triple

    name = path.name.removesuffix(".json")
    jp2, mask = path.with_name(name + ".jp2"), path.with_name(name + ".mask.png")
    missing = None
    if mask.is_file():
        from PIL import Image

        with Image.open(mask) as picture:
            missing = np.asarray(picture.convert("1"))
    return Triple(jp2=jp2.read_bytes() if jp2.is_file() else None, record=record, missing=missing)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}
