"""Model files: integer decoders that chunks depend on, and float encoders that only writers need.

The layout of both is normative in docs/format/intdec.md. A decoder is known by
the SHA-256 of its file; an encoder names the decoder that it was trained with.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError, FormatError
from frazil.models.digests import digest_of
from frazil.models.layers import MOST_CHANNELS, MOST_LAYERS, SINGLE, Lookup, Value, read_layers, trace, want
from frazil.models.tensors import INTEGERS, Fields, read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from frazil.models.layers import Layer

    Ints = npt.NDArray[np.int32]
    Arrays = Mapping[str, npt.NDArray[Any]]

KIND = "intdec/1"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CODER = "coder."
MOST_FACTOR, MOST_STEP, MOST_GOLDEN = 64, 1 << 20, 1 << 14
HUGE = 1e300
WHOLE = {np.dtype(name) for name in INTEGERS.values()}


@dataclass(frozen=True)
class Steps:
    """Latents are multiples of a step: least and largest of those that were trained, and the usual one."""

    least: int
    most: int
    default: int


@dataclass(frozen=True, eq=False)
class Decoder:
    """An integer decoder: latents or codeword indices in, channels out, the same bits on every machine.

    Made by `Decoder.build`, read by `Decoder.from_bytes`.

    Parameters
    ----------
    name : str
    kind : {"latent", "codeword"}
        What goes in: multiples of a step, or indices into codebooks.
    factor : int
        Points for each latent along y and along x.
    channels : int
        Channels that come out.
    axis : int
        The axis of a chunk that holds them: -3 or further left; -2 if the last axis counts points.
    inputs : int
        Channels of the latents, or codebooks (heads).
    layers : tuple of Layer
        What is computed; see `frazil.models.layers`.
    tensors : mapping of names to integer arrays
        Weights, and the entropy coder's states.
    offset, scale : tuple of float, one for each channel
        A decoded value is ``offset + scale * output``.
    trust : float
        A chunk that comes back with a larger error, in units of ``spread``, is not the model's kind.
    spread : tuple of float
        Standard deviation of each channel over the training data.
    golden : str
        Name of the tensor whose output is known.
    golden_sha256 : str
        SHA-256 of that output.
    steps : Steps, optional
        Latent models have them.
    limits_name : str
        The tensor that holds `limit_array`; empty for a codeword model.
    size : int
        Entries of each codebook; 0 for a latent model.
    card : dict
        Where the model comes from: data, split, metrics, licence.
    data : bytes
        The file.
    """

    name: str
    kind: str
    factor: int
    channels: int
    axis: int
    inputs: int
    layers: tuple[Layer, ...]
    tensors: Arrays = field(repr=False)
    offset: tuple[float, ...] = field(repr=False)
    scale: tuple[float, ...] = field(repr=False)
    trust: float
    spread: tuple[float, ...] = field(repr=False)
    golden: str
    golden_sha256: str
    steps: Steps | None = None
    limits_name: str = ""
    size: int = 0
    card: dict[str, Any] = field(default_factory=dict, repr=False)
    data: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> Decoder:
        """Read a decoder's file and check all of it, the certificate of each layer included.

        Raises
        ------
        FormatError
            If the bytes are no decoder, a newer one, or claim what is not so.
        """
        data = bytes(data)
        decoder = _read(*read_tensors(data, KIND), data)
        for number, (found, computed) in enumerate(zip(decoder.layers, decoder.traced[0], strict=True)):
            if found != computed:
                raise FormatError(
                    f"layer {number}: its sums reach {getattr(computed, 'peak', 0)}, the model file says "
                    f"{getattr(found, 'peak', 0)} (wide: {getattr(found, 'wide', False)}); it is damaged"
                )
        return decoder

    @classmethod
    def build(
        cls,
        *,
        name: str,
        kind: str,
        factor: int,
        layers: Sequence[Mapping[str, Any]],
        tensors: Arrays,
        offset: Sequence[float],
        scale: Sequence[float],
        spread: Sequence[float],
        limits: npt.ArrayLike | None = None,
        steps: Steps | None = None,
        size: int | None = None,
        axis: int = -3,
        trust: float = 0.5,
        golden: npt.ArrayLike | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> Decoder:
        """Make a decoder of its parts, prove it exact, and run it once for its golden output.

        Parameters
        ----------
        layers : sequence of mappings
            Operations as the file has them, without ``peak`` and ``wide``, which are computed.
        tensors : mapping of names to integer arrays
            Those that the layers name, and ``coder.*``.
        limits : array_like of int, shape (k,), optional
            Largest magnitude of each channel of the latents; "latent" needs it, and ``steps``.
        size : int, optional
            Entries of a codebook; "codeword" needs it.
        golden : array_like of int, shape (k, h, w), optional
            Input of the self-test. By default 9 x 11 numbers that use all of the range.
        name, kind, factor, offset, scale, spread, steps, axis, trust, card
            As in `Decoder`.

        Raises
        ------
        ConfigurationError
            If the parts do not fit, or where no proof of exactness exists.

        Examples
        --------
        One latent channel, twice itself in each of 2 x 2 points:

        >>> twice = {"op": "conv", "from": 0, "weight": "w", "bias": "b", "shift": "s"}
        >>> layers = [twice | {"low": -99, "high": 99}, {"op": "shuffle", "from": 1, "factor": 2}]
        >>> tensors = {"w": np.full((4, 1, 1, 1), 2, "i1"), "b": np.zeros(4, "i4"), "s": np.zeros(4, "i1")}
        >>> decoder = Decoder.build(
        ...     name="twice", kind="latent", factor=2, layers=layers, tensors=tensors,
        ...     offset=[0], scale=[1], spread=[1], limits=[40], steps=Steps(1, 4, 1))
        >>> decoder.layers[0].peak, decoder.halo, decoder.output_range[1]
        (80, 0, array([80]))
        """
        every = {key: np.asarray(value) for key, value in tensors.items()}
        inputs = 0
        if limits is not None:
            every["limits"] = np.asarray(limits).astype(np.int32)
            inputs = every["limits"].size
        elif layers and layers[0].get("table") in every:
            inputs = len(every[layers[0]["table"]])
        meta: dict[str, Any] = {
            "name": name,
            "kind": kind,
            "factor": factor,
            "channels": len(offset),
            "axis": axis,
            "inputs": inputs,
            "layers": [dict(layer) for layer in layers],
            "offset": [float(x) for x in offset],
            "scale": [float(x) for x in scale],
            "trust": float(trust),
            "spread": [float(x) for x in spread],
            "card": dict(card or {}),
            "golden": {"input": "golden", "sha256": "0" * 64},
        }
        if limits is not None:
            meta["limits"] = "limits"
        if steps is not None:
            meta["steps"] = asdict(steps)
        if size is not None:
            meta["size"] = size
        from frazil.models.selftest import golden_input, golden_output

        try:
            reach = every.get("limits") if size is None else np.full(inputs, size)
            every["golden"] = golden_input(golden, reach, indices=size is not None)
            drafted = _read(Fields(meta, KIND), every)
            meta["layers"] = [layer.write() for layer in drafted.traced[0]]
            drafted = replace(drafted, layers=drafted.traced[0])
            meta["golden"]["sha256"] = golden_output(drafted)
            return cls.from_bytes(write_tensors(KIND, meta, every))
        except (FormatError, TypeError) as error:
            raise ConfigurationError(f"these parts make no decoder: {error}") from error

    def to_bytes(self) -> bytes:
        """Return the file."""
        return self.data

    @cached_property
    def digest(self) -> str:
        """What chunks know the decoder by: ``"sha256:"`` and 64 hexadecimal digits."""
        return digest_of(self.data)

    @cached_property
    def traced(self) -> tuple[tuple[Layer, ...], list[Value]]:
        """Layers with their certificates, and what is known of each value."""
        high = np.full(self.inputs, self.size - 1) if self.size else self.limit_array.astype(np.int64)
        low = np.zeros_like(high) if self.size else -high
        return trace(self.layers, Value(low, high, 1, Fraction(0)), self.tensors)

    @property
    def halo(self) -> int:
        """Latents to each side on which a point depends."""
        return ceil(self.traced[1][-1].reach)

    @property
    def output_range(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Smallest and largest output of each channel that any input can have."""
        last = self.traced[1][-1]
        return last.low, last.high

    @property
    def limit_array(self) -> Ints:
        """Largest magnitude of each channel of the latents, int32, shape (inputs,)."""
        if not self.limits_name:
            raise ConfigurationError(f"{self.name} is a codeword model: it has no limits")
        return self.tensors[self.limits_name]

    @property
    def table(self) -> npt.NDArray[Any]:
        """Codebooks, shape (heads, size, d), of a codeword model."""
        first = self.layers[0]
        if not isinstance(first, Lookup):
            raise ConfigurationError(f"{self.name} is a latent model: it has no codebooks")
        return self.tensors[first.table]

    @property
    def golden_input(self) -> Ints:
        """Input of the self-test, int32, shape (inputs, h, w)."""
        return self.tensors[self.golden].astype(np.int32)

    @property
    def coder(self) -> dict[str, npt.NDArray[Any]]:
        """The entropy coder's tensors, without ``coder.`` in their names."""
        return {
            name.removeprefix(CODER): array for name, array in self.tensors.items() if name.startswith(CODER)
        }

    def latents(self, numbers: npt.NDArray[Any], step: int) -> Ints:
        """Multiply coded integers by the step, and clamp them to what the decoder was proved for.

        Parameters
        ----------
        numbers : ndarray of int, shape (n, inputs, h, w)
            Any whole numbers of 32 bits.
        step : int
            1 to 2**20.

        Returns
        -------
        ndarray of int32, shape (n, inputs, h, w)
        """
        limits = self.limit_array.astype(np.int64)[:, None, None]
        return np.clip(numbers.astype(np.int64) * step, -limits, limits).astype(np.int32)

    def __eq__(self, other: object) -> bool:
        """Compare the files."""
        return isinstance(other, Decoder) and self.data == other.data

    def __hash__(self) -> int:
        """Hash of the file."""
        return hash(self.data)


