from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from frazil.errors import MissingEngineError
from frazil.jpeg2000 import library


def test_wheels_come_first():
    found = library.candidates()
    assert "imagecodecs" in found[0]
    assert all(Path(path).exists() for path in found if "/" in path)


def test_each_candidate_loads():
    for path in library.candidates():
        assert library.structures(path).ImageType


def test_without_a_library_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(library, "candidates", list)
    library.structures.cache_clear()
    try:
        with pytest.raises(MissingEngineError, match=r"no OpenJPEG library .* pip install imagecodecs"):
            library.structures()
    finally:
        library.structures.cache_clear()


def test_what_was_tried_is_named(tmp_path):
    fake = tmp_path / "libopenjp2.so"
    fake.write_bytes(b"not a library")
    with pytest.raises(MissingEngineError, match=r"tried .*libopenjp2\.so"):
        library.structures(str(fake))


def test_an_old_library_is_refused(monkeypatch):
    monkeypatch.setattr(library, "OLDEST", (99, 0))
    library.structures.cache_clear()
    try:
        with pytest.raises(MissingEngineError, match=r"version 2\.\d+"):
            library.structures()
    finally:
        library.structures.cache_clear()


def test_glymur_is_neither_imported_nor_configured():
    code = (
        "import sys, numpy as np, frazil; c = frazil.JP2K(psnr=40);"
        "c.decode(c.encode(np.random.default_rng(0).random((9, 9))));"
        "assert 'glymur' not in sys.modules; import glymur"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
