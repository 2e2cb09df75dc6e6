from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch, which the second stack goes without")

from hypothesis import given  # noqa: E402 - after the check for torch
from hypothesis import strategies as st  # noqa: E402

from frazil.train.integers import EXACT, Conv, rounded  # noqa: E402
from frazil.train.loop import Schedule  # noqa: E402
from frazil.train.losses import cloud_weights, reconstruction  # noqa: E402
from frazil.train.patches import patches  # noqa: E402
from frazil.train.quantise import Codebooks, FiniteScalars, from_heads, normalised, to_heads  # noqa: E402
from frazil.train.rate import LogisticRate  # noqa: E402


@given(
    inputs=st.integers(1, 80),
    outputs=st.integers(1, 20),
    side=st.sampled_from([1, 3]),
    bits=st.sampled_from([8, 16]),
    spread=st.floats(1e-4, 100),
    seed=st.integers(0, 99),
)
def test_no_sum_of_whole_numbers_reaches_what_single_precision_holds(  # noqa: PLR0917 - given by name
    inputs, outputs, side, bits, spread, seed
):
    torch.manual_seed(seed)
    conv = Conv(inputs, outputs, side, bits=bits)
    torch.nn.init.normal_(conv.weight, std=spread)
    weight, bias, shift = conv.integers()
    assert weight.abs().max() < 1 << (bits - 1)
    if (shift > 0).all():  # else the weights themselves are too large: the export refuses them
        half = torch.exp2(shift) / 2
        sums = weight.abs().sum((2, 3)) @ conv.get_buffer("reach").double() + bias.abs() + half
        assert sums.max() < EXACT


def test_rounding_lets_gradients_through():
    x = torch.tensor([0.4, 0.5, -0.5, -1.6], requires_grad=True)
    y = rounded(x)
    y.sum().backward()
    assert y.tolist() == [0, 1, 0, -2]
    assert x.grad.tolist() == [1, 1, 1, 1]


def test_the_rate_is_a_probability():
    rate = LogisticRate(torch.tensor([4.0, 0.5]))
    for q in (1, 3):
        z = (torch.arange(-200, 201) * float(q)).reshape(-1, 1, 1, 1).expand(-1, 2, 1, 1)
        with torch.no_grad():
            bits = rate(z, torch.full((len(z), 1, 1, 1), float(q)))
        assert torch.exp2(-bits).sum(0).flatten().tolist() == pytest.approx([1, 1], abs=0.01)


def test_the_schedule():
    schedule = Schedule(steps=200, ramp=20)
    rates = [schedule.rate_at(step) for step in range(200)]
    assert max(rates) == 1
    assert rates.index(1) == 19
    assert all(np.diff(rates[20:]) <= 0)


def test_patches_are_reproducible_pieces():
    fields = [np.arange(2 * 20 * 30, dtype="f4").reshape(2, 20, 30)]
    first, second = (next(patches(fields, size=(8, 8), batch=3, seed=5, turn=True)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (3, 2, 8, 8)
    assert torch.equal(first[:, 1] - first[:, 0], torch.full((3, 8, 8), 600.0))


def test_clouds_count_less():
    x = torch.zeros(1, 3, 4, 4)
    x[:, :, :2] = 5
    weights = cloud_weights(x, least=0.1)
    assert weights[0, 0, 0, 0] < 0.11
    assert weights[0, 0, 3, 0] > 0.95
    off = x.clone()
    off[:, :, :2] += 1
    assert reconstruction(off, x, weights) < 0.2 * reconstruction(off, x)


class TestCodebooks:
    def test_heads_there_and_back(self):
        z = torch.randn(2, 6, 3, 4)
        assert torch.equal(from_heads(to_heads(z, 3), (2, 3, 4)), z)

    def test_codewords_are_the_nearest_and_normalised(self):
        torch.manual_seed(0)
        books = Codebooks(16, 4, heads=2)
        z = torch.randn(3, 8, 5, 5)
        books.begin(to_heads(z, 2))
        found = books.indices(z)
        table = books.table() / 64
        vectors = normalised(to_heads(z, 2))
        for head in range(2):
            distances = torch.cdist(vectors[head], table[head])
            assert torch.equal(distances.argmin(1), found[:, head].reshape(-1))
        assert table.mean(-1).abs().max() < 0.02

    def test_codewords_follow_the_vectors_and_the_unused_start_again(self):
        torch.manual_seed(0)
        books = Codebooks(8, 4, decay=0.5).train()
        z = torch.randn(4, 4, 8, 8)
        before = books(z)[2]
        for _ in range(30):
            distance = books(z)[2]
        assert distance < 0.9 * before
        assert len(books.indices(z).unique()) == 8

    def test_heads_fade_in(self):
        torch.manual_seed(0)
        books = Codebooks(8, 4, heads=2, fade=0.5).train()
        z = torch.randn(1, 8, 2, 2)
        assert (books(z, 0.0)[0][:, 4:] == 0).all()
        assert (books(z, 0.0)[0][:, :4] != 0).all()
        assert (books(z, 0.6)[0][:, 4:] != 0).all()


def test_a_grid_numbers_its_codewords():
    grid = FiniteScalars((8, 5, 5, 5), heads=2)
    assert grid.size == 1000
    z = 2 * torch.randn(2, 8, 6, 6)
    words, found, _ = grid(z)
    assert torch.equal(grid.indices(z), found)
    table = grid.table() / 64
    for head in range(2):
        expected = table[head][found[:, head].reshape(-1)]
        assert torch.equal(to_heads(words, 2)[head], expected)
