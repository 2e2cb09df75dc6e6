"""The chunks that were used last, for readers who do not say what comes next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from frazil.data.pool import Key, Piece


class RecentChunks:
    """Load chunks and keep those used last, within a budget of bytes; safe in threads, empty when pickled.

    Parameters
    ----------
    load : callable
        Reads and decodes the chunk of a key.
    budget : int
        Bytes; the chunk that is asked for is returned even if it is larger.

    Examples
    --------
    >>> import numpy as np
    >>> from frazil.data.pool import Piece
    >>> recent = RecentChunks(lambda key: Piece(np.zeros(2), (0,)), budget=20)
    >>> [recent.take(("t", (i,))).nbytes for i in (0, 0, 1)], recent.loads
    ([16, 16, 16], 2)
    """

    def __init__(self, load: Callable[[Key], Piece], budget: int) -> None:
        self._load, self._budget = load, budget
        self._reset()

    def _reset(self) -> None:
        self._pieces: OrderedDict[Key, Piece] = OrderedDict()
        self._lock = threading.Lock()
        self._held, self.loads = 0, 0

    def take(self, key: Key) -> Piece:
        """Return the chunk of a key."""
        with self._lock:
            found = self._pieces.get(key)
            if found is not None:
                self._pieces.move_to_end(key)
                return found
        loaded = self._load(key)
        with self._lock:
            self.loads += 1
            if key not in self._pieces:
                self._pieces[key] = loaded
                self._held += loaded.nbytes
            while self._held > self._budget and self._pieces:
                self._held -= self._pieces.popitem(last=False)[1].nbytes
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        """Leave the chunks and the lock behind."""
        return {"_load": self._load, "_budget": self._budget}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with no chunks."""
        self.__dict__.update(state)
        self._reset()
