"""Rounding by error and bits: fewer bytes for the same error, and nothing a decoder need know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frazil.entropy.latents import LatentStates, choose, decode, encode
from frazil.errors import ConfigurationError, UnsupportedArrayError


def like_a_model(seed: int, n: int = 1) -> np.ndarray:
    """Real latents of six channels that fall off."""
    rng = np.random.default_rng(seed)
    return rng.laplace(size=(n, 6, 20, 21)) * np.array([40, 20, 9, 4, 2, 1])[:, None, None]


STATES = LatentStates.learn(
    [(np.rint(like_a_model(s) / q).astype(int), q) for s in range(4) for q in (2, 4)], 6
)


def cost(latents: np.ndarray, exact: np.ndarray, step: int) -> tuple[int, float]:
    return len(encode(latents, STATES, step)), float(((latents * step - exact) ** 2).mean())


def test_nothing_for_bits_is_the_nearest_number():
    exact = like_a_model(9, 2)
    assert np.array_equal(choose(exact, STATES, 4, worth=0), np.rint(np.float32(exact / 4)))


def test_fewer_bytes_for_the_same_error():
    exact = like_a_model(10)
    plain = [cost(np.rint(exact / q).astype(int), exact, q) for q in (4, 5, 6)]
    chosen, error = cost(choose(exact, STATES, 4, worth=0.1), exact, 4)
    sizes, errors = zip(*plain, strict=True)
    assert errors[0] < error < errors[2]
    assert chosen < 0.99 * np.interp(error, errors, sizes)


def test_worth_of_each_channel():
    exact = like_a_model(11)
    worth = np.array([0, 0, 0, 10, 10, 10.0])
    found = choose(exact, STATES, 2, worth=worth)
    nearest = np.rint(np.float32(exact / 2))
    assert np.array_equal(found[:, :3], nearest[:, :3])
    assert (found[:, 3:] != 0).sum() < (nearest[:, 3:] != 0).sum() / 2


@given(
    values=st.lists(st.floats(-2000, 2000, width=32), min_size=24, max_size=24),
    step=st.integers(1, 9),
    worth=st.floats(0, 1),
)
def test_numbers_stay_next_to_the_exact_ones(values, step, worth):
    exact = np.array(values).reshape(2, 6, 2, 1)
    found = choose(exact, STATES, step, worth=worth)
    assert np.array_equal(found, choose(exact.copy(), STATES, step, worth=worth))
    near = np.abs(found - exact / step) <= 1 + 1e-3
    assert (near | (found == 0)).all()
    assert np.array_equal(decode(encode(found, STATES, step), found.shape, STATES, step), found)


def test_largest_numbers():
    exact = np.full((1, 6, 2, 2), 2.0**20)
    assert np.array_equal(choose(exact, STATES, worth=0), exact)
    assert choose(np.zeros((0, 6, 2, 2)), STATES).shape == (0, 6, 2, 2)


def test_what_cannot_be_rounded():
    with pytest.raises(UnsupportedArrayError, match="not finite"):
        choose(np.full((1, 6, 2, 2), np.nan), STATES)
    with pytest.raises(UnsupportedArrayError, match="larger step"):
        choose(np.full((1, 6, 2, 2), 2.0**22), STATES)
    with pytest.raises(ConfigurationError, match="squares of the step"):
        choose(np.zeros((1, 6, 2, 2)), STATES, worth=-1)
    with pytest.raises(ConfigurationError, match="squares of the step"):
        choose(np.zeros((1, 6, 2, 2)), STATES, worth=np.array([0, 0, 0, 0, 0, np.nan]))


def test_sums_of_strange_states_do_not_run_over():
    tensors = STATES.to_tensors()
    strange = LatentStates.from_tensors(
        tensors | {"coder.kin_weights": np.full_like(tensors["coder.kin_weights"], 65535)}
    )
    latents = np.full((1, 6, 40, 40), 1 << 20, np.int32)
    latents[:, :, ::2] *= -1
    assert np.array_equal(decode(encode(latents, strange), latents.shape, strange), latents)
