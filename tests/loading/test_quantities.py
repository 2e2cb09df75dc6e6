from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.data.quantities import parse_bytes
from frazil.errors import ConfigurationError


@given(st.integers(1, 2**50), st.sampled_from(["B", "kB", "MiB", "GiB", "TB"]))
def test_a_number_of_units_is_that_many(number: int, unit: str) -> None:
    size = {"B": 1, "kB": 1000, "MiB": 2**20, "GiB": 2**30, "TB": 10**12}[unit]
    assert parse_bytes(number) == number
    assert parse_bytes(f" {number}{unit.upper()} ") == pytest.approx(number * size, rel=1e-12)


@pytest.mark.parametrize("amount", [0, -3, "", "GiB", "2 GiBs", "1.2.3MB", "-1GB", "0.1B", None])
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ConfigurationError, match="no amount of memory; give bytes, or text such as"):
        parse_bytes(amount)
