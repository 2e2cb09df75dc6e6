"""What other packages make of a given number of bytes: their error at our size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from peers import PEERS, Peer, Prepared, compared

if TYPE_CHECKING:
    import numpy.typing as npt

SEARCHED = ("SPERR", "SPERR 3-D", "SZ3", "SZ3 3-D")  # by their bound, which is what they promise
STEPS = 14


def at_size(given: Prepared, size: int) -> dict[str, float]:
    """Return the RMSE of each peer at no more than ``size`` bytes, its mask among them.

    Left out are those that need more at any error.
    """
    room = size - given.mask_size
    if room <= 0:
        return {}
    found = {"SPERR bpp": _sperr_rate(given, room), "J2K of EBCC": _jpeg2000(given, room)}
    alone = given.planes.shape[0] == 1
    for peer in PEERS:
        if peer.name in SEARCHED and not (alone and peer.volume):
            found[peer.name] = _bounded(peer, given, room)
    return {name: error for name, error in found.items() if error is not None}


def _rmse(given: Prepared, back: npt.NDArray[np.float32]) -> float:
    return compared(given.planes, back, given.valid, np.inf)[2]


def _bounded(peer: Peer, given: Prepared, room: int) -> float | None:
    """Search the bound that fills the room; the least error on the way counts."""
    low, high = math.log(1e-7 * given.span), math.log(given.span)
    least = None
    for _ in range(STEPS):
        middle = (low + high) / 2
        streams = peer.encode(given.planes, math.exp(middle))
        if sum(map(len, streams)) > room:
            low = middle
            continue
        high = middle
        error = _rmse(given, peer.decode(streams, given.planes.shape))
        least = error if least is None else min(least, error)
    return least


def _sperr_rate(given: Prepared, room: int) -> float | None:
    import imagecodecs

    planes = given.planes if given.planes.shape[0] > 1 else given.planes[0]
    rate = 8 * room / planes.size
    for _ in range(4):  # its headers come on top
        data = imagecodecs.sperr_encode(planes, level=rate, mode="bpp", numthreads=1)
        if len(data) <= room:
            return _rmse(given, imagecodecs.sperr_decode(data, numthreads=1).reshape(given.planes.shape))
        rate *= 0.99 * room / len(data)
    return None


def _jpeg2000(given: Prepared, room: int) -> float | None:
    """JPEG 2000 as EBCC calls it, without a residual."""
    from numcodecs_wasm_ebcc import Ebcc

    ratio = given.planes.nbytes / room
    for _ in range(4):
        codec = Ebcc(residual="jpeg2000-only", base_cr=ratio)
        data = np.asarray(codec.encode(given.planes))
        if data.nbytes <= room:
            return _rmse(given, np.asarray(codec.decode(data)).reshape(given.planes.shape))
        ratio *= 1.01 * data.nbytes / room
    return None
