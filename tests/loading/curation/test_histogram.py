import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.data.curation.histogram import BINS, Histogram

VALUES = hnp.arrays(
    np.float32, st.integers(1, 30), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
)


def of(*parts):
    found = Histogram()
    for part in parts:
        found.add(part)
    return found


@given(st.lists(VALUES, min_size=1, max_size=5), st.randoms())
def test_order_changes_nothing(parts, random):
    once = of(np.concatenate(parts))
    random.shuffle(parts)
    found = of(*parts)
    assert found.power == once.power
    assert found.first == once.first
    np.testing.assert_array_equal(found.counts, once.counts)
    assert len(found.counts) <= BINS


@given(VALUES, VALUES)
def test_bins_are_numpys(some, others):
    kept, whole = of(some), of(some, others)
    for part, values in ((kept, some), (whole, np.concatenate((some, others)))):
        edges, counts = part.binned(50, like=whole)
        assert len(counts) <= 50
        finite = values[np.isfinite(values)].astype("f8")
        assert counts.sum() == finite.size
        if finite.size:
            bins = np.searchsorted(edges, finite, "right") - 1
            np.testing.assert_array_equal(counts, np.bincount(bins, minlength=len(counts)))


def test_nothing_at_all():
    empty = of(np.array([np.nan, np.inf], "f4"))
    assert empty.power is None
    assert empty.binned(10)[1].size == 0
    joined = of(np.array([2.0]))
    joined.merge(empty)
    assert joined.counts.sum() == 1
    assert empty.binned(10, like=joined)[1].sum() == 0


@pytest.mark.parametrize("value", [0.0, -1e30, 273.15, 1e-40, np.finfo("f8").max])
def test_one_value(value):
    found = of(np.full(7, value))
    assert found.counts.tolist() == [7]
    edges, _ = found.binned(5)
    assert edges[0] <= value < edges[1]
