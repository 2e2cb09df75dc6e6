"""An autoencoder whose latents are rounded in steps of the user's choice, trained for rate and distortion.

Rate and distortion are weighed as in Ballé et al. (2017), arXiv:1611.01704, with
rounding instead of noise before the decoder (Theis et al. 2017, arXiv:1703.00395). Each sample is
rounded in another step, so that one model serves a range of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from frazil.train.integers import rounded, set_whole
from frazil.train.rate import LogisticRate
from frazil.train.transforms import Analysis, Synthesis

if TYPE_CHECKING:
    from torch import Tensor

    from frazil.models.klt import BlockBasis

SLOPE = 0.1155  # squared error for a bit at high rates, in squared steps: ln 2 / 6


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """Sizes of an autoencoder.

    Parameters
    ----------
    unit : float
        The finest step, in training standard deviations.
    steps : tuple of int
        Least, most and usual step in units of the finest.
    width, blocks : int
        Channels and residual blocks of the decoder's convolutions.
    encoder_width, encoder_blocks : int
    weight : float
        Of the rate, over what it is at high rates.
    """

    unit: float = 0.25
    steps: tuple[int, int, int] = (2, 8, 4)
    width: int = 64
    blocks: int = 2
    encoder_width: int = 64
    encoder_blocks: int = 2
    weight: float = 3.0


class Autoencoder(nn.Module):
    """Encoder, rate and decoder.

    Parameters
    ----------
    basis : BlockBasis
        Of the normalised training data: where the training begins.
    settings : AutoencoderSettings
    """

    def __init__(self, basis: BlockBasis, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        vectors = torch.from_numpy(basis.vectors).float()
        scales = torch.from_numpy(basis.deviations).float() / settings.unit
        limits = torch.from_numpy(basis.limits(settings.unit)).float()
        sizes = settings.encoder_width, settings.encoder_blocks
        self.encoder = Analysis(vectors / settings.unit, scales, basis.factor, *sizes)
        self.decoder = Synthesis(
            vectors.T * settings.unit,
            scales,
            limits,
            factor=basis.factor,
            width=settings.width,
            blocks=settings.blocks,
        )
        self.rate = LogisticRate(scales)
        self.register_buffer("limits", limits[:, None, None])

    def set_whole(self, whole: bool) -> None:
        """Let the decoder compute as its whole numbers do."""
        set_whole(self.decoder, whole)

    def latents(self, x: Tensor, step: Tensor) -> Tensor:
        """Round latents in steps, with gradients; in units of the finest step."""
        limits = self.get_buffer("limits")
        return (rounded(self.encoder(x) / step) * step).clamp(-limits, limits)

    def loss(self, x: Tensor, done: float) -> tuple[Tensor, dict[str, float]]:  # noqa: ARG002 - the loop's signature
        """Squared error over squared step, plus bits."""
        least, most, _ = self.settings.steps
        step = torch.randint(least, most + 1, (len(x), 1, 1, 1)).float()
        z = self.encoder(x)
        limits = self.get_buffer("limits")
        bits = self.rate(z, step).sum((1, 2, 3))
        y = (rounded(z / step) * step).clamp(-limits, limits)
        error = ((self.decoder(y) - x) ** 2).sum((1, 2, 3))
        unit = (self.settings.unit * step[:, 0, 0, 0]) ** 2
        cells = z[0, 0].numel()
        value = (error / unit + self.settings.weight * SLOPE * bits).mean() / (50 * cells)
        numbers = {
            "loss": float(value.detach()),
            "nRMSE": float((error.detach().sum() / x.numel()).sqrt()),
            "bits a value": float(bits.detach().sum() / x.numel()),
        }
        return value, numbers
