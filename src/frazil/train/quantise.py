"""Vectors to codewords: one codebook, products of several, or a grid without any.

Vector quantisation with moving averages (van den Oord et al. 2017,
arXiv:1711.00937; Razavi et al. 2019, arXiv:1906.00446), of vectors and codewords that are both
layer-normalised; several heads, each with a codebook, as product quantisation (Jégou et
al. 2011, doi:10.1109/TPAMI.2010.57), faded in one after the other; and finite
scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from frazil.train.integers import FINE, MOST, rounded

if TYPE_CHECKING:
    from torch import Tensor


def normalised(vectors: Tensor) -> Tensor:
    """Layer-normalise (..., d) over d (Ba et al. 2016, arXiv:1607.06450)."""
    return functional.layer_norm(vectors, vectors.shape[-1:])


def to_heads(z: Tensor, heads: int) -> Tensor:
    """(n, heads * d, y, x) to vectors (heads, n * y * x, d)."""
    n, many, y, x = z.shape
    return z.reshape(n, heads, many // heads, y, x).permute(1, 0, 3, 4, 2).reshape(heads, n * y * x, -1)


def from_heads(vectors: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Invert `to_heads` for ``shape`` (n, y, x)."""
    n, y, x = shape
    heads, _, d = vectors.shape
    return vectors.reshape(heads, n, y, x, d).permute(1, 0, 4, 2, 3).reshape(n, heads * d, y, x)


