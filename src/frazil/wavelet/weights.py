"""Energy weights: how much each neighbour foretells of a number's magnitude; fitted by the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from frazil.entropy.coder import PAD

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]

TERMS = 8
SAMPLE = 16384  # points that a fit looks at

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def fit(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    q: Plane,
    valid: npt.NDArray[np.uint8],
    masked: bool,
    near: Plane,
    far: Plane,
    texture: Plane,
    previous: Plane,
    inter: bool,
    weights: npt.NDArray[np.int64],
) -> None:
    """Fit the coder's ``weights`` (int64, 8, in 1/64) to the magnitudes of ``q``, which has a rim.

    Least squares with each point weighted by the inverse of what is around it,
    and no negative weights (coordinate descent).
    """
    n, m = q.shape[0] - 2 * PAD, q.shape[1] - 2 * PAD
    every = max(1, n * m // SAMPLE)
    normal, right, f = np.zeros((TERMS, TERMS)), np.zeros(TERMS), np.zeros(TERMS)
    for i in range(every // 2, n, every):
        y = i + PAD
        for x in range(PAD, m + PAD):
            if masked and valid[y, x] == 0:
                continue
            f[0] = near[y, x]
            f[1] = far[y, x]
            f[2] = abs(q[y - 1, x]) if i else 0
            f[3] = abs(q[y - 1, x - 1]) + abs(q[y - 1, x + 1]) if i else 0
            f[4] = abs(q[y, x - 1])
            f[5] = abs(q[y, x - 2])
            f[6] = texture[y, x] * 0.25
            f[7] = abs(previous[y, x]) if inter else 0
            around = f[0] + f[1] + f[2] + f[3] + f[4] + f[5] + f[7]
            target = np.float64(abs(q[y, x]))
            if around == 0:
                continue
            weight = 1.0 / (around + 0.5)
            for a in range(TERMS):
                if f[a] != 0:
                    wf = weight * f[a]
                    right[a] += wf * target
                    for b in range(a + 1):
                        normal[a, b] += wf * f[b]
    solution = np.full(TERMS, 0.1)
    for a in range(TERMS):
        for b in range(a):
            normal[b, a] = normal[a, b]
        normal[a, a] = normal[a, a] * 1.0001 + 1e-6
    for _ in range(60):
        for a in range(TERMS):
            rest = right[a]
            for b in range(TERMS):
                if b != a:
                    rest -= normal[a, b] * solution[b]
            solution[a] = max(0.0, rest / normal[a, a])
    for a in range(TERMS):
        weights[a] = np.int64(min(255.0, np.rint(solution[a] * 64)))
