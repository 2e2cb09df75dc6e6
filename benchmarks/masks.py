"""Masks against general coders, and the smooth fill of gaps against a constant one.

    python benchmarks/masks.py [--write]

The bytes of a mask are those of a chunk's section M, its check included. JPEG XL codes each distinct mask of
the chunk without loss (pixels 0 and 1, and 0 and 255; efforts 1 to 9), LZMA all of them, eight points a byte;
the smallest result counts. The fill is compared through the same codec: the field with NaN, and the field
whose gaps are the mean of the others, with as many bytes as the mask leaves.
"""

from __future__ import annotations

import argparse
import lzma
import math
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
from fields import Field, described, read
from reference import rmse
from tables import publish, table
from timing import compare, machine

import frazil
from frazil import container
from frazil.planes import to_planes

if TYPE_CHECKING:
    from collections.abc import Callable

RATIOS = (8, 32, 100)
EFFORTS = range(1, 10)


def distinct(field: Field) -> list[np.ndarray]:
    """Return the masks of the planes, each once."""
    planes = ~to_planes(field.valid)
    return list({plane.tobytes(): plane for plane in planes}.values())


def jpegxl(masks: list[np.ndarray]) -> int:
    """Sum the smallest lossless encodings."""
    return sum(
        min(
            len(imagecodecs.jpegxl_encode(mask.astype("u1") * top, lossless=True, effort=effort))
            for top in (1, 255)
            for effort in EFFORTS
        )
        for mask in masks
    )


def lzma_size(masks: list[np.ndarray]) -> int:
    packed = b"".join(np.packbits(mask, axis=1).tobytes() for mask in masks)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    return len(lzma.compress(packed, format=lzma.FORMAT_RAW, filters=filters))


def mask_row(field: Field, repeats: int) -> list[object]:
    from frazil import masks

    planes = to_planes(field.values)
    _, payload = masks.split(planes, [])
    ours = len(container.unpack(frazil.JP2K(ratio=32).encode(field.values))[1]["M"])
    some = distinct(field)
    filled = planes.copy()
    times = compare(
        repeats,
        split=lambda: masks.split(planes, []),
        join=lambda: masks.join(filled, payload, planes.shape, 0),
    )
    others = [jpegxl(some), lzma_size(some)]
    per = 1e3 / field.megapixels
    return [
        field.name,
        f"{1 - field.valid.mean():.0%}",
        len(some),
        ours,
        *others,
        f"{ours / min(others):.2f}",
        f"{times.seconds('split') * per:.1f}",
        f"{times.seconds('join') * per:.2f}",
    ]


def constant(field: Field) -> np.ndarray:
    """Give the gaps the mean of the others."""
    values = field.values
    return np.where(field.valid, values, values[field.valid].mean(dtype="f8")).astype(values.dtype)


def fill_row(field: Field, ratio: int, coder: str) -> list[object]:
    data = frazil.JP2K(ratio=ratio, coder=coder).encode(field.values)
    smooth = rmse(field.values, frazil.JP2K(ratio=ratio, coder=coder).decode(data), field.valid)
    mask, flat = len(container.unpack(data)[1]["M"]) + 3, constant(field)

    def with_constant(size: float) -> tuple[int, float]:
        codec = frazil.JP2K(ratio=max(field.values.nbytes / max(size - mask, 32), 1.5), coder=coder)
        encoded = codec.encode(flat)
        return len(encoded) + mask, rmse(field.values, codec.decode(encoded), field.valid)

    size = float(len(data))
    for _ in range(8):
        got, error = with_constant(size)
        if abs(got / len(data) - 1) < 0.005:
            break
        size *= len(data) / got
    if not smooth:  # the ratio leaves room for every bit
        return [field.name, coder, ratio, "exact", f"{error:.4g}", "0", "-"]
    equal, last = _until(with_constant, smooth, float(len(data)), field.values.nbytes / 2)
    more = ">" if last > 1.01 * smooth else ""
    return [
        field.name,
        coder,
        ratio,
        f"{smooth:.4g}",
        f"{error:.4g}",
        f"{smooth / error:.3f}",
        f"{more}{equal / len(data):.2f}",
    ]


def _until(
    encode: Callable[[float], tuple[int, float]], error: float, low: float, most: float
) -> tuple[int, float]:
    """Find the fewest bytes at which ``encode`` has ``error`` to 1 %, else ``most``: (bytes, error)."""
    tried = [encode(low)]
    high = low
    while tried[-1][1] > error and high < most:
        low, high = high, min(high * 1.5, most)
        tried.append(encode(high))
    for _ in range(12):
        middle = math.sqrt(low * high)
        tried.append(encode(middle))
        if abs(tried[-1][1] / error - 1) < 0.01 or high / low < 1.002:
            break
        low, high = (middle, high) if tried[-1][1] > error else (low, middle)
    return min((got for got in tried if got[1] <= 1.01 * error), default=max(tried))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="fields whose name contains this")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    options = parser.parse_args()
    masked = [field for field in read() if field.masked and options.only in field.name]
    publish("masks: setting", f"Of {described()}, the masked ones. {machine()}", write=options.write)
    publish(
        "masks: bytes",
        table(
            [
                "field",
                "missing",
                "masks",
                "frazil",
                "JPEG XL",
                "LZMA",
                "over the smaller",
                "split, ms/MP",
                "join, ms/MP",
            ],
            [mask_row(field, options.repeats) for field in masked],
        ),
        write=options.write,
    )
    rows = [
        fill_row(f, ratio, coder)
        for f in masked
        if not f.points
        for coder in ("ebcot", "ht")
        for ratio in RATIOS
    ]
    header = [
        "field",
        "coder",
        "ratio",
        "RMSE smooth",
        "RMSE constant",
        "smooth over constant",
        "bytes for equal RMSE",
    ]
    publish("masks: fill", table(header, rows), write=options.write)


if __name__ == "__main__":
    main()
