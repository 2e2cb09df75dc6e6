"""Encoders of models: float networks in numpy, which only writers need, the same bits or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError, FormatError, UnsupportedArrayError
from frazil.models.digests import DIGEST, digest_of
from frazil.models.format import HUGE
from frazil.models.layers import MOST_CHANNELS, MOST_LAYERS, MOST_SCALE
from frazil.models.runtime_numpy import ONE_THREAD
from frazil.models.tensors import FLOATS, INTEGERS, Fields, read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Arrays = Mapping[str, npt.NDArray[Any]]

KIND = "encoder/1"
OPERATIONS = ("unshuffle", "conv", "leaky", "add", "norm")
EPSILON = np.float32(1e-5)
ROOM = 1 << 26  # bytes for the columns of a convolution


@dataclass(frozen=True)
class Step:
    """One operation.

    Parameters
    ----------
    op : {"unshuffle", "conv", "leaky", "add", "norm"}
    sources : tuple of int
        The values that it reads; value 0 is the normalised input, step i makes value i + 1.
    weight, bias : str
        Tensors of a convolution.
    gain : str
        Tensor of what the weights of each output are multiplied by; empty for none.
    number : float
        Factor of an unshuffle, slope of a leaky rectifier, heads of a norm.
    channels, scale : int
        Of what it makes: channels, and points of the input along y and x that become one.
    """

    op: str
    sources: tuple[int, ...]
    weight: str = ""
    bias: str = ""
    number: float = 0
    channels: int = 0
    scale: int = 1
    gain: str = ""


@dataclass(frozen=True, eq=False)
class Encoder:
    """A float network: channels in, latents out; made by `Encoder.build`, read by `Encoder.from_bytes`.

    Parameters
    ----------
    decoder : str
        Digest of the decoder that it was trained with.
    offset, scale : tuple of float, one for each channel
        The input is ``(x - offset) / scale``.
    steps : tuple of Step
    tensors : mapping of names to arrays
    table_scale : float
        What the decoder's codebooks are multiplied by, to be compared with latents; codeword models.
    data : bytes
        The file.
    """

    decoder: str
    offset: tuple[float, ...] = field(repr=False)
    scale: tuple[float, ...] = field(repr=False)
    steps: tuple[Step, ...]
    tensors: Arrays = field(repr=False)
    table_scale: float = 1.0
    data: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Encoder:
        """Read an encoder's file.

        Raises
        ------
        FormatError
            If the bytes are none.
        """
        data = bytes(data)
        fields, tensors = read_tensors(data, KIND, INTEGERS | FLOATS)
        decoder = fields.text("decoder")
        if not DIGEST.fullmatch(decoder):
            raise FormatError(f"an encoder names its decoder by 'sha256:...', got {decoder[:80]!r}")
        offset = fields.numbers("offset", None, -HUGE, HUGE)
        scale = fields.numbers("scale", len(offset), -HUGE, HUGE)
        channels = len(offset)
        if not 1 <= channels <= MOST_CHANNELS or not all(scale):
            raise FormatError("an encoder has an offset and a scale other than 0 for each of its channels")
        table_scale = fields.number("table_scale", 0, HUGE) if fields.has("table_scale") else 1.0
        steps = _read_steps(fields.items("layers", MOST_LAYERS), channels, tensors)
        fields.done()
        return cls(decoder, offset, scale, steps, tensors, table_scale, data)

    @classmethod
    def build(
        cls,
        *,
        decoder: str,
        offset: Sequence[float],
        scale: Sequence[float],
        layers: Sequence[Mapping[str, Any]],
        tensors: Arrays,
        table_scale: float | None = None,
    ) -> Encoder:
        """Make an encoder of its parts.

        Parameters
        ----------
        decoder : str
            Digest of its decoder.
        layers : sequence of mappings
            Operations as the file has them.
        tensors : mapping of names to arrays
            float16, float32 or integers of at most 32 bits.
        offset, scale, table_scale
            As in `Encoder`.

        Raises
        ------
        ConfigurationError
            If the parts do not fit.
        """
        meta: dict[str, Any] = {
            "decoder": decoder,
            "offset": [float(x) for x in offset],
            "scale": [float(x) for x in scale],
            "layers": [dict(layer) for layer in layers],
        }
        if table_scale is not None:
            meta["table_scale"] = float(table_scale)
        try:
            return cls.from_bytes(write_tensors(KIND, meta, tensors))
        except (FormatError, TypeError, ValueError) as error:
            raise ConfigurationError(f"these parts make no encoder: {error}") from error

    def to_bytes(self) -> bytes:
        """Return the file."""
        return self.data

    @cached_property
    def digest(self) -> str:
        """``"sha256:"`` and 64 hexadecimal digits."""
        return digest_of(self.data)

    @property
    def channels(self) -> int:
        """Channels that go in."""
        return len(self.offset)

    @property
    def factor(self) -> int:
        """Points for each latent along y and along x."""
        return self.steps[-1].scale

    @property
    def outputs(self) -> int:
        """Channels of the latents."""
        return self.steps[-1].channels

    def run(self, x: npt.NDArray[Any]) -> Floats:
        """Compute latents.

        Parameters
        ----------
        x : ndarray, shape (n, C, y, x)
            Finite values; y and x are multiples of the factor.

        Returns
        -------
        ndarray of float32, shape (n, k, y / factor, x / factor)

        Raises
        ------
        UnsupportedArrayError
            If the shape is another.
        """
        f = self.factor
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] % f or x.shape[3] % f:
            raise UnsupportedArrayError(
                f"the encoder takes (n, {self.channels}, y, x), y and x multiples of {f}, got {x.shape}"
            )
        made = np.empty((len(x), self.outputs, x.shape[2] // f, x.shape[3] // f), np.float32)
        with ONE_THREAD:
            for image, latents in zip(x, made, strict=True):
                latents[...] = self._image(image)
        return made

    def _image(self, x: npt.NDArray[Any]) -> Floats:
        offset, scale = (np.array(part)[:, None, None] for part in (self.offset, self.scale))
        values: dict[int, Floats] = {0: ((x - offset) / scale).astype(np.float32)}
        last_use = {source: number for number, step in enumerate(self.steps) for source in step.sources}
        for number, step in enumerate(self.steps):
            values[number + 1] = self._step(step, [values[source] for source in step.sources])
            for source in step.sources:
                if last_use[source] == number:
                    values.pop(source, None)
        return values[len(self.steps)]

    def _step(self, step: Step, sources: list[Floats]) -> Floats:
        first = sources[0]
        if step.op == "conv":
            weight = self.tensors[step.weight].astype(np.float32)
            if step.gain:
                weight *= self.tensors[step.gain].astype(np.float32)[:, None, None, None]
            return _conv(first, weight, self.tensors[step.bias].astype(np.float32))
        if step.op == "leaky":
            return np.where(first >= 0, first, first * np.float32(step.number))
        if step.op == "add":
            return first + sources[1]
        if step.op == "norm":
            return _norm(first, int(step.number))
        f = int(step.number)
        c, y, x = first.shape
        parts = first.reshape(c, y // f, f, x // f, f).transpose(0, 2, 4, 1, 3)
        return np.ascontiguousarray(parts).reshape(c * f * f, y // f, x // f)


def _conv(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Convolve (in, h, w) with (out, in, s, s), zeros around, some lines at a time."""
    outputs, inputs, side, _ = weight.shape
    h, w = x.shape[1:]
    made = np.empty((outputs, h, w), np.float32)
    if side == 1:
        np.matmul(weight[:, :, 0, 0], x.reshape(inputs, -1), out=made.reshape(outputs, -1))
    else:
        flat = weight.transpose(0, 2, 3, 1).reshape(outputs, -1)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        lines = max(ROOM // max(36 * inputs * w, 1), 1)
        for top in range(0, h, lines):
            bottom = min(top + lines, h)
            around = [padded[:, top + i : bottom + i, j : j + w] for i in range(3) for j in range(3)]
            columns = np.stack(around).reshape(9 * inputs, -1)
            made[:, top:bottom] = (flat @ columns).reshape(outputs, bottom - top, w)
    made += bias[:, None, None]
    return made


def _norm(x: Floats, heads: int) -> Floats:
    """Each head's channels with mean 0 and variance 1 (Ba et al. 2016, arXiv:1607.06450)."""
    parts = x.reshape(heads, -1, *x.shape[1:])
    centred = parts - parts.mean(1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(1, keepdims=True) + EPSILON)
    return np.asarray((centred / deviation).reshape(x.shape), np.float32)


def _read_steps(items: Sequence[Any], channels: int, tensors: Arrays) -> tuple[Step, ...]:
    made = [Step("input", (), channels=channels)]
    for number, item in enumerate(items):
        fields = Fields(item, f"layer {number} of the encoder")
        op = fields.text("op", list(OPERATIONS))
        if op == "add":
            sources = tuple(fields.wholes("from", 0, number, most=2))
            if len(sources) != 2:
                raise FormatError(f"{fields.label} adds two values, got {len(sources)}")
        else:
            sources = (fields.whole("from", 0, number),)
        made.append(_step_of(op, sources, fields, [made[source] for source in sources], tensors))
        fields.done()
    if len(made) == 1:
        raise FormatError("an encoder has at least one layer")
    used = {name for step in made for name in (step.weight, step.bias, step.gain)}
    unused = sorted(set(tensors) - used)
    if unused:
        raise FormatError(f"no layer of the encoder uses tensor {unused[0][:80]!r}")
    return tuple(made[1:])


def _step_of(op: str, sources: tuple[int, ...], fields: Fields, inputs: list[Step], tensors: Arrays) -> Step:
    x = inputs[0]
    channels, scale = x.channels, x.scale
    if op == "conv":
        weight, bias = fields.text("weight"), fields.text("bias")
        if weight not in tensors or bias not in tensors:
            raise FormatError(f"{fields.label} needs tensors {weight[:80]!r} and {bias[:80]!r}")
        shape = tensors[weight].shape
        good = len(shape) == 4 and shape[2:] in {(1, 1), (3, 3)} and shape[1] == channels
        if not good or tensors[bias].shape != shape[:1] or not 1 <= shape[0] <= MOST_CHANNELS:
            raise FormatError(
                f"{fields.label}: {weight[:80]!r} has shape (out, {channels}, s, s), s = 1 or 3, and the "
                f"bias (out,); got {shape} and {tensors[bias].shape}"
            )
        gain = fields.text("gain") if fields.has("gain") else ""
        if gain and (gain not in tensors or tensors[gain].shape != shape[:1]):
            raise FormatError(f"{fields.label}: the gain {gain[:80]!r} is no tensor of shape {shape[:1]}")
        return Step(op, sources, weight, bias, 0, shape[0], scale, gain)
    if op == "leaky":
        return Step(op, sources, number=fields.number("slope", 0, 1), channels=channels, scale=scale)
    if op == "add":
        if (channels, scale) != (inputs[1].channels, inputs[1].scale):
            raise FormatError(f"{fields.label} adds {channels} and {inputs[1].channels} channels")
        return Step(op, sources, channels=channels, scale=scale)
    if op == "norm":
        heads = fields.whole("heads", 1, channels)
        if channels % heads:
            raise FormatError(f"{fields.label}: {channels} channels are no multiple of {heads} heads")
        return Step(op, sources, number=heads, channels=channels, scale=scale)
    factor = fields.whole("factor", 2, MOST_SCALE)
    scale *= factor
    channels *= factor * factor
    if scale > MOST_SCALE or channels > 64 * MOST_CHANNELS:
        raise FormatError(f"{fields.label} makes {channels} channels at scale {scale}, which is too many")
    return Step(op, sources, number=factor, channels=channels, scale=scale)
