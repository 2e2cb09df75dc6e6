"""Convolutions whose weights and results can become whole numbers: for the end of training, and for export.

After Jacob et al. (2018), doi:10.1109/CVPR.2018.00286, with powers of two for
scales, and with a certificate: no sum may reach 2**24, so that single
precision computes it exactly in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

FINE = 64  # an activation's units in 1: ten bits hold -8 to 8
MOST = 512
OUTPUT_FINE = 256  # units of a decoder's output in one training standard deviation
OUTPUT_MOST = 1 << 15
EXACT = 1 << 24
MOST_SHIFT = 30


class _Round(torch.autograd.Function):
    """Rounding with the gradient of the identity (Bengio et al. 2013, arXiv:1308.3432)."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        return gradient


def rounded(x: Tensor) -> Tensor:
    """Round half up, as a decoder's shift does, and let gradients through."""
    return _Round.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class Conv(nn.Conv2d):
    """A convolution that computes in floats, or, when ``whole`` is set, as its exported whole numbers do.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    side : {1, 3}
        Of the kernel; zeros around, so that the size stays.
    bits : {8, 16}
        Width of a weight.
    units_in, units_out : float
        Whole numbers in 1, of the input and of the output.
    most_in, most_out : int
        Largest magnitude of the whole numbers, of the input (of each channel: `reach`) and of the output.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        *,
        bits: int = 8,
        units_in: float = FINE,
        units_out: float = FINE,
        most_in: int = MOST,
        most_out: int = MOST,
    ) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2)
        self.bits, self.whole = bits, False
        self.units_in, self.units_out, self.most_out = units_in, units_out, most_out
        self.register_buffer("reach", torch.full((inputs,), float(most_in)))

    def shifts(self) -> Tensor:
        """Choose each output's largest shift whose weights fit their bits and whose sums stay below 2**24.

        Returns
        -------
        Tensor of float32, shape (outputs, 1, 1, 1), whole numbers 0 to 30
        """
        reach = self.get_buffer("reach").double()
        weight = self.weight.detach().double().flatten(2) * (self.units_out / self.units_in)
        largest = weight.abs().amax((1, 2)).clamp_min(1e-30)
        by_width = ((1 << (self.bits - 1)) - 1.5) / largest
        # each weight may be rounded up by half a unit, and so is the sum
        room = EXACT - 8 - 0.5 * float(reach.sum()) * weight.shape[2]
        sums = (
            (weight.abs().sum(2) * reach).sum(1) + self._bias().detach().double().abs() * self.units_out + 0.5
        )
        shift = torch.floor(torch.log2(torch.minimum(by_width, room / sums))).clamp(0, MOST_SHIFT)
        return shift.float()[:, None, None, None]

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (out, in, s, s), bias (out,) and shifts (out,) as whole numbers in float64."""
        shift = self.shifts().double()
        scale = torch.exp2(shift)
        top = (1 << (self.bits - 1)) - 1
        weight = torch.floor(self.weight.detach().double() * (self.units_out / self.units_in) * scale + 0.5)
        bias = torch.floor(self._bias().detach().double() * self.units_out * scale[:, 0, 0, 0] + 0.5)
        return weight.clamp(-top, top), bias, shift[:, 0, 0, 0]

    def _bias(self) -> Tensor:
        assert self.bias is not None  # noqa: S101 - for the type checker: it is always made
        return self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (n, inputs, y, x)."""
        if not self.whole:
            return super().forward(x)
        scale = torch.exp2(self.shifts()) * (self.units_out / self.units_in)
        top = (1 << (self.bits - 1)) - 1
        weight = rounded(self.weight * scale).clamp(-top, top) / scale
        units = scale[:, 0, 0, 0] * self.units_in
        bias = rounded(self._bias() * units) / units
        y = functional.conv2d(x, weight, bias, padding=self.padding)
        return rounded(y * self.units_out).clamp(-self.most_out, self.most_out - 1) / self.units_out


def set_whole(network: nn.Module, whole: bool) -> None:
    """Let every `Conv` in ``network`` compute as its whole numbers do, or in floats."""
    for part in network.modules():
        if isinstance(part, Conv):
            part.whole = whole
