"""An autoencoder with codewords between encoder and decoder (van den Oord et al. 2017, arXiv:1711.00937)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from frazil.train.integers import FINE, OUTPUT_FINE, OUTPUT_MOST, Conv, set_whole
from frazil.train.losses import cloud_weights, reconstruction
from frazil.train.quantise import Codebooks, FiniteScalars, to_heads
from frazil.train.transforms import stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from frazil.models.klt import BlockBasis, Doubles


AWAY = 4.0  # deviations: what a layer norm is told a vector's length by


def shares(deviations: Doubles, heads: int, bits: float, most: int) -> list[tuple[int, int]]:
    """Split axes among heads so that each has ``bits`` bits' worth, by reverse water-filling.

    Parameters
    ----------
    deviations : ndarray, shape (k,), float64
        Standard deviations along the axes, decreasing.
    heads : int
    bits : float
        Of one head.
    most : int
        Axes of a head, at most.

    Returns
    -------
    list of (first, last)

    Examples
    --------
    >>> shares(np.array([16.0, 4, 4, 2, 2, 2, 2, 1]), 2, 4.0, 6)
    [(0, 1), (1, 7)]
    """
    low, high = 1e-9, float(deviations[0])
    for _ in range(60):
        water = (low * high) ** 0.5
        spent = np.log2(np.maximum(deviations / water, 1)).sum()
        low, high = (water, high) if spent > heads * bits else (low, water)
    levels = np.cumsum(np.log2(np.maximum(deviations / low, 1)))
    ends = [int(np.searchsorted(levels, (head + 0.75) * bits)) + 1 for head in range(heads - 1)]
    found, first = [], 0
    for head in range(heads):
        last = ends[head] if head < heads - 1 else len(deviations)
        last = max(first + 1, min(last, first + most, len(deviations) - (heads - 1 - head)))
        found.append((first, last))
        first = last
    return found


@dataclass(frozen=True, kw_only=True)
class TokeniserSettings:
    """Sizes of a tokeniser.

    Parameters
    ----------
    size : int
        Codewords of a codebook; not looked at with ``levels``.
    depth : int
        Numbers of a codeword.
    heads : int
    levels : tuple of int, optional
        Finite scalar quantisation with so many levels, in place of codebooks.
    width, blocks : int
        Channels and residual blocks of encoder and decoder.
    squares : float
        Weight of the squared error beside the absolute one.
    commitment : float
        Weight of the vectors' distance to their codewords.
    fade : float
        Part of the training in which the heads beyond the first fade in.
    clouds : bool
        Whether bright points count less.
    """

    size: int = 1024
    depth: int = 16
    heads: int = 1
    levels: tuple[int, ...] | None = None
    width: int = 64
    blocks: int = 2
    squares: float = 4.0
    commitment: float = 0.25
    fade: float = 0.0
    clouds: bool = False


class Tokeniser(nn.Module):
    """Encoder, codebooks and decoder.

    Parameters
    ----------
    basis : BlockBasis
        Of the normalised training data; its first axes are what the linear parts begin with.
    settings : TokeniserSettings
    """

    quantiser: Codebooks | FiniteScalars

    def __init__(self, basis: BlockBasis, settings: TokeniserSettings) -> None:
        super().__init__()
        self.settings, self.factor = settings, basis.factor
        depth = len(settings.levels) if settings.levels else settings.depth
        many, inner = basis.vectors.shape[1], depth * settings.heads
        self.project = Conv(many, inner, 1)
        self.expand = Conv(inner, many, 1, bits=16, units_out=OUTPUT_FINE, most_out=OUTPUT_MOST)
        self._begin(basis, depth)
        sizes = settings.width, settings.blocks
        self.encoder = stack(*sizes, first=Conv(many, settings.width, 1), last=Conv(settings.width, inner, 1))
        self.decoder = stack(
            *sizes,
            first=Conv(inner, settings.width, 3),
            last=Conv(settings.width, many, 1, units_out=OUTPUT_FINE, most_out=OUTPUT_MOST),
        )
        if settings.levels:
            self.quantiser = FiniteScalars(settings.levels, settings.heads)
        else:
            self.quantiser = Codebooks(settings.size, settings.depth, settings.heads, fade=settings.fade)
        for conv in (self.expand, self.decoder[0]):
            conv.get_buffer("reach").fill_(
                float(self.quantiser.table().abs().max()) if settings.levels else 4.0 * FINE
            )

    def _begin(self, basis: BlockBasis, depth: int) -> None:
        """Give each head axes of its own, as many as make its share of the bits.

        A layer norm forgets a vector's mean and length. Two numbers of each head, held at plus and minus
        `AWAY` by their biases, make directions tell both.
        """
        heads = self.settings.heads
        for conv in (self.project, self.expand):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        grid = self.settings.levels is not None
        bits = math.log2(math.prod(self.settings.levels) if self.settings.levels else self.settings.size)
        kept = depth if grid else depth - 2
        for head, (first, last) in enumerate(shares(basis.deviations, heads, bits, kept)):
            axes = torch.from_numpy(basis.vectors[first:last]).float()
            unit = float(basis.deviations[first])
            rows = slice(head * depth, head * depth + last - first)
            self.project.weight.data[rows, :, 0, 0] = axes / (2 * unit if grid else unit)
            if grid:
                self.expand.weight.data[:, rows, 0, 0] = (axes * 2 * unit).T
                continue
            away = slice((head + 1) * depth - 2, (head + 1) * depth)
            self.project.bias.data[away] = torch.tensor([AWAY, -AWAY])  # type: ignore[union-attr]
            back = (axes * unit * AWAY * (2 / depth) ** 0.5).T
            self.expand.weight.data[:, rows, 0, 0] = back
            self.expand.weight.data[:, away, 0, 0] = -0.5 * back.sum(1, keepdim=True)

    def set_whole(self, whole: bool) -> None:
        """Let the decoder compute as its whole numbers do."""
        set_whole(self.decoder, whole)
        set_whole(self.expand, whole)

    def vectors(self, x: Tensor) -> Tensor:
        """Encode (n, C, y, x) to vectors (n, heads * depth, y / f, x / f)."""
        u = functional.pixel_unshuffle(x, self.factor)
        vectors: Tensor = self.project(u) + self.encoder(u)
        return vectors

    def decode(self, words: Tensor) -> Tensor:
        """Decode codewords (n, heads * depth, y, x)."""
        u: Tensor = self.expand(words) + self.decoder(words)
        if self.expand.whole:
            u = u.clamp(-OUTPUT_MOST / OUTPUT_FINE, (OUTPUT_MOST - 1) / OUTPUT_FINE)
        return functional.pixel_shuffle(u, self.factor)

    @torch.no_grad()
    def begin(self, batches: Iterator[Tensor], many: int = 20) -> None:
        """Start the codebooks from some batches."""
        if isinstance(self.quantiser, Codebooks):
            found = [to_heads(self.vectors(next(batches)), self.settings.heads) for _ in range(many)]
            self.quantiser.begin(torch.cat(found, 1))

    def loss(self, x: Tensor, done: float) -> tuple[Tensor, dict[str, float]]:
        """Error, and distance of vectors to codewords."""
        words, found, distance = self.quantiser(self.vectors(x), done)
        decoded = self.decode(words)
        weights = cloud_weights(x) if self.settings.clouds else None
        value = (
            reconstruction(decoded, x, weights, self.settings.squares) + self.settings.commitment * distance
        )
        numbers = {
            "loss": float(value.detach()),
            "nRMSE": float(((decoded.detach() - x) ** 2).mean().sqrt()),
            "codewords in a batch": float(len(found[:, 0].unique())),
        }
        return value, numbers
