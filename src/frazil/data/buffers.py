"""Memory of batches, used again when nobody looks at them any more.

Fresh memory costs a system more than filling it, and large arrays that come
and go leave gaps in it that count against a budget.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


class Buffers:
    """Lend arrays; take their memory back when they, their views and tensors made of them are gone.

    Parameters
    ----------
    count : int
        Buffers that are kept while nobody has them.

    Examples
    --------
    >>> buffers = Buffers(count=1)
    >>> first = buffers.empty((2, 3), np.float32)
    >>> view, where = first[0], first.ctypes.data
    >>> del first
    >>> buffers.empty((6,), np.float32).ctypes.data == where  # the view still looks at it
    False
    >>> del view
    >>> buffers.empty((6,), np.float32).ctypes.data == where
    True
    """

    def __init__(self, count: int) -> None:
        self._count, self._lock = count, threading.RLock()
        self._free: list[npt.NDArray[np.uint8]] = []

    def empty(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """Return an array whose values are arbitrary."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if not size:
            return np.empty(shape, kind)
        with self._lock:
            found = [k for k, raw in enumerate(self._free) if raw.nbytes == size]
            raw = self._free.pop(found[-1]) if found else np.empty(size, np.uint8)
        # Arrays and tensors keep the object alive that their memory is of, and ctypes' can be watched.
        lent = (ctypes.c_ubyte * size).from_buffer(raw)
        weakref.finalize(lent, _give_back, weakref.ref(self), raw).atexit = False
        return np.frombuffer(lent, kind).reshape(shape)

    def _keep(self, raw: npt.NDArray[np.uint8]) -> None:
        with self._lock:  # taken again by a thread that has it, when the collector runs inside empty()
            self._free.append(raw)
            del self._free[: -self._count]


def _give_back(buffers: weakref.ref[Buffers], raw: npt.NDArray[np.uint8]) -> None:
    owner = buffers()
    if owner is not None:
        owner._keep(raw)  # noqa: SLF001 - the other half of it
