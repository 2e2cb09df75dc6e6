import numcodecs
import pytest

import frazil
from frazil.cli import settings
from frazil.codecs.bounded import Bounded
from frazil.errors import ConfigurationError


def test_a_codec_as_text_and_as_a_mapping():
    codec = frazil.JP2K(ratio=32, coder="ht")
    assert settings.read_codec("jp2k:ratio=32,coder=ht") == codec
    assert settings.read_codec({"id": "frazil.jp2k", "ratio": 32, "coder": "ht"}) == codec
    assert settings.read_codec("jp2k:reversible=true") == frazil.JP2K(reversible=True)
    assert settings.read_codec("lossless") is None


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("bounded:bound=0.1", Bounded(bound=0.1)),
        ("bounded:bound=1e-3,base=wavelet,ratio=1e2", Bounded(bound=1e-3, base="wavelet", ratio=100.0)),
        ("bounded:bound=rel:1e-3,preserve=sign+range", Bounded(bound="rel:1e-3", preserve=("sign", "range"))),
        ("bounded:bound=rel:1e-3:array,grid=false", Bounded(bound="rel:1e-3:array")),
        (
            "bounded:bound=0.1,base=jp2k(ratio=20,coder=ht),residual=mask",
            Bounded(bound=0.1, base=frazil.JP2K(ratio=20, coder="ht"), residual="mask"),
        ),
        ("bounded(bound=0.1,base=jp2k:ratio=20)", Bounded(bound=0.1, base=frazil.JP2K(ratio=20))),
        ("bounded:base=jp2k(),bound=1", Bounded(bound=1.0, base=frazil.JP2K())),
        ("bounded:base=jp2k,bound=1", Bounded(bound=1.0, base=frazil.JP2K())),
        ("bounded:base=zlib(level=3),bound=1", Bounded(bound=1.0, base=numcodecs.Zlib(3))),
        (
            "bounded:bound=local_std(window=9,fraction=0.2),profile=fast",
            Bounded(bound="local_std:window=9,fraction=0.2", profile="fast"),
        ),
        (
            {"id": "bounded", "bound": 0.1, "base": {"id": "jp2k", "ratio": 20}, "preserve": ["sign"]},
            Bounded(bound=0.1, base=frazil.JP2K(ratio=20), preserve=("sign",)),
        ),
        (
            {"id": "bounded", "bound": "local_std:window=9", "base": "jp2k(ratio=20)"},
            Bounded(bound="local_std:window=9", base=frazil.JP2K(ratio=20)),
        ),
    ],
)
def test_codecs_inside_codecs(text, codec):
    assert settings.read_codec(text) == codec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bounded:bound=0.1,base=jp2k(ratio=20", "no partner"),
        ("bounded:bound=0.1,base=jp2k(ratio=20)x", "should end"),
        ("bounded:bound=0.1,base=jp2k:ratio=20,coder=ht", "does not know 'coder'"),
        ("bounded:bound=0.1,base=jp3k(ratio=20)", "no codec 'jp3k'"),
        ("bounded:bound=0.1,base=wavelett", "base is one of"),
        ("bounded:bound=local_std:window=15,fraction=0.1", "does not know 'fraction'"),
        ("bounded", "'bound'"),
        ("jpk", "no codec 'jpk'; there are bounded, codeword, jp2k, latent"),
        ("jp2k:ratio", "NAME=VALUE"),
        ("jp2k:rato=3", "does not know 'rato'"),
        ("jp2k:ratio=0.5", "ratio"),
        ("jp2k:ratio=much", "settings"),
        ("numcodecs.zlib", "no codec"),
        ({"ratio": 3}, "needs an id"),
    ],
)
def test_codecs_that_are_none_are_refused_with_a_sentence(text, words):
    with pytest.raises(ConfigurationError, match=words):
        settings.read_codec(text)


def test_the_command_line_wins_over_the_file(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(
        "codec: jp2k:ratio=32\n"
        "variables:\n  t2m: {id: jp2k, psnr: 60}\n  mask: lossless\n"
        "chunks: {time: 1, lat: -1}\nzarr_format: 2\n"
    )
    found = settings.gather("jp2k:ratio=8", ["t2m=jp2k:psnr=70"], "time=4", None, config)
    assert found.codec == frazil.JP2K(ratio=8)
    assert found.variables == {"t2m": frazil.JP2K(psnr=70), "mask": None}
    assert found.chunks == {"time": 4, "lat": -1}
    assert found.zarr_format == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("codecs: x", "holds codecs; it may hold codec"),
        ("[1, 2]", "wants a mapping"),
        ("{", "is not YAML"),
        ("codec: jp2k:ratio=3\nchunks: {time: many}", "whole number"),
        ("codec: jp2k:ratio=3\nzarr_format: 4", "2 or 3"),
        ("chunks: {time: 1}", "name a codec"),
    ],
)
def test_files_that_say_nothing_useful(tmp_path, text, words):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        settings.gather(None, [], None, None, tmp_path / "c.yaml")


def test_limits_with_and_without_a_name():
    assert settings.read_limits(["0.5", "a=b=1e-3"], "--max-error") == (0.5, {"a=b": 1e-3})
    for text in ("x", "t2m=", "t2m=-1", "nan"):
        with pytest.raises(ConfigurationError, match="--max-error wants"):
            settings.read_limits([text], "--max-error")
