"""One SHA-256 of what a decoder makes, whatever computes it: backends, threads, instruction sets.

A process of its own for each, since libraries read these variables once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import little_decoders as little
import pytest

from frazil.models import list_models
from frazil.models.backends import is_present
from frazil.models.runtime_numpy import NumpyEngine
from frazil.models.selftest import _digest

SCRIPT = """
import sys, warnings
sys.path.insert(0, sys.argv[1])
backend, threads = sys.argv[2], int(sys.argv[3])
if backend == "torch":
    import torch
    torch.set_num_threads(threads)
import little_decoders as little
from frazil.models import find, list_models
from frazil.models.backends import make_engine
from frazil.models.runtime_onnx import OnnxEngine
from frazil.models.selftest import _digest
for decoder in [make() for make in little.KINDS.values()] + [find(name).decoder for name in list_models()]:
    engine = OnnxEngine(decoder, threads) if backend == "onnxruntime" else make_engine(decoder, backend)
    print(_digest(decoder, engine, 17))
"""

BLAS = [{"OPENBLAS_CORETYPE": kind} for kind in ("Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX")]
LIMITS = {
    "numpy": [
        *BLAS,
        {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX", "OPENBLAS_CORETYPE": "Core2"},
    ],
    "onnxruntime": [{}],
    "torch": [
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
        {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"},
    ],
}
CASES = [
    pytest.param(backend, threads, limit, id="-".join([backend, str(threads), *limit.values()]))
    for backend, limits in LIMITS.items()
    for limit, threads in [({}, 1), ({}, 2), *((limit, 1) for limit in limits if limit)]
]


def expected() -> list[str]:
    from frazil.models import find

    decoders = [make() for make in little.KINDS.values()] + [find(name).decoder for name in list_models()]
    return [_digest(decoder, NumpyEngine(decoder, double=True), 17) for decoder in decoders]


@pytest.mark.parametrize(("backend", "threads", "limit"), CASES)
def test_one_digest(backend, threads, limit):
    if not is_present(backend):
        pytest.skip(f"{backend} is not installed")
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(Path(__file__).parents[1]), backend, str(threads)],
        env=os.environ | count | limit,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0 and backend == "numpy":
        pytest.skip(
            f"this OpenBLAS dies of signal {-done.returncode} on this processor when it is held to {limit}"
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected()
