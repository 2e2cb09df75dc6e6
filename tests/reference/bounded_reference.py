"""A second, slow reader of Bounded chunks, written from docs/format/bounded.md and the pages that it names.

It shares no code with frazil. Methods are those of the other readers here; what only the library has, base
codecs, is not read.
"""

from __future__ import annotations

import math
import zlib

import interpolation_reference
import masks_reference
import numpy as np
from jp2k_reference import Bytes, crc32c, from_keys, read_container

QUARTERS = (65536, 77935, 92681, 110217)


def unseal(section: bytes) -> bytes:
    payload, check = section[:-2], section[-2:]
    assert crc32c(payload) & 0xFFFF == int.from_bytes(check, "little")
    return payload


class Record:
    """Section B."""

    def __init__(self, section: bytes, dtype: np.dtype):
        source = Bytes(unseal(section))
        first = source.byte()
        self.method, self.limits = first & 15, None
        self.largest = float(np.frombuffer(b"\0\0" + source.take(2), "<f4")[0])
        self.share = source.byte() / 250
        if first & 16:
            self.limits = np.frombuffer(source.take(2 * dtype.itemsize), dtype.newbyteorder("<"))
        self.kind = self.width = None
        if 2 <= self.method <= 5:
            self.kind = source.byte()
            if self.kind == 1:
                self.origin = int.from_bytes(source.take(dtype.itemsize), "little")
            elif self.kind == 8:
                self.shift = source.byte()
                self.origin = int.from_bytes(source.take(dtype.itemsize), "little")
            else:
                ends = np.dtype("<f4" if self.kind & 4 else "<f8")
                self.origin, self.unit = map(float, np.frombuffer(source.take(2 * ends.itemsize), ends))
            self.width = source.varint()
        self.checks = np.frombuffer(source.rest(), "<u2").tolist()

    @property
    def aligned(self) -> bool:
        return self.kind in (2, 6)

    def values(self, numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
        unsigned = np.dtype(f"u{dtype.itemsize}")
        if self.kind == 1:
            return from_keys(
                (self.origin + numbers.astype(object)) % (1 << 8 * dtype.itemsize), dtype, unsigned
            )
        if self.kind == 8:
            top = int(np.finfo(dtype).max.view(unsigned))
            bits = [max(0, min(top, self.origin + (int(k) << self.shift))) for k in numbers.ravel()]
            return np.array(bits, unsigned).view(dtype).reshape(numbers.shape)
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            return np.clip(int(self.origin) + numbers * int(self.unit), info.min, info.max).astype(dtype)
        wide = self.origin + numbers.astype("f8") * self.unit
        return wide.astype("f4").astype(dtype) if dtype == "f2" else wide.astype(dtype)


def widths(record: Record, section: bytes | None, shape, table: bytes):
    """The width of each cell: an int, or an array of ``shape``."""
    if section is None:
        return record.width
    payload = unseal(section)
    head = payload[0]
    n, y, x = shape
    block = 1 << (head & 15)
    blocks = 1 if head & 16 else n, -(-y // block), -(-x // block)
    levels = interpolation_reference.decode(payload[1:], blocks, 1, table=table)
    each = []
    for j in range(121):
        if head & 32:
            each.append(1 << min(j, 28))
        else:
            wide = (record.width * QUARTERS[j % 4] << j // 4) >> 16
            each.append(min(wide if wide % 2 else wide - 1, (1 << 28) - 1))
    coarse = np.array(each)[levels]
    full = coarse.repeat(block, 1).repeat(block, 2)[:, :y, :x]
    return np.broadcast_to(full, shape)


def stored(section: bytes, dtype: np.dtype) -> bytes:
    raw = zlib.decompress(section[1:]) if section[0] else section[1:]
    if section[0] == 2:
        raw = np.frombuffer(raw, "u1").reshape(dtype.itemsize, -1).T.tobytes()
    return raw


def decode(data: bytes, level: int = 0, *, table: bytes, methods=None) -> np.ndarray:
    """Decode a chunk; ``methods[k](payload, shape, dtype, widths, valid, level)`` gives other numbers."""
    shape, dtype, fortran, sections = read_container(data)
    y, x = (1, 1, *shape)[-2:]
    n = math.prod(shape[:-2])
    native, step = dtype.newbyteorder("="), 1 << level
    lengths = (-(-y // step), -(-x // step))[2 - min(len(shape), 2) :]
    if 0 in shape:
        return np.empty(shape[:-2] + lengths, dtype)
    valid, put = None, None
    if "M" in sections:
        unseal(sections["M"])
        valid, put = masks_reference.read(sections["M"], (n, y, x), native)
    planes = decode_planes(sections, (n, y, x), native, level, valid, table, methods or {})
    if put:
        put(planes, step)
    chunk = planes.reshape(shape[:-2] + lengths).astype(dtype)
    return np.asarray(chunk, order="F") if fortran else chunk


def decode_planes(sections, shape, dtype, level, valid, table, methods):  # noqa: C901, PLR0917 - the page in its order
    record, step = Record(sections["B"], dtype), 1 << level
    little = dtype.newbyteorder("<")
    wide = widths(record, sections.get("D"), shape, table)
    if record.method == 0:
        whole = np.frombuffer(stored(sections["R"], dtype), little).reshape(shape)
        planes = whole[:, ::step, ::step].astype(dtype)
    elif record.method == 1:
        planes = np.full(shape, np.frombuffer(sections["K"], little)[0], dtype)[:, ::step, ::step].copy()
    elif record.method in (2, 3):
        numbers = interpolation_reference.decode(
            sections["Q"], shape, wide, valid, level, record.aligned, table
        )
        planes = record.values(numbers, dtype)
    elif record.method == 6:
        planes = methods[6](sections["Q"], shape, dtype, level)
    else:
        numbers = methods[record.method](sections["Q"], shape, dtype, wide, valid, level)
        planes = record.values(numbers, dtype)

    if "S" in sections:
        sign(planes, unseal(sections["S"]), record, wide, shape, valid, level)
    if "E" in sections:
        shifts = np.frombuffer(unseal(sections["E"]), "<f4").astype("f8")
        for plane, by in zip(planes, shifts, strict=True):
            moved = plane.astype("f8") + by
            if dtype.kind in "iu":
                moved = np.trunc(moved).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
            plane[...] = moved
    if record.limits is not None:
        planes = planes.clip(*record.limits.astype(dtype))
    if "P" in sections and (level == 0 or record.method in (1, 2, 3)):
        exact(planes, unseal(sections["P"]), shape, level)
    return planes


def sign(planes, payload, record, wide, shape, valid, level):  # noqa: PLR0917 - what the page names
    from residuals_reference import codes

    valid = np.ones(shape, bool) if valid is None else valid
    if level == 0:
        where = valid
        if record.method in (3, 4) and record.kind in (0, 2, 4, 6):
            where = valid & (abs(planes.astype("f8")) <= (np.asarray(wide) + 4.0) * (record.unit / 2))
        turned = codes(payload, shape, where) == 1
        floating = planes.dtype.kind == "f"
        planes[where & (planes == 0)] = np.finfo(planes.dtype).smallest_subnormal if floating else 1
        planes[turned] = -planes[turned]
    elif record.kind == 8:
        turned = (codes(payload, shape, valid) == 1)[:, :: 1 << level, :: 1 << level]
        planes[turned] = -planes[turned]


def exact(planes, payload, shape, level):
    source = Bytes(payload)
    head = source.varint()
    count, dtype = head >> 1, planes.dtype
    source = Bytes(zlib.decompress(source.rest()) if head & 1 else source.rest())
    gaps = [source.varint() for _ in range(count)]
    raw = source.take(count * dtype.itemsize)
    values = np.frombuffer(
        bytes(raw[b * count + k] for k in range(count) for b in range(dtype.itemsize)),
        dtype.newbyteorder("<"),
    )
    place = -1
    for gap, value in zip(gaps, values, strict=True):
        place += gap + 1
        k, i, j = np.unravel_index(place, shape)
        if (i | j) & ((1 << level) - 1) == 0:
            planes[k, i >> level, j >> level] = value


def method(data: bytes) -> int | None:
    """Return the method of a chunk, None if it has no points."""
    sections = read_container(data)[3]
    return sections["B"][0] & 15 if sections else None


def check_prefixes(data: bytes, table: bytes) -> int:
    """Compare the checks of an interpolation stream with its parts; return how many there are."""
    shape, dtype, _, sections = read_container(data)
    record = Record(sections["B"], dtype)
    y, x = (1, 1, *shape)[-2:]
    stream = sections["Q"]
    decoder = interpolation_reference.Decoder(stream, (1, y, x), 1, None, False, table)
    for level, check in enumerate(record.checks, 1):
        needed = decoder.body + decoder.ends[::-1][level - 1]
        assert crc32c(stream[:needed]) & 0xFFFF == check
    return len(record.checks)
