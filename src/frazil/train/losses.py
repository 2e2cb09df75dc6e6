"""What training makes small, besides bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def cloud_weights(x: Tensor, bright: float = 1.5, least: float = 0.2) -> Tensor:
    """Weights (n, 1, y, x) that are 1 on clear ground and fall to ``least`` where all bands are bright.

    Parameters
    ----------
    x : Tensor, shape (n, C, y, x)
        In training standard deviations.
    bright : float
        Mean over the bands at which a point counts half.
    least : float
        Weight of the thickest clouds, 0 to 1.
    """
    import torch

    brightness = x.mean(1, keepdim=True)
    return least + (1 - least) * torch.sigmoid(4 * (bright - brightness))


def reconstruction(decoded: Tensor, x: Tensor, weights: Tensor | None = None, squares: float = 1.0) -> Tensor:
    """Mean absolute error plus ``squares`` times the mean squared error, weighed point by point."""
    error = decoded - x
    each = error.abs() + squares * error**2
    return each.mean() if weights is None else (each * weights).mean()
