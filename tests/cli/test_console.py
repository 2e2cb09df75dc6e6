import math

from hypothesis import given
from hypothesis import strategies as st

from frazil.cli.console import figures, size


@given(st.floats(1e-12, 1e12))
def test_figures_are_within_half_a_percent(value):
    assert math.isclose(float(figures(value)), value, rel_tol=0.006)


def test_sizes():
    assert size(0) == "0 B"
    assert size(4_152_960) == "4.15 MB"
