"""A second, slow reader of latent and codeword chunks, written from docs/format/latent.md and codeword.md.

It shares no code with frazil. Model files, the coders of latents and indices, and bounded chunks are read by
the other readers here.
"""

from __future__ import annotations

import math

import bounded_reference
import indices_reference
import intdec_reference
import masks_reference
import numpy as np
import residuals_reference
import wavelet_reference
from jp2k_reference import Bytes, crc32c, read_container

POINTS = -2


def model_of(configuration: dict) -> intdec_reference.Decoder:
    """The decoder that stands in a codec's configuration."""
    model = configuration["model"]
    return intdec_reference.from_inline(model["inline"], model["digest"])


class Reader:
    """Reads the chunks of one model; ``tables`` are those of the coders of bounded chunks, by number."""

    def __init__(self, decoder: intdec_reference.Decoder, table: bytes = b"", tables: dict | None = None):
        self.decoder, self.table, self.tables = decoder, table, tables or {}
        meta = decoder.meta
        self.axis, self.factor, self.channels = meta["axis"], meta["factor"], meta["channels"]
        self.inputs, self.size = meta["inputs"], meta.get("size")
        self.states = {name: array for name, array in decoder.tensors.items() if name.startswith("coder.")}

    def decode(self, data: bytes, level: int = 0) -> np.ndarray:
        shape, dtype, fortran, sections = read_container(data)
        step, native = 1 << level, dtype.newbyteorder("=")
        moved = self.moved(shape)
        small = moved[:-2] + tuple(-(-length // step) for length in moved[max(len(moved) - 2, 0) :])
        if 0 in shape:
            planes = np.empty(small, dtype)
        else:
            y, x = (1, 1, *moved)[-2:]
            planes = self.planes(sections, (math.prod(moved[:-2]), y, x), native, level)
        chunk = planes.reshape(small)
        if self.axis == POINTS and len(shape) > 1:
            chunk = chunk[..., 0, :]
        elif moved != shape or (self.axis < -3 and len(shape) >= -self.axis):
            chunk = np.moveaxis(chunk, -3, self.axis)
        chunk = chunk.astype(dtype)
        return np.asarray(chunk, order="F") if fortran else chunk

    def moved(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the chunk with the axis of the channels before y and x."""
        if self.axis == POINTS and len(shape) > 1:
            return (*shape[:-1], 1, shape[-1])
        if self.axis > -3 or len(shape) < -self.axis:
            return shape
        rest = list(shape)
        channels = rest.pop(self.axis)
        return (*rest[:-2], channels, *rest[-2:])

    def planes(self, sections, shape, dtype, level):
        step, valid, put = 1 << level, None, None
        if "M" in sections:
            bounded_reference.unseal(sections["M"])
            valid, put = masks_reference.read(sections["M"], shape, dtype)
        if "B" in sections:
            rest = valid, self.table, self.methods(sections, dtype)
            planes = bounded_reference.decode_planes(sections, shape, dtype, level, *rest)
        elif "K" in sections:
            value = np.frombuffer(sections["K"], dtype.newbyteorder("<"))[0]
            planes = np.full(shape, value, dtype)[:, ::step, ::step].copy()
        else:
            planes = self.values(sections, shape, dtype)[:, ::step, ::step].copy()
        if put:
            put(planes, step)
        return planes

    def values(self, sections, shape, dtype):
        """What a section L or C decodes to."""
        n, y, x = shape
        f = self.factor
        assert n % self.channels == 0
        images = n // self.channels
        h, w = (1, -(-x // f**2)) if self.axis == POINTS else (-(-y // f), -(-x // f))
        payload = sections["C" if self.size else "L"]
        check, source = payload[:2], Bytes(payload[2:])
        whole = images, self.inputs, h, w
        if self.size:
            first = indices_reference.decode(source.rest(), whole, self.size, self.states or None)
        else:
            import latent_coder_reference

            q = source.varint()
            assert 1 <= q <= 1 << 12
            numbers = latent_coder_reference.decode(source.rest(), whole, self.states or None, q)
            first = np.stack([self.decoder.latents(image, q) for image in numbers])
        outputs = np.stack([self.decoder.run(image) for image in first])
        assert crc32c(outputs.astype("<i4").tobytes()) & 0xFFFF == int.from_bytes(check, "little")
        planes = []
        for output in outputs:
            if self.axis == POINTS:
                k = np.arange(x)
                output = output[:, k % f**2 // f, f * (k // f**2) + k % f][:, None]  # noqa: PLW2901
            planes.extend(self.decoder.values(output[:, :y, :x], dtype.str))
        return np.array(planes, dtype)

    def methods(self, sections, dtype):
        """Numbers of the methods of a bounded chunk."""
        record = bounded_reference.Record(sections["B"], dtype)

        def wavelet(payload, shape, dtype, widths, valid, level):  # noqa: PLR0917 - all are told the same
            return wavelet_reference.decode(payload, shape, widths, valid, self.tables, level)

        def context(payload, shape, dtype, widths, valid, level):  # noqa: PLR0917 - as above
            wide = np.dtype("f4") if dtype == "f2" else dtype

            def rerun(encoded, level):
                base = self.planes(residuals_reference.sections(encoded), shape, wide, level)
                return residuals_reference.numbers_on_line(base, record.origin, record.unit)

            aligned = record.aligned
            return residuals_reference.context(
                payload, shape, widths, valid, level, rerun=rerun, aligned=aligned
            )

        return {4: wavelet, 5: context, 6: residuals_reference.mask}
