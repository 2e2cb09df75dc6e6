"""From scores to members: ranks, quotas, and what counts as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from frazil.errors import ConfigurationError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DUPLICATE = 1 - 1e-6  # cosine of members that count as one
_DIGITS = 9  # of a score that count; what is behind them is the eigensolver's noise


def take(
    order: Ints, count: int, mode: str, *, share: float, buffer: float, groups: Ints | None = None
) -> Ints:
    """Take ``count`` members of an order from the most to the least connected.

    Examples
    --------
    >>> order = np.arange(20)
    >>> [take(order, 4, mode, share=0.85, buffer=0.05) for mode in ("connected", "inverse")]
    [array([0, 1, 2, 3]), array([19, 18, 17, 16])]
    >>> take(order, 10, "combined", share=0.8, buffer=0.1)
    array([ 0,  1,  2,  3,  4,  5,  6,  7, 17, 16])
    """
    n = len(order)
    if mode == "inverse":
        order = order[::-1]
    elif mode == "combined":
        connected = int(share * count + 0.5)
        # Noise is left out as long as enough members remain without it.
        noise = min(int(buffer * n + 0.5), n - count)
        rest = order[connected:][::-1]
        order = np.concatenate((order[:connected], rest[noise:], rest[:noise]))
    if groups is None:
        return order[:count]
    sizes = np.bincount(groups)
    kept: list[int] = []
    for group in dict.fromkeys(groups[order].tolist()):
        if len(kept) + sizes[group] <= count:
            kept += np.flatnonzero(groups == group).tolist()
    if count and not kept:
        raise ConfigurationError(
            f"no group fits into the {count} of {n} members that are kept: the smallest holds {sizes.min()}; "
            "raise keep, or make smaller groups"
        )
    return np.array(kept, np.int64)


def largest_remainder(sizes: Ints, total: int) -> Ints:
    """Share ``total`` out in proportion to ``sizes``; what is left goes to the largest remainders.

    Examples
    --------
    >>> largest_remainder(np.array([10, 5, 5]), 7)
    array([3, 2, 2])
    """
    exact = total * sizes / sizes.sum()
    quotas: Ints = np.floor(exact).astype(np.int64)
    behind = np.argsort(-(exact - quotas), kind="stable")[: total - int(quotas.sum())]
    quotas[behind] += 1
    return quotas


def rounded(costs: Floats) -> Floats:
    """Return scores as shares of the largest, without the digits that are noise of the eigensolver."""
    shares: Floats = np.round(costs / max(float(np.abs(costs).max()), np.finfo(float).tiny), _DIGITS) + 0.0
    return shares


def ranks(costs: Floats, parts: Ints) -> Floats:
    """Return ranks within components, as shares of their size: so each gives the same share of itself."""
    ranks = np.empty(len(costs))
    for number in range(int(parts.max()) + 1):
        inside = np.flatnonzero(parts == number)
        placed = (np.arange(len(inside)) + 0.5) / len(inside)
        ranks[inside[np.argsort(costs[inside], kind="stable")]] = placed
        if np.isinf(costs[inside]).all():
            ranks[inside] = np.inf
    return ranks


def find_twins(similar: Floats) -> Ints:
    """Return for each node the first that it is as good as equal to, itself if there is none before it."""
    found = np.arange(len(similar))
    for node in np.flatnonzero((np.triu(similar, 1) > _DUPLICATE).any(axis=0)):
        found[node] = found[int(np.flatnonzero(similar[node, :node] > _DUPLICATE)[0])]
    return found


def pooled(gram: Floats, nodes: Ints) -> Floats:
    """Return inner products of the mean vectors of the members that share a node."""
    if np.array_equal(nodes, np.arange(len(nodes))):
        return gram
    count = int(nodes.max()) + 1
    mean = np.zeros((count, len(nodes)))
    mean[nodes, np.arange(len(nodes))] = 1
    mean /= mean.sum(axis=1, keepdims=True)
    found: Floats = mean @ gram @ mean.T
    return found


def check_labels(labels: Any, n: int, name: str) -> npt.NDArray[Any]:
    """Refuse labels that are not one for each member."""
    values = np.asarray(labels)
    if values.shape != (n,):
        raise ConfigurationError(
            f"{name} holds a label for each of the {n} members; got shape {values.shape}"
        )
    return values


def numbered(labels: npt.NDArray[Any]) -> Ints:
    """Return labels as numbers from 0, in their order."""
    numbers: Ints = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return numbers
