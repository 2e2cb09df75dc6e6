"""A second, slow reader of JP2K chunks, written from docs/format/container.md and docs/format/jp2k.md alone.

It shares no code with frazil. Of a chunk with missing values it gives back what lies under the mask too. The
codestreams that it assembles are decoded by imagecodecs.
"""

from __future__ import annotations

import math
import struct
import zlib

import imagecodecs
import numpy as np

DTYPES = ["f4", "f8", "i2", "u2", "i4", "u1", "f2"]
NORM_LL = [1.000, 1.965, 4.177, 8.403, 16.90, 33.84]
NORM_HL = [None, 2.022, 3.989, 8.355, 17.04, 34.27]
NORM_HH = [None, 2.080, 3.865, 8.307, 17.18, 34.71]
STEP_LOW = [1.0000, 1.4021, 2.0304, 2.9012, 4.1153, 5.8245]
STEP_HIGH = [None, 1.4425, 1.9669, 2.8839, 4.1475, 5.8946]
GROWTH_LOW = [1.0000, 1.5000, 1.6250, 1.6875, 1.6963, 1.7067]
GROWTH_HIGH = [None, 2.0000, 2.5000, 2.7500, 2.8047, 2.8198]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Bytes:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value += (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


def read_container(data: bytes):
    source = Bytes(data[:-4])
    assert source.take(3) == b"FRZ"
    assert source.byte() >> 4 == 1
    assert source.varint() == len(data)
    assert crc32c(data[:-4]) == int.from_bytes(data[-4:], "little")
    code, rank = source.byte(), source.byte()
    shape = tuple(source.varint() for _ in range(rank))
    dtype = np.dtype((">" if code & 0x80 else "<") + DTYPES[code & 0x3F])
    sections = {}
    while source.at < len(source.data):
        tag = source.byte()
        sections[chr(tag & 0x7F)] = source.rest() if tag & 0x80 else source.take(source.varint())
    return shape, dtype, bool(code & 0x40), sections


def decode(data: bytes, level: int = 0) -> np.ndarray:
    shape, dtype, fortran, sections = read_container(data)
    y, x = (1, 1, *shape)[-2:]
    n = math.prod(shape[:-2])
    native = dtype.newbyteorder("=")
    step = 1 << level
    small = -(-y // step), -(-x // step)
    if 0 in shape:
        planes = np.empty((n, *small), native)
    elif "K" in sections:
        planes = np.full((n, *small), np.frombuffer(sections["K"], dtype.newbyteorder("<"))[0], native)
    elif "R" in sections:
        code, raw = sections["R"][0], sections["R"][1:]
        raw = zlib.decompress(raw) if code else raw
        if code == 2:
            count = len(raw) // native.itemsize
            raw = bytes(raw[b * count + i] for i in range(count) for b in range(native.itemsize))
        planes = (
            np.frombuffer(raw, dtype.newbyteorder("<")).reshape(n, y, x)[:, ::step, ::step].astype(native)
        )
    else:
        planes = packets(sections["S"], sections["J"], (n, y, x), native, level)
    lengths = tuple(small)[2 - min(len(shape), 2) :]
    chunk = planes.reshape(shape[:-2] + lengths).astype(dtype)
    return np.asarray(chunk, order="F") if fortran else chunk


def packets(record: bytes, payload: bytes, shape, dtype, level: int) -> np.ndarray:  # noqa: C901, PLR0915 - the page in its order
    scale = Bytes(record)
    first = scale.byte()
    kind, per_plane = first & 15, bool(first & 16)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    shift = limbs = origin = top = 0
    if kind == 2:
        shift, limbs = scale.byte(), scale.byte()
        origin = int.from_bytes(scale.take(dtype.itemsize), "little")
        top = int.from_bytes(scale.take(dtype.itemsize), "little")
    n, y, x = shape
    components = n * max(limbs, 1)

    source = Bytes(payload)
    flags, bits = source.byte(), source.byte()
    ht, reversible = bool(flags & 1), bool(flags & 2)
    base = np.frombuffer(b"\0\0" + source.take(2), "<f4")[0] if flags == 1 else np.float32(0)
    d = min(5, int(math.log2(min(y, x))))
    lengths = [source.varint() for _ in range(d)]
    checked = payload[: source.at]
    checks = [int.from_bytes(source.take(2), "little") for _ in range(d)]
    body = source.rest()
    for i in range(d):
        part = body[: sum(lengths[: i + 1])]
        assert crc32c(record + checked + part) & 0xFFFF == checks[i]

    whole = kind == 2 and (limbs > 1 or dtype.kind == "f")
    r = 0 if whole else min(level, d)
    if r:
        body = body[: sum(lengths[: d + 1 - r])]
    yy, xx = -(-y // (1 << r)), -(-x // (1 << r))
    stream = codestream(body, (components, yy, xx), bits, d, r, ht, reversible, base)
    if ht:
        samples = imagecodecs.htj2k_decode(stream, planar=True if components > 1 else None)
        if r and reversible and bits == 32:
            samples = samples.view("i4")
        elif r and reversible:
            samples = imagecodecs.jpeg2k_decode(stream, planar=True if components > 1 else None)
    else:
        samples = imagecodecs.jpeg2k_decode(stream, planar=True if components > 1 else None)
    samples = np.asarray(samples).reshape(components, yy, xx).astype("i8")

    if kind in (0, 1):
        planes = linear(scale, kind, per_plane, samples, dtype, 4096 if flags == 1 else 0)
    elif kind == 2:
        numbers = np.zeros((n, yy, xx), object)
        for k in range(components):
            part = np.clip(samples[k], 0, top) if limbs == 1 else samples[k]
            numbers[k // limbs] += part.astype(object) << 16 * (k % limbs)
        planes = from_keys((origin + (numbers << shift)) % (1 << 8 * dtype.itemsize), dtype, unsigned)
    else:
        top = scale.varint()
        start, step = struct.unpack("<dd", scale.take(16))
        table = (start + np.arange(top + 1) * step).astype(dtype)
        nudges = np.zeros(top + 1, object)
        rest = scale.rest()
        listed, at = Bytes(zlib.decompress(rest) if rest else b""), 0
        while listed.at < len(listed.data):
            at += listed.varint()
            nudges[at] = int.from_bytes(listed.take(1), "little", signed=True)
        table = from_keys(to_keys(table, unsigned) + nudges, dtype, unsigned)
        planes = table[np.clip(samples, 0, top)]
    left = 1 << (level - r)
    return planes[:, ::left, ::left]


def linear(  # noqa: PLR0917 - read once, in this order
    scale: Bytes, kind: int, per_plane: bool, samples, dtype, headroom: int
) -> np.ndarray:
    levels = scale.varint()
    statistic = "<f8" if dtype == "f8" else "<f4"
    groups = []
    for _ in range(len(samples) if per_plane else 1):
        if kind == 1:
            scale.take(2 * np.dtype(statistic).itemsize)
        groups.append(
            [float(v) for v in np.frombuffer(scale.take(2 * dtype.itemsize), dtype.newbyteorder("<"))]
        )
    planes = np.empty(samples.shape, dtype)
    for k, plane in enumerate(samples):
        low, high = groups[k if per_plane else 0]
        step = (high - low) / levels
        while low + levels * step > high:
            step = math.nextafter(step, 0)
        values = low + np.clip(plane - headroom, 0, levels).astype("f8") * step
        planes[k] = np.rint(values) if dtype.kind in "iu" else values
    return planes


def to_keys(values: np.ndarray, unsigned) -> np.ndarray:
    bits, sign = values.view(unsigned), 1 << (8 * unsigned.itemsize - 1)
    mask = 2 * sign - 1
    return np.array([(int(b) ^ mask) if int(b) & sign else int(b) | sign for b in bits.ravel()], object)


def from_keys(keys: np.ndarray, dtype, unsigned) -> np.ndarray:
    sign = 1 << (8 * unsigned.itemsize - 1)
    mask = 2 * sign - 1
    if dtype.kind == "u":
        bits = keys
    elif dtype.kind == "i":
        bits = keys ^ sign
    else:
        bits = np.array([(int(k) ^ sign) if int(k) & sign else int(k) ^ mask for k in keys.ravel()], object)
    return bits.astype(unsigned).reshape(keys.shape).view(dtype)


def codestream(body, shape, bits, d, r, ht, reversible, base) -> bytes:  # noqa: PLR0917 - the page's letters
    n, y, x = shape
    bands = [("LL", d)] + [(band, level) for level in range(d, 0, -1) for band in ("HL", "LH", "HH")]
    growth = [bits + math.ceil(math.log2(gain(GROWTH_LOW, GROWTH_HIGH, *band))) for band in bands]
    guard = max(1, max(growth) - 31) if ht and reversible else 1 if ht else 2
    if reversible and ht:
        fields = [(e - guard) << 3 for e in growth]
    elif reversible:
        fields = [(bits + {"LL": 0, "HL": 1, "LH": 1, "HH": 2}[band]) << 3 for band, _ in bands]
    elif ht:
        fields = [ht_field(base, *band) for band in bands]
    else:
        fields = [ebcot_field(bits, *band) for band in bands]
    d -= r
    fields = fields[: 3 * d + 1]
    form, style = ("B", 0) if reversible else ("H", 2)

    def segment(marker: int, contents: bytes) -> bytes:
        return struct.pack(">HH", marker, len(contents) + 2) + contents

    out = b"\xff\x4f"
    size = struct.pack(">HIIIIIIIIH", 0x4000 if ht else 0, x, y, 0, 0, x, y, 0, 0, n)
    out += segment(0xFF51, size + bytes([bits - 1, 1, 1]) * n)
    if ht:
        if reversible:
            bound = max(f >> 3 for f in fields) + guard - 1
        else:
            bound = max((f >> 11) + 1 - (d - (i - 1) // 3 if i else d) for i, f in enumerate(fields))
        low = 0 if bound <= 8 else bound - 8 if bound < 28 else 13 + bound // 4 if bound < 48 else 31
        out += segment(0xFF50, struct.pack(">IH", 0x00020000, low + (0 if reversible else 0x20)))
    cod = struct.pack(">BBHBBBBBB", 0, 2, 1, 0, d, 4, 4, 0x40 if ht else 0, int(reversible))
    out += segment(0xFF52, cod)
    out += segment(0xFF5C, bytes([guard << 5 | style]) + struct.pack(f">{len(fields)}{form}", *fields))
    out += struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14 + len(body), 0, 1, 0xFF93)
    return out + body + b"\xff\xd9"


def gain(low, high, band: str, level: int, kind=float):
    a = kind(low[level] if band == "LL" else high[level])
    b = kind(high[level] if band == "HH" else low[level])
    return a * b


def ht_field(base, band: str, level: int) -> int:
    delta, exponent = np.float32(base) / gain(STEP_LOW, STEP_HIGH, band, level, np.float32), 0
    while delta < 1:
        delta, exponent = delta * np.float32(2), exponent + 1
    return exponent << 11 | min(math.floor(float(delta) * 2048 + 0.5) - 2048, 2047)


def ebcot_field(bits: int, band: str, level: int) -> int:
    norm = {"LL": NORM_LL, "HL": NORM_HL, "LH": NORM_HL, "HH": NORM_HH}[band][level]
    fixed = math.floor(8192 / norm)
    p = int(math.log2(fixed))
    mantissa = (fixed << 11 >> p) - 2048
    return (bits - (p - 13)) << 11 | mantissa
