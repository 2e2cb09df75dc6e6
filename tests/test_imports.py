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


@pytest.mark.parametrize(
    "module", ["frazil", "frazil.codecs", "frazil.codecs.base", "frazil.errors", "frazil.samples"]
)
def test_import_is_light(module):
    script = SCRIPT.format(module=module, heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_making_a_codec_is_light():
    script = SCRIPT.format(module="frazil", heavy=set(HEAVY)).replace(
        "import frazil\n", "import frazil; frazil.JP2K(ratio=32)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
