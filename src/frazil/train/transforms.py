"""Encoder and decoder networks: a linear block transform, and convolutions that correct it.

The linear part is a Karhunen-Loeve transform (K. Pearson, 1901) of blocks of f x f points
and all channels, as in frazil.models.klt; the convolutional part begins at
zero (a ResNet's residual branch, He et al. 2016, doi:10.1109/CVPR.2016.90), so that training
can only improve on the transform. All convolutions work at the latents' resolution, where they are cheap;
a pixel shuffle makes points of channels (Shi et al. 2016, doi:10.1109/CVPR.2016.207).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from frazil.train.integers import OUTPUT_FINE, OUTPUT_MOST, Conv, rounded

if TYPE_CHECKING:
    from torch import Tensor

SLOPE = 7  # of the leaky rectifier: 2**-7


class Residual(nn.Module):
    """x + conv(leaky(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Conv(width, width, 3), Conv(width, width, 3)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape (n, width, y, x)."""
        y: Tensor = x + self.second(leaky(self.first(x), self.first))
        if not self.first.whole:
            return y
        units = self.first.units_out
        return torch.clamp(y, -self.first.most_out / units, (self.first.most_out - 1) / units)


def leaky(x: Tensor, conv: Conv) -> Tensor:
    """Rectify what ``conv`` made: negative numbers are divided by 2**`SLOPE`."""
    negative = x * 2.0**-SLOPE
    if conv.whole:
        negative = rounded(negative * conv.units_out) / conv.units_out
    return torch.where(x >= 0, x, negative)


def stack(width: int, blocks: int, *, first: Conv, last: Conv) -> nn.Sequential:
    """Chain a first convolution, residual blocks and a last one that begins at zero."""
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(first, *[Residual(width) for _ in range(blocks)], last)


class Analysis(nn.Module):
    """Channels (n, C, y, x) to latents (n, k, y/f, x/f).

    Parameters
    ----------
    basis : Tensor, shape (k, C * f * f)
        Rows of the linear transform, in the order of `torch.nn.functional.pixel_unshuffle`.
    scales : Tensor, shape (k,)
        Standard deviations of the latents.
    factor, width, blocks : int
    """

    def __init__(self, basis: Tensor, scales: Tensor, factor: int, width: int, blocks: int) -> None:
        super().__init__()
        self.factor = factor
        k, many = basis.shape
        self.linear = nn.Parameter(basis[:, :, None, None].clone())
        self.branch = stack(width, blocks, first=Conv(many, width, 1), last=Conv(width, k, 1))
        self.register_buffer("spread", 0.1 * (1 + scales)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Transform (n, C, y, x), y and x multiples of the factor."""
        u = functional.pixel_unshuffle(x, self.factor)
        z: Tensor = functional.conv2d(u, self.linear) + self.branch(u) * self.get_buffer("spread")
        return z


class Synthesis(nn.Module):
    """Latents (n, k, y, x), whole numbers, to channels (n, C, y * f, x * f) in training standard deviations.

    Parameters
    ----------
    basis : Tensor, shape (C * f * f, k)
        Columns of the linear transform.
    scales : Tensor, shape (k,)
        Standard deviations of the latents.
    limits : Tensor, shape (k,)
        Largest magnitudes of the latents.
    factor, width, blocks : int
    """

    def __init__(
        self,
        basis: Tensor,
        scales: Tensor,
        limits: Tensor,
        *,
        factor: int,
        width: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.factor = factor
        many, k = basis.shape
        self.linear = Conv(k, many, 1, bits=16, units_in=1, units_out=OUTPUT_FINE, most_out=OUTPUT_MOST)
        self.linear.weight.data = basis[:, :, None, None].clone()
        nn.init.zeros_(self.linear.bias)  # type: ignore[arg-type]
        first = Conv(k, width, 3, units_in=1)
        first.weight.data /= (1 + scales)[:, None, None]
        last = Conv(width, many, 1, units_out=OUTPUT_FINE, most_out=OUTPUT_MOST)
        self.branch = stack(width, blocks, first=first, last=last)
        for conv in (self.linear, first):
            conv.get_buffer("reach").copy_(limits)

    def forward(self, y: Tensor) -> Tensor:
        """Synthesise (n, k, y, x)."""
        u: Tensor = self.linear(y) + self.branch(y)
        if self.linear.whole:
            u = u.clamp(-OUTPUT_MOST / OUTPUT_FINE, (OUTPUT_MOST - 1) / OUTPUT_FINE)
        return functional.pixel_shuffle(u, self.factor)
