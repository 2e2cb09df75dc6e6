"""What every codec promises."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs.registry import get_codec

from frazil.errors import ConfigurationError, FormatError, FrazilError, TruncatedError, UnsupportedArrayError
from frazil.testing.arrays import SPECIALS, bit_equal, field, float_arrays, int_arrays
from frazil.testing.chunks import mutants, roundtrip

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.codecs.base import PlaneCodec


class CodecContract:
    """Tests that every codec passes; subclass it as ``class TestMine(CodecContract)`` and name the codec.

    Attributes
    ----------
    codec : PlaneCodec
        What is tested. It must be known to numcodecs and have a Zarr v3 face.
    tolerance : float
        Largest error on `field`, as a fraction of the range of the valid points. Not looked at if the
        codec says that it is lossless.
    tiny_tolerance : float
        The same for arrays of a few points, where a fixed ratio leaves next to no bytes.
    dtypes : tuple of str, optional
        Dtypes to test, such as ``("f4", "u2")``; by default all that the codec says it holds.
    mutations : int
        How many resealed mutations to try.
    """

    codec: PlaneCodec
    tolerance: float = 0.01
    tiny_tolerance: float = 1.0
    dtypes: tuple[str, ...] | None = None
    mutations: int = 300

    # -- what is compared ------------------------------------------------------------------------------------

    def kinds(self, of: str = "fiu") -> list[str]:
        """Return the dtypes to test whose kind is in ``of``."""
        return [kind for kind in (self.dtypes or self.codec.dtypes) if kind[0] in of]

    def first(self) -> str:
        """Return the dtype for tests that need only one."""
        kinds = self.kinds()
        return "f4" if "f4" in kinds else kinds[0]

    def check(
        self,
        x: npt.NDArray[Any],
        y: Any,
        tolerance: float | None = None,
        missing: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Assert that ``y`` is what may come back for ``x``: shape, dtype, missing values, error."""
        assert isinstance(y, np.ndarray)
        assert (y.shape, y.dtype) == (x.shape, x.dtype), (
            f"{x.shape} {x.dtype} came back as {y.shape} {y.dtype}"
        )
        same = bit_equal(x, y)
        if self.codec.lossless:
            assert same.all(), f"lossless, yet {np.count_nonzero(~same)} of {same.size} points differ"
        gone = ~np.isfinite(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
        gone = gone if missing is None else gone | missing
        assert same[gone].all(), "a missing value did not come back bit for bit"
        if gone.all():
            return
        a, b = x[~gone].astype("f8"), y[~gone].astype("f8")
        assert np.isfinite(b).all(), "a valid point came back as NaN or infinity"
        if tolerance == math.inf:
            return
        rounding = 0.5 if x.dtype.kind in "iu" else float(np.finfo(x.dtype).eps) * abs(a).max()
        allowed = (self.tolerance if tolerance is None else tolerance) * (a.max() - a.min()) + rounding
        assert abs(a - b).max() <= allowed, f"error {abs(a - b).max():.4g}, allowed are {allowed:.4g}"

    # -- arrays ----------------------------------------------------------------------------------------------

    def test_round_trip(self) -> None:
        """The plainest case, in every dtype and byte order."""
        for kind in self.kinds():
            for order in "<>":
                x = field(dtype=order + kind)
                self.check(x, roundtrip(self.codec, x))

    def test_decoded_array_is_writable_and_its_own(self) -> None:
        """Nobody else's memory comes back."""
        x = field(dtype=self.first())
        y = roundtrip(self.codec, x)
        y[...] = 0
        self.check(x, roundtrip(self.codec, x))

    def test_input_is_not_modified(self) -> None:
        """A read-only input is fine, and a writable one is left as it was."""
        for kind in self.kinds():
            x = field(dtype=kind)
            if kind[0] == "f":
                x[0, :5] = np.nan
            before = x.tobytes()
            self.codec.encode(x)
            assert x.tobytes() == before
            x.flags.writeable = False
            self.check(x, roundtrip(self.codec, x))

    def test_memory_layouts(self) -> None:
        """Views, reversed axes, and Fortran order, which comes back as it was: Zarr v2 needs it so."""
        x = field((6, 40, 50), self.first())
        for view in (x[::2], x[:, ::-1, ::-1], x[:, 3:35, 1:49:2], x.transpose(0, 2, 1)):
            self.check(view, roundtrip(self.codec, view))
        y = roundtrip(self.codec, np.asfortranarray(x))
        self.check(x, y)
        assert y.flags.f_contiguous

    def test_tiny_arrays(self) -> None:
        """No axes, one axis, one point, one row, one column, nothing at all."""
        everything = [
            (),
            (1,),
            (7,),
            (1, 1),
            (1, 9),
            (9, 1),
            (2, 1, 1),
            (3, 2, 2),
            (2, 3, 4, 5),
            (1, 1, 1, 1, 3),
        ]
        for shape in [*everything, (0,), (0, 4), (4, 0), (0, 3, 3)]:
            for kind in self.kinds():
                x = np.asarray(field(shape, kind))
                self.check(x, roundtrip(self.codec, x), self.tiny_tolerance) if x.size else self._empty(x)

    def _empty(self, x: npt.NDArray[Any]) -> None:
        y = roundtrip(self.codec, x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)

    def test_long_rows_and_columns(self) -> None:
        """Planes of one row, of one column, and wider than a code block or a tile."""
        for shape in ((1, 3000), (3000, 1), (2, 2, 2500)):
            x = field(shape, self.first())
            self.check(x, roundtrip(self.codec, x), self.tiny_tolerance)

    def test_constant(self) -> None:
        """A constant comes back as it was, in every dtype; also one constant plane among others."""
        for kind in self.kinds():
            for value in (0, 1, 100):
                x = np.full((2, 16, 17), value, kind)
                self.check(x, roundtrip(self.codec, x))
        x = field(dtype=self.first())
        x[1] = x[1, 0, 0]
        self.check(x, roundtrip(self.codec, x))

    # -- missing values --------------------------------------------------------------------------------------

    def test_missing_values_come_back_bit_for_bit(self) -> None:
        """NaN, the infinities, NaN payloads: scattered, as a coast, as a whole plane."""
        for kind in self.kinds("f"):
            bits = np.array(SPECIALS[kind], f"u{kind[1]}").view(kind)
            x = field((3, 32, 48), kind)
            x[0, :, :20] = np.nan
            x[1] = np.nan
            x[2, 5, :5] = bits
            for order in "<>":
                chunk = x.astype(order + kind)
                self.check(chunk, roundtrip(self.codec, chunk), 4 * self.tolerance)

    def test_nothing_but_missing_values(self) -> None:
        """A chunk without one valid point, whatever stands there."""
        for kind in self.kinds("f"):
            for pattern in SPECIALS[kind]:
                x = np.full((2, 8, 9), pattern, f"u{kind[1]}").view(kind)
                self.check(x, roundtrip(self.codec, x))

    def test_sentinel(self) -> None:
        """``missing=`` and the array's fill value come back, and do not disturb the rest."""
        for kind in self.kinds():
            x = field((2, 32, 48), kind)
            sentinel = -9999.0 if kind[0] == "f" else float(np.iinfo(kind).max)
            x[:, 10:, :15] = sentinel
            missing = x == sentinel
            codec = dataclasses.replace(self.codec, missing=sentinel)
            self.check(x, roundtrip(codec, x), 4 * self.tolerance, missing)
            again = self.codec.decode(self.codec.encode_chunk(x, fill_value=np.dtype(kind).type(sentinel)))
            self.check(x, again, 4 * self.tolerance, missing)

    @settings(
        deadline=None,
        max_examples=40,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def test_any_array(self, data: st.DataObject) -> None:
        """Shape, dtype and missing values of anything come back; what was finite stays finite."""
        sources: list[st.SearchStrategy[Any]] = []
        sources += [float_arrays(self.kinds("f"))] if self.kinds("f") else []
        sources += [int_arrays(self.kinds("iu"))] if self.kinds("iu") else []
        x = data.draw(st.one_of(sources))
        with np.errstate(over="ignore"):
            self.check(x, roundtrip(self.codec, x), math.inf)

    # -- bytes -----------------------------------------------------------------------------------------------

    def test_same_bytes_twice(self) -> None:
        """Encoding is a function of the array and the configuration."""
        for kind in self.kinds():
            x = field(dtype=kind)
            assert self.codec.encode(x) == self.codec.encode(x.copy())

    def test_decode_takes_any_buffer(self) -> None:
        """What stores hand over: bytes, bytearray, memoryview, arrays of bytes."""
        x = field((1, 8, 8), self.first())
        data = self.codec.encode(x)
        assert isinstance(data, bytes)
        expected = self.codec.decode(data)
        for buffer in (
            bytearray(data),
            memoryview(data),
            np.frombuffer(data, "u1"),
            np.frombuffer(data, "i1"),
        ):
            assert bit_equal(self.codec.decode(buffer), expected).all()

    def test_decode_into_out(self) -> None:
        """``out=`` is filled and returned; one of the wrong size is refused."""
        for kind in self.kinds():
            x = field(dtype=kind)
            data, out = self.codec.encode(x), np.zeros_like(x)
            self.codec.decode(data, out=out)
            assert bit_equal(out, self.codec.decode(data)).all()
            with pytest.raises(FormatError):
                self.codec.decode(data, out=np.empty(x.size - 1, x.dtype))

    def test_every_truncation_is_refused(self) -> None:
        """Every prefix is a `TruncatedError`, the empty one too."""
        data = self.codec.encode(field((1, 8, 8), self.first()))
        for length in range(len(data)):
            with pytest.raises(TruncatedError):
                self.codec.decode(data[:length])

    def test_trailing_bytes_are_refused(self) -> None:
        """Two chunks in one file are one mistake."""
        data = self.codec.encode(field((1, 8, 8), self.first()))
        with pytest.raises(FormatError):
            self.codec.decode(data + b"\0")

    def test_every_flipped_bit_is_noticed(self) -> None:
        """One flipped bit in any byte is a `FormatError`."""
        data = self.codec.encode(field((1, 8, 8), self.first()))
        for at in range(len(data)):
            for bit in (at % 8, (at + 4) % 8):
                damaged = bytearray(data)
                damaged[at] ^= 1 << bit
                with pytest.raises(FormatError):
                    self.codec.decode(bytes(damaged))

    def test_damage_behind_a_correct_checksum(self) -> None:
        """`FrazilError` or an array of the right shape: nothing else, no warning, no crash."""
        x = field((2, 16, 16), self.first())
        if x.dtype.kind == "f":
            x[0, :4, :4] = np.nan
        data = self.codec.encode(x)
        for mutant in mutants(data, self.mutations):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    y = self.codec.decode_chunk(mutant, shape=x.shape, dtype=x.dtype)
                except FrazilError:
                    continue
            assert y.shape == x.shape

    def test_another_shape_or_dtype_is_refused(self) -> None:
        """A chunk that is not what its array declares never reaches the user."""
        x = field((2, 8, 8), self.first())
        data = self.codec.encode(x)
        with pytest.raises(FormatError, match=r"\(2, 8, 8\)"):
            self.codec.decode_chunk(data, shape=(2, 8, 9), dtype=x.dtype)
        with pytest.raises(FormatError, match=str(x.dtype)):
            self.codec.decode_chunk(data, shape=x.shape, dtype=np.dtype("f8" if x.dtype != "f8" else "f4"))

    def test_lower_resolutions_have_their_shape(self) -> None:
        """Level r has ceil(length / 2**r) points in y and x, and no others."""
        for shape in ((3, 33, 48), (33, 20), (9,), ()):
            x = field(shape, self.first())
            data = self.codec.encode(x)
            for level in (1, 2, 3):
                cut = (
                    x[..., :: 1 << level, :: 1 << level] if x.ndim > 1 else x[:: 1 << level] if x.ndim else x
                )
                y = self.codec.decode_chunk(data, level=level)
                assert (y.shape, y.dtype) == (cut.shape, x.dtype)

    # -- configuration ---------------------------------------------------------------------------------------

    def test_configuration_round_trips(self) -> None:
        """Through JSON, through pickle, through repr; and it can be hashed."""
        config = json.loads(json.dumps(self.codec.get_config()))
        assert config["id"] == self.codec.codec_id
        import frazil.codecs

        names = {**vars(frazil.codecs), type(self.codec).__name__: type(self.codec)}
        for twin in (
            get_codec(config),
            type(self.codec).from_config(config),
            pickle.loads(pickle.dumps(self.codec)),
            eval(repr(self.codec), names),  # noqa: S307 - that repr can be evaluated is the promise
        ):
            assert twin == self.codec
            assert hash(twin) == hash(self.codec)

    def test_unknown_setting_is_refused(self) -> None:
        """A misspelt or a newer setting is named, not ignored."""
        with pytest.raises(ConfigurationError, match="colour"):
            type(self.codec).from_config({**self.codec.get_config(), "colour": 1})

    def test_unsupported_dtypes_are_refused(self) -> None:
        """With the dtypes that would be fine."""
        for dtype in ("c8", "?", "i8", "U3", "M8[s]"):
            with pytest.raises(UnsupportedArrayError, match=self.first()):
                self.codec.encode(np.zeros((4, 4), dtype))

    # -- company ---------------------------------------------------------------------------------------------

    def test_threads(self) -> None:
        """Eight threads get what one gets."""
        chunks = [field((1, 24, 24 + i), self.first()) for i in range(8)]
        alone = [self.codec.encode(x) for x in chunks]
        decoded = [self.codec.decode(data) for data in alone]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(self.codec.encode, chunks * 4)) == alone * 4
            for got, expected in zip(pool.map(self.codec.decode, alone * 4), decoded * 4, strict=True):
                assert bit_equal(got, expected).all()

    @pytest.mark.parametrize("zarr_format", [2, 3])
    def test_zarr(self, zarr_format: int) -> None:
        """In a store with edge chunks, read back by its metadata alone."""
        import zarr

        x = field((5, 40, 50), self.first())
        fill = np.nan if x.dtype.kind == "f" else 0
        store = zarr.storage.MemoryStore()
        array = zarr.create_array(
            store,
            shape=x.shape,
            dtype=x.dtype,
            fill_value=fill,
            zarr_format=zarr_format,  # type: ignore[arg-type]
            **self.codec.encoding(zarr_format, chunks=(2, 32, 32)),
        )
        array[...] = x
        self.check(x, np.asarray(zarr.open_array(store, mode="r")[...]), 4 * self.tolerance)
