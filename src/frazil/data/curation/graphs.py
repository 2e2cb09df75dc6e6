"""The members of a superbatch as a graph: similarities, components, Fiedler vectors.

The spectral part follows M. Fiedler, doi:10.21136/CMJ.1973.101168, and
F. Chung, Spectral Graph Theory, for the normalised Laplacian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LANCZOS_FROM = 513
"""Members from which on two eigenpairs are computed rather than all."""

_NULL = 1e-12  # of the largest squared norm: a member that does not vary
_EQUAL = 1e-6  # relative distance of eigenvalues that count as one: members in single precision tell no more


@dataclass(frozen=True)
class Spectrum:
    """The low end of a connected graph's spectrum.

    Parameters
    ----------
    fiedler : (n,) ndarray
        Eigenvector of the second eigenvalue; of the normalised Laplacian divided by the roots of the degrees.
        Of its entries of largest size the first is positive.
    lambda2, lambda3 : float
        Second and third eigenvalue; inf where there are too few members.
    """

    fiedler: Matrix
    lambda2: float
    lambda3: float

    @property
    def degenerate(self) -> bool:
        """Whether the second eigenvalue is a multiple one, so that its vector is an accident."""
        if not np.isfinite(self.lambda3):
            return False
        return self.lambda3 - self.lambda2 <= _EQUAL * max(abs(self.lambda2), abs(self.lambda3), _EQUAL)


def centred(gram: Matrix) -> Matrix:
    """Inner products of vectors whose mean is subtracted, from those of the vectors.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [6.0]])
    >>> centred(x @ x.T)
    array([[ 4.,  2., -6.],
           [ 2.,  1., -3.],
           [-6., -3.,  9.]])
    """
    rows = gram.mean(axis=1)
    found: Matrix = gram - rows[:, None] - rows + rows.mean()
    return found


def cosines(gram: Matrix, mass: Matrix | None = None) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Cosine similarities, and which members do not vary at all; those are similar to nobody.

    Parameters
    ----------
    gram : (n, n) ndarray
        Inner products of centred members.
    mass : (n, n) ndarray, optional
        Squared norm of each row's member over the points that the column's member has.

    Examples
    --------
    >>> cosines(np.array([[4.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))[0]
    array([[1. , 0.5, 0. ],
           [0.5, 1. , 0. ],
           [0. , 0. , 0. ]])
    """
    squares = np.maximum(np.diagonal(gram), 0)
    null = squares <= _NULL * max(float(squares.max(initial=0.0)), np.finfo(float).tiny)
    both = np.sqrt(np.outer(squares, squares) if mass is None else np.maximum(mass * mass.T, 0))
    empty = null[:, None] | null | (both <= 0)
    found = np.clip(np.where(empty, 0, gram / np.where(empty, 1, both)), -1, 1)
    np.fill_diagonal(found, np.where(null, 0, 1))
    return found, null


def components(weights: Matrix) -> Ints:
    """Return the number of each member's connected component, counted by their first members.

    Examples
    --------
    >>> components(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0.0]]))
    array([0, 1, 0])
    """
    found = np.full(len(weights), -1, np.int64)
    number = 0
    for start in range(len(weights)):
        if found[start] >= 0:
            continue
        front = np.zeros(len(weights), bool)
        front[start] = True
        while front.any():
            found[front] = number
            front = (weights[front] > 0).any(axis=0) & (found < 0)
        number += 1
    return found


def degrees_of(weights: Matrix, counts: Ints) -> Matrix:
    """Sum each node's weights, where nodes stand for ``counts`` equal members, linked by weight 1.

    Examples
    --------
    >>> degrees_of(np.array([[0, 0.5], [0.5, 0]]), np.array([1, 3]))
    array([1.5, 2.5])
    """
    found: Matrix = (weights * counts).sum(axis=1) + (counts - 1)
    return found


def spectrum(weights: Matrix, laplacian: str = "sym", counts: Ints | None = None) -> Spectrum:
    """Fiedler vector of a connected graph.

    Parameters
    ----------
    weights : (n, n) ndarray
        Symmetric, not negative, 0 on the diagonal.
    laplacian : {"sym", "unnormalised"}
        I - D^-1/2 W D^-1/2, or D - W.
    counts : (n,) ndarray of int, optional
        Members that each node stands for. The vector is that of the graph in which each of them is a node
        of its own, linked to its like by weight 1: equal nodes have equal entries in it.

    Examples
    --------
    >>> path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0.0]])
    >>> found = spectrum(path, "unnormalised")
    >>> round(found.lambda2, 6), round(found.lambda3, 6), np.round(found.fiedler, 3) + 0.0
    (1.0, 3.0, array([ 0.707,  0.   , -0.707]))
    """
    n = len(weights)
    counts = np.ones(n, np.int64) if counts is None else counts
    degrees = degrees_of(weights, counts)
    if n < 2:
        return Spectrum(np.zeros(n), np.inf, np.inf)
    size = np.sqrt(counts)
    matrix = np.diag(degrees - (counts - 1)) - weights * size[:, None] * size
    null, top = size, 2 * float(degrees.max())
    if laplacian == "sym":
        roots = 1 / np.sqrt(degrees)
        matrix, null, top = matrix * roots[:, None] * roots, size * np.sqrt(degrees), 2.0
    if n < LANCZOS_FROM:
        values, vectors = np.linalg.eigh(matrix)
        low, vector = values[1:3], vectors[:, 1]
    else:
        low, vector = _lanczos(matrix, null / np.linalg.norm(null), top)
    return Spectrum(_signed(vector / null), float(low[0]), float(low[1]) if len(low) > 1 else np.inf)


def _lanczos(matrix: Matrix, null: Matrix, top: float) -> tuple[Any, Matrix]:
    """Eigenvalues 2 and 3 and the vector of 2, the known null vector moved out of the way."""
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    def turned(x: Matrix) -> Matrix:
        x = x.reshape(-1)
        found: Matrix = top * x - matrix @ x - top * null * (null @ x)
        return found

    n = len(matrix)
    start = np.cos(np.arange(n) * 1.7) + 1e-3  # the same for all, and no eigenvector
    try:
        values, vectors = eigsh(
            LinearOperator((n, n), matvec=turned, dtype=np.float64), k=2, which="LA", v0=start
        )
    except ArpackError:  # as for multiple eigenvalues, of which it sees one
        values, vectors = np.linalg.eigh(matrix)
        return values[1:3], vectors[:, 1]
    order = np.argsort(-values)
    return top - values[order], vectors[:, order[0]]


def _signed(vector: Matrix) -> Matrix:
    """Choose the sign by a rule: the first of the largest entries is positive.

    No rule is stable where both ends of the cut are alike. By the sum of cubes, by the larger half and by the
    degrees, it turned round between resolutions about as often or more often.
    """
    sizes = np.abs(vector)
    largest = int(np.flatnonzero(sizes >= sizes.max() * (1 - 1e-9))[0])
    return vector if vector[largest] >= 0 else -vector
