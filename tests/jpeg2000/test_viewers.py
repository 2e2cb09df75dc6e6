"""Other readers of JPEG 2000 read what frazil exports."""

import io
import os
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from frazil import JP2K, interchange
from frazil.jpeg2000 import library
from frazil.testing import field

CODECS = [
    JP2K(ratio=8),
    JP2K(ratio=8, coder="ht"),
    JP2K(reversible=True),
    JP2K(reversible=True, coder="ht"),
]
GLYMUR = """
import sys, warnings
warnings.simplefilter("ignore")
import glymur, numpy
numpy.save(sys.argv[2], glymur.Jp2k(sys.argv[1])[:])
"""


def samples(codec, planes):
    """What imagecodecs' OpenJPEG or OpenJPH make of the exported codestream."""
    stream = JP2K.codestream(codec.encode(planes))
    return imagecodecs.htj2k_decode(stream) if codec.coder == "ht" else imagecodecs.jpeg2k_decode(stream)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_glymur_reads_the_exported_file(codec, tmp_path):
    planes = (10 * field((1, 96, 128))).round().astype("i2")
    (tmp_path / "field.jp2").write_bytes(interchange.unpack(codec.encode(planes)).jp2)
    # glymur looks for its library by itself; a configuration file tells it where frazil found one
    (tmp_path / "glymur").mkdir()
    (tmp_path / "glymur/glymurrc").write_text(f"[library]\nopenjp2: {library.candidates()[0]}\n")
    command = [sys.executable, "-c", GLYMUR, "field.jp2", "out.npy"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)}, check=True)
    read = np.load(tmp_path / "out.npy").astype("i4")
    # two engines, two roundings of HT's 9/7: a few of 65536 levels
    assert abs(read - samples(codec, planes)).max() <= (3 if codec.coder == "ht" and codec.ratio else 0)


def test_pillow_reads_the_exported_file():
    codec = JP2K(ratio=8)
    planes = field((1, 96, 128))
    picture = Image.open(io.BytesIO(interchange.unpack(codec.encode(planes)).jp2))
    assert picture.size == (128, 96)
    level = np.asarray(picture).astype("i4")
    expected = samples(codec, planes).astype("i4")
    # Pillow widens samples of 9 to 15 bits to 16
    scale = max(round(level.max() / expected.max()), 1)
    assert abs(level - expected * scale).max() <= scale