def _read(fields: Fields, tensors: Arrays, data: bytes = b"") -> Decoder:
    """Check everything except that each layer's certificate is what the file says."""
    name = fields.text("name")
    if not NAME.fullmatch(name):
        raise FormatError(f"a model's name is small letters, digits, '.', '_', '-', got {name[:80]!r}")
    kind = fields.text("kind", ["latent", "codeword"])
    channels = fields.whole("channels", 1, MOST_CHANNELS)
    inputs = fields.whole("inputs", 1, MOST_CHANNELS)
    golden = fields.fields("golden")
    scale = fields.numbers("scale", channels, -HUGE, HUGE)
    spread = fields.numbers("spread", channels, 0, HUGE)
    decoder = Decoder(
        name=name,
        kind=kind,
        factor=fields.whole("factor", 1, MOST_FACTOR),
        channels=channels,
        axis=fields.whole("axis", -32, -2),
        inputs=inputs,
        layers=read_layers(fields.items("layers", MOST_LAYERS)),
        tensors=tensors,
        offset=fields.numbers("offset", channels, -HUGE, HUGE),
        scale=scale,
        trust=fields.number("trust", 0, HUGE),
        spread=spread,
        golden=golden.text("input"),
        golden_sha256=golden.text("sha256"),
        steps=_steps(fields.fields("steps")) if kind == "latent" else None,
        limits_name=fields.text("limits") if kind == "latent" else "",
        size=fields.whole("size", 1, 1 << 16) if kind == "codeword" else 0,
        card=fields.mapping("card") if fields.has("card") else {},
        data=data,
    )
    golden.done()
    fields.done()
    if not all(scale) or not all(spread):
        raise FormatError("scale and spread of a model hold a zero: a channel of which nothing is known")
    _check_tensors(decoder)
    return decoder


