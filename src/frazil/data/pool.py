"""Decoded chunks, kept as long as somebody will need them and there is room.

The order of an epoch is known before it begins, so the pool knows when each
chunk is used next: it throws away first what is not needed for longest
(L. A. Belady, doi:10.1147/sj.52.0078), and at once what is not needed again.
Chunks are decoded by a few threads, ahead of their use while the budget lasts.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    Key = tuple[str, tuple[int, ...]]

NEVER = 2**62
"""When a chunk is used next that is not."""


@dataclass(frozen=True)
class Piece:
    """A decoded chunk, or the part of one that is wanted.

    Parameters
    ----------
    values : ndarray
        All axes of the array, cut.
    origin : tuple of int
        Where in its chunk the part begins, along each axis.
    missing : ndarray of bool, or None
        Where ``values`` is NaN; None if nowhere.
    error : str
        Why the chunk could not be read; empty if it could.
    whole : bool
        Whether ``values`` are all of the chunk, in an array of their own that may be decoded into again.
    """

    values: npt.NDArray[Any]
    origin: tuple[int, ...]
    missing: npt.NDArray[np.bool_] | None = None
    error: str = ""
    whole: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""
        return held_bytes(self.values) + (0 if self.missing is None else held_bytes(self.missing))


def held_bytes(array: npt.NDArray[Any]) -> int:
    """Bytes that an array keeps in memory: a view keeps all of what it is a view of.

    Examples
    --------
    >>> held_bytes(np.zeros(8)[:2]), held_bytes(np.broadcast_to(np.zeros(1), 1000))
    (64, 8)
    """
    base: Any = array
    while isinstance(getattr(base, "base", None), np.ndarray):
        base = base.base
    return int(base.nbytes)


class Uses:
    """When each chunk is used: the positions of an order that need it.

    Parameters
    ----------
    positions : iterable of sequence of key
        The chunks that each position needs, from position ``first`` on.
    first : int
    horizon : int
        Positions that are looked at ahead; a chunk that none of them needs counts as not needed.

    Examples
    --------
    >>> uses = Uses([[("a", (0,)), ("a", (1,))], [("a", (0,))]])
    >>> uses.after(("a", (0,)), 0), uses.after(("a", (1,)), 0) == NEVER
    (1, True)
    """

    def __init__(self, positions: Iterable[Sequence[Key]], first: int = 0, horizon: int = 4096) -> None:
        self._coming = enumerate(positions, first)
        self._horizon, self._known = horizon, first
        self._uses: dict[Key, deque[int]] = {}
        self._keys: dict[int, Sequence[Key]] = {}
        self.look_from(first)

    def look_from(self, position: int) -> None:
        """Learn the positions up to a horizon from ``position`` on, and forget those before it."""
        while self._known < position + self._horizon and (found := next(self._coming, None)):
            self._keys[found[0]] = found[1]
            self._known = found[0] + 1
            for key in found[1]:
                uses = self._uses.setdefault(key, deque())
                if not uses or uses[-1] != found[0]:
                    uses.append(found[0])

    def at(self, position: int) -> Sequence[Key]:
        """Chunks that a position needs; it is then forgotten."""
        return self._keys.pop(position, ())

    def keys(self, position: int) -> Sequence[Key]:
        """Chunks that a position needs, of those that are known."""
        return self._keys.get(position, ())

    def after(self, key: Key, position: int) -> int:
        """First use of ``key`` after ``position``, or `NEVER`; positions never go back."""
        uses = self._uses.get(key)
        while uses and uses[0] <= position:
            uses.popleft()
        if uses:
            return uses[0]
        self._uses.pop(key, None)
        return NEVER


@dataclass
class Tally:
    """What a pool did.

    Parameters
    ----------
    decoded : dict
        How often each chunk was decoded.
    evicted : int
        Chunks thrown away for want of room that will be decoded once more.
    peak : int
        Most bytes that were held or being decoded at a time.
    """

    decoded: dict[Key, int] = field(default_factory=dict)
    evicted: int = 0
    peak: int = 0


class ChunkPool:
    """Decode chunks in threads and keep them within a budget of bytes.

    One thread asks (`offer`, `take`, `advance`); others decode.

    Parameters
    ----------
    load : callable
        Reads and decodes the chunk of a key; runs in the pool's threads.
    size : callable
        Bytes that a chunk takes at most, while it is decoded and after, of a key.
    budget : int
        Bytes of chunks that are held or being decoded; ``held`` says how many are.
    uses : Uses
        When each chunk will be used.
    threads : int
    reuse : bool, default False
        Have ``load`` decode into arrays of chunks that are not needed any more, which saves the system the
        work of finding new memory: it then takes, after the key, an array or None. Whoever takes a piece may
        not keep it beyond the next `offer`, `take` or `advance`.

    Raises
    ------
    ConfigurationError
        From `take`, if a single chunk is larger than the budget.

    Examples
    --------
    >>> pool = ChunkPool(lambda key: Piece(np.zeros(8), (0,)), lambda key: 64, 128, Uses([[("t", (0,))]]))
    >>> pool.take(("t", (0,))).values.shape
    (8,)
    >>> pool.advance(0)
    >>> pool.held
    0
    >>> pool.close()
    """

    def __init__(
        self,
        load: Callable[..., Piece],
        size: Callable[[Key], int],
        budget: int,
        uses: Uses,
        threads: int = 1,
        *,
        reuse: bool = False,
    ) -> None:
        self._load, self._size, self.budget, self.uses = load, size, budget, uses
        self._reuse = reuse
        self._spares: dict[int, list[npt.NDArray[Any]]] = {}  # by the size of the chunk that they were
        self._spare = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="frazil-decode")
        self._pieces: dict[Key, Piece] = {}
        self._coming: dict[Key, Future[Piece]] = {}
        self._position = -1
        self.held = 0
        self.tally = Tally()

    def offer(self, key: Key, position: int, *, spare: bool = False) -> bool:
        """Begin to decode a chunk that is used at ``position``, if there is room for it; say whether.

        Chunks that are used later make room for it; with ``spare`` only those that are not used at all: a
        chunk that is thrown away is decoded again, and one that is used up may soon leave its place.
        """
        if key in self._pieces or key in self._coming:
            return True
        if not self._make_room(self._size(key), before=NEVER - 1 if spare else position):
            return False
        self._submit(key)
        return True

    def take(self, key: Key) -> Piece:
        """Return a chunk; decode it now if nobody did before."""
        if key not in self._pieces:
            if key not in self._coming:
                self._insist(key)
            self._settle(key)
        return self._pieces[key]

    def advance(self, position: int) -> None:
        """Let go of what is not used after ``position``."""
        self._position = position
        for key in self.uses.at(position):
            if key in self._pieces and self.uses.after(key, position) == NEVER:
                self._drop(key)
        self.uses.look_from(position)

    def close(self) -> None:
        """Stop decoding and let everything go."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._coming.clear()
        self._pieces.clear()
        self._spares.clear()
        self.held = self._spare = 0

    def _submit(self, key: Key) -> None:
        self.tally.decoded[key] = self.tally.decoded.get(key, 0) + 1
        size = self._size(key)
        into = () if not self._reuse else (self._take_spare(size),)
        self._coming[key] = self._threads.submit(self._load, key, *into)
        self.held += size
        if self._spare and self.held + self._spare > self.budget:
            self._forget_spares()
        self.tally.peak = max(self.tally.peak, self.held + self._spare)

    def _take_spare(self, size: int) -> npt.NDArray[Any] | None:
        spares = self._spares.get(size)
        if not spares:
            return None
        spare = spares.pop()
        self._spare -= spare.nbytes
        return spare

    def _forget_spares(self) -> None:
        """Let arrays that nobody decodes into go, until the budget holds."""
        for spares in self._spares.values():
            while spares and self.held + self._spare > self.budget:
                self._spare -= spares.pop().nbytes

    def _insist(self, key: Key) -> None:
        """Make room for a chunk that is needed now, whatever else has to go."""
        size = self._size(key)
        if size > self.budget:
            raise ConfigurationError(
                f"chunk {key[1]} of {key[0]!r} takes {size} bytes when it is decoded, and {self.budget} are "
                "left for chunks; raise memory=, or lower prefetch= or batch_size="
            )
        while not self._make_room(size, before=-1):
            # Everything else is being decoded: wait for it, so that it can be let go.
            done, _ = wait(self._coming.values(), return_when="FIRST_COMPLETED")
            for other in [k for k, future in self._coming.items() if future in done]:
                self._settle(other)
        self._submit(key)

    def _make_room(self, size: int, *, before: int) -> bool:
        """Throw away chunks whose next use is after ``before``, latest first, until ``size`` bytes fit."""
        held = self.held
        if held + size <= self.budget:
            return True
        by_use = sorted(self._pieces, key=lambda key: self.uses.after(key, self._position))
        going = []
        while held + size > self.budget and by_use:
            key = by_use.pop()
            if self.uses.after(key, self._position) <= before:
                break
            going.append(key)
            held -= self._pieces[key].nbytes
        if held + size > self.budget:
            return False
        for key in going:
            self.tally.evicted += self.uses.after(key, self._position) < NEVER
            self._drop(key)
        return True

    def _settle(self, key: Key) -> None:
        """Wait for a chunk that is being decoded, and count what it takes rather than what it was to take."""
        self.held -= self._size(key)
        piece = self._coming.pop(key).result()
        self._pieces[key] = piece
        self.held += piece.nbytes

    def _drop(self, key: Key) -> None:
        piece = self._pieces.pop(key)
        self.held -= piece.nbytes
        if self._reuse and piece.whole:
            self._spares.setdefault(self._size(key), []).append(piece.values)
            self._spare += piece.values.nbytes
