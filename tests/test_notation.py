import numcodecs
import pytest

import frazil
from frazil.cli.settings import read_codec
from frazil.codecs.bounded import Bounded
from frazil.notation import codec_text, parse

CODECS = [
    (frazil.JP2K(psnr=60, coder="ht"), "jp2k psnr=60 coder=ht"),
    (Bounded(bound="rel:0.001", base=frazil.JP2K(ratio=20)), "bounded bound=rel:0.001 base=jp2k(ratio=20)"),
    (Bounded(bound=0.1, preserve=("sign", "range")), "bounded bound=0.1 preserve=range+sign"),
    (
        Bounded(bound="local_std:window=9,fraction=0.2", profile="fast"),
        "bounded bound=local_std(window=9,fraction=0.2) profile=fast",
    ),
    (Bounded(bound=2.0, base=numcodecs.Zlib(3)), "bounded bound=2.0 base=zlib(level=3)"),
]


@pytest.mark.parametrize(("codec", "text"), CODECS)
def test_a_codec_is_shown_as_it_is_written(codec, text):
    assert codec_text(codec.get_config()) == text
    name, *settings = text.split()
    assert read_codec(f"{name}:{','.join(settings)}") == codec


def test_a_bound_of_many_digits_is_shortened():
    assert codec_text(Bounded(bound=0.019999847412109375).get_config()) == "bounded bound=0.0199998"


def test_numbers_words_and_texts():
    config = parse("x:a=1,b=-1.5,c=1e-3,d=true,e=null,f=rel:1e-3,g='007'")
    assert config == {
        "id": "x",
        "a": 1,
        "b": -1.5,
        "c": 1e-3,
        "d": True,
        "e": None,
        "f": "rel:1e-3",
        "g": "007",
    }
