from __future__ import annotations

import functools
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import frazil
from frazil.data.curation.ranking import largest_remainder
from frazil.errors import ConfigurationError

MODES = ("connected", "inverse", "combined")
SCORES = ("fiedler_abs", "fiedler_signed", "degree")


def weather(seed: int, n: int = 30, shape: tuple[int, ...] = (3, 5, 6), states: int = 4) -> Any:
    """Members near a few states, in units that differ by channel."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(states, *shape))[rng.integers(0, states, n)] + rng.normal(size=(n, *shape))
    c = np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    return x * 10.0 ** (c - 1) + 280 * (c == 0)


def cliques(sizes: list[int], noise: float = 0.01, points: int = 400) -> Any:
    """Members near states that have nothing in common, in turns."""
    rng = np.random.default_rng(0)
    states, _ = np.linalg.qr(rng.normal(size=(points, len(sizes))))
    which = np.repeat(np.arange(len(sizes)), sizes)
    which = which[np.argsort(np.concatenate([(np.arange(s) + 0.5) / s for s in sizes]), kind="stable")]
    return states.T[which] * np.sqrt(points) + noise * rng.normal(size=(len(which), points)), which


def written(
    members: Any, mode: str, score: str, keep: float, *, share: float = 0.85, buffer: float = 0.05
) -> tuple[set[int], Any]:
    """Choose by the definition, step by step; for connected graphs without duplicates."""
    x = np.asarray(members, "f8")
    axes = tuple(k for k in range(x.ndim) if k != 1) if x.ndim > 2 else None
    sd = x.std(axis=axes, keepdims=True)
    x = (x - x.mean(axis=axes, keepdims=True)) / np.where(sd == 0, 1, sd)
    x = (x - x.mean(axis=0)).reshape(len(x), -1)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    w = np.maximum(u @ u.T, 0)
    np.fill_diagonal(w, 0)
    d = w.sum(axis=1)
    values, vectors = np.linalg.eigh(np.eye(len(w)) - w / np.sqrt(np.outer(d, d)))
    f = vectors[:, 1] / np.sqrt(d)
    f = f * np.sign(f[np.argmax(np.abs(f))])
    cost = {"fiedler_abs": np.abs(f), "fiedler_signed": f, "degree": -d}[score]
    order = np.argsort(cost, kind="stable").tolist()
    n = len(order)
    kept = max(1, int(keep * n + 0.5))
    if mode == "connected":
        return set(order[:kept]), values
    if mode == "inverse":
        return set(order[n - kept :]), values
    first = int(share * kept + 0.5)
    noise = int(buffer * n + 0.5)
    return set(order[:first]) | set(order[n - noise - (kept - first) : n - noise]), values


@given(
    seed=st.integers(0, 999),
    n=st.integers(16, 60),
    keep=st.sampled_from([0.25, 0.5, 0.7]),
    flat=st.booleans(),
    single=st.booleans(),
)
@settings(deadline=None, max_examples=20)
def test_the_definition(seed: int, n: int, keep: float, *, flat: bool, single: bool) -> None:
    members = weather(seed, n).astype("f4" if single else "f8")
    members = members.reshape(n, -1) if flat else members
    for mode, score in itertools.product(MODES, SCORES):
        wanted, values = written(members, mode, score, keep)
        found = frazil.SALN(keep=keep, mode=mode, score=score).select(members)
        if found.diagnostics.components == 1:
            assert set(found.kept.tolist()) == wanted
            assert found.diagnostics.lambda2 == pytest.approx(values[1], rel=1e-3, abs=1e-4)
            assert found.diagnostics.lambda3 == pytest.approx(values[2], rel=1e-3, abs=1e-4)
        else:
            assert values[1] < 1e-3
        assert sorted([*found.kept, *found.dropped]) == list(range(n))
        assert len(found.kept) == int(keep * n + 0.5)


@pytest.mark.parametrize("laplacian", ["sym", "unnormalised"])
@pytest.mark.parametrize("weight", ["relu", "shift"])
def test_eigenvalues_of_other_graphs(laplacian: str, weight: str) -> None:
    x = weather(1)
    found = frazil.SALN(laplacian=laplacian, weight=weight).select(x).diagnostics
    z = (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)
    z = (z - z.mean(axis=0)).reshape(len(z), -1)
    s = (z @ z.T) / np.outer(*[np.linalg.norm(z, axis=1)] * 2)
    w = np.maximum(s, 0) if weight == "relu" else (1 + s) / 2
    np.fill_diagonal(w, 0)
    d = w.sum(axis=1)
    matrix = np.diag(d) - w if laplacian == "unnormalised" else np.eye(len(w)) - w / np.sqrt(np.outer(d, d))
    values = np.linalg.eigvalsh(matrix)
    assert [found.lambda2, found.lambda3] == pytest.approx(values[1:3])
    assert found.gap == pytest.approx((values[2] - values[1]) / values[1])


@given(st.integers(0, 99), st.sampled_from(MODES), st.sampled_from(SCORES))
@settings(deadline=None, max_examples=30)
def test_the_order_of_members_does_not_matter(seed: int, mode: str, score: str) -> None:
    members = weather(seed)
    order = np.random.default_rng(seed).permutation(len(members))
    curator = frazil.SALN(keep=0.4, mode=mode, score=score)
    there = curator.select(members[order])
    assert set(order[there.kept].tolist()) == set(curator.select(members).kept.tolist())


@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(-100, 100), st.sampled_from(MODES))
@settings(deadline=None, max_examples=30)
def test_units_of_a_channel_do_not_matter(seed: int, scale: float, offset: float, mode: str) -> None:
    members = weather(seed)
    curator = frazil.SALN(mode=mode)
    kept = curator.select(members).kept
    members[:, 1] = members[:, 1] * scale + offset
    assert curator.select(members).kept.tolist() == kept.tolist()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_bits_from_blocks_elsewhere_and_any_number_of_threads(mode: str) -> None:
    members = weather(3, 40, (3, 50, 60)).astype("f4")
    curator = frazil.SALN(mode=mode)
    found = curator.select(members)
    for threads in (1, 2):
        with threadpool_limits(threads):
            blocks = [pickle.loads(pickle.dumps(block)) for block in curator.blocks(members)]
            there = curator.select_gram(curator.sum_blocks([curator.block_gram(b) for b in blocks]))
        assert np.array_equal(there.scores, found.scores)
        assert there.to_json() == found.to_json()


def test_large_superbatches_are_the_same_again_and_with_any_number_of_threads() -> None:
    members = weather(3, 600, (1, 4, 5))
    found = []
    for threads in (1, 2, 2):
        with threadpool_limits(threads):
            found.append(frazil.SALN().select(members))
    assert np.array_equal(found[0].scores, found[1].scores)
    assert np.array_equal(found[0].scores, found[2].scores)
    assert set(found[0].kept.tolist()) == written(members, "connected", "fiedler_abs", 0.5)[0]


def test_combined_keeps_both_ends_but_not_the_noise() -> None:
    curator = frazil.SALN(keep=0.5, mode="combined", share=0.7, buffer=0.1)
    found = curator.select(weather(5, 40))
    order = np.argsort(found.scores, kind="stable")
    assert set(found.kept) == {*order[:14], *order[30:36]}
    assert set(found.dropped) >= {*order[36:]}


def test_the_buffer_gives_way_to_the_count() -> None:
    found = frazil.SALN(keep=0.95, mode="combined", buffer=0.4).select(weather(5, 40))
    assert found.dropped.tolist() == sorted(np.argsort(found.scores, kind="stable")[38:].tolist())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 7, 30])
def test_counts_are_exact(mode: str, count: int) -> None:
    found = frazil.SALN(mode=mode).select(weather(5), count=count)
    assert len(found.kept) == found.diagnostics.kept == count


@pytest.mark.parametrize("score", SCORES)
def test_a_constant_channel_changes_nothing(score: str) -> None:
    members = weather(7).astype("f4")
    more = np.concatenate((members, np.full_like(members[:, :1], 280.1)), axis=1)
    curator = frazil.SALN(score=score)
    assert np.array_equal(curator.select(more).scores, curator.select(members).scores)


@pytest.mark.parametrize(
    "members", [np.ones((6, 2, 3)), np.tile(np.arange(9.0), (6, 1)), np.zeros((6, 4), "f4")]
)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("mode", MODES)
def test_members_that_are_all_equal_go_by_index(members: Any, score: str, mode: str) -> None:
    found = frazil.SALN(score=score, mode=mode).select(members)
    assert len(found.kept) == 3
    assert mode == "combined" or found.kept.tolist() == ([0, 1, 2] if mode == "connected" else [3, 4, 5])
    numbers = found.diagnostics
    assert (numbers.isolated, numbers.degenerate, numbers.lambda2) == (6, True, None)


@pytest.mark.parametrize("score", ["fiedler_abs", "fiedler_signed"])
@pytest.mark.parametrize("mode", ["connected", "inverse"])
@pytest.mark.parametrize("sizes", [[10, 10, 10, 10], [20, 12, 8]])
def test_components_keep_shares_alike(score: str, mode: str, sizes: list[int]) -> None:
    members, which = cliques(sizes)
    found = frazil.SALN(keep=0.5, score=score, mode=mode).select(members)
    assert found.diagnostics.components == len(sizes)
    assert np.bincount(which[found.kept]).tolist() == [size // 2 for size in sizes]


def test_components_of_duplicates_keep_shares_alike() -> None:
    members, which = cliques([10, 6, 4], noise=0)
    found = frazil.SALN(keep=0.5).select(members)
    assert np.bincount(which[found.kept]).tolist() == [5, 3, 2]
    numbers = found.diagnostics
    assert (numbers.components, numbers.isolated, numbers.duplicates) == (3, 0, 17)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("mode", MODES)
def test_duplicates_count_as_often_as_they_come(score: str, mode: str) -> None:
    members = weather(8)
    repeated = members[np.r_[0:30, 3, 3, 3, 7, 20, 20]]
    found = frazil.SALN(score=score, mode=mode).select(repeated)
    assert found.diagnostics.duplicates == 6
    assert len(set(found.scores[[3, 30, 31, 32]])) == 1
    kept, values = written(repeated, mode, score, 0.5)
    assert values[2] - values[1] > 1e-6  # the reference is well defined
    assert ranked_alike(found.scores, set(found.kept.tolist()), kept)


def ranked_alike(scores: Any, ours: set[int], theirs: set[int]) -> bool:
    """Whether two choices differ at most by members of equal score."""
    return sorted(scores[list(ours)].tolist()) == sorted(scores[list(theirs)].tolist())


@pytest.mark.parametrize("score", SCORES)
def test_a_member_like_the_mean_is_the_least_connected(score: str) -> None:
    members = weather(9)
    members[4] = np.delete(members, 4, axis=0).mean(axis=0)
    found = frazil.SALN(keep=0.9, score=score).select(members)
    assert found.diagnostics.isolated == 1
    assert found.scores.argmax() == 4
    assert 4 in found.dropped
    assert 4 in frazil.SALN(keep=0.1, score=score, mode="inverse").select(members).kept


def test_negative_similarities_are_no_edges() -> None:
    x = np.random.default_rng(0).normal(size=(1, 50)) + 0.05 * np.random.default_rng(1).normal(size=(10, 50))
    x[5:] *= -1
    found = frazil.SALN().select(x).diagnostics
    assert found.components == 2
    assert frazil.SALN(weight="shift").select(x).diagnostics.components == 1


def test_what_is_equally_alike_goes_by_degree_and_says_so() -> None:
    found = frazil.SALN(weight="shift").select(np.eye(8))
    assert found.diagnostics.degenerate
    assert found.kept.tolist() == [0, 1, 2, 3]
    assert not frazil.SALN(weight="shift").select(weather(1)).diagnostics.degenerate


def test_points_that_all_lack_change_nothing() -> None:
    members = weather(11).astype("f4")
    members[:, :, 2, 1:] = np.nan
    left = members.reshape(30, 3, -1)[:, :, ~np.isnan(members[0, 0]).ravel()]
    here, there = frazil.SALN().select(members), frazil.SALN().select(left)
    assert np.array_equal(here.scores, there.scores)


def test_members_that_lack_a_few_points_are_chosen_as_without_gaps() -> None:
    members = weather(11, 40, (2, 12, 15))
    curator = frazil.SALN()
    whole = set(curator.select(members).kept.tolist())
    members[3, 0, 2] = members[9, 1, :, 4] = members[20, :, 0, 0] = np.nan
    found = curator.select(members)
    assert len(whole & set(found.kept.tolist())) >= 18
    grams = [curator.block_gram(block) for block in curator.blocks(members)]
    assert np.array_equal(curator.select_gram(curator.sum_blocks(grams)).scores, found.scores)


def test_channels_with_gaps_and_without_are_compared_as_written() -> None:
    members = weather(11, 12)
    members[3, 0, 2, 2] = members[5, 0, 0, :2] = np.nan
    z = (members - np.nanmean(members, axis=(0, 2, 3), keepdims=True)) / np.nanstd(
        members, axis=(0, 2, 3), keepdims=True
    )
    z = (z - np.nanmean(z, axis=0)).reshape(12, -1)
    w = np.zeros((12, 12))
    for i, j in itertools.permutations(range(12), 2):
        both = ~np.isnan(z[i]) & ~np.isnan(z[j])
        a, b = z[i][both], z[j][both]
        w[i, j] = max(a @ b / np.sqrt((a @ a) * (b @ b)), 0)
    found = frazil.SALN(score="degree").select(members)
    np.testing.assert_allclose(found.scores, -w.sum(axis=1) / w.sum(axis=1).max(), atol=2e-9)


def test_members_that_lack_too_much_are_refused_unless_told() -> None:
    members = weather(11)
    members[7, :, :2] = np.nan
    with pytest.raises(ConfigurationError, match=r"member 7 is NaN at 40%.*max_missing"):
        frazil.SALN().select(members)
    assert len(frazil.SALN(max_missing=0.5).select(members).kept) == 15
    members[7] = np.nan
    with pytest.raises(ConfigurationError, match="member 7 is NaN everywhere"):
        frazil.SALN(max_missing=0.99).select(members)


def test_masked_arrays_lack_what_is_masked() -> None:
    members = weather(11)
    holes = np.where(members > 290, np.nan, members)
    here = frazil.SALN(max_missing=0.5).select(np.ma.masked_greater(members, 290))
    assert np.array_equal(here.scores, frazil.SALN(max_missing=0.5).select(holes).scores)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities_are_refused(value: float) -> None:
    members = weather(11)
    members[7, 1, 2, 3] = value
    with pytest.raises(ConfigurationError, match="member 7 holds infinities"):
        frazil.SALN().select(members)


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (2, 3, 4), (5,), (5, 0)])
def test_arrays_that_are_no_members_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="members"):
        frazil.SALN().select(np.zeros(shape))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keep": 0}, "keep is the share"),
        ({"keep": "half"}, "keep is the share"),
        ({"mode": "random"}, "mode is one of 'connected', 'inverse', 'combined'; got 'random'"),
        ({"score": "fiedler"}, "score is one of .*got 'fiedler'"),
        ({"weight": "abs"}, "weight is one of 'relu', 'shift'; got 'abs'"),
        ({"laplacian": "rw"}, "laplacian is one of"),
        ({"on": "spectra"}, "on is one of 'fields', 'increments'"),
        ({"share": 1.5}, "share is a share between 0 and 1; got 1.5"),
        ({"share": "most"}, "share is a share between 0 and 1; got 'most'"),
        ({"buffer": -0.1}, "buffer is a share"),
        ({"buffer": np.nan}, "buffer is a share"),
        ({"max_missing": 1.0}, "max_missing is a share"),
        ({"mode": ["connected"]}, "mode is one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        frazil.SALN(**wrong)


def test_schedules() -> None:
    members = weather(12)
    curator = frazil.SALN(
        keep=lambda epoch, step: 0.5 / (1 + epoch), mode=lambda epoch, step: MODES[step % 3]
    )
    for epoch, step in itertools.product(range(2), range(3)):
        found = curator.select(members, epoch=epoch, step=step)
        fixed = frazil.SALN(keep=0.5 / (1 + epoch), mode=MODES[step]).select(members)
        assert found.to_json() == fixed.to_json()
        assert found.diagnostics.mode == MODES[step]


def test_schedules_that_give_what_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"mode is one of .* its schedule gave 'x'"):
        frazil.SALN(mode=lambda epoch, step: "x").select(weather(12))
    with pytest.raises(ConfigurationError, match=r"keep is the share.*got 2"):
        frazil.SALN(keep=lambda epoch, step: 2).select(weather(12))


def test_rounding_makes_no_edges() -> None:
    states, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(300, 2)))
    members = np.concatenate((states.T, -states.T)).astype("f4")[np.arange(12) % 4]
    assert frazil.SALN().select(members).diagnostics.components == 4


def test_of_two_neither_is_more_connected() -> None:
    members, which = cliques([10, 2, 10])
    found = frazil.SALN(score="fiedler_signed").select(members)
    assert found.kept[which[found.kept] == 1].tolist() == np.flatnonzero(which == 1)[:1].tolist()


def test_a_member_alone_comes_after_all_components() -> None:
    members, which = cliques([10, 1, 9])
    found = frazil.SALN(keep=0.95).select(members)
    assert found.diagnostics.isolated == 1
    assert found.dropped.tolist() == np.flatnonzero(which == 1).tolist()


def test_noise_of_the_eigensolver_decides_no_tie() -> None:
    members = weather(17, 21, (1, 6, 8))
    mirrored = np.concatenate((members, members[..., ::-1]))
    for score in ("fiedler_abs", "degree"):
        found = frazil.SALN(score=score).select(mirrored, count=21)
        assert np.array_equal(found.scores[:21], found.scores[21:])
        assert set(found.kept[found.kept > 20] - 21) <= set(found.kept)


def test_sources_are_compared_about_their_own_means() -> None:
    one, other = (weather(seed, 24, (1, 5, 6)) for seed in (18, 19))
    found = frazil.SALN().select(np.concatenate((one, 3 * other + 500)), sources=np.arange(48) // 24)
    kept = [frazil.SALN().select(members).kept for members in (one, other)]
    assert found.kept.tolist() == [*kept[0], *(24 + kept[1])]


def test_each_source_keeps_its_share() -> None:
    one, other = weather(13, 20), weather(14, 40)
    members = np.concatenate((one, other))
    names = np.array(["b"] * 20 + ["a"] * 40)
    found = frazil.SALN(keep=0.25).select(members, sources=names)
    assert [(names[found.kept] == name).sum() for name in "ab"] == [10, 5]
    # of one source as if it were alone, but for the units that all share
    gram = frazil.SALN().sum_blocks([frazil.SALN().block_gram(b) for b in frazil.SALN().blocks(members)])
    alone = frazil.SALN(keep=0.25).select_gram(gram[:20, :20])
    assert alone.kept.tolist() == found.kept[found.kept < 20].tolist()


def test_small_sources_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"2 members make no graph.*at least 3 of each source"):
        frazil.SALN().select(weather(1, 10), sources=[0] * 8 + [1] * 2)


@given(st.integers(0, 99), st.sampled_from(MODES))
@settings(deadline=None, max_examples=20)
def test_groups_stay_together_whatever_they_are_called(seed: int, mode: str) -> None:
    members = weather(seed)
    groups = np.random.default_rng(seed).integers(0, 9, 30)
    curator = frazil.SALN(keep=0.6, mode=mode)
    found = curator.select(members, groups=groups)
    assert not set(groups[found.kept]) & set(groups[found.dropped])
    assert 0 < len(found.kept) <= 18
    renamed = curator.select(members, groups=[f"g{8 - group}" for group in groups])
    np.testing.assert_allclose(renamed.scores, found.scores, atol=1e-7)


def test_groups_of_one_change_nothing() -> None:
    members = weather(15)
    labels = np.random.default_rng(0).permutation(30)
    found = frazil.SALN().select(members, groups=labels)
    assert found.kept.tolist() == frazil.SALN().select(members).kept.tolist()


def test_groups_are_compared_by_their_means() -> None:
    members = weather(15)
    found = frazil.SALN(keep=0.5).select(np.repeat(members, 2, axis=0), groups=np.repeat(np.arange(30), 2))
    assert found.kept[::2].tolist() == (2 * frazil.SALN(keep=0.5).select(members).kept).tolist()


def test_groups_within_sources() -> None:
    members = weather(16, 40)
    sources, groups = np.arange(40) % 2, np.arange(40) // 2 % 10
    apart = frazil.SALN(keep=0.5).select(members, sources=sources, groups=groups + 10 * sources)
    found = frazil.SALN(keep=0.5).select(members, sources=sources, groups=groups)
    assert apart.kept.tolist() == found.kept.tolist()
    assert np.bincount(sources[found.kept]).tolist() == [10, 10]
    for source in range(2):
        kept, dropped = (groups[part][sources[part] == source] for part in (found.kept, found.dropped))
        assert not set(kept) & set(dropped)


def test_groups_that_cannot_be_are_refused() -> None:
    members = weather(1, 12)
    with pytest.raises(ConfigurationError, match="2 groups make no graph"):
        frazil.SALN().select(members, groups=np.arange(12) % 2)
    with pytest.raises(ConfigurationError, match=r"no group fits into the 2 of 12.*smallest holds 4"):
        frazil.SALN(keep=0.2).select(members, groups=np.arange(12) % 3)


@pytest.mark.parametrize("name", ["sources", "groups"])
def test_labels_of_another_length_are_refused(name: str) -> None:
    labels: dict[str, Any] = {name: np.zeros(29)}
    with pytest.raises(ConfigurationError, match=rf"{name} holds a label for each of the 30.*\(29,\)"):
        frazil.SALN().select(weather(1), **labels)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any), st.data())
def test_what_is_shared_out_is_all_and_in_proportion(sizes: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(sizes)))
    found = largest_remainder(np.array(sizes), total)
    assert found.sum() == total
    assert (np.abs(found - total * np.array(sizes) / sum(sizes)) < 1).all()
    assert (found <= sizes).all()


def half(epoch: int, step: int, of: float = 1.0) -> float:
    return of / 2


def test_fingerprints_tell_settings_apart_and_survive_pickling() -> None:
    curators = [
        frazil.SALN(),
        frazil.SALN(keep=0.25),
        frazil.SALN(keep=half),
        frazil.SALN(keep=functools.partial(half, of=0.5)),
        frazil.SALN(mode="inverse"),
        frazil.SALN(score="degree"),
        frazil.SALN(weight="shift"),
        frazil.SALN(laplacian="unnormalised"),
        frazil.SALN(share=0.8),
        frazil.SALN(buffer=0.1),
        frazil.SALN(on="increments"),
        frazil.SALN(embed=frazil.ReducedResolution(3)),
        frazil.SALN(max_missing=0.2),
    ]
    assert len({curator.fingerprint() for curator in curators}) == len(curators)
    assert all(pickle.loads(pickle.dumps(c)).fingerprint() == c.fingerprint() for c in curators)
