"""An integer decoder written from docs/format/intdec.md alone: slow, in 64-bit integers, without frazil."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib

import numpy as np

TYPES = {"I8": "<i1", "I16": "<i2", "I32": "<i4", "U8": "<u1", "U16": "<u2", "U32": "<u4"}


class Decoder:
    """A decoder's file."""

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        self.digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.meta = json.loads(header.pop("__metadata__")["intdec/1"])
        self.tensors = {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            part = data[8 + size + first : 8 + size + last]
            self.tensors[name] = (
                np.frombuffer(part, TYPES[entry["dtype"]]).reshape(entry["shape"]).astype(np.int64)
            )

    def latents(self, numbers: np.ndarray, step: int) -> np.ndarray:
        """Numbers (inputs, h, w) times their step, clamped."""
        limits = self.tensors[self.meta["limits"]][:, None, None]
        return np.minimum(np.maximum(numbers.astype(np.int64) * step, -limits), limits)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Value 0 (inputs, h, w) to the output (C, h * factor, w * factor)."""
        values = [x.astype(np.int64)]
        for layer in self.meta["layers"]:
            sources = layer["from"] if isinstance(layer["from"], list) else [layer["from"]]
            values.append(getattr(self, layer["op"])(layer, *(values[source] for source in sources)))
        return values[-1]

    def conv(self, layer, x):
        weight, bias, shift = (self.tensors[layer[name]] for name in ("weight", "bias", "shift"))
        outputs, _, k, _ = weight.shape
        _, h, w = x.shape
        padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        sums = np.zeros((outputs, h, w), np.int64)
        for o in range(outputs):
            for i in range(k):
                for j in range(k):
                    sums[o] += (weight[o, :, i, j, None, None] * padded[:, i : i + h, j : j + w]).sum(0)
            sums[o] = (sums[o] + bias[o] + ((1 << shift[o]) >> 1)) >> shift[o]
        return np.minimum(np.maximum(sums, layer["low"]), layer["high"])

    def leaky(self, layer, x):
        s = layer["shift"]
        return np.where(x >= 0, x, (x + ((1 << s) >> 1)) >> s)

    def add(self, layer, a, b):
        return np.minimum(np.maximum(a + b, layer["low"]), layer["high"])

    def shuffle(self, layer, x):
        f = layer["factor"]
        channels, h, w = x.shape
        made = np.zeros((channels // (f * f), h * f, w * f), np.int64)
        for c in range(len(made)):
            for i in range(f):
                for j in range(f):
                    made[c, i::f, j::f] = x[c * f * f + i * f + j]
        return made

    def lookup(self, layer, indices):
        table = self.tensors[layer["table"]]
        heads, _, depth = table.shape
        made = np.zeros((heads * depth, *indices.shape[1:]), np.int64)
        for a in range(heads):
            for b in range(depth):
                made[a * depth + b] = table[a, :, b][indices[a]]
        return made

    def values(self, output: np.ndarray, dtype: str) -> np.ndarray:
        """Output as values of the array's type."""
        rows = zip(output, self.meta["offset"], self.meta["scale"], strict=True)
        real = np.stack([offset + scale * row.astype(np.float64) for row, offset, scale in rows])
        if np.dtype(dtype).kind == "f":
            return real.astype(dtype)
        info = np.iinfo(dtype)
        high = float(info.max) if float(info.max) <= info.max else np.nextafter(float(info.max), 0)
        return np.clip(np.round(real), float(info.min), high).astype(dtype)

    def certificates(self) -> list[tuple[int, bool]]:
        """Peak and wide of each convolution, in Python's integers."""
        size = self.meta.get("size")
        if size is None:
            first = [(-int(limit), int(limit)) for limit in self.tensors[self.meta["limits"]]]
        else:
            first = [(0, size - 1)] * self.meta["inputs"]
        values, found = [first], []
        for layer in self.meta["layers"]:
            if layer["op"] == "conv":
                peak, value = self.bounds_of_conv(layer, values[layer["from"]])
                found.append((peak, peak >= 1 << 24))
            elif layer["op"] == "leaky":
                s = layer["shift"]
                value = [
                    tuple(end if end >= 0 else (end + ((1 << s) >> 1)) >> s for end in interval)
                    for interval in values[layer["from"]]
                ]
            elif layer["op"] == "add":
                a, b = (values[source] for source in layer["from"])
                value = [
                    tuple(min(max(p + q, layer["low"]), layer["high"]) for p, q in zip(m, n, strict=True))
                    for m, n in zip(a, b, strict=True)
                ]
            elif layer["op"] == "shuffle":
                old, area = values[layer["from"]], layer["factor"] ** 2
                groups = [old[at : at + area] for at in range(0, len(old), area)]
                value = [(min(low for low, _ in group), max(high for _, high in group)) for group in groups]
            else:
                table = self.tensors[layer["table"]]
                value = [(int(table[a, :, b].min()), int(table[a, :, b].max())) for a in range(len(table))
                         for b in range(table.shape[2])]  # fmt: skip
            values.append(value)
        return found

    def bounds_of_conv(self, layer, intervals):
        weight, bias, shift = (self.tensors[layer[name]] for name in ("weight", "bias", "shift"))
        peaks, value = [], []
        for rows, add, s in zip(weight, bias.tolist(), shift.tolist(), strict=True):
            half = (1 << s) >> 1
            peak, low, high = abs(add) + half, add + half, add + half
            for row, (least, most) in zip(rows, intervals, strict=True):
                up = sum(w for w in row.ravel().tolist() if w > 0)
                down = sum(w for w in row.ravel().tolist() if w < 0)
                peak += (up - down) * max(abs(least), abs(most))
                if weight.shape[2] == 3:
                    least, most = min(least, 0), max(most, 0)  # noqa: PLW2901
                low += up * least + down * most
                high += up * most + down * least
            peaks.append(peak)
            value.append(tuple(min(max(end >> s, layer["low"]), layer["high"]) for end in (low, high)))
        return max(peaks), value

    def golden(self) -> bool:
        """Whether the golden output is what the file says."""
        golden = self.meta["golden"]
        output = self.run(self.tensors[golden["input"]])
        return hashlib.sha256(output.astype("<i4").tobytes()).hexdigest() == golden["sha256"]


def from_inline(text: str, digest: str) -> Decoder:
    """A decoder that stands in a configuration."""
    decoder = Decoder(zlib.decompress(base64.b85decode(text)))
    assert decoder.digest == digest
    return decoder
