import json

import numpy as np
import pytest

import frazil
from frazil import interchange
from frazil.errors import FormatError
from frazil.testing import bit_equal

Y, X = np.mgrid[:80, :100] / 25
FIELD = np.stack([np.sin(X + k) * np.cos(Y * X) * 10**k for k in range(3)]).astype("f4")
CODECS = [
    frazil.JP2K(ratio=16),
    frazil.JP2K(ratio=16, coder="ht"),
    frazil.JP2K(psnr=60, scaling="standard", clip=2.5),
    frazil.JP2K(psnr=60, per="plane"),
    frazil.JP2K(reversible=True),
]


def there_and_back(chunk):
    triple = interchange.unpack(chunk)
    record = json.loads(json.dumps(triple.record))
    return interchange.pack(interchange.Triple(jp2=triple.jp2, record=record, missing=triple.missing))


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("holes", ["none", "nan", "payload", "some planes", "kinds"])
def test_every_value_comes_back(codec, holes):
    field = FIELD.copy()
    if holes == "nan":
        field[:, 10:40, 20:50] = np.nan
    elif holes == "payload":
        field.view("u4")[:, 10:40, 20:50] = 0x7FC01234
    elif holes == "some planes":
        field[1, :50] = np.inf
    elif holes == "kinds":
        field[0, 0, 0], field[1, 1, 1], field[2, 2, 2] = np.nan, np.inf, -np.inf
    chunk = codec.encode(field)
    assert bit_equal(codec.decode(there_and_back(chunk)), codec.decode(chunk)).all()


def test_a_sentinel_of_zero_in_integers():
    field = np.where(FIELD > 0, FIELD * 100 + 1, 0).astype("u2")
    codec = frazil.JP2K(ratio=8, missing=0)
    chunk = codec.encode(field)
    assert np.array_equal(codec.decode(there_and_back(chunk)), codec.decode(chunk))


@pytest.mark.parametrize("field", [np.full((5, 6), 3.5), np.array([[1.0, 2.0]]), np.full((4, 4), np.nan)])
def test_chunks_without_a_codestream_are_kept_in_the_record(field):
    codec = frazil.JP2K(ratio=4)
    chunk = codec.encode(field)
    assert interchange.unpack(chunk).jp2 is None
    assert bit_equal(codec.decode(there_and_back(chunk)), codec.decode(chunk)).all()


def test_the_record_says_what_the_samples_mean():
    imagecodecs = pytest.importorskip("imagecodecs")
    codec = frazil.JP2K(psnr=70)
    field = FIELD[0]
    triple = interchange.unpack(codec.encode(field))
    scaling = triple.record["scaling"]
    (ends,) = scaling["planes"]
    samples = imagecodecs.jpeg2k_decode(triple.jp2).astype("f8")
    values = ends["low"] + (samples - scaling["offset"]) * (ends["high"] - ends["low"]) / scaling["levels"]
    assert np.abs(values - codec.decode(codec.encode(field))).max() < 1e-6


def test_a_shared_mask_is_one_picture():
    field = FIELD.copy()
    field[:, :9, :9] = np.nan
    assert interchange.unpack(frazil.JP2K(ratio=8).encode(field)).missing.shape == (80, 100)
    field[0, 50, 50] = np.nan
    assert interchange.unpack(frazil.JP2K(ratio=8).encode(field)).missing.shape == (240, 100)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, 80]},
        {"shape": "x"},
        {"dtype": "nonsense"},
        {"scaling": {}},
        {"scaling": {"kind": "other"}},
        {"missing": {"section": "?"}},
        {"missing": {"bits": "0x7fc00000"}},
    ],
)
def test_records_that_do_not_fit_are_refused(change):
    triple = interchange.unpack(frazil.JP2K(ratio=8).encode(FIELD))
    with pytest.raises(FormatError):
        interchange.pack(interchange.Triple(jp2=triple.jp2, record={**triple.record, **change}, missing=None))
    with pytest.raises(FormatError, match="missing"):
        interchange.pack(interchange.Triple(jp2=None, record=triple.record, missing=None))


@pytest.mark.parametrize("coder", ["ebcot", "ht"])
def test_packed_floats_come_back_from_their_lattice(coder):
    codec = frazil.JP2K(reversible=True, coder=coder)
    packed = (np.float32(273.15) + np.float32(0.01) * np.rint(100 * np.sin(FIELD))).astype("f4")
    packed[0, :5] = np.nan
    chunk = codec.encode(packed)
    record = interchange.unpack(chunk).record["scaling"]
    assert record["kind"] == "lattice"
    assert record["step"] == pytest.approx(0.01, rel=1e-4)
    assert bit_equal(codec.decode(there_and_back(chunk)), packed).all()
