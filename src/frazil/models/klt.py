"""The first model: blocks of f x f points and all channels, in the axes along which they vary most.

A block Karhunen-Loeve transform (K. Pearson, 1901; for coding: H. Hotelling
1933, doi:10.1037/h0071325), fitted in seconds, linear, and hard to beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from frazil.models.encoder import Encoder
    from frazil.models.store import Model

    Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BlockBasis:
    """Axes of blocks of normalised values.

    Parameters
    ----------
    factor : int
        Side of a block.
    vectors : ndarray, shape (k, channels * factor * factor), float64
        Orthonormal rows, most variance first; a block is in the order of a pixel unshuffle: channel, row,
        column.
    deviations : ndarray, shape (k,), float64
        Standard deviations along them.
    largest : ndarray, shape (k,), float64
        Largest magnitudes along them.
    """

    factor: int
    vectors: Doubles
    deviations: Doubles
    largest: Doubles

    def limits(self, unit: float) -> npt.NDArray[np.int32]:
        """Largest whole numbers that latents in units of ``unit`` may have: twice what was seen."""
        seen = np.maximum(self.largest, 4 * self.deviations) / unit
        limits: npt.NDArray[np.int32] = np.clip(np.ceil(2 * seen) + 8, 16, 1 << 14).astype(np.int32)
        return limits


def blocks(field: npt.NDArray[Any], factor: int) -> Doubles:
    """Unfold (C, y, x) into blocks (n, C * factor * factor); what does not fill a block is left out.

    Examples
    --------
    >>> blocks(np.arange(16).reshape(1, 4, 4), 2)[0]
    array([0., 1., 4., 5.])
    """
    c, y, x = field.shape
    cut = field[:, : y // factor * factor, : x // factor * factor].astype(np.float64)
    parts = cut.reshape(c, y // factor, factor, x // factor, factor)
    return parts.transpose(1, 3, 0, 2, 4).reshape(-1, c * factor * factor)


def fit_basis(
    fields: Sequence[npt.NDArray[Any]], factor: int, *, least: float = 0.02, most: int = 512, offsets: int = 1
) -> BlockBasis:
    """Find the axes of normalised fields.

    Parameters
    ----------
    fields : sequence of ndarray, shape (C, y, x)
        In units of each channel's standard deviation.
    factor : int
        Side of a block, 1 to 64.
    least : float
        Axes along which the standard deviation is smaller are left out.
    most : int
        Axes that are kept at most.
    offsets : int
        Blocks begin at so many places in y and in x, which is worth it for few data.

    Returns
    -------
    BlockBasis

    Raises
    ------
    ConfigurationError
        If the fields are smaller than a block.
    """
    size = fields[0].shape[0] * factor * factor
    total, moment = 0, np.zeros((size, size))
    shifts = [factor * i // offsets for i in range(offsets)]
    views = [field[:, top:, left:] for field in fields for top in shifts for left in shifts]
    for view in views:
        part = blocks(view, factor)
        total += len(part)
        moment += part.T @ part
    if not total:
        raise ConfigurationError(f"no field holds a block of {factor} x {factor} points")
    variances, axes = np.linalg.eigh(moment / total)
    deviations = np.sqrt(np.maximum(variances[::-1], 0))
    k = int(np.clip((deviations > least).sum(), 1, most))
    vectors = np.ascontiguousarray(axes[:, ::-1][:, :k].T)
    # an axis has no direction of its own: most of it points up
    vectors *= np.where(vectors.sum(1) < 0, -1.0, 1.0)[:, None]
    largest = np.max([np.abs(blocks(view, factor) @ vectors.T).max(0) for view in views], axis=0)
    return BlockBasis(factor, vectors, deviations[:k], largest)


def fit_klt(
    fields: npt.NDArray[Any],
    *,
    factor: int = 8,
    error: float = 0.05,
    name: str = "klt",
    axis: int = -3,
    offset: npt.ArrayLike | None = None,
    scale: npt.ArrayLike | None = None,
    trust: float = 1.0,
    most: int = 512,
    card: dict[str, Any] | None = None,
) -> Model:
    """Fit a linear model to data, in seconds: blocks of points and all channels, in their principal axes.

    Parameters
    ----------
    fields : ndarray, shape (n, C, y, x), or (n, C, points) with ``axis=-2``
        Training data, finite, in the units of the arrays that are to be compressed.
    factor : int
        Side of a block; of points without an order in space (``axis=-2``), blocks are ``factor ** 2`` in a row.
    error : float
        Root mean square error to aim at with the usual step, in standard deviations of each channel.
    name : str
    axis : int
        Which axis of a chunk holds the channels: -3 or further to the left, or -2 for (..., channel, point).
    offset, scale : array_like, shape (C,), optional
        What is subtracted from each channel, and what it is divided by: by default mean and standard
        deviation of the data.
    trust : float
        A chunk of which 32 x 32 points come back with a larger error, in standard deviations, is written by
        `frazil.Bounded` instead.
    most : int
        Latents of a block, at most.
    card : dict, optional
        Where the data come from: kept in the model.

    Returns
    -------
    Model
        For `frazil.Latent`; ``model.save(folder)`` writes its files.

    Raises
    ------
    ConfigurationError
        If the data have another shape, are not finite, or hold no block.

    Examples
    --------
    >>> y, x = np.mgrid[:64, :64] / 9
    >>> hours = np.arange(48)[:, None, None]
    >>> model = fit_klt(np.sin(x + hours / 7)[:, None] * np.cos(y), factor=8, error=0.02)
    >>> model.decoder.channels, model.decoder.factor, model.decoder.kind
    (1, 8, 'latent')
    """
    from frazil.entropy import latents
    from frazil.models.encoder import Encoder
    from frazil.models.format import Decoder, Steps
    from frazil.models.store import Model

    data = _checked(np.asarray(fields), factor, axis)
    middle = data.mean((0, 2, 3)) if offset is None else np.asarray(offset, np.float64)
    spread = data.std((0, 2, 3)) if scale is None else np.asarray(scale, np.float64)
    spread = np.where(spread > 0, spread, 1.0)
    normal = (data - middle[:, None, None]) / spread[:, None, None]
    basis = fit_basis(list(normal), factor, least=error / 2, most=most)
    unit = step_for(basis, error) / USUAL
    limits = basis.limits(unit)
    fine = 1 << int(np.ceil(np.log2(8 / min(error, 1.0))))
    tensors, layer = _linear(basis, unit, limits, fine)
    layers = [layer]
    if factor > 1:
        layers.append({"op": "shuffle", "from": 1, "factor": factor})
    inward = [{"op": "unshuffle", "from": 0, "factor": factor}] if factor > 1 else []
    inward.append({"op": "conv", "from": len(inward), "weight": "weight", "bias": "bias"})
    weight = (basis.vectors / unit)[:, :, None, None].astype(np.float32)
    matrix = {"weight": weight, "bias": np.zeros(len(weight), np.float32)}

    def build(coder: dict[str, npt.NDArray[Any]]) -> Model:
        decoder = Decoder.build(
            name=name,
            kind="latent",
            factor=factor,
            axis=axis,
            layers=layers,
            tensors=tensors | coder,
            limits=limits,
            steps=Steps(1, 8 * USUAL, USUAL),
            offset=list(middle),
            scale=list(spread / fine),
            spread=list(spread),
            trust=trust,
            card=card,
        )
        encoder = Encoder.build(
            decoder=decoder.digest, offset=list(middle), scale=list(spread), layers=inward, tensors=matrix
        )
        return Model(name, decoder, encoder)

    z = _encoder_of(build({})).run(data)
    pairs = [(np.rint(z / step).astype(np.int32), step) for step in (USUAL // 2, USUAL, 2 * USUAL)]
    return build(latents.learn(pairs, z.shape[1]).to_tensors())


USUAL = 4  # the usual step, in units of the finest


def step_for(basis: BlockBasis, error: float) -> float:
    """Step of a quantiser whose root mean square error is ``error``: water-filling (Shannon 1949).

    Examples
    --------
    >>> basis = BlockBasis(1, np.eye(2), np.array([5.0, 3.0]), np.array([9.0, 9.0]))
    >>> round(step_for(basis, 0.1), 3)
    0.346
    """
    size = basis.vectors.shape[1]
    low, high = 1e-6, 1e3
    for _ in range(60):
        step = (low * high) ** 0.5
        squares = np.minimum(basis.deviations**2, step**2 / 12).sum() / size
        low, high = (step, high) if squares < error**2 else (low, step)
    return low


def _encoder_of(model: Model) -> Encoder:
    assert model.encoder is not None  # noqa: S101 - for the type checker: it was just made
    return model.encoder


def _checked(data: npt.NDArray[Any], factor: int, axis: int) -> Doubles:
    wanted = 3 if axis == -2 else 4
    if data.ndim != wanted or not data.size or not 1 <= factor <= 64:
        shape = "(n, channels, points)" if axis == -2 else "(n, channels, y, x)"
        raise ConfigurationError(
            f"a model is fitted to fields {shape} with factor 1 to 64, got shape {data.shape}"
        )
    data = data.astype(np.float64)
    if not np.isfinite(data).all():
        raise ConfigurationError("a model is fitted to finite fields: fill in or leave out what is missing")
    if axis != -2:
        return data
    n, c, points = data.shape
    run = factor * factor
    folded = data[:, :, : points // run * run].reshape(n, c, -1, factor, factor).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(folded).reshape(n, c, factor, -1)


def _linear(
    basis: BlockBasis, unit: float, limits: npt.NDArray[np.int32], fine: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Write the inverse transform as a convolution of whole numbers whose results are in 1 / ``fine``."""
    real = basis.vectors.T * (unit * fine)
    reach = np.abs(real) @ limits
    by_width = 32766.0 / np.maximum(np.abs(real).max(1), 1e-30)
    room = (1 << 24) - 8.0 - 0.5 * float(limits.sum())
    # Sums that single precision holds, if weights then still have eight bits; else double precision.
    exact = np.minimum(by_width, max(room, 1.0) / (reach + 1))
    enough = (np.abs(real).max(1) * exact >= 128).all() and room > 0
    shift = np.clip(np.floor(np.log2(exact if enough else by_width)), 0, 30).astype(np.int8)
    weight = np.rint(real * 2.0 ** shift.astype(np.float64)[:, None])
    tensors = {
        "weight": weight[:, :, None, None].astype(np.int16),
        "bias": np.zeros(len(weight), np.int32),
        "shift": shift,
    }
    most = (1 << 22) - 1
    names = {"weight": "weight", "bias": "bias", "shift": "shift"}
    return tensors, {"op": "conv", "from": 0, **names, "low": -most, "high": most}
