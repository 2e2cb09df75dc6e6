"""Trained networks as model files: decoders in whole numbers under a certificate, encoders in floats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.models.encoder import Encoder
from frazil.models.format import Decoder, Steps
from frazil.models.store import Model
from frazil.train.integers import FINE, MOST, OUTPUT_FINE, OUTPUT_MOST, Conv
from frazil.train.transforms import SLOPE, Residual

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from torch import nn

    from frazil.train.autoencoder import Autoencoder
    from frazil.train.tokeniser import Tokeniser

    Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model's file says besides its layers.

    Parameters
    ----------
    name : str
    offset, scale : ndarray, shape (C,)
        Mean and standard deviation of each channel over the training data, in the data's units.
    axis : int
        Which axis of a chunk holds the channels.
    trust : float
        Largest root mean square error over 32 x 32 points that is the model's kind, in standard deviations.
    card : dict
    """

    name: str
    offset: npt.NDArray[Any]
    scale: npt.NDArray[Any]
    axis: int = -3
    trust: float = 1.0
    card: Mapping[str, Any] = field(default_factory=dict)


class _Layers:
    """Collects operations and their tensors; value 0 is the input."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.tensors: Arrays = {}

    def add(self, op: str, source: int | list[int], **members: Any) -> int:
        self.items.append({"op": op, "from": source, **members})
        return len(self.items)

    def tensor(self, kind: str, values: npt.NDArray[Any]) -> str:
        name = f"{len(self.items)}.{kind}"
        self.tensors[name] = np.ascontiguousarray(values)
        return name


def _decoder_conv(layers: _Layers, source: int, conv: Conv) -> int:
    weight, bias, shift = (part.numpy() for part in conv.integers())
    return layers.add(
        "conv",
        source,
        weight=layers.tensor("weight", weight.astype("i1" if conv.bits == 8 else "i2")),
        bias=layers.tensor("bias", bias.astype("i4")),
        shift=layers.tensor("shift", shift.astype("i1")),
        low=-conv.most_out,
        high=conv.most_out - 1,
    )


def _decoder_stack(layers: _Layers, source: int, network: nn.Sequential) -> int:
    at = source
    for part in network:
        if isinstance(part, Residual):
            first = _decoder_conv(layers, at, part.first)
            second = _decoder_conv(layers, layers.add("leaky", first, shift=SLOPE), part.second)
            at = layers.add("add", [at, second], low=-MOST, high=MOST - 1)
        elif isinstance(part, Conv):
            at = _decoder_conv(layers, at, part)
    return at


def _encoder_conv(
    layers: _Layers, source: int, weight: npt.NDArray[Any], bias: npt.NDArray[Any], *, small: bool = False
) -> int:
    """Write weights in 16 bits, or in 8 and a gain for each output, which latents hardly notice."""
    members = {"bias": layers.tensor("bias", bias.astype("f4"))}
    if small:
        gain = (np.abs(weight).max((1, 2, 3)) / 127).clip(1e-12)
        members["gain"] = layers.tensor("gain", gain.astype("f4"))
        weight = np.rint(weight / gain[:, None, None, None])
    members["weight"] = layers.tensor("weight", weight.astype("i1" if small else "f2"))
    return layers.add("conv", source, **members)


def _encoder_stack(
    layers: _Layers, source: int, network: nn.Sequential, scale: npt.NDArray[Any] | None = None
) -> int:
    at = source
    for part in network:
        if isinstance(part, Residual):
            first = _encoder_conv(layers, at, *_floats(part.first), small=True)
            rectified = layers.add("leaky", first, slope=2.0**-SLOPE)
            second = _encoder_conv(layers, rectified, *_floats(part.second), small=True)
            at = layers.add("add", [at, second])
        elif isinstance(part, Conv):
            weight, bias = _floats(part)
            if scale is not None and part is network[-1]:
                weight, bias = weight * scale[:, None, None, None], bias * scale
            at = _encoder_conv(layers, at, weight, bias, small=True)
    return at


def _floats(conv: Conv) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    bias = conv.bias
    assert bias is not None  # noqa: S101 - for the type checker: it is always made
    return conv.weight.detach().numpy(), bias.detach().numpy()


def autoencoder(trained: Autoencoder, facts: Facts, coder: Arrays) -> Model:
    """Make the model of an autoencoder.

    Parameters
    ----------
    trained : Autoencoder
    facts : Facts
    coder : dict
        The entropy coder's tensors, whose names start with ``coder.``.

    Returns
    -------
    Model
    """
    network, settings = trained.decoder, trained.settings
    layers = _Layers()
    linear = _decoder_conv(layers, 0, network.linear)
    branch = _decoder_stack(layers, 0, network.branch)
    _finish(layers, [linear, branch], network.factor)
    least, most, usual = settings.steps
    decoder = Decoder.build(
        kind="latent",
        factor=network.factor,
        layers=layers.items,
        tensors=layers.tensors | coder,
        limits=trained.get_buffer("limits").numpy().reshape(-1),
        steps=Steps(least, most, usual),
        **_common(facts),
    )
    inner = _Layers()
    unshuffled = inner.add("unshuffle", 0, factor=network.factor)
    weight = trained.encoder.linear.detach().numpy()
    linear = _encoder_conv(inner, unshuffled, weight, np.zeros(len(weight)), small=True)
    spread = trained.encoder.get_buffer("spread").numpy().reshape(-1)
    inner.add("add", [linear, _encoder_stack(inner, unshuffled, trained.encoder.branch, spread)])
    return _model(facts, decoder, inner)


def tokeniser(trained: Tokeniser, facts: Facts, coder: Arrays, order: npt.NDArray[Any]) -> Model:
    """Make the model of a tokeniser.

    Parameters
    ----------
    trained : Tokeniser
    facts : Facts
    coder : dict
        The entropy coder's tensors.
    order : ndarray of int, shape (heads, size)
        ``order[head, i]`` is the codeword that gets number i.
    """
    table = trained.quantiser.table().numpy()
    table = np.take_along_axis(table, order[:, :, None], 1)
    layers = _Layers()
    words = layers.add("lookup", 0, table=layers.tensor("table", table.astype("i2")))
    linear = _decoder_conv(layers, words, trained.expand)
    _finish(layers, [linear, _decoder_stack(layers, words, trained.decoder)], trained.factor)
    decoder = Decoder.build(
        kind="codeword",
        factor=trained.factor,
        layers=layers.items,
        tensors=layers.tensors | coder,
        size=table.shape[1],
        **_common(facts),
    )
    inner = _Layers()
    unshuffled = inner.add("unshuffle", 0, factor=trained.factor)
    linear = _encoder_conv(inner, unshuffled, *_floats(trained.project))
    summed = inner.add("add", [linear, _encoder_stack(inner, unshuffled, trained.encoder)])
    if not trained.settings.levels:
        inner.add("norm", summed, heads=trained.settings.heads)
    return _model(facts, decoder, inner, table_scale=1 / FINE)


def _finish(layers: _Layers, parts: list[int], factor: int) -> None:
    summed = layers.add("add", parts, low=-OUTPUT_MOST, high=OUTPUT_MOST - 1)
    layers.add("shuffle", summed, factor=factor)


def _common(facts: Facts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "offset": facts.offset,
        "scale": np.asarray(facts.scale) / OUTPUT_FINE,
        "spread": facts.scale,
        "axis": facts.axis,
        "trust": facts.trust,
        "card": facts.card,
    }


def _model(facts: Facts, decoder: Decoder, layers: _Layers, table_scale: float | None = None) -> Model:
    encoder = Encoder.build(
        decoder=decoder.digest,
        offset=list(facts.offset),
        scale=list(facts.scale),
        layers=layers.items,
        tensors=layers.tensors,
        table_scale=table_scale,
    )
    return Model(facts.name, decoder, encoder)
