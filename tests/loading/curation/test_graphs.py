from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frazil.data.curation import graphs


def weights_of(seed: int, n: int, share: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.05, 1, (n, n)) * (rng.uniform(size=(n, n)) < share)
    w = np.triu(w, 1)
    return w + w.T


def clusters(n: int, seed: int = 0) -> Any:
    """Return two loose groups with a few in between: a graph with a gap in its spectrum."""
    rng = np.random.default_rng(seed)
    x = np.concatenate((rng.normal(-2, 0.5, n // 2), rng.normal(2, 0.7, n - n // 2)))
    w = np.exp(-((x[:, None] - x) ** 2) / 4)
    np.fill_diagonal(w, 0)
    return w


def laplacian(w: Any, kind: str) -> Any:
    d = w.sum(axis=1)
    return np.diag(d) - w if kind == "unnormalised" else np.eye(len(w)) - w / np.sqrt(d[:, None] * d)


@given(st.integers(0, 99), st.integers(3, 30), st.sampled_from(["sym", "unnormalised"]))
@settings(deadline=None)
def test_the_fiedler_vector_belongs_to_the_second_eigenvalue(seed: int, n: int, kind: str) -> None:
    w = weights_of(seed, n)
    found = graphs.spectrum(w, kind)
    values = np.linalg.eigvalsh(laplacian(w, kind))
    assert [found.lambda2, found.lambda3] == pytest.approx(values[1:3])
    u = found.fiedler * np.sqrt(w.sum(axis=1)) if kind == "sym" else found.fiedler
    np.testing.assert_allclose(laplacian(w, kind) @ u, found.lambda2 * u, atol=1e-9)
    assert np.linalg.norm(u) == pytest.approx(1)
    assert found.fiedler[np.argmax(np.abs(found.fiedler))] > 0
    assert not found.degenerate


@pytest.mark.parametrize("kind", ["sym", "unnormalised"])
def test_two_eigenpairs_agree_with_all(kind: str) -> None:
    w = clusters(graphs.LANCZOS_FROM + 87)
    found = graphs.spectrum(w, kind)
    values, vectors = np.linalg.eigh(laplacian(w, kind))
    assert [found.lambda2, found.lambda3] == pytest.approx(values[1:3])
    f = vectors[:, 1] / (np.sqrt(w.sum(axis=1)) if kind == "sym" else 1)
    np.testing.assert_allclose(np.abs(found.fiedler), np.abs(f), atol=1e-8 * np.abs(f).max())
    again = graphs.spectrum(w, kind)
    assert np.array_equal(again.fiedler, found.fiedler)


def test_all_eigenpairs_are_computed_where_two_are_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.sparse.linalg as sparse

    def lost(*_: Any, **__: Any) -> None:
        raise sparse.ArpackNoConvergence("lost", np.zeros(0), np.zeros((0, 0)))

    w = clusters(graphs.LANCZOS_FROM)
    wanted = graphs.spectrum(w)
    monkeypatch.setattr(sparse, "eigsh", lost)
    found = graphs.spectrum(w)
    assert [found.lambda2, found.lambda3] == pytest.approx([wanted.lambda2, wanted.lambda3])
    np.testing.assert_allclose(found.fiedler, wanted.fiedler, atol=1e-8 * np.abs(wanted.fiedler).max())


@pytest.mark.parametrize("n", [3, 8, 50, graphs.LANCZOS_FROM + 7])
@pytest.mark.parametrize("kind", ["sym", "unnormalised"])
def test_members_that_are_all_equally_alike_have_no_fiedler_vector(n: int, kind: str) -> None:
    assert graphs.spectrum((np.ones((n, n)) - np.eye(n)) * 0.3, kind).degenerate


def test_a_ring_has_no_fiedler_vector_and_a_path_has() -> None:
    path = np.diag(np.ones(9), 1) + np.diag(np.ones(9), -1)
    ring = path.copy()
    ring[0, 9] = ring[9, 0] = 1
    assert graphs.spectrum(ring).degenerate
    assert not graphs.spectrum(path).degenerate


@pytest.mark.parametrize("n", [0, 1, 2])
def test_small_graphs(n: int) -> None:
    found = graphs.spectrum(np.ones((n, n)) - np.eye(n))
    assert found.fiedler.shape == (n,)
    assert found.lambda3 == np.inf
    assert not found.degenerate
    if n == 2:
        assert found.lambda2 == pytest.approx(2)


@given(st.integers(0, 99), st.integers(1, 25), st.floats(0, 0.4))
@settings(deadline=None)
def test_components_are_those_that_walks_reach(seed: int, n: int, share: float) -> None:
    w = weights_of(seed, n, share)
    reach = np.linalg.matrix_power(((w > 0) | np.eye(n, dtype=bool)).astype(float), n) > 0
    found = graphs.components(w)
    assert np.array_equal(found[:, None] == found, reach)
    assert list(dict.fromkeys(found.tolist())) == list(range(found.max() + 1))


@given(st.integers(0, 99))
@settings(deadline=None)
def test_centring_inner_products_is_centring_vectors(seed: int) -> None:
    x = np.random.default_rng(seed).normal(3, 1, (7, 20))
    c = x - x.mean(axis=0)
    np.testing.assert_allclose(graphs.centred(x @ x.T), c @ c.T, atol=1e-9)


def test_cosines_are_those_of_vectors() -> None:
    x = np.random.default_rng(0).normal(size=(7, 20))
    x[3] = 0
    with np.errstate(invalid="ignore"):
        u = np.nan_to_num(x / np.linalg.norm(x, axis=1, keepdims=True))
    found, null = graphs.cosines(x @ x.T)
    np.testing.assert_allclose(found, u @ u.T, atol=1e-12)
    assert null.tolist() == [k == 3 for k in range(7)]
    assert np.abs(found).max() <= 1


def test_members_without_a_common_point_are_not_alike() -> None:
    found, _ = graphs.cosines(np.eye(3), np.array([[1, 0, 1], [1, 1, 1], [1, 1, 1.0]]))
    assert found[0, 1] == found[1, 0] == 0
