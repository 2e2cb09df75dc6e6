"""Importing frazil costs next to nothing, and starts nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "torch",
    "zarr",
    "dask",
    "xarray",
    "numba",
    "scipy",
    "glymur",
    "imagecodecs",
    "onnx",
    "onnxruntime",
    "safetensors",
    "matplotlib",
    "typer",
    "rich",
]

SCRIPT = """
import sys, threading
before = set(sys.modules)
import {module}
heavy = sorted({heavy!r} & (sys.modules.keys() - before))
assert not heavy, f"import {module} brings {{', '.join(heavy)}}"
assert threading.active_count() == 1, threading.enumerate()
"""


MODULES = [
    "frazil",
    "frazil.codecs",
    "frazil.codecs.base",
    "frazil.codecs.codeword",
    "frazil.codecs.latent",
    "frazil.errors",
    "frazil.models",
    "frazil.models.format",
    "frazil.models.store",
    "frazil.samples",
    "frazil.sentinel2",
]


@pytest.mark.parametrize("module", MODULES)
def test_import_is_light(module):
    script = SCRIPT.format(module=module, heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("codec", ["JP2K(ratio=32)", "Latent(model='sha256:' + 64 * '0', bound=0.1)"])
def test_making_a_codec_is_light(codec):
    script = SCRIPT.format(module="frazil", heavy=set(HEAVY)).replace(
        "import frazil\n", f"import frazil; frazil.{codec}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
