"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from frazil.errors import ConfigurationError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_bytes(amount: int | str) -> int:
    """Return an amount such as ``"2GiB"``, ``"500 MB"`` or 1000 in bytes.

    Raises
    ------
    ConfigurationError
        If it is neither, or not positive.

    Examples
    --------
    >>> parse_bytes("2GiB"), parse_bytes("1.5 kB"), parse_bytes(10)
    (2147483648, 1500, 10)
    """
    match = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([A-Za-z]*)\s*", str(amount))
    unit = _UNITS.get(match[2].upper()) if match else None
    try:
        value = int(float(match[1]) * unit) if match and unit else 0
    except ValueError:
        value = 0
    if value < 1:
        raise ConfigurationError(
            f"{amount!r} is no amount of memory; give bytes, or text such as '2GiB' or '500MB'"
        )
    return value
