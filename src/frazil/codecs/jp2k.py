"""JPEG 2000 (ISO/IEC 15444-1) and HTJ2K (ISO/IEC 15444-15) for planes of any number type."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from frazil import container, stored
from frazil.codecs.base import MASK, PlaneCodec
from frazil.errors import ConfigurationError, FormatError, NoRoomError, TruncatedError, UnsupportedArrayError
from frazil.jpeg2000 import decoding, section
from frazil.jpeg2000.codestream import MAX_COMPONENTS
from frazil.planes import stack_shape
from frazil.scaling import Scale, fit, unpack
from frazil.sealing import seal, take, unseal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from frazil.container import Sections
    from frazil.masks import Valid

SCALE, GROUPS, STREAM, CONSTANT, RAW = "S", "g", "J", "K", "R"


@dataclass(frozen=True, kw_only=True)
class JP2K(PlaneCodec):
    """JPEG 2000 at a chosen ratio or quality, low resolutions readable from the same bytes.

    Give one of ``ratio``, ``psnr`` and ``reversible``.

    Parameters
    ----------
    ratio : float, optional
        Bytes of the chunk over bytes of its encoding, everything counted, more
        than 1. The planes of a chunk share the bytes: rough ones get more. The
        c-ratio of studies on 16-bit samples is half of it for float32.
    psnr : float, optional
        Peak signal-to-noise ratio in dB over all planes of the chunk, 10 to
        120: 20 log10(range / RMSE), with the range that is scaled to integers.
    reversible : bool, default False
        Bit-exact.
    coder : {"ebcot", "ht"}
        Block coder. "ht" encodes large chunks some eight to ten times faster,
        small or masked ones three to five, and decodes two to seven times
        faster. At equal bytes its RMSE is larger: for float32 by some 6 % at
        ratio 100, 12 % at 32 and a third at 8. Planes with a side below 16 go
        to "ebcot" in any case.
    scaling : {"minmax", "standard"}
        How values become integers: by the extremes, or by mean and standard
        deviation with ``clip``.
    clip : float, optional
        With "standard": values further than ``clip`` standard deviations from
        the mean are cut off there. By default none is.
    per : {"chunk", "plane"}
        One scale for the chunk, or one for each plane. "chunk" has the smaller
        RMSE over all planes, "plane" keeps the relative error alike where the
        planes' ranges differ by orders of magnitude.
    missing : float, optional
        See `PlaneCodec`.

    Raises
    ------
    ConfigurationError
        If the settings contradict each other or are out of range.

    Notes
    -----
    EBCOT by OpenJPEG, HT by OpenJPH. Ratios are met within 5 % by chunks of
    256 x 256 points and more, unless the data need less for all their bits.
    Smaller ones reach high ratios less closely, since 60 to 100 bytes are
    fixed; where the values themselves take no more bytes than the encoding,
    they are stored as they are. Decoded values stay within the range of those
    that were encoded.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:256, :256] / 256
    >>> field = (280 + 20 * np.sin(5 * y) * np.cos(7 * x)).astype("f4")
    >>> codec = JP2K(ratio=100)
    >>> encoded = codec.encode(field)
    >>> bool(field.nbytes / len(encoded) >= 100)
    True
    >>> bool(abs(codec.decode(encoded) - field).max() < 0.1)
    True
    """

    codec_id: ClassVar[str] = "frazil.jp2k"
    ratio: float | None = None
    psnr: float | None = None
    reversible: bool = False
    coder: Literal["ebcot", "ht"] = "ebcot"
    scaling: Literal["minmax", "standard"] = "minmax"
    clip: float | None = None
    per: Literal["chunk", "plane"] = "chunk"

    def __post_init__(self) -> None:
        """Check the configuration."""
        given = [f"{k}=" for k in ("ratio", "psnr", "reversible") if getattr(self, k)]
        if len(given) > 1:
            raise ConfigurationError(
                f"JP2K takes one of ratio=, psnr= and reversible=, got {' and '.join(given)}"
            )
        if self.ratio is not None and not 1 < self.ratio < 1e6:
            raise ConfigurationError(
                f"ratio is bytes in over bytes out, more than 1 (up to 1e6), got {self.ratio!r}"
            )
        if self.psnr is not None and not 10 <= self.psnr <= 120:
            raise ConfigurationError(f"psnr is in dB, 10 to 120, got {self.psnr!r}")
        for name, allowed in (
            ("coder", ("ebcot", "ht")),
            ("scaling", ("minmax", "standard")),
            ("per", ("chunk", "plane")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name} is {' or '.join(map(repr, allowed))}, got {getattr(self, name)!r}"
                )
        if self.clip is not None and (self.scaling != "standard" or not 0 < self.clip < 1e6):
            raise ConfigurationError(
                f"clip is in standard deviations and needs scaling='standard', got {self.clip!r}"
            )

    @property
    def lossless(self) -> bool:
        """Whether every chunk comes back bit for bit."""
        return self.reversible

    def encode_planes(self, planes: npt.NDArray[Any], *, spent: int, valid: Valid | None = None) -> Sections:
        """Write the scale (S) and the packets (J); or the one value (K); or the values (R)."""
        bits = planes.view(f"u{planes.dtype.itemsize}")
        if (bits[:, 0] == bits[0, 0, 0]).all() and (bits == bits[0, 0, 0]).all():
            return {CONSTANT: stored.one(planes)}
        if len(planes) > MAX_COMPONENTS:
            raise UnsupportedArrayError(
                f"a chunk of {len(planes)} planes is more than JPEG 2000 holds ({MAX_COMPONENTS}); "
                "choose chunks with shorter leading axes"
            )
        coded = None
        with suppress(NoRoomError):
            coded = self._code(planes, spent, valid)
        if coded is not None:
            record = coded.scale.pack(planes.dtype)
            groups = {GROUPS: seal(coded.pack_groups())} if coded.groups else {}
            sections = {SCALE: record} | groups | {STREAM: coded.pack(record)}
        size = planes.nbytes if coded is None else sum(map(len, sections.values())) + 3
        # Bits of floats that change sign make no smooth planes: their bytes, deflated, can be fewer.
        if size >= planes.nbytes or (self.reversible and size > planes.nbytes // 2):
            raw = stored.write(planes)
            if len(raw) < size or size >= planes.nbytes:
                return {RAW: raw}
        return sections

    def bytes_needed(self, prefix: bytes, level: int) -> int:
        """How many of a container's first bytes `decode_prefix` needs for ``level``; see `PlaneCodec`.

        Where the prefix ends before the packets' index, at least so many that it does not.
        """
        head = container.peek(prefix)
        if level == 0 or head.total <= len(prefix):
            return head.total
        if head.spans.keys() & {CONSTANT, RAW}:
            return head.total
        if not head.spans.keys() >= {SCALE, STREAM}:
            known = max((stop for _, stop in head.spans.values()), default=len(prefix))
            return min(max(known, len(prefix)) + 256, head.total)
        shape = stack_shape(head.spec.shape)
        (first, last), (start, _) = head.spans[SCALE], head.spans[STREAM]
        scale = unpack(bytes(prefix[first:last]), shape[0], head.spec.dtype)
        try:
            stream = section.read_head(prefix[start:], section.stacked(shape, scale))
        except TruncatedError:
            return min(len(prefix) + 256, head.total)
        direct = decoding.direct_level(stream.layout, scale, head.spec.dtype, level)
        return start + stream.stop(direct) if direct else head.total

    @classmethod
    def codestream(cls, buf: Any) -> bytes:
        """Return the chunk's JPEG 2000 codestream with all its headers, which any decoder reads.

        One component a plane (or limb), one tile-part a resolution, a TLM
        marker. What its samples mean is in the scaling record (section ``S``).

        Raises
        ------
        FormatError
            If the chunk holds no codestream: constant chunks and those stored as they are have none.

        """
        spec, sections = container.unpack(bytes(memoryview(buf)))
        record = take(sections, SCALE, cls.codec_id)
        shape = stack_shape(spec.shape)
        scale = unpack(record, shape[0], spec.dtype)
        return section.whole_stream(take(sections, STREAM, cls.codec_id), section.stacked(shape, scale))

    @staticmethod
    def from_codestream(
        stream: bytes, *, spec: container.ChunkSpec, scale: Scale, mask: bytes = b""
    ) -> bytes:
        """Make a chunk of a codestream that `codestream` returned; the inverse of it, bit for bit.

        Parameters
        ----------
        stream : bytes
            The codestream.
        spec : ChunkSpec
            Of the chunk.
        scale : Linear or Exact
            What the samples mean.
        mask : bytes
            Section ``M`` of the chunk, empty if nothing is missing.

        Raises
        ------
        FormatError
            If the codestream is damaged or is not laid out as frazil lays them out.

        """
        coded = section.adopt(stream, section.stacked(stack_shape(spec.shape), scale), scale)
        record = scale.pack(spec.dtype)
        sections = {MASK: mask} if mask else {}
        return container.pack(spec, sections | {SCALE: record, STREAM: coded.pack(record)})

    def _code(self, planes: npt.NDArray[Any], spent: int, valid: Valid | None) -> section.Coded | None:
        from frazil.jpeg2000 import exact, rate

        ht = self.coder == "ht"
        if self.reversible:
            return exact.encode(planes, ht=ht, valid=valid)
        if self.psnr is None and self.ratio is None:
            raise ConfigurationError("JP2K needs a rate to encode: give ratio=, psnr= or reversible=True")
        wide = planes.astype("f4") if planes.dtype == "f2" else planes
        scale = fit(wide, kind=self.scaling, per=self.per, clip=self.clip, dtype=planes.dtype)
        budget = None if self.ratio is None else int(planes.nbytes / self.ratio) - spent
        return rate.encode(wide, scale, ht=ht, budget=budget, psnr=self.psnr, valid=valid)

    def decode_planes(
        self,
        sections: Sections,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        level: int = 0,
        *,
        valid: Valid | None = None,  # noqa: ARG002 - missing points were filled in
    ) -> npt.NDArray[Any]:
        """Invert `encode_planes` up to the loss, at 1/2**level of the resolution."""
        unknown = [t for t in sections if t.isupper() and t not in (SCALE, STREAM, CONSTANT, RAW)]
        if unknown:
            raise FormatError(f"the chunk holds section {unknown[0]!r}; upgrade frazil to read this array")
        grid = (slice(None), slice(None, None, 1 << level), slice(None, None, 1 << level))
        if CONSTANT in sections:
            return stored.constant(sections[CONSTANT], shape, dtype)[grid].copy()
        if RAW in sections:
            return stored.read(sections[RAW], shape, dtype)[grid].copy()
        record = take(sections, SCALE, self.codec_id)
        scale = unpack(record, shape[0], dtype)
        packets = take(sections, STREAM, self.codec_id)
        groups = unseal(sections[GROUPS]) if GROUPS in sections else b""
        return decoding.decode(scale, record, packets, shape, dtype, level, groups)
