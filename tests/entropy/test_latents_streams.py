from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frazil.entropy.latents import LatentStates, decode, encode
from frazil.errors import ConfigurationError, FormatError, FrazilError, UnsupportedArrayError


def like_a_model(n: int, seed: int = 0, shape: tuple[int, int, int] = (6, 9, 11)) -> np.ndarray:
    """Latents whose channels fall off, and have something to do with each other."""
    rng = np.random.default_rng(seed)
    k, h, w = shape
    smooth = np.cumsum(np.cumsum(rng.normal(size=(n, k, h, w)), -1), -2)
    scale = 20 / (1 + np.arange(k)) ** 2
    mixed = smooth + 0.5 * np.roll(smooth, 1, 1)
    return np.rint(mixed * scale[:, None, None] / 9).astype(np.int32)


TRAINED = LatentStates.learn([(like_a_model(1, seed), 2) for seed in range(6)], 6)


@given(
    latents=hnp.arrays(
        np.int32,
        st.tuples(st.integers(0, 3), st.just(6), st.integers(0, 7), st.integers(0, 7)),
        elements=st.one_of(st.integers(-3, 3), st.integers(-(1 << 20), 1 << 20)),
    ),
    step=st.integers(1, 9),
    trained=st.booleans(),
)
@settings(max_examples=80)
def test_any_latents_come_back(latents, step, trained):
    states = TRAINED if trained else LatentStates.fresh(6)
    data = encode(latents, states, step)
    assert np.array_equal(decode(data, latents.shape, states, step), latents)


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (2, 6, 1, 40), (2, 6, 40, 1), (4, 6, 33, 34)])
def test_shapes(shape):
    latents = like_a_model(shape[0], 3, shape[1:])
    data = encode(latents, TRAINED, 2)
    assert np.array_equal(decode(data, shape, TRAINED, 2), latents)


def test_training_makes_them_smaller():
    held = like_a_model(1, 99)
    assert len(encode(held, TRAINED, 2)) < 0.9 * len(encode(held, LatentStates.fresh(6), 2))


def test_nothing_takes_next_to_nothing():
    assert len(encode(np.zeros((1, 6, 33, 33), np.int32), TRAINED, 2)) <= 8


def test_the_same_bytes_twice():
    latents = like_a_model(2, 7)
    assert encode(latents, TRAINED, 3) == encode(latents.copy(), TRAINED, 3)


def test_states_travel_as_whole_numbers():
    tensors = TRAINED.to_tensors()
    assert all(name.startswith("coder.") and array.dtype.kind in "iu" for name, array in tensors.items())
    again = LatentStates.from_tensors({name: array.copy() for name, array in tensors.items()})
    latents = like_a_model(1, 5)
    assert encode(latents, again, 2) == encode(latents, TRAINED, 2)


@pytest.mark.parametrize("name", sorted(TRAINED.to_tensors()))
def test_states_of_another_shape_are_refused(name):
    tensors = TRAINED.to_tensors()
    with pytest.raises(FormatError, match="coder"):
        LatentStates.from_tensors({key: array for key, array in tensors.items() if key != name})
    with pytest.raises(FormatError):
        LatentStates.from_tensors(tensors | {name: tensors[name].astype("f4")})
    with pytest.raises(FormatError):
        LatentStates.from_tensors(tensors | {name: np.concatenate([tensors[name], tensors[name][:1]])})


def test_sources_that_come_later_are_refused():
    tensors = TRAINED.to_tensors()
    kins = tensors["coder.kins"].copy()
    kins[-1] = 3 * 5 + 2  # a channel of itself
    counts = tensors["coder.kin_counts"]
    assert counts.sum() == kins.size
    with pytest.raises(FormatError, match="coded later"):
        LatentStates.from_tensors(tensors | {"coder.kins": kins})


def test_damage():
    latents = like_a_model(2, 4)
    data = encode(latents, TRAINED, 2)
    rng = np.random.default_rng(0)
    for _ in range(200):
        broken = bytearray(data[: rng.integers(0, len(data) + 1)])
        for at in rng.integers(0, max(1, len(broken)), 3) if broken else ():
            broken[at] = rng.integers(256)
        try:
            found = decode(bytes(broken), latents.shape, TRAINED, 2)
        except FrazilError:
            continue
        assert found.shape == latents.shape


def test_what_cannot_be_coded():
    with pytest.raises(UnsupportedArrayError, match="whole numbers"):
        encode(np.zeros((1, 6, 2, 2)), TRAINED)
    with pytest.raises(UnsupportedArrayError, match="in magnitude"):
        encode(np.full((1, 6, 2, 2), 1 << 22), TRAINED)
    with pytest.raises(ConfigurationError, match="not \\(n, 6, h, w\\)"):
        encode(np.zeros((1, 5, 2, 2), int), TRAINED)
    with pytest.raises(ConfigurationError, match="step"):
        encode(np.zeros((1, 6, 2, 2), int), TRAINED, 0)
    with pytest.raises(ConfigurationError):
        LatentStates.learn([], 6)
