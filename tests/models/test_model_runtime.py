"""Decoders decode to the same bits on every backend, in blocks of any size, in any number of threads."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor

import little_decoders as little
import numpy as np
import pytest

from frazil.errors import FormatError, UnsupportedArrayError
from frazil.models import run, use_backend, values
from frazil.models.backends import present
from frazil.models.runtime import bytes_per_latent, run_surely

PRESENT = present()


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", little.KINDS)
def test_backends(name, backend):
    made = little.KINDS[name]()
    for h, w in ((1, 1), (1, 9), (8, 1), (5, 7)):
        x = little.inputs(made, 2, h, w)
        found = run(made, x, backend=backend)
        assert found.dtype == np.int32
        assert found.shape == (2, made.channels, h * made.factor, w * made.factor)
        assert np.array_equal(found, run_surely(made, x))


@pytest.mark.parametrize("backend", PRESENT)
@pytest.mark.parametrize("name", ["residual", "wide", "fine", "words"])
def test_blocks(name, backend):
    made = little.KINDS[name]()
    x = little.inputs(made, 1, 13, 16)
    whole = run(made, x, backend=backend)
    for tile in (1, 5, 15, 100) if backend == "numpy" else (7,):
        assert np.array_equal(run(made, x, backend=backend, tile=tile), whole)


def test_large_images_are_cut(monkeypatch):
    from frazil.models import runtime

    made = little.residual()
    x = little.inputs(made, 1, 40, 33)
    whole = run(made, x, backend="numpy")
    monkeypatch.setattr(runtime, "ROOM", 20 * 20 * bytes_per_latent(made))
    blocks = list(runtime.tiles(made, 40, 33, None))
    assert len(blocks) > 4
    assert max(x[0][block].shape[1] * x[0][block].shape[2] for block, _, _ in blocks) <= 400
    assert np.array_equal(run(made, x, backend="numpy"), whole)


@pytest.mark.parametrize("backend", PRESENT)
def test_realistic(backend):
    made = little.realistic()
    x = little.inputs(made, 1, 33, 33)
    found = run(made, x, backend=backend)
    assert found.shape == (1, 12, 264, 264)
    assert np.array_equal(found, run_surely(made, x))
    assert np.array_equal(run(made, x, backend=backend, tile=12), found)


def test_numpy_is_fast_enough():
    made = little.realistic()
    x = little.inputs(made, 1, 33, 33)
    run(made, x, backend="numpy")
    before = time.process_time()
    found = run(made, x, backend="numpy")
    assert found.nbytes / (time.process_time() - before) > 5e6  # bytes for a second of processor time


def test_the_engines_do_not_need_the_array_to_be_contiguous():
    made = little.residual()
    x = little.inputs(made, 2, 6, 8)
    turned = np.ascontiguousarray(x.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1)
    for backend in PRESENT:
        assert np.array_equal(run(made, turned, backend=backend), run(made, x, backend=backend))
        assert np.array_equal(run(made, x.astype(">i8"), backend=backend), run(made, x, backend=backend))


@pytest.mark.parametrize("backend", PRESENT)
def test_nothing_in_nothing_out(backend):
    made = little.residual()
    assert run(made, np.zeros((0, 6, 3, 3), np.int32), backend=backend).shape == (0, 3, 12, 12)
    assert run(made, np.zeros((1, 6, 0, 3), np.int32), backend=backend).shape == (1, 3, 0, 12)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (np.zeros((6, 3, 3), np.int32), UnsupportedArrayError, r"shape \(n, 6, h, w\), got int32 of shape"),
        (np.zeros((1, 5, 3, 3), np.int32), UnsupportedArrayError, r"shape \(n, 6, h, w\)"),
        (np.zeros((1, 6, 3, 3), np.float32), UnsupportedArrayError, "got float32"),
        (np.full((1, 6, 3, 3), 201, np.int32), FormatError, r"input 1 of residual .* beyond -200 ... 200"),
    ],
)
def test_what_was_not_proved_is_refused(x, kind, message):
    with pytest.raises(kind, match=message):
        run(little.residual(), x)


def test_indices_beyond_the_codebook():
    made = little.words()
    for index in (-1, 17):
        with pytest.raises(FormatError, match=r"beyond 0 ... 16"):
            run(made, np.full((1, 3, 2, 2), index))


@pytest.mark.parametrize("backend", PRESENT)
def test_threads(backend):
    made = little.realistic(1, 16)
    images = [little.inputs(made, 1, 9, 11, seed) for seed in range(12)]
    expected = [run_surely(made, x) for x in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: run(made, x, backend=backend), images))
    assert all(map(np.array_equal, found, expected))


def test_the_number_of_threads_of_blas_comes_back():
    from threadpoolctl import threadpool_info, threadpool_limits

    made = little.residual()
    with threadpool_limits(2, user_api="blas"):
        before = [part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda seed: run(made, little.inputs(made, seed=seed), backend="numpy"), range(20)))
        assert [part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"] == before


def _in_a_fork(queue, backend) -> None:
    made = little.residual()
    queue.put(run(made, little.inputs(made), backend=backend))


@pytest.mark.parametrize("backend", [name for name in PRESENT if name != "torch"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks(backend):
    made = little.residual()
    expected = run(made, little.inputs(made), backend=backend)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_in_a_fork, args=(queue, backend))
    process.start()
    found = queue.get(timeout=60)
    process.join(60)
    assert np.array_equal(found, expected)


# -- values -------------------------------------------------------------------------------------------------


def test_values_are_computed_once_in_double_precision():
    made = little.residual()
    output = np.array([-30000, -1, 0, 1, 7, 30000], np.int32).reshape(1, 1, 2, 3).repeat(3, 1)
    found = values(made, output, "f4")
    for c in range(3):
        exact = 280.0 + c + 0.01 * (1 + c) * output[:, c].astype("f8")
        assert np.array_equal(found[:, c], exact.astype("f4"))


def test_integers_are_rounded_half_to_even_and_clipped():
    made = little.Maker()
    made.conv(0, 1, 1, 1, shift=0, most=1)
    decoder = made.latent([9], 1, 1, offset=[0.0], scale=[0.5])
    output = np.array([-3, -1, 1, 3, 5, 511, -511], np.int32).reshape(1, 1, 1, 7)
    assert values(decoder, output, "i2").ravel().tolist() == [-2, 0, 0, 2, 2, 256, -256]
    assert values(decoder, output, "u1").ravel().tolist() == [0, 0, 0, 2, 2, 255, 0]
    assert values(decoder, output, ">i2").dtype == np.dtype(">i2")


def test_large_values_stay_within_64_bits():
    made = little.Maker()
    made.conv(0, 1, 1, 1, shift=0, most=1)
    decoder = made.latent([9], 1, 1, offset=[0.0], scale=[1e18])
    output = np.array([[[[-500, 500]]]], np.int32)
    assert values(decoder, output, "i8").ravel().tolist() == [-(2**63), 2**63 - 1024]
    assert values(decoder, output, "u8").ravel().tolist() == [0, 2**64 - 2048]
    assert np.isinf(values(decoder, output, "f2")).all()


def test_the_chosen_backend_decodes():
    made = little.residual()
    x = little.inputs(made)
    expected = run_surely(made, x)
    for backend in ("auto", *PRESENT):
        with use_backend(backend):
            assert np.array_equal(run(made, x), expected)
