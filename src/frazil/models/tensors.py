"""Files of tensors with one JSON object in their metadata, read as if someone meant harm.

They are safetensors files (https://huggingface.co/docs/safetensors): eight bytes of length, a JSON
header, the tensors. That library writes the same bytes, but neither reads the metadata of bytes in
memory nor limits what a header may claim.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

LARGEST_FILE = 1 << 28
LARGEST_HEADER = 1 << 22
MOST_TENSORS = 2048
INTEGERS = {"I8": "<i1", "I16": "<i2", "I32": "<i4", "U8": "<u1", "U16": "<u2", "U32": "<u4"}
FLOATS = {"F16": "<f2", "F32": "<f4"}
NAMES = {np.dtype(kind): name for name, kind in (INTEGERS | FLOATS).items()}


def write_tensors(kind: str, meta: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Serialise tensors and a JSON object; the same input makes the same bytes.

    Parameters
    ----------
    kind : str
        Key of the object in the metadata: format and version.
    meta : mapping
        What JSON can hold.
    tensors : mapping of names to arrays
    """
    header: dict[str, Any] = {"__metadata__": {kind: _json(meta)}}
    payload, at = [], 0
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        dtype = array.dtype.newbyteorder("<")
        if dtype not in NAMES:
            raise TypeError(f"tensor {name!r} is {array.dtype}, model files hold {', '.join(NAMES.values())}")
        part = np.ascontiguousarray(array, dtype).tobytes()
        entry = {"dtype": NAMES[dtype], "shape": array.shape, "data_offsets": [at, at + len(part)]}
        header[name] = entry
        payload.append(part)
        at += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    return b"".join([len(text).to_bytes(8, "little"), text, *payload])


def _json(meta: Mapping[str, Any]) -> str:
    return json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_tensors(data: bytes, kind: str, dtypes: Mapping[str, str] = INTEGERS) -> tuple[Fields, Tensors]:
    """Read what `write_tensors` wrote; the arrays are read-only views of ``data``.

    Parameters
    ----------
    data : bytes
    kind : str
        Format and version that is expected: ``"intdec/1"``.
    dtypes : mapping
        Types that tensors may have: names in the file and in numpy.

    Raises
    ------
    FormatError
        If the bytes are anything else; `TruncatedError` if they end too early.
    """
    if len(data) > LARGEST_FILE:
        raise FormatError(f"a model file of {len(data)} bytes is larger than frazil reads ({LARGEST_FILE})")
    header, start = _header(data)
    meta = header.pop("__metadata__", None)
    fields = _meta(meta, kind)
    if len(header) > MOST_TENSORS:
        raise FormatError(f"the model file holds {len(header)} tensors, at most {MOST_TENSORS} are allowed")
    tensors: Tensors = {}
    spans = []
    for name, entry in header.items():
        tensors[name], span = _tensor(name, entry, data, start, dtypes)
        spans.append(span)
    at = 0
    for first, last in sorted(spans):
        if first != at:
            raise FormatError(f"the model file's tensors do not follow each other: {first} bytes, not {at}")
        at = last
    if start + at != len(data):
        raise FormatError(f"{len(data) - start - at} bytes stand behind the model file's last tensor")
    return fields, tensors


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    if len(data) < 8:
        raise TruncatedError(f"a model file has at least 8 bytes, this has {len(data)}")
    size = int.from_bytes(data[:8], "little")
    if size > LARGEST_HEADER:
        raise FormatError(
            f"this is no model file: its header would have {size} bytes, more than {LARGEST_HEADER}"
        )
    if len(data) < 8 + size:
        raise TruncatedError(f"the model file's header has {size} bytes, {len(data) - 8} are there")
    header = parse(data[8 : 8 + size], "the model file's header")
    if not isinstance(header, dict):
        raise FormatError("the model file's header is no JSON object")
    return header, 8 + size


def _meta(meta: Any, kind: str) -> Fields:
    found = sorted(meta) if isinstance(meta, dict) else []
    if kind not in found:
        family = kind.partition("/")[0]
        newer = [name for name in found if name.partition("/")[0] == family]
        if newer:
            raise FormatError(f"the model file is {newer[0]!r}, this frazil reads {kind!r}; upgrade frazil")
        raise FormatError(f"the model file holds no {kind!r}; it holds {', '.join(found)[:200] or 'nothing'}")
    if not isinstance(meta[kind], str):
        raise FormatError(f"{kind!r} in the model file is no text")
    return Fields(parse(meta[kind].encode(), kind), kind)


