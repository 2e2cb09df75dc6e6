"""A chunk as the triple that JPEG 2000 studies keep: a JP2 file, a record of what its samples mean, a mask.

`unpack` takes the chunk of a `frazil.JP2K` array apart, `pack` puts it
together again, bit for bit. The record is JSON: the array's metadata, which
chunk it is, and

minmax, standard
    ``value = low + (sample - offset) * (high - low) / levels``; for "standard"
    ``low`` and ``high`` are called ``clip_low`` and ``clip_high``.
exact
    ``key = origin + (sample << shift)``, the samples of ``limbs`` components
    joined 16 bits each; the keys of floats are their bits in numerical order.

lattice
    The values are whole multiples of a step, stored as such multiples.

Besides the words, ``record`` holds section ``S`` of the chunk, in base64.
A chunk of one value, or one stored as it is, has no codestream: its record
holds the bytes themselves, and there is no JP2 file.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import container, masks
from frazil.codecs.base import MASK
from frazil.codecs.jp2k import JP2K, SCALE, STREAM
from frazil.errors import FormatError
from frazil.jpeg2000 import boxes, section
from frazil.planes import stack_shape
from frazil.scaling import MINMAX, STANDARD, Exact, Linear, Scale
from frazil.scaling import unpack as read_scale
from frazil.sealing import seal, unseal

if TYPE_CHECKING:
    import numpy.typing as npt

KINDS = {MINMAX: "minmax", STANDARD: "standard"}
FIELDS = {MINMAX: ("low", "high"), STANDARD: ("mean", "std", "clip_low", "clip_high")}


@dataclass(frozen=True, kw_only=True)
class Triple:
    """What `unpack` makes of a chunk.

    Parameters
    ----------
    jp2 : bytes or None
        The JP2 file; None for a chunk without a codestream.
    record : dict
        JSON values.
    missing : ndarray of bool, shape (rows, x), or None
        Where values are missing; the planes under one another, or one plane for all. None if none are.
    """

    jp2: bytes | None
    record: dict[str, Any]
    missing: npt.NDArray[np.bool_] | None


def unpack(chunk: bytes) -> Triple:
    """Take a chunk apart.

    Raises
    ------
    FormatError
        If it is not a chunk of `frazil.JP2K`, or damaged.
    """
    spec, sections = container.unpack(chunk)
    n, y, x = stack_shape(spec.shape)
    record: dict[str, Any] = {
        "dtype": spec.dtype.str,
        "shape": list(spec.shape),
        "order": "F" if spec.fortran else "C",
        "planes": [n, y, x],
    }
    missing = None
    if MASK in sections:
        missing, record["missing"] = _describe_mask(
            unseal(sections[MASK]), (n, y, x), spec.dtype.newbyteorder("=")
        )
    if STREAM not in sections:
        rest = {tag: _text(payload) for tag, payload in sections.items() if tag != MASK and tag.isupper()}
        return Triple(jp2=None, record={**record, "sections": rest}, missing=missing)
    scale = read_scale(sections[SCALE], n, spec.dtype)
    stack = section.stacked((n, y, x), scale)
    layout = section.read_head(sections[STREAM], stack).layout
    record["samples"] = {"components": stack[0], "bits": layout.bits, "coder": "ht" if layout.ht else "ebcot"}
    record["scaling"] = _describe_scale(scale, sections[SCALE], ht=layout.ht and not layout.reversible)
    jp2 = boxes.wrap(JP2K.codestream(chunk), stack, layout.bits, ht=layout.ht)
    return Triple(jp2=jp2, record=record, missing=missing)


def pack(triple: Triple) -> bytes:
    """Put a chunk together; the inverse of `unpack`.

    Raises
    ------
    FormatError
        If the parts do not fit together.
    """
    record = triple.record
    try:
        spec = container.ChunkSpec(
            tuple(int(length) for length in record["shape"]),
            np.dtype(record["dtype"]),
            record["order"] == "F",
        )
        mask = seal(_read_mask(triple, spec)) if "missing" in record else b""
        if "sections" in record:
            rest = {tag: _bytes(text) for tag, text in record["sections"].items()}
            return container.pack(spec, ({MASK: mask} if mask else {}) | rest)
        scale = read_scale(_bytes(record["scaling"]["record"]), stack_shape(spec.shape)[0], spec.dtype)
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"the record of the chunk cannot be read: {type(error).__name__} {error}"
        ) from error
    if triple.jp2 is None:
        raise FormatError("the JP2 file of the chunk is missing")
    return JP2K.from_codestream(boxes.unwrap(triple.jp2), spec=spec, scale=scale, mask=mask)


def _describe_scale(scale: Scale, payload: bytes, *, ht: bool) -> dict[str, Any]:
    """Say in words what the samples mean; the record itself goes with it, so that all of it comes back."""
    from frazil.jpeg2000.htj2k import HEADROOM

    packed = {"record": _text(payload)}
    if isinstance(scale, Exact):
        return {"kind": "exact", "shift": scale.shift, "limbs": scale.limbs, "origin": scale.origin, **packed}
    if not isinstance(scale, Linear):
        line = scale.lattice
        return {"kind": "lattice", "levels": line.top, "origin": line.origin, "step": line.step, **packed}
    names = FIELDS[scale.kind]
    return {
        "kind": KINDS[scale.kind],
        "levels": scale.levels,
        "offset": HEADROOM if ht else 0,
        "planes": [dict(zip(names, map(float, row), strict=True)) for row in scale.values],
        **packed,
    }


def _describe_mask(
    payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> tuple[npt.NDArray[np.bool_], dict[str, str]]:
    """Tell where and what is missing; several kinds at once are kept as section M besides the picture."""
    missing = ~masks.valid(payload, shape, dtype)
    planes = np.zeros(shape, dtype)
    masks.join(planes, payload, shape, 0)
    patterns = np.unique(planes.view(f"u{dtype.itemsize}")[missing])
    same = (missing == missing[0]).all()
    picture = missing[0] if same else missing.reshape(-1, shape[2])
    if len(patterns) > 1:
        return picture, {"section": _text(payload)}
    return picture, {"value": str(patterns.view(dtype)[0]), "bits": f"{int(patterns[0]):#x}"}


def _read_mask(triple: Triple, spec: container.ChunkSpec) -> bytes:
    described = triple.record["missing"]
    if "section" in described:
        return _bytes(described["section"])
    n, y, x = stack_shape(spec.shape)
    picture = triple.missing
    if picture is None or picture.shape not in {(y, x), (n * y, x)}:
        found = "there is none" if picture is None else f"it has shape {picture.shape}"
        raise FormatError(f"the mask wants shape {(y, x)} or {(n * y, x)}, {found}")
    dtype = spec.dtype.newbyteorder("=")
    where = np.broadcast_to(picture.reshape(-1, y, x), (n, y, x))
    pattern = np.array([int(described["bits"], 16)], f"u{dtype.itemsize}")
    value = pattern.view(dtype)[0]
    planes = np.full((n, y, x), 1 if value == 0 else 0, dtype)
    planes.view(pattern.dtype)[where] = pattern[0]
    return masks.split(planes, [value] if np.isfinite(value) else [])[1]


def _text(payload: bytes) -> str:
    return base64.b64encode(payload).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise FormatError(f"the record of the chunk holds text that is not base64: {error}") from error
