"""Golden-section search (J. Kiefer, 1953, doi:10.1090/S0002-9939-1953-0055639-3) over a logarithm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECTION = (math.sqrt(5) - 1) / 2


def smallest(
    cost: Callable[[float], float], low: float, high: float, *, within: float = 0.06, tries: int = 18
) -> float:
    """Find where ``cost`` is smallest between ``low`` and ``high``, both above 0.

    Ends when the logarithm is known ``within``, or after so many ``tries``, whatever ``cost`` is
    like: where it has several minima, this is one of them, and never worse than the points tried.

    Examples
    --------
    >>> round(smallest(lambda x: (math.log(x) - 2) ** 2, 1, 1e4, within=1e-6, tries=99), 3)
    7.389
    """
    a, b = math.log(low), math.log(high)
    c, d = b - SECTION * (b - a), a + SECTION * (b - a)
    at_c, at_d = cost(math.exp(c)), cost(math.exp(d))
    best = min((at_c, c), (at_d, d))
    for _ in range(tries - 2):
        if b - a <= within:
            break
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - SECTION * (b - a)
            at_c = cost(math.exp(c))
            best = min(best, (at_c, c))
        else:
            a, c, at_c = c, d, at_d
            d = a + SECTION * (b - a)
            at_d = cost(math.exp(d))
            best = min(best, (at_d, d))
    return math.exp(best[1])
