"""Linear models, fitted to whatever fields there are."""

from __future__ import annotations

from time import process_time

import little_golden as little
import numpy as np
import pytest

from frazil import Latent, container
from frazil.errors import ConfigurationError
from frazil.models.klt import BlockBasis, blocks, fit_basis, fit_klt, step_for
from frazil.models.pieces import moments, pieces, windows


def waves(n: int, channels: int = 2, shape: tuple[int, int] = (40, 56), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    base = np.stack([np.sin(x / a + b) * np.cos(y / b + a) for a, b in rng.uniform(3, 9, (n, 2))])
    mixed = [280 * (c == 0) + (c + 1) * (base + 0.3 * base**2 * c) for c in range(channels)]
    return np.stack(mixed, 1)


def made(model, fields, axis=-3):
    """Bytes, sections, and the error of each channel in its training deviations."""
    codec = Latent(model=model)
    data = codec.encode(fields.astype("f4"))
    decoded = codec.decode(data)
    spread = np.array(model.decoder.spread)
    off = (decoded.astype("f8") - fields).swapaxes(0, 1 if axis != -4 else 0).reshape(len(spread), -1)
    return len(data), list(container.unpack(data)[1]), np.sqrt((off**2).mean(1)) / spread


class TestError:
    @pytest.mark.parametrize("error", [0.3, 0.1, 0.03, 0.01])
    def test_it_is_about_what_was_asked_for(self, error):
        model = fit_klt(waves(12), factor=4, error=error)
        _, sections, errors = made(model, waves(3, seed=0))
        assert sections == ["L"]
        assert np.sqrt((errors**2).mean()) < 1.25 * error

    def test_bytes_pay_for_it(self):
        sizes = [made(fit_klt(waves(8), factor=4, error=e), waves(2))[0] for e in (0.02, 0.05, 0.2)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > 2 * sizes[2]

    def test_what_is_no_error(self):
        for error in (0, -1, np.nan, np.inf):
            with pytest.raises(ConfigurationError, match="error is in standard deviations"):
                fit_klt(waves(2), error=error)


class TestGaps:
    def test_they_are_closed_as_the_codec_closes_them(self):
        fields = waves(8)
        fields[:, 1, 10:18, 20:40] = np.nan
        fields[3] = np.nan
        fields[0, 0, 0, 0] = np.inf
        model = fit_klt(fields, factor=4, error=0.03)
        whole = fit_klt(waves(8), factor=4, error=0.03)
        assert np.allclose(model.decoder.offset, whole.decoder.offset, rtol=0.1, atol=0.2)
        _, sections, errors = made(model, waves(2))
        assert sections == ["L"]
        assert errors.max() < 0.06

    def test_mostly_gaps(self):
        fields = waves(8, 1)
        fields[:, :, :, 16:] = np.nan
        model = fit_klt(fields, factor=8, error=0.05)
        assert made(model, waves(2, 1))[1] == ["L"]

    def test_a_channel_that_never_reports(self):
        fields = waves(6, 3)
        fields[:, 1] = np.nan
        model = fit_klt(fields, factor=4, error=0.05)
        assert 0 < model.decoder.spread[1] < 1e-20
        assert made(model, np.where(np.isnan(fields), 0, fields)[:2])[1] == ["L"]

    def test_nothing_at_all(self):
        with pytest.raises(ConfigurationError, match="that hold no value"):
            fit_klt(np.full((2, 1, 16, 16), np.nan))

    def test_stations_with_holes(self):
        values = little.stations(20)
        values[:, 1, ::3] = np.nan
        values[5:9, :, 10:30] = np.nan
        model = fit_klt(values, factor=1, error=0.05, axis=-2)
        codec = Latent(model=model, bound=0.3)
        decoded = codec.decode(codec.encode(values.astype("f4")))
        assert np.array_equal(np.isnan(decoded), np.isnan(values))
        assert np.nanmax(abs(decoded - values)) <= 0.3 + 1e-6


class TestConstants:
    def test_a_constant_channel_costs_nothing_and_is_watched(self):
        fields = waves(6, 2)
        fields[:, 1] = 7.5
        model = fit_klt(fields, factor=4, error=0.05)
        alone = fit_klt(fields[:, :1], factor=4, error=0.05)
        assert not model.decoder.layers[0].wide
        size, sections, errors = made(model, fields[:2])
        assert sections == ["L"]
        assert size <= made(alone, fields[:2, :1])[0] + 40
        assert errors[1] == 0
        changed = fields[:1].copy()
        changed[:, 1] += 0.01 * waves(1, 1)[:, 0]
        data = Latent(model=model).encode(changed.astype("f4"))
        assert "L" not in container.unpack(data)[1]  # never silently wrong
        assert abs(Latent(model=model).decode(data)[:, 1] - changed[:, 1]).max() < 1e-5

    @pytest.mark.parametrize("value", [0.0, -273.15, 1e-12, 3e8])
    def test_nothing_changes_at_all(self, value):
        model = fit_klt(np.full((3, 2, 16, 24), value), factor=4)
        codec = Latent(model=model)
        chunk = np.full((1, 2, 16, 24), value, "f4")
        chunk[0, 1] += np.arange(24, dtype="f4")
        assert np.allclose(codec.decode(codec.encode(chunk)), chunk, rtol=1e-5, atol=1e-20)

    def test_float32_noise_is_no_signal(self):
        fields = np.full((4, 1, 16, 16), 280.0, "f4")
        fields[:, :, ::2] = np.nextafter(np.float32(280), np.float32(300))
        assert fit_klt(fields, factor=4).decoder.spread[0] == pytest.approx(280 * 2.0**-22)


class TestSizes:
    def test_fewer_blocks_than_dimensions(self):
        fields = waves(2, 3, (18, 17))
        model = fit_klt(fields, factor=8, error=0.05)
        assert model.decoder.inputs < 3 * 64
        assert made(model, fields[:1])[2].max() < 0.15

    def test_blocks_begin_at_more_places_where_they_are_few(self):
        few = waves(1, 1, (32, 32))
        one = fit_basis([few[0] - few.mean()], 8, least=0.01)
        more = fit_basis([few[0] - few.mean()], 8, least=0.01, offsets=4)
        others = blocks(waves(1, 1, (32, 32), seed=5)[0] - few.mean(), 8)
        left = [float(((others - others @ b.vectors.T @ b.vectors) ** 2).mean()) for b in (one, more)]
        assert left[1] < left[0]

    def test_axes_that_few_blocks_do_not_show_are_smooth_ones(self):
        few, others = waves(1, 3, (24, 24)), waves(6, 3, (48, 48), seed=7)
        _, sections, errors = made(fit_klt(few, factor=8, error=0.05), others)
        assert sections == ["L"]
        assert errors.max() < 0.2
        units = few.mean((0, 2, 3))[:, None, None], few.std((0, 2, 3))[:, None, None]
        normal = [(field - units[0]) / units[1] for field in few]
        left = []
        for prior in (0.0, 0.1):
            basis = fit_basis(normal, 8, least=0.025, offsets=4, prior=prior)
            parts = np.concatenate([blocks((field - units[0]) / units[1], 8) for field in others])
            left.append(float(((parts - parts @ basis.vectors.T @ basis.vectors) ** 2).mean()))
        assert left[1] < left[0] / 10

    def test_one_field_and_one_block(self):
        fields = waves(1, 1, (8, 8))
        model = fit_klt(fields, factor=8)
        assert 1 <= model.decoder.inputs < 64  # the axes that one block does not show are expected ones
        assert made(model, fields)[2].max() < 0.15

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u2", "i4"])
    def test_any_numbers(self, dtype):
        model = fit_klt((20 * waves(6)).astype(dtype), factor=4, error=0.05)
        assert made(model, 20 * waves(2))[2].max() < 0.1

    def test_shapes_that_are_none(self):
        for shape in ((4, 16, 16), (0, 1, 8, 8), (1, 0, 8, 8), (1, 1, 0, 8)):
            with pytest.raises(ConfigurationError, match=r"fitted to fields \(n, channels, y, x\)"):
                fit_klt(np.zeros(shape))
        with pytest.raises(ConfigurationError, match=r"fitted to fields \(n, channels, points\)"):
            fit_klt(np.zeros((2, 3, 4, 5)), axis=-2)
        with pytest.raises(ConfigurationError, match=r"no field holds a block of 8 x 8 points: .* \(7, 99\)"):
            fit_klt(np.zeros((3, 1, 7, 99)))
        with pytest.raises(ConfigurationError, match="no field holds a block of 16 points"):
            fit_klt(np.zeros((3, 1, 15)), factor=4, axis=-2)
        with pytest.raises(ConfigurationError, match="factor 1 to 64"):
            fit_klt(np.zeros((3, 1, 99, 99)), factor=65)
        with pytest.raises(ConfigurationError, match="scale is one finite number for each of 2 channels"):
            fit_klt(waves(2), scale=[1.0])
        with pytest.raises(ConfigurationError, match="these parts make no decoder: a model's name"):
            fit_klt(waves(2), name="../x")

    def test_of_large_ones_windows_are_read(self):
        fields = Large()
        found = pieces(fields, 8)
        assert 1 << 22 < fields.read <= 1 << 23
        assert sum(piece.values.size for piece in found) == fields.read

    @pytest.mark.slow
    def test_large_ones_take_seconds(self):
        begun = process_time()
        assert fit_klt(Large(), factor=8, error=0.05).decoder.channels == 2
        assert process_time() - begun < 60

    def test_the_same_each_time(self):
        assert fit_klt(waves(3)).digest == fit_klt(waves(3)).digest


class Large:
    """A gigabyte that is never in memory."""

    shape, ndim, read = (500, 2, 512, 512), 4, 0

    def __getitem__(self, window):
        n, _, y, x = (range(*w.indices(m)) for w, m in zip(window, self.shape, strict=True))
        self.read += 2 * len(n) * len(y) * len(x)
        plane = np.sin(np.array(y) / 9)[:, None] * np.cos(np.array(x) / 7)
        return np.stack([np.stack([plane + k / 99, plane**2 * (k % 7)]) for k in n]).astype("f4")


class TestPieces:
    def test_windows_are_spread(self):
        found = windows((40, 2, 1000, 700), 8, 1 << 20)
        assert len(found) == 4
        assert len({str(w) for w in found}) == 4
        for n, c, y, x in found:
            assert (n.stop - n.start, c, (y.stop - y.start) % 8, (x.stop - x.start) % 8) == (
                8,
                slice(None),
                0,
                0,
            )

    def test_of_points(self):
        (only,) = windows((40, 5, 1000), 4, 1 << 20)
        assert only == (slice(None), slice(None), slice(992))
        for n, _, run in windows((40, 5, 10**6), 4, 1 << 20):
            assert n.stop - n.start >= 1
            assert run.start % 16 == run.stop % 16 == 0

    def test_one_huge_field(self):
        ((n, _, y, x), *_) = windows((1, 40, 20000, 20000), 16, 1 << 20)
        assert (n, y.stop - y.start, x.stop - x.start) == (slice(0, 1), 128, 128)

    def test_runs_of_points_become_blocks(self):
        (piece,) = pieces(np.arange(40).reshape(1, 1, 40), 4, -2)
        assert piece.values.shape == (1, 1, 4, 8)
        assert np.array_equal(blocks(piece.values[0], 4), np.arange(32).reshape(2, 16))

    def test_moments_are_of_what_is_known(self):
        fields = waves(4)
        fields[0, 0, :5] = np.nan
        mean, deviation = moments(pieces(fields, 4))
        assert np.allclose(mean, np.nanmean(fields, (0, 2, 3)))
        assert np.allclose(deviation, np.nanstd(fields, (0, 2, 3)))


def test_step_and_what_was_left_out():
    basis = BlockBasis(1, np.eye(2), np.array([5.0, 3.0]), np.array([9.0, 9.0]))
    with_rest = BlockBasis(1, np.eye(2), np.array([5.0, 3.0]), np.array([9.0, 9.0]), rest=0.006)
    assert step_for(with_rest, 0.1) == pytest.approx(step_for(basis, 0.1) * 0.4**0.5)
    assert step_for(basis, 100) <= 12**0.5 * 100


def test_points_in_nested_order():
    rng = np.random.default_rng(0)
    smooth = np.repeat(rng.normal(size=(30, 2, 64)).cumsum(0), 16, 2) + 0.05 * rng.normal(size=(30, 2, 1024))
    sizes = {}
    for factor in (1, 4):
        model = fit_klt(smooth[:20], factor=factor, error=0.1, axis=-2)
        size, sections, errors = made(model, smooth[20:], -2)
        assert sections == ["L"]
        assert errors.max() < 0.15
        sizes[factor] = size
    assert sizes[4] < 0.6 * sizes[1]
