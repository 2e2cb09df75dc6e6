"""Integer decoders in torch on the CPU, in single precision where nothing can round it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.models.layers import RELU, Add, Conv, Leaky, Lookup, Shuffle
from frazil.models.runtime_numpy import Crop, half_and_unit

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.models.format import Decoder
    from frazil.models.layers import Layer


class TorchEngine:
    """Runs one decoder; torch's own setting says with how many threads.

    Parameters
    ----------
    decoder : Decoder
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.layers = decoder.traced[0]
        self.first = 1 if isinstance(self.layers[0], Lookup) else 0
        self.last_use = {source: n for n, layer in enumerate(self.layers) for source in layer.sources}

    @cached_property
    def single(self) -> dict[int, Any]:
        """Weights and biases of convolutions, in double precision where the certificate asks for it."""
        import torch

        return self._weights(torch.float32)

    @cached_property
    def double(self) -> dict[int, Any]:
        """The same, all in double precision."""
        import torch

        return self._weights(torch.float64)

    def _weights(self, dtype: Any) -> dict[int, Any]:
        import torch

        made = {}
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Conv):
                bias, unit = half_and_unit(layer, self.decoder)
                weight = self.decoder.tensors[layer.weight] * unit[:, None, None, None]
                real = torch.float64 if layer.wide else dtype
                made[number] = torch.from_numpy(weight).to(real), torch.from_numpy(bias * unit).to(real)
        return made

    def __call__(self, x: npt.NDArray[Any], out: npt.NDArray[np.int32], crop: Crop) -> None:
        """Decode a block; see `NumpyEngine`."""
        import torch

        weights = self.single if _single_is_single() else self.double
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            values = {self.first: torch.from_numpy(np.ascontiguousarray(x))[None]}
            for number, layer in enumerate(self.layers[self.first :], self.first):
                sources = [values[source] for source in layer.sources]
                values[number + 1] = _step(layer, sources, weights.get(number))
                for source in layer.sources:
                    if self.last_use[source] == number:
                        values.pop(source, None)
            found = values[len(self.layers)][0].to(torch.int32).numpy()
        out[...] = found[crop.times(self.decoder.factor)]


def _step(layer: Layer, sources: list[Any], weights: Any) -> Any:
    import torch
    from torch.nn import functional

    x = sources[0]
    if isinstance(layer, Conv):
        weight, bias = weights
        sums = functional.conv2d(x.to(weight.dtype), weight, bias, padding=weight.shape[-1] // 2)
        return sums.floor_().clamp_(layer.low, layer.high).float()
    if isinstance(layer, Add):
        return (x + sources[1]).clamp_(layer.low, layer.high)
    if isinstance(layer, Leaky):
        if layer.shift == RELU:
            return torch.relu(x)
        return torch.maximum(x, (x * 2.0**-layer.shift).add_(0.5).floor_())
    assert isinstance(layer, Shuffle)  # noqa: S101 - a lookup is done before
    return functional.pixel_shuffle(x, layer.factor)


def _single_is_single() -> bool:
    """Whether torch computes single precision as such: it can be told to use bfloat16 or TF32 instead."""
    import torch

    mkldnn: Any = torch.backends.mkldnn
    parts = [getattr(part, "fp32_precision", "none") for part in (mkldnn, getattr(mkldnn, "conv", None))]
    return torch.get_float32_matmul_precision() == "highest" and set(parts) <= {"none", "ieee"}
