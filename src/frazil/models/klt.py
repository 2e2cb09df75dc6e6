"""The first model: blocks of f x f points and all channels, in the axes along which they vary most.

A block Karhunen-Loeve transform (K. Pearson, 1901; for coding: H. Hotelling
1933, doi:10.1037/h0071325), fitted in seconds, linear, and hard to beat.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError
from frazil.models.pieces import POINTS, moments, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from frazil.models.encoder import Encoder
    from frazil.models.pieces import Piece
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
    rest : float
        Mean square of a value along the axes that were left out.
    """

    factor: int
    vectors: Doubles
    deviations: Doubles
    largest: Doubles
    rest: float = 0.0

    def limits(self, unit: float) -> npt.NDArray[np.int32]:
        """Largest whole numbers that latents in units of ``unit`` may have: four times what was seen.

        Twice was too little for few data: 0.05 % of the latents of other points were cut off, and the least
        error was 0.031 in place of 0.017 (`benchmarks/points.py`, icon).
        """
        seen = np.maximum(self.largest, 4 * self.deviations) / unit
        limits: npt.NDArray[np.int32] = np.clip(np.ceil(4 * seen) + 32, 32, 1 << 14).astype(np.int32)
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
    fields: Sequence[npt.NDArray[Any]],
    factor: int,
    *,
    least: float = 0.02,
    most: int = 512,
    offsets: int = 1,
    known: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    prior: float = 0.0,
    in_rows: bool = False,
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
    known : sequence of ndarray of bool, shape (C, y, x), or None
        Where the fields hold values: a block without any is left out.
    prior : float
        What is expected before any block is seen, channels and places of a block apart, counts as so many
        blocks for each dimension.
    in_rows : bool
        Blocks are runs of points.

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
    shifts = sorted({factor * i // offsets for i in range(offsets)})

    def views() -> Iterator[Doubles]:
        for number, field in enumerate(fields):
            where = None if known is None else known[number]
            for top, left in itertools.product(shifts, shifts):
                part = blocks(field[:, top:, left:], factor)
                if where is not None:
                    part = part[blocks(where[:, top:, left:], factor).any(1)]
                yield part

    for part in views():
        total += len(part)
        moment += part.T @ part
    if not total:
        raise ConfigurationError(f"no field holds a block of {factor} x {factor} points")
    moment /= total
    if prior:
        seen = total / (prior * size * len(shifts) ** 2)  # blocks that overlap are much alike
        moment = (seen * moment + _expected(moment, fields[0].shape[0], factor, in_rows=in_rows)) / (seen + 1)
    variances, axes = np.linalg.eigh(moment)
    deviations = np.sqrt(np.maximum(variances[::-1], 0))
    k = int(np.clip((deviations > least).sum(), 1, most))
    vectors = np.ascontiguousarray(axes[:, ::-1][:, :k].T)
    # an axis has no direction of its own: most of it points up
    vectors *= np.where(vectors.sum(1) < 0, -1.0, 1.0)[:, None]
    largest = np.max([np.abs(part @ vectors.T).max(0, initial=0) for part in views()], axis=0)
    rest = float((deviations[k:] ** 2).sum() / size)
    return BlockBasis(factor, vectors, deviations[:k], largest, rest)


def _expected(moment: Doubles, channels: int, factor: int, *, in_rows: bool) -> Doubles:
    """Second moments of blocks, were channels and places apart, and correlations powers of the distance.

    Towards such a product a sample's moments are shrunk (O. Ledoit and M. Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4): of few blocks, the axes that they do not show are then smooth ones.
    """
    area = factor * factor
    whole = moment.reshape(channels, area, channels, area)
    between = np.einsum("cpdp->cd", whole) / area
    places = np.einsum("cpcq->pq", whole)
    if in_rows:
        return np.kron(between, _line(places))
    square = places.reshape(factor, factor, factor, factor)
    return np.kron(
        between, np.kron(_line(np.einsum("ijkj->ik", square)), _line(np.einsum("ijil->jl", square)))
    )


def _line(moment: Doubles) -> Doubles:
    """Correlations of points in a line: powers of that of neighbours."""
    length = len(moment)
    power = max(float(np.trace(moment)) / length, 1e-30)
    share = np.clip(np.trace(moment, 1) / (max(length - 1, 1) * power), 0, 0.999)
    correlations: Doubles = share ** np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    return correlations


def fit_klt(
    fields: Any,
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
    fields : array, shape (n, C, y, x), or (n, C, points) with ``axis=-2``
        Training data, in the units of the arrays that are to be compressed. Of more than some eight
        million values, windows that are spread over them are taken (and nothing else is read of an array that
        reads when it is sliced); fields that follow each other in time should do so here. NaN and infinities
        are gaps, closed as the codec closes them; blocks without any value are left out.
    factor : int
        Side of a block; of points without an order in space (``axis=-2``), ``factor ** 2`` in a row are a
        block.
    error : float
        Root mean square error to aim at with the usual step, in standard deviations of each channel.
    name : str
    axis : int
        Which axis of a chunk holds the channels: -3 or further to the left, or -2 for (..., channel, point).
    offset, scale : array_like, shape (C,), optional
        What is subtracted from each channel, and what it is divided by: by default mean and standard
        deviation of the data. A channel that never changes has hardly any: should it change in a chunk, that
        is written by `frazil.Bounded`.
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
        If the data have another shape, hold no block, or no value.

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

    if not 0 < error < np.inf:
        raise ConfigurationError(f"error is in standard deviations, more than 0, got {error!r}")
    found = pieces(fields, factor, axis)
    mean, deviation = moments(found)
    middle = mean if offset is None else _each(offset, "offset", len(mean))
    spread = deviation if scale is None else _each(scale, "scale", len(mean))
    spread = np.where(spread > 0, spread, deviation)
    found = [piece.filled(middle) for piece in found]
    normal, known = _normal(found, middle, spread)
    rows = axis == POINTS
    offsets = 1 if rows else _offsets(found, factor)
    basis = fit_basis(
        normal, factor, least=error / 2, most=most, offsets=offsets, known=known, prior=PRIOR, in_rows=rows
    )
    unit = step_for(basis, ROUNDED * error) / USUAL
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

    encoder, pairs = _encoder_of(build({})), []
    for piece in found:
        z = encoder.run(piece.values)
        for step in (USUAL // 2, USUAL, 2 * USUAL):
            most_of = (limits // step)[:, None, None]
            pairs.append((np.clip(np.rint(z / step), -most_of, most_of).astype(np.int32), step))
    return build(latents.LatentStates.learn(pairs, len(limits)).to_tensors())


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
    aim = max(error**2 - basis.rest, error**2 / 4)
    low, high = 1e-6, 1e3
    for _ in range(60):
        step = (low * high) ** 0.5
        squares = np.minimum(basis.deviations**2, step**2 / 12).sum() / size
        low, high = (step, high) if squares < aim else (low, step)
    return min(low, 12**0.5 * max(float(basis.deviations[0]), error))


def _encoder_of(model: Model) -> Encoder:
    assert model.encoder is not None  # noqa: S101 - for the type checker: it was just made
    return model.encoder


def _each(given: npt.ArrayLike, what: str, channels: int) -> Doubles:
    values = np.asarray(given, np.float64)
    if values.shape != (channels,) or not np.isfinite(values).all():
        raise ConfigurationError(
            f"{what} is one finite number for each of {channels} channels, got {np.shape(given)}"
        )
    return values


def _normal(
    found: list[Piece], middle: Doubles, spread: Doubles
) -> tuple[list[Doubles], list[npt.NDArray[np.bool_] | None]]:
    """Fields of pieces, normalised, and where each holds values."""
    fields, known = [], []
    for piece in found:
        fields += list((piece.values - middle[:, None, None]) / spread[:, None, None])
        known += [None] * len(piece.values) if piece.valid is None else list(piece.valid)
    return fields, known


def _offsets(found: list[Piece], factor: int) -> int:
    """At how many places blocks are to begin: at more where there are few."""
    size = found[0].values.shape[1] * factor * factor
    count = sum(piece.values.size for piece in found) / size
    return int(np.clip(np.ceil(np.sqrt(ENOUGH * size / count)), 1, min(factor, MOST_OFFSETS)))


PRIOR = 0.1  # blocks for each dimension
ROUNDED = 0.92  # of the error: rounding so that a bit is worth its error adds to it, 2 to 17 per cent
ENOUGH, MOST_OFFSETS = 8, 4  # blocks for each dimension; places where they begin, in y and in x


def _linear(
    basis: BlockBasis, unit: float, limits: npt.NDArray[np.int32], fine: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Write the inverse transform as a convolution of whole numbers whose results are in 1 / ``fine``."""
    real = basis.vectors.T * (unit * fine)
    reach = np.abs(real) @ limits
    largest = np.abs(real).max(1)
    by_width = 32766.0 / np.maximum(largest, 1e-30)
    room = (1 << 24) - 8.0 - 0.5 * float(limits.sum())
    # Sums that single precision holds, if weights then still have eight bits; else double precision.
    exact = np.minimum(by_width, max(room, 1.0) / (reach + 1))
    enough = ((largest * exact >= 128) | (largest < 1)).all() and room > 0
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
