"""What was written once is decoded to the same bits elsewhere: other OpenJPEG builds, other instruction sets.

A process of its own decodes all golden files of bounded chunks, under one condition each.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frazil.jpeg2000 import library

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.name for path in GOLDEN.glob("v*-bounded-*"))

DECODE = """
import json, sys
from pathlib import Path
import numpy as np
from numcodecs.registry import get_codec
from frazil.jpeg2000 import library
paths = json.loads(sys.argv[1])
if paths:
    library.candidates = lambda: paths
wrong = []
for case in sorted(Path(sys.argv[2]).glob("v*-bounded-*")):
    codec = get_codec(json.loads((case / "config.json").read_text()))
    decoded = codec.decode((case / "encoded.bin").read_bytes())
    if decoded.tobytes() != np.load(case / "decoded.npy").tobytes():
        wrong.append(case.name)
print(json.dumps({"wrong": wrong, "library": library.structures().OPENJP2._name}))
"""


def decoded_elsewhere(paths: list[str], **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DECODE, json.dumps(paths), str(GOLDEN)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def libraries() -> list[str]:
    """Every OpenJPEG that this machine has."""
    found = library.candidates()
    system = ctypes.util.find_library("openjp2")
    return [*found, *([system] if system and system not in found else [])]


def test_there_are_golden_files():
    assert len(CASES) > 8


@pytest.mark.parametrize("path", libraries(), ids=lambda path: "-".join(Path(path).parts[-2:]))
def test_another_openjpeg(path):
    found = decoded_elsewhere([path])
    assert found["wrong"] == []
    assert Path(str(found["library"])).name == Path(path).name


def test_limited_simd():
    """Numpy without its vector instructions; the kernels are unaffected."""
    found = decoded_elsewhere(
        [], NPY_DISABLE_CPU_FEATURES="AVX2 FMA3 AVX512F AVX512_SKX", OPENBLAS_CORETYPE="Core2"
    )
    assert found["wrong"] == []


@pytest.mark.slow
def test_generic_processor(tmp_path):
    """Numba's code for a processor of which nothing is known; it compiles the decoders anew."""
    found = decoded_elsewhere(
        [], NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=str(tmp_path)
    )
    assert found["wrong"] == []
