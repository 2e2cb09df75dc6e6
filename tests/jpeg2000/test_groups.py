"""Many planes are coded in groups by OpenJPH; nothing but time tells."""

import numpy as np
import pytest

from frazil import JP2K, container
from frazil.errors import FormatError
from frazil.jpeg2000 import encodings, htj2k
from frazil.jpeg2000.codestream import dissect
from frazil.jpeg2000.section import GROUP, read_groups
from frazil.scaling import fit
from frazil.testing import field, reseal

MANY = 2 * GROUP + 7


def planes(dtype="f4"):
    noise = np.random.default_rng(3).normal(size=(MANY, 33, 49))
    return (field((MANY, 33, 49), "f8") + noise).astype(dtype)


@pytest.mark.parametrize("shape", [(MANY, 33, 49), (GROUP + 1, 16, 20), (GROUP, 64, 64)])
def test_packets_are_those_of_all_planes_at_once(shape):
    samples = np.random.default_rng(4).integers(20_000, 30_000, shape).astype("u2")
    layout = encodings.ht_layout(shape, 0.01)
    scale = fit(samples, kind="minmax", per="chunk", clip=None)
    coded = encodings.ht(samples, layout, scale)
    assert (coded.body, coded.lengths) == dissect(htj2k.encode(samples, layout), layout)
    assert bool(coded.groups) == (shape[0] > GROUP)
    again = read_groups(coded.pack_groups(), list(coded.lengths), shape[0])
    assert [tuple(groups) for groups in again] == list(coded.groups or [(n,) for n in coded.lengths])


@pytest.mark.parametrize("codec", [JP2K(ratio=20, coder="ht"), JP2K(reversible=True, coder="ht")], ids=str)
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_decodes_alike_with_and_without_the_index_at_every_level(codec, dtype):
    x = planes(dtype)
    chunk = codec.encode(x)
    spec, sections = container.unpack(chunk)
    assert "g" in sections
    bare = container.pack(spec, {tag: payload for tag, payload in sections.items() if tag != "g"})
    for level in range(4):
        whole = codec.decode_chunk(chunk, level=level)
        assert np.array_equal(whole, codec.decode_chunk(bare, level=level))
        prefix = chunk[: codec.bytes_needed(chunk, level)]
        assert np.array_equal(whole, codec.decode_prefix(prefix, level))


def test_the_index_counts_in_the_ratio():
    x = planes()
    for ratio in (4, 20, 60):
        assert x.nbytes / len(JP2K(ratio=ratio, coder="ht").encode(x)) == pytest.approx(ratio, rel=0.05)


def test_ebcot_needs_no_groups():
    assert "g" not in container.unpack(JP2K(ratio=20).encode(planes()))[1]


def test_a_damaged_index_is_noticed():
    chunk = bytearray(JP2K(ratio=20, coder="ht").encode(planes()))
    start, stop = container.peek(bytes(chunk)).spans["g"]
    for at in range(start, stop, 5):
        mutant = bytearray(chunk)
        mutant[at] ^= 4
        with pytest.raises(FormatError):
            JP2K().decode(reseal(bytes(mutant)))


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(FormatError, match="groups of 50 bytes in a resolution of 40"):
        read_groups(bytes([50]), [40], GROUP + 1)


def test_unknown_sections_in_upper_case_are_refused():
    spec, sections = container.unpack(JP2K(ratio=4).encode(field()))
    with pytest.raises(FormatError, match="upgrade frazil"):
        JP2K().decode(container.pack(spec, {"Q": b"later", **sections}))