def _tensor(
    name: str, entry: Any, data: bytes, start: int, dtypes: Mapping[str, str]
) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    fields = Fields(entry, f"tensor {name[:80]!r}")
    kind = fields.text("dtype", list(dtypes))
    shape = tuple(fields.wholes("shape", 0, LARGEST_FILE, most=4))
    span = fields.wholes("data_offsets", 0, LARGEST_FILE, most=2)
    fields.done()
    dtype = np.dtype(dtypes[kind])
    size = math.prod(shape)
    if len(span) != 2 or span[1] - span[0] != size * dtype.itemsize:
        raise FormatError(f"{fields.label} of shape {shape} does not fit into its bytes {span}")
    if start + span[1] > len(data):
        raise TruncatedError(f"{fields.label} ends at byte {start + span[1]}, the file at {len(data)}")
    array = np.frombuffer(data, dtype, size, start + span[0]).reshape(shape)
    return array, (span[0], span[1])


def parse(text: bytes, label: str) -> Any:
    """Parse JSON without NaN, infinities or names that stand twice."""

    def pairs(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        items = list(items)
        found = dict(items)
        if len(found) != len(items):
            raise ValueError("a name stands twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    try:
        return json.loads(text.decode(), object_pairs_hook=pairs, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{label} is no JSON: {error}") from error


class Fields:
    """The members of a JSON object, taken one by one and checked; `done` refuses those that are left.

    Examples
    --------
    >>> fields = Fields({"factor": 8}, "the model")
    >>> fields.whole("factor", 1, 64)
    8
    """

    def __init__(self, values: Any, label: str) -> None:
        if not isinstance(values, dict):
            raise FormatError(f"{label} is no JSON object")
        self._left = dict(values)
        self.label = label

    def has(self, name: str) -> bool:
        """Whether a member is there and was not taken."""
        return name in self._left

    def take(self, name: str) -> Any:
        """Take a member of any type."""
        if name not in self._left:
            raise FormatError(f"{self.label} has no {name!r}")
        return self._left.pop(name)

    def done(self) -> None:
        """Refuse members that nobody took."""
        if self._left:
            unknown = str(min(self._left))[:80]
            raise FormatError(f"{self.label} has {unknown!r}, which this frazil does not know")

    def whole(self, name: str, low: int, high: int) -> int:
        """Take a whole number from ``low`` to ``high``."""
        return self._whole(self.take(name), name, low, high)

    def wholes(self, name: str, low: int, high: int, *, most: int) -> list[int]:
        """Take a list of at most ``most`` whole numbers."""
        return [self._whole(value, name, low, high) for value in self.items(name, most)]

    def number(self, name: str, low: float, high: float) -> float:
        """Take a number from ``low`` to ``high``."""
        return self._number(self.take(name), name, low, high)

    def numbers(self, name: str, count: int | None, low: float, high: float) -> tuple[float, ...]:
        """Take a list of ``count`` numbers; of any count if it is None."""
        found = self.items(name, LARGEST_HEADER)
        if count is not None and len(found) != count:
            raise FormatError(f"{self.label} has {len(found)} numbers in {name!r}, {count} are expected")
        return tuple(self._number(value, name, low, high) for value in found)

    def items(self, name: str, most: int) -> list[Any]:
        """Take a list of at most ``most`` things."""
        value = self.take(name)
        if not isinstance(value, list) or len(value) > most:
            raise FormatError(f"{name!r} of {self.label} is no list of at most {most}")
        return value

    def text(self, name: str, allowed: list[str] | None = None) -> str:
        """Take a text, one of ``allowed`` if there are such."""
        value = self.take(name)
        if not isinstance(value, str) or (allowed is not None and value not in allowed):
            wanted = "a text" if allowed is None else " or ".join(map(repr, allowed))
            raise FormatError(f"{name!r} of {self.label} is {wanted}, got {str(value)[:80]!r}")
        return value

    def flag(self, name: str) -> bool:
        """Take true or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise FormatError(f"{name!r} of {self.label} is true or false, got {str(value)[:80]!r}")
        return value

    def fields(self, name: str) -> Fields:
        """Take an object."""
        return Fields(self.take(name), f"{name!r} of {self.label}")

    def mapping(self, name: str) -> dict[str, Any]:
        """Take an object as it is."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise FormatError(f"{name!r} of {self.label} is no JSON object")
        return value

    def _whole(self, value: Any, name: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise FormatError(
                f"{name!r} of {self.label} is a whole number from {low} to {high}, got {str(value)[:80]!r}"
            )
        return value

    def _number(self, value: Any, name: str, low: float, high: float) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not low <= value <= high:
            raise FormatError(
                f"{name!r} of {self.label} is a number from {low:g} to {high:g}, got {str(value)[:80]!r}"
            )
        return float(value)