class Codebooks(nn.Module):
    """Codebooks of ``heads`` heads that follow the vectors by moving averages.

    Parameters
    ----------
    size : int
        Codewords of each.
    depth : int
        Numbers of a codeword.
    heads : int
    decay : float
        Of the moving averages.
    fade : float
        Part of the training in which the heads beyond the first fade in, one after the other; 0 for none.
    """

    def __init__(
        self, size: int, depth: int, heads: int = 1, decay: float = 0.998, fade: float = 0.0
    ) -> None:
        super().__init__()
        self.size, self.depth, self.heads, self.decay, self.fade = size, depth, heads, decay, fade
        self.register_buffer("words", normalised(torch.randn(heads, size, depth)))
        self.register_buffer("counts", torch.ones(heads, size))
        self.register_buffer("sums", self.get_buffer("words").clone())

    @torch.no_grad()
    def begin(self, vectors: Tensor, rounds: int = 12) -> None:
        """Start from k-means (Lloyd 1982, doi:10.1109/TIT.1982.1056489) of ``vectors`` (heads, n, d)."""
        words = self.get_buffer("words")
        for head in range(self.heads):
            points = normalised(vectors[head])
            chosen = points[torch.randperm(len(points))[: self.size]]
            words[head, : len(chosen)] = chosen
            for _ in range(rounds):
                nearest = _nearest(points, words[head])
                counts = torch.bincount(nearest, minlength=self.size).float()
                sums = torch.zeros_like(words[head]).index_add_(0, nearest, points)
                used = counts > 0
                words[head, used] = normalised(sums[used] / counts[used, None])
                idle = int((~used).sum())
                if idle:
                    words[head, ~used] = points[torch.randint(len(points), (idle,))]
        self.get_buffer("sums").copy_(words)

    def table(self) -> Tensor:
        """Codewords as the decoder's whole numbers, (heads, size, depth)."""
        return torch.floor(self.get_buffer("words") * FINE + 0.5).clamp(-MOST, MOST - 1)

    def indices(self, z: Tensor) -> Tensor:
        """Nearest codewords of (n, heads * depth, y, x): (n, heads, y, x), int64."""
        n, _, y, x = z.shape
        vectors = normalised(to_heads(z, self.heads))
        table = self.table() / FINE
        found = [_nearest(vectors[head], table[head]) for head in range(self.heads)]
        return torch.stack([f.reshape(n, y, x) for f in found], 1)

    def forward(self, z: Tensor, done: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise (n, heads * depth, y, x); return codewords, indices and the vectors' distance to them.

        ``done`` is the part of the training that is over: while heads fade in, the decoder sees less of them.
        """
        n, _, y, x = z.shape
        vectors = normalised(to_heads(z, self.heads))
        table = self.table() / FINE
        words, found = [], []
        for head in range(self.heads):
            nearest = _nearest(vectors[head].detach(), table[head])
            found.append(nearest.reshape(n, y, x))
            words.append(table[head, nearest])
            if self.training:
                self._follow(head, vectors[head].detach(), nearest)
        chosen = torch.stack(words)
        distance = functional.mse_loss(vectors, chosen)
        seen = vectors + (chosen - vectors).detach()
        if done < self.fade:
            parts = [
                min(1.0, max(0.0, done / self.fade * self.heads - head + 1)) for head in range(self.heads)
            ]
            seen = seen * torch.tensor(parts)[:, None, None]
        return from_heads(seen, (n, y, x)), torch.stack(found, 1), distance

    @torch.no_grad()
    def _follow(self, head: int, vectors: Tensor, nearest: Tensor) -> None:
        counts, sums, words = (self.get_buffer(name)[head] for name in ("counts", "sums", "words"))
        new = torch.bincount(nearest, minlength=self.size).float()
        counts.mul_(self.decay).add_(new, alpha=1 - self.decay)
        sums.mul_(self.decay).add_(
            torch.zeros_like(sums).index_add_(0, nearest, vectors), alpha=1 - self.decay
        )
        alive = counts > 0.01 * len(vectors) / self.size
        words[alive] = normalised(sums[alive] / counts[alive, None])
        dead = int((~alive).sum())
        if dead:  # codewords that nobody uses start again at vectors of this batch
            fresh = vectors[torch.randint(len(vectors), (dead,))]
            words[~alive] = fresh
            sums[~alive] = fresh
            counts[~alive] = 0.05 * len(vectors) / self.size


class FiniteScalars(nn.Module):
    """A grid: each number of a vector is rounded to one of so many levels; their products are the codewords.

    Parameters
    ----------
    levels : tuple of int
        Of each number, 2 or more: (8, 5, 5, 5) makes 1000 codewords.
    heads : int
        Groups of ``len(levels)`` numbers, each an index of its own.
    """

    def __init__(self, levels: tuple[int, ...], heads: int = 1) -> None:
        super().__init__()
        self.levels, self.heads, self.depth = levels, heads, len(levels)
        self.size = math.prod(levels)
        grid = torch.cartesian_prod(*(torch.linspace(-1, 1, n) for n in levels)).reshape(self.size, -1)
        self.register_buffer("words", grid.expand(heads, -1, -1).clone())

    def table(self) -> Tensor:
        """Codewords as the decoder's whole numbers, (heads, size, depth)."""
        return torch.floor(self.get_buffer("words") * FINE + 0.5)

    def indices(self, z: Tensor) -> Tensor:
        """Codewords of (n, heads * depth, y, x): (n, heads, y, x), int64."""
        n, _, y, x = z.shape
        return (
            self._number(self._levels(to_heads(z, self.heads))).reshape(self.heads, n, y, x).transpose(0, 1)
        )

    def _levels(self, vectors: Tensor) -> Tensor:
        most = torch.tensor([n - 1.0 for n in self.levels])
        # a clamp in place of the paper's tanh: rounding is then the nearest codeword, all that a codec knows
        inside = vectors + (vectors.clamp(-1, 1) - vectors).detach()
        return rounded((inside + 1) / 2 * most)

    def _number(self, levels: Tensor) -> Tensor:
        number = torch.zeros(levels.shape[:-1], dtype=torch.int64)
        for at, n in enumerate(self.levels):
            number = number * n + levels[..., at].detach().long()
        return number

    def forward(self, z: Tensor, done: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002 - nothing fades
        """Quantise (n, heads * depth, y, x); return codewords, indices, and no distance."""
        n, _, y, x = z.shape
        levels = self._levels(to_heads(z, self.heads))
        most = torch.tensor([n - 1.0 for n in self.levels])
        words = rounded((levels * 2 / most - 1) * FINE) / FINE
        found = self._number(levels).reshape(self.heads, n, y, x).transpose(0, 1)
        return from_heads(words, (n, y, x)), found, torch.zeros(())


def _nearest(points: Tensor, words: Tensor) -> Tensor:
    """Index of the nearest of ``words`` (size, d) for each of ``points`` (n, d)."""
    half = (words**2).sum(1) / 2
    return torch.cat([(part @ words.T - half).argmax(1) for part in torch.split(points, 1 << 14)])
