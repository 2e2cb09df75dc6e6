"""What `Latent` and `Codeword` share: models, channels, blocks, and the way out where a model does not fit.

A chunk (..., y, x) becomes images (n, C, y, x): the model says which axis holds
its C channels. Images are padded to whole blocks, encoded, coded as whole
numbers, decoded, and compared. What is further off than the model is trusted
to be is written by `Bounded` instead, whose sections (``B`` and so on) a chunk then holds.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import google_crc32c
import numpy as np

from frazil import masks, stored
from frazil.codecs.base import MASK, PlaneCodec
from frazil.errors import ChecksumError, ConfigurationError, FormatError, NoRoomError, UnsupportedArrayError
from frazil.models.reference import ModelReference
from frazil.planes import from_planes, reduced, stack_shape, to_planes
from frazil.sealing import take, unseal

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.bounds import Bound
    from frazil.codecs.bounded import Bounded
    from frazil.container import ChunkSpec, Sections
    from frazil.masks import Valid
    from frazil.models.encoder import Encoder
    from frazil.models.store import Model

    Ints = npt.NDArray[np.int32]

CONSTANT, GUARANTEE = "K", "B"
POINTS = -2  # an axis of channels right before the last, which counts points
PATCH = 32  # points: errors are compared with what the model is trusted to keep in squares of this side
FAR = 1e4  # standard deviations beyond which a value is as far as can be


@dataclass(frozen=True, kw_only=True)
class LearnedCodec(PlaneCodec):
    """Base class of codecs with a model.

    Parameters
    ----------
    model : str or path or Model
        A shipped model's name (`frazil.list_models`), a file, ``"sha256:..."``, or a model.
        The array's metadata hold the digest, and the decoder itself if it takes up to 256 kB.
    bound : float or str, optional
        |decoded - original| <= bound at every point, as for `Bounded`.
    missing : float, optional
        See `PlaneCodec`.
    """

    model: Any
    bound: float | str | None = None
    bound_is_optional: ClassVar[bool] = True
    section: ClassVar[str]
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        """Turn the model into a reference, and check the bound."""
        object.__setattr__(self, "model", ModelReference.of(self.model))
        if self.bound is not None:
            object.__setattr__(self, "bound", self.guarded.bound)

    def __hash__(self) -> int:
        """Hash the settings."""
        return hash((self.codec_id, *(getattr(self, name) for name in self.__dataclass_fields__)))

    # -- what a subclass supplies ---------------------------------------------------------------------------

    @abstractmethod
    def _write(self, images: npt.NDArray[np.float64], model: Model) -> tuple[bytes, Ints]:
        """Code ``images`` (n, C, y, x); return the payload and what the decoder starts from."""

    @abstractmethod
    def _read(self, payload: bytes, shape: tuple[int, int, int], model: Model) -> tuple[Ints, Ints]:
        """Read the whole numbers for ``shape`` (n, y, x) of blocks, and what the decoder starts from."""

    # -- the model ------------------------------------------------------------------------------------------

    @cached_property
    def found(self) -> Model:
        """The model; looked for when the first chunk needs it.

        Raises
        ------
        MissingModelError
            With the digest and every place that was tried.
        ConfigurationError
            If it is a model of another kind.
        """
        model: Model = self.model.find()
        if model.decoder.kind != self.kind:
            raise ConfigurationError(
                f"{self.codec_id} takes models of kind {self.kind!r}, {model.name} is of kind "
                f"{model.decoder.kind!r}"
            )
        return model

    @cached_property
    def encoder(self) -> Encoder:
        """The model's encoder, which only writers need.

        Raises
        ------
        MissingModelError
            If there is none at hand: arrays bring their decoder with them, not the encoder.
        """
        encoder: Encoder = self.found.encoder or self.model.find_encoder()
        return encoder

    @property
    def plain(self) -> LearnedCodec:
        """The same codec without a bound."""
        return replace(self, bound=None)

    @cached_property
    def guarded(self) -> Bounded:
        """The bounded codec around this one."""
        from frazil.codecs.bounded import Bounded

        if self.bound is None:
            return Bounded(bound="array", missing=self.missing)
        return Bounded(bound=self.bound, base=self.plain, missing=self.missing)

    @property
    def limit(self) -> Bound:
        """The bound, parsed; of a codec that has one."""
        return self.guarded.limit

    @property
    def wants_bounds(self) -> bool:
        """Whether the bounds are an array, given beside the data."""
        return self.bound is not None and self.guarded.wants_bounds

    def sentinels(self, fill_value: Any = None) -> list[Any]:
        """Values that come back bit for bit: with a bound, those of `Bounded`."""
        return super().sentinels(fill_value) if self.bound is None else self.guarded.sentinels(fill_value)

    def reduced_meaning(self, level: int) -> str:
        """Say what the samples of ``level`` are."""
        return f"every {1 << level}th point in y and x of the decoded field"

    # -- chunks as images -----------------------------------------------------------------------------------

    def stack_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape (n, y, x) of the planes; of points, each variable is a plane of one row."""
        if self._axis(len(shape)) == POINTS:
            return math.prod(shape[:-1]), 1, shape[-1]
        return stack_shape(shape)

    def to_stack(self, chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Move the axis of the channels before y and x, and view the chunk as planes."""
        axis = self._axis(chunk.ndim)
        if axis and chunk.shape[axis] % self.found.decoder.channels:
            raise UnsupportedArrayError(
                f"the model {self.found.name} takes {self.found.decoder.channels} channels (axis {axis} of a "
                f"chunk), this chunk has {chunk.shape[axis]} planes along it: choose chunks that hold all "
                "channels, or another model"
            )
        return to_planes(
            chunk[..., None, :] if axis == POINTS else np.moveaxis(chunk, axis, -3) if axis else chunk
        )

    def from_stack(
        self, planes: npt.NDArray[Any], shape: tuple[int, ...], spec: ChunkSpec
    ) -> npt.NDArray[Any]:
        """Invert `to_stack` for a chunk of ``shape``, at whichever resolution."""
        axis = self._axis(len(shape))
        if axis == POINTS:  # which have but one resolution
            return from_planes(planes, spec.shape, spec.dtype, fortran=spec.fortran)
        if axis in {0, -3}:
            return from_planes(planes, shape, spec.dtype, fortran=spec.fortran)
        moved = list(shape)
        channels = moved.pop(axis)
        moved.insert(len(moved) - 2, channels)
        chunk = np.moveaxis(planes.reshape(moved), -3, axis).astype(spec.dtype)
        return np.asarray(chunk, order="F" if spec.fortran else "C")

    def _axis(self, rank: int) -> int:
        """Axis of the channels of a chunk; 0 if it has too few axes to have one."""
        axis = self.found.decoder.axis
        return axis if rank >= -axis else 0

    def _blocks(self, shape: tuple[int, ...], model: Model) -> tuple[int, int, int]:
        """Images, and blocks along y and x, of planes of ``shape`` (n, y, x)."""
        images, factor = self._count(shape[0], model), model.decoder.factor
        if model.decoder.axis == POINTS and shape[1] == 1:
            return images, 1, -(-shape[2] // (factor * factor))
        return images, -(-shape[1] // factor), -(-shape[2] // factor)

    def _images(self, planes: npt.NDArray[Any], model: Model) -> npt.NDArray[np.float64]:
        """Planes (n * C, y, x) as images (n, C, y', x') of whole blocks, without what no network survives."""
        channels, factor = model.decoder.channels, model.decoder.factor
        _, y, x = planes.shape
        count, rows, columns = self._blocks(planes.shape, model)
        runs = model.decoder.axis == POINTS and y == 1
        height, width = (1, columns * factor * factor) if runs else (rows * factor, columns * factor)
        offset, spread = (
            np.asarray(part)[:, None, None] for part in (self.encoder.offset, model.decoder.spread)
        )
        images = np.empty((count, channels, height, width))
        for image, part in zip(images, planes.reshape(-1, channels, y, x), strict=True):
            near = np.clip(part.astype("f8"), offset - FAR * spread, offset + FAR * spread)
            image[:] = np.pad(near, ((0, 0), (0, height - y), (0, width - x)), "edge")
        if runs:  # so many points in a row are a block
            folded = images.reshape(count, channels, columns, factor, factor).transpose(0, 1, 3, 2, 4)
            return np.ascontiguousarray(folded).reshape(count, channels, factor, columns * factor)
        return images

    def _count(self, planes: int, model: Model) -> int:
        """Count the images in ``planes`` planes."""
        images, rest = divmod(planes, model.decoder.channels)
        if rest:
            raise UnsupportedArrayError(
                f"the model {model.name} takes {model.decoder.channels} channels (axis "
                f"{model.decoder.axis} of a chunk), this chunk has {planes} planes: choose chunks that hold "
                "all channels, or another model"
            )
        return images

    # -- planes ---------------------------------------------------------------------------------------------

    def encode_planes(
        self,
        planes: npt.NDArray[Any],
        *,
        spent: int,
        valid: Valid | None = None,
        bounds: npt.NDArray[Any] | None = None,
    ) -> Sections:
        """Write the model's whole numbers; or the one value (K); or what `Bounded` writes."""
        if bounds is not None and np.shape(bounds) != planes.shape:  # those of a chunk, in its order
            bounds = self.to_stack(np.asarray(bounds))
        bits = planes.view(f"u{planes.dtype.itemsize}")
        if bounds is None and (bits == bits[0, 0, 0]).all():
            return {CONSTANT: stored.one(planes)}
        self._count(len(planes), self.found)
        if valid is not None:  # what fills a plane without any value is another channel's
            planes = self._with_means(planes, ~np.asarray(valid().any((1, 2)))[:, None, None])
        if self.bound is None:
            try:
                return self.coded(planes)[0]
            except NoRoomError:
                return self._fallback(planes, spent, valid)
        return self._bounded(planes, spent, valid, bounds)

    def _with_means(self, planes: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """Put the model's means where nothing is known."""
        if not where.any():
            return planes
        means = np.resize(np.asarray(self.found.decoder.offset), len(planes))[:, None, None]
        means = np.rint(means) if planes.dtype.kind in "iu" else means
        return np.where(where, means.astype(planes.dtype), planes)

    def coded(self, planes: npt.NDArray[Any], *, guard: bool = True) -> tuple[Sections, npt.NDArray[Any]]:
        """Write the model's whole numbers, and return what they decode to.

        Raises
        ------
        NoRoomError
            If the error is larger than the model is trusted to keep it, and ``guard`` is set.

        """
        from frazil.models import runtime

        model = self.found
        payload, start = self._write(self._images(planes, model), model)
        outputs = runtime.run(model.decoder, start)
        decoded = self._values(outputs, planes.shape, planes.dtype, model)
        if guard:
            trust = model.decoder.trust
            worst = _worst(planes, decoded, np.asarray(model.decoder.spread))
            if not worst <= trust:
                raise NoRoomError(
                    f"these values are not what the model {model.name} was trained on: decoded "
                    f"they are {worst:.3g} standard deviations off, it is trusted to {trust:.3g}"
                )
        return {self.section: _check(outputs) + payload}, decoded

    def encode_as_base(self, planes: npt.NDArray[Any]) -> Sections:
        """Write the model's whole numbers for `Bounded`: however far off they are, the residual says."""
        return self.coded(planes, guard=False)[0]

    def _fallback(self, planes: npt.NDArray[Any], spent: int, valid: Valid | None) -> Sections:
        """Bound each point by what the model is trusted to keep."""
        decoder = self.found.decoder
        each = np.tile(np.asarray(decoder.spread) * decoder.trust, len(planes) // decoder.channels)
        bounds = np.broadcast_to(each[:, None, None], planes.shape)
        return self.guarded.encode_planes(planes, spent=spent, valid=valid, bounds=bounds)

    def _bounded(
        self, planes: npt.NDArray[Any], spent: int, valid: Valid | None, bounds: npt.NDArray[Any] | None
    ) -> Sections:
        """Correct what the model makes, or do without the model: whatever is smaller."""
        known = None if valid is None else valid()
        allowed = float(np.median(self.guarded.limit.resolve(planes, known, given=bounds)))
        bases = [*self.candidates(planes, allowed), "auto"]
        ways = [
            replace(self.guarded, base=base).encode_planes(planes, spent=spent, valid=valid, bounds=bounds)
            for base in bases
        ]
        return min(ways, key=lambda sections: sum(map(len, sections.values())))

    def candidates(self, planes: npt.NDArray[Any], allowed: float) -> list[LearnedCodec]:  # noqa: ARG002 - for codecs with a choice
        """Return settings that may be the smallest base for errors of up to ``allowed``."""
        return [self.plain]

    def decode_planes(
        self,
        sections: Sections,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        level: int = 0,
        *,
        valid: Valid | None = None,
    ) -> npt.NDArray[Any]:
        """Invert `encode_planes` up to the loss, at 1/2**level of the resolution."""
        if level and self.found.decoder.axis == POINTS:
            raise UnsupportedArrayError(
                "points without an order in space have no lower resolutions; use level 0"
            )
        if GUARANTEE in sections:
            return self.guarded.decode_planes(sections, shape, dtype, level, valid=valid)
        grid = (slice(None), slice(None, None, 1 << level), slice(None, None, 1 << level))
        if CONSTANT in sections:
            return stored.constant(sections[CONSTANT], shape, dtype)[grid].copy()
        unknown = [tag for tag in sections if tag.isupper() and tag != self.section]
        if unknown:
            raise FormatError(f"the chunk holds section {unknown[0]!r}; upgrade frazil to read this array")
        from frazil.models import runtime

        model = self.found
        check, start = self._start(sections, shape, model)
        outputs = runtime.run(model.decoder, start)
        if _check(outputs) != check:
            outputs = runtime.run_surely(model.decoder, start)
        if _check(outputs) != check:
            raise ChecksumError(
                f"the model {model.name} decodes this chunk to other numbers than when it was "
                "written: the chunk is damaged"
            )
        small = shape[0], reduced(shape[1], level), reduced(shape[2], level)
        return np.ascontiguousarray(self._values(outputs, shape, dtype, model)[grid].reshape(small))

    def decode_latents(
        self, buf: Any, *, shape: tuple[int, ...] | None = None, dtype: np.dtype[Any] | None = None
    ) -> Ints:
        """Decode one container to the whole numbers themselves; see `PlaneCodec.decode_latents`.

        Returns
        -------
        ndarray of int32, shape (images of the chunk, k, y', x')

        Raises
        ------
        MissingModelError
            If the chunk was written without the model, and the encoder that could make latents of its values
            is not at hand.

        """
        from frazil import container
        from frazil.codecs.base import check_spec

        spec, sections = container.unpack(bytes(memoryview(buf)))
        check_spec(spec, shape, dtype)
        model = self.found
        count = self._blocks(self.stack_shape(spec.shape), model)
        if 0 in spec.shape:
            return np.empty((count[0], model.decoder.inputs, *count[1:]), np.int32)
        if self.section in sections:
            return self._read(sections[self.section][CHECK:], count, model)[0]
        rest = {tag: payload for tag, payload in sections.items() if tag != MASK}
        whole, native = self.stack_shape(spec.shape), spec.dtype.newbyteorder("=")
        mask = unseal(sections[MASK]) if MASK in sections else b""
        known = masks.valid(mask, whole, native)
        planes = self._with_means(self.decode_planes(rest, whole, native, valid=lambda: known), ~known)
        payload, _ = self._write(self._images(planes, model), model)
        return self._read(payload, count, model)[0]

    def blocks_of(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Images, and blocks along y and x, of a chunk of ``shape``."""
        return self._blocks(self.stack_shape(shape), self.found)

    def _start(self, sections: Sections, shape: tuple[int, int, int], model: Model) -> tuple[bytes, Ints]:
        """Return the check of the outputs, and what the decoder starts from."""
        payload = take(sections, self.section, self.codec_id)
        if shape[0] % model.decoder.channels or len(payload) < CHECK:
            raise FormatError(
                f"a chunk of {shape[0]} planes and a payload of {len(payload)} bytes are none of the model "
                f"{model.name}, which has {model.decoder.channels} channels"
            )
        return payload[:CHECK], self._read(payload[CHECK:], self._blocks(shape, model), model)[1]

    def _values(
        self, outputs: Ints, shape: tuple[int, ...], dtype: np.dtype[Any], model: Model
    ) -> npt.NDArray[Any]:
        """Turn outputs (n, C, y', x') into planes of ``shape`` (n * C, y, x)."""
        from frazil.models import runtime

        if model.decoder.axis == POINTS and shape[1] == 1:
            n, channels, factor, width = outputs.shape
            runs = outputs.reshape(n, channels, factor, width // factor, factor).transpose(0, 1, 3, 2, 4)
            outputs = np.ascontiguousarray(runs).reshape(n, channels, 1, -1)
        cut = outputs[:, :, : shape[1], : shape[2]]
        return runtime.values(model.decoder, cut, dtype).reshape(shape)


CHECK = 2  # bytes


def _check(outputs: Ints) -> bytes:
    """Sixteen bits of the CRC-32C of the decoder's outputs: they have to be the same everywhere."""
    data = np.ascontiguousarray(outputs, "<i4").data.cast("B")
    return int(google_crc32c.value(bytes(data)) & 0xFFFF).to_bytes(CHECK, "little")


def _worst(planes: npt.NDArray[Any], decoded: npt.NDArray[Any], spread: npt.NDArray[np.float64]) -> float:
    """Largest root mean square error of a square of `PATCH` points, in units of its channel's ``spread``."""
    n, y, x = planes.shape
    rows, columns = np.arange(0, y, PATCH), np.arange(0, x, PATCH)
    counts = np.diff([*rows, y])[:, None] * np.diff([*columns, x])
    worst = 0.0
    for k in range(n):
        with np.errstate(over="ignore", invalid="ignore"):
            error = (decoded[k].astype("f8") - planes[k].astype("f8")) / spread[k % len(spread)]
            squares = np.add.reduceat(np.add.reduceat(error * error, rows, 0), columns, 1) / counts
        largest = float(squares.max())
        worst = max(worst, largest) if largest == largest else np.inf  # noqa: PLR0124 - NaN
    return float(np.sqrt(worst))