def _check_tensors(decoder: Decoder) -> None:
    tensors = decoder.tensors
    used = {name for layer in decoder.layers for name in layer.names()} | {decoder.golden}
    if decoder.kind == "latent":
        used.add(decoder.limits_name)
    for name in sorted(used - set(tensors)):
        raise FormatError(f"the model file holds no tensor {name[:80]!r}")
    for name in sorted(set(tensors) - used):
        if not name.startswith(CODER):
            raise FormatError(f"no layer uses tensor {name[:80]!r}")
    for name, array in tensors.items():
        if array.dtype.newbyteorder("<") not in WHOLE:
            raise FormatError(
                f"tensor {name[:80]!r} is {array.dtype}, decoders hold whole numbers of at most 32 bits"
            )
    if decoder.kind == "latent":
        named, limits = (decoder.name, decoder.limits_name), decoder.limit_array
        good = limits.dtype.str == "<i4" and limits.shape == (decoder.inputs,)
        want(good, *named, f"is int32, ({decoder.inputs},)")
        want(bool(((limits >= 0) & (limits < SINGLE)).all()), *named, "is 0 ... 2**24 - 1")
    if (decoder.kind == "codeword") != isinstance(decoder.layers[0], Lookup):
        raise FormatError("the first layer of a codeword model, and of no other, is a lookup")
    last = decoder.traced[1][-1]
    if (last.channels, last.scale) != (decoder.channels, decoder.factor):
        raise FormatError(
            f"the layers make {last.channels} channels at scale {last.scale}, the model file says "
            f"{decoder.channels} at {decoder.factor}"
        )
    golden = tensors[decoder.golden]
    want(
        golden.ndim == 3 and len(golden) == decoder.inputs and 0 < golden[0].size <= MOST_GOLDEN,
        decoder.name,
        decoder.golden,
        f"has shape ({decoder.inputs}, h, w) with 1 ... {MOST_GOLDEN} points, not {golden.shape}",
    )
    first = decoder.traced[1][0]
    inside = (golden >= first.low[:, None, None]) & (golden <= first.high[:, None, None])
    want(bool(inside.all()), decoder.name, decoder.golden, "is beyond what the decoder takes")
    if not re.fullmatch("[0-9a-f]{64}", decoder.golden_sha256):
        raise FormatError("the golden output's SHA-256 is not 64 hexadecimal digits")


def _steps(fields: Fields) -> Steps:
    least = fields.whole("least", 1, MOST_STEP)
    most = fields.whole("most", least, MOST_STEP)
    steps = Steps(least, most, fields.whole("default", least, most))
    fields.done()
    return steps
