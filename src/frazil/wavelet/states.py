"""What the coder knows before the first coefficient: tables trained on fields, each numbered for ever."""

from __future__ import annotations

from functools import cache
from importlib import resources

from frazil.entropy import states
from frazil.errors import FormatError

NEWEST = 1


@cache
def load(number: int = NEWEST) -> states.States:
    """Return the table with this number; 0 is the start from nothing.

    Raises
    ------
    FormatError
        If this frazil has no such table.
    """
    if number == 0:
        return states.load(0)
    if number > NEWEST:
        raise FormatError(
            f"the wavelet stream starts from table {number} of states, this frazil has {NEWEST}; "
            "upgrade frazil to read it"
        )
    return states.unpack((resources.files("frazil.wavelet") / f"states-{number}.bin").read_bytes())
