"""Recognise a store by what it holds, not by where it is."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.data.stores.opening import Contents

_FIRST_BYTES = 1 << 16
_DESCRIBING = (
    "shape",
    "data_type",
    "dtype",
    "chunk_grid",
    "chunks",
    "codecs",
    "compressor",
    "filters",
    "order",
    "fill_value",
)


def fingerprint(contents: Contents, sample_dim: str) -> str:
    """Hash names, shapes, dtypes, chunks, codecs, the sample coordinate and each variable's first chunk.

    Returns
    -------
    str
        "sha256:" and 64 hexadecimal digits.
    """
    digest = hashlib.sha256(b"frazil store 1\0")
    if sample_dim in contents.raw.variables:
        _add(digest, "samples", _as_bytes(contents.raw[sample_dim].values))
        units = [str(contents.raw[sample_dim].attrs.get(key, "")) for key in ("units", "calendar")]
        _add(digest, "units", json.dumps(units).encode())
    for name in contents.names:
        described, first = (
            _of_array(contents, name) if contents.group is not None else _of_variable(contents, name)
        )
        _add(digest, name, json.dumps(described, sort_keys=True).encode())
        _add(digest, "first", first)
    return f"sha256:{digest.hexdigest()}"


def _add(digest: Any, label: str, content: bytes) -> None:
    digest.update(f"{label}\0{len(content)}\0".encode())
    digest.update(content)


def _of_array(contents: Contents, name: str) -> tuple[Any, bytes]:
    """Metadata as stored, which no version of Zarr rewrites, and the first bytes of the first chunk."""
    from frazil.data.stores.objects import objects_of
    from frazil.data.stores.placement import stored_key

    array: Any = contents.group[name]  # type: ignore[index]
    objects = objects_of(array.store)
    document = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
    stored = json.loads(objects.get(f"{array.path}/{document}".lstrip("/")) or b"{}")
    described = {key: stored[key] for key in _DESCRIBING if key in stored}
    described["dims"] = list(map(str, contents.raw[name].dims))
    first = objects.get(stored_key(array, (0,) * array.ndim), 0, _FIRST_BYTES)
    return described, first or b""


def _of_variable(contents: Contents, name: str) -> tuple[Any, bytes]:
    variable = contents.raw[name].variable
    described = {"shape": variable.shape, "dtype": variable.dtype.str, "dims": list(map(str, variable.dims))}
    chunks = [min(16, n) for n in variable.shape[:-2]] + list(variable.shape[-2:])
    first = variable[tuple(slice(0, 1 if k == 0 else n) for k, n in enumerate(chunks))]
    return described, _as_bytes(np.asarray(first.values))


def _as_bytes(values: npt.NDArray[Any]) -> bytes:
    """Bytes that are the same on every machine."""
    if values.dtype.kind in "OUS":
        return "\0".join(map(str, values.ravel())).encode()
    if values.dtype.kind in "mM":
        values = values.astype(f"{values.dtype.kind}8[ns]").view(np.int64)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
