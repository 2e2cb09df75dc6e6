"""What latents will cost: a logistic distribution a channel, which knows the quantiser's step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class LogisticRate(nn.Module):
    """Bits of latents z, in units of the finest step, rounded in steps of q.

    Parameters
    ----------
    scales : Tensor, shape (k,)
        Standard deviations of the latents to begin with.
    """

    def __init__(self, scales: Tensor) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.zeros(len(scales), 1, 1))
        self.log_scale = nn.Parameter(torch.log(0.55 * scales + 0.3)[:, None, None])

    def forward(self, z: Tensor, step: Tensor) -> Tensor:
        """Bits of each latent of (n, k, y, x) for steps (n, 1, 1, 1)."""
        scale = torch.exp(self.log_scale)
        away = (z - self.middle).abs()
        high = torch.sigmoid((step / 2 - away) / scale)
        low = torch.sigmoid((-step / 2 - away) / scale)
        return -torch.log2((high - low).clamp_min(1e-7))
