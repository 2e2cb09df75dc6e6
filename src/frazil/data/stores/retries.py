"""Try again what a file system or a network did not manage the first time."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from frazil.errors import ConfigurationError, FrazilError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    Tried = Callable[[int, BaseException], None]

T = TypeVar("T")

_PROGRAMMING = (TypeError, AttributeError, NameError, NotImplementedError, ArithmeticError, AssertionError)


def is_transient(error: BaseException) -> bool:
    """Whether another try may succeed: any error but bugs, refused permission and those of ours.

    Remote stores raise exceptions of their client libraries, which share no base class.

    Examples
    --------
    >>> is_transient(OSError("stale file handle")), is_transient(PermissionError())
    (True, False)
    """
    return not isinstance(error, (PermissionError, FrazilError, *_PROGRAMMING))


@dataclass(frozen=True)
class Retries:
    """How often and how patiently to try again.

    Parameters
    ----------
    count : int, default 4
        Tries after the first one; 0 gives up at once.
    first_wait : float, default 0.05
        Seconds before the second try. Each further wait is twice as long, and
        every wait is lengthened by up to a half at random, so that the readers
        of one overloaded server do not come back all at once.

    Examples
    --------
    >>> Retries(2).run(lambda: 7, "the answer")
    7
    """

    count: int = 4
    first_wait: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is no number of tries."""
        if not isinstance(self.count, int) or isinstance(self.count, bool) or self.count < 0:
            raise ConfigurationError(
                f"retries counts tries after the first one, 0 or more; got {self.count!r}"
            )

    def run(self, read: Callable[[], T], what: str, tried: Tried | None = None) -> T:
        """Return what ``read()`` returns.

        Parameters
        ----------
        read : callable
            Without arguments.
        what : str
            What is read, for the message.
        tried : callable, optional
            Called as ``tried(k, error)`` before try ``k + 1``, with k from 1.

        Raises
        ------
        StoreError
            If the last try failed, or no other try would help; names ``what`` and the last error.
        """
        tries = 0
        while True:
            try:
                return read()
            except FrazilError:
                raise
            except Exception as error:
                tries += 1
                if tries > self.count or not is_transient(error):
                    often = f" {tries} times" if tries > 1 else ""
                    raise StoreError(
                        f"reading {what} failed{often}: {type(error).__name__}: {error}"
                    ) from error
                if tried is not None:
                    tried(tries, error)
                jitter = 1 + random.random() / 2  # noqa: S311 - spreads waits, keeps no secret
                time.sleep(self.first_wait * 2 ** (tries - 1) * jitter)
