"""What is told of models besides bytes and errors: bits an index, speed by backend, one result everywhere."""

from __future__ import annotations

import bz2
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tables import table
from timing import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Maps = npt.NDArray[np.int32]  # (n, heads, y, x)

SIDE = 16  # of the small maps
ZSTD_LEVEL = 19
# Coders: the mode, and whether it is given the states that came with the model.
MODES = {
    "auto": ("auto", True),
    "table": ("table", True),
    "warm": ("mixing", True),
    "cold": ("mixing", False),
}
# What a process is told before it computes: as on other processors, and with other numbers of threads.
CONDITIONS: dict[str, dict[str, str]] = {
    "as it is": {},
    "one thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "four threads": {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    "SSE4.1": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "SSE3": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Prescott",
    },
    "no oneDNN": {"TORCH_MKLDNN": "0"},
}
FINGERPRINT = """
import json, os, sys, warnings
from pathlib import Path
from frazil.errors import BackendWarning
from frazil.models import Decoder, fingerprint
from frazil.models.backends import present
decoder = Decoder.from_bytes(Path(sys.argv[1]).read_bytes())
found = {}
for backend in (*present(), "exact"):
    if backend == "torch" and os.environ.get("TORCH_MKLDNN") == "0":
        import torch
        torch.backends.mkldnn.enabled = False
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        digest = fingerprint(decoder, backend)
    fell = any(issubclass(w.category, BackendWarning) for w in said)
    found[backend] = digest + ("*" if fell else "")
print(json.dumps(found))
"""


def entropy(maps: Maps) -> float:
    """Zeroth-order entropy in bits an index, pooled over maps and positions, each head for itself."""
    bits = 0.0
    for head in maps.swapaxes(0, 1):
        _, counts = np.unique(head, return_counts=True)
        bits -= float(np.sum(counts * np.log2(counts / counts.sum())))
    return bits / maps.size


def cut(maps: Maps, side: int) -> list[Maps]:
    """Cut maps into pieces (1, heads, side, side); what is left at the rims is dropped."""
    n, _, y, x = maps.shape
    return [
        maps[k : k + 1, :, top : top + side, left : left + side]
        for k in range(n)
        for top in range(0, y - side + 1, side)
        for left in range(0, x - side + 1, side)
    ]


def packed(size: int) -> int:
    """Bits of an index when it is packed."""
    return max(math.ceil(math.log2(size)), 1)


def general(piece: Maps) -> dict[str, int]:
    """Bytes of a piece by general-purpose compressors, of 16-bit numbers."""
    import imagecodecs

    data = piece.astype("<u2").tobytes()
    return {"bzip2": len(bz2.compress(data)), "zstd": len(imagecodecs.zstd_encode(data, ZSTD_LEVEL))}


def bits_per_index(pieces: list[Maps], size: int, states: Any) -> dict[str, float]:
    """Bits an index of each coder, over pieces coded apart; round trips are checked."""
    from frazil.entropy import indices

    total = dict.fromkeys((*MODES, "bzip2", "zstd"), 0)
    for piece in pieces:
        for name, (mode, trained) in MODES.items():
            if mode == "table" and states is None:
                continue
            given = states if trained else None
            data = indices.encode(piece, size, given, mode)
            if not np.array_equal(indices.decode(data, piece.shape, size, given), piece):
                raise SystemExit(f"indices coded by {mode!r} came back as others")
            total[name] += len(data)
        for name, found in general(piece).items():
            total[name] += found
    count = sum(piece.size for piece in pieces)
    return {name: 8 * found / count for name, found in total.items()}


def indices_table(models: Sequence[tuple[Any, npt.NDArray[Any]]]) -> str:
    """Lay out bits an index: whole maps of test chunks, and small ones cut from them."""
    from frazil.codecs.codeword import codewords, index_states, nearest

    rows: list[list[object]] = []
    for model, chunks in models:
        decoder = model.decoder
        f = decoder.factor
        y, x = (side // f * f for side in chunks.shape[-2:])
        vectors = model.encoder.run(chunks[..., :y, :x].astype("f8"))
        maps = nearest(vectors, decoder.table * model.encoder.table_scale)
        size, states = codewords(decoder), index_states(decoder)
        h0 = entropy(maps)
        whole = [maps[k : k + 1] for k in range(len(maps))]
        for pieces in (whole, cut(maps, SIDE)):
            if not pieces:
                continue
            found = bits_per_index(pieces, size, states)
            shape = " x ".join(map(str, pieces[0].shape[1:]))
            best = f"{found['auto'] / h0:.2f}"
            cells = [f"{found[name]:.2f}" if found[name] else "" for name in (*MODES, "bzip2", "zstd")]
            rows.append([model.name, shape, len(pieces), packed(size), f"{h0:.2f}", *cells, best])
    header = ["model", "map", "maps", "packed", "H0, pooled"]
    return table([*header, *MODES, "bzip2", "zstd", "auto / H0"], rows)


def speed_table(contenders: Sequence[tuple[str, Any, Any, npt.NDArray[Any]]], repeats: int) -> str:
    """Lay out decoding by backend: megabytes of float32 a second of CPU time.

    "layers" is the network alone, from latents to whole numbers; "chunk" is everything from bytes to values.

    Parameters
    ----------
    contenders : sequence of (data's name, model, codec, chunk)
    repeats : int
        Turns.
    """
    from frazil.models import run, use_backend
    from frazil.models.backends import present

    rows: list[list[object]] = []
    for kind, model, codec, chunk in contenders:
        data = codec.encode(chunk)
        decoder = model.decoder
        n, y, x = 1, *(-(-side // decoder.factor) for side in chunk.shape[-2:])
        # Numbers near the middle: how fast a convolution is does not depend on them.
        start = np.zeros((n, decoder.inputs, y, x), np.int32)
        if decoder.kind == "latent":
            start += np.random.default_rng(0).integers(-1, 2, start.shape, np.int32)

        def layers(backend: str, decoder: Any = decoder, start: Any = start) -> Any:
            return run(decoder, start, backend=backend)

        def whole(backend: str, codec: Any = codec, data: Any = data) -> Any:
            with use_backend(backend):
                return codec.decode(data)

        calls: dict[str, Any] = {}
        for backend in present():
            calls[f"{backend} layers"] = lambda backend=backend, layers=layers: layers(backend)
            calls[f"{backend} chunk"] = lambda backend=backend, whole=whole: whole(backend)
        measured = compare(repeats, **calls)
        megabytes = chunk.size * 4 / 1e6
        for backend in present():
            cells = [
                f"{megabytes / measured.seconds(f'{backend} {what}'):.1f}" for what in ("layers", "chunk")
            ]
            rows.append([kind, model.name, backend, *cells])
    return table(["data", "model", "backend", "layers, MB/s", "chunk, MB/s"], rows)


def fingerprints(decoder: Any) -> dict[str, dict[str, str]]:
    """SHA-256 of what a decoder makes, by condition and backend; starred where a self-test failed."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.decoder.safetensors"
        file.write_bytes(decoder.to_bytes())
        for name, environment in CONDITIONS.items():
            done = subprocess.run(
                [sys.executable, "-c", FINGERPRINT, str(file)],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"fingerprint under {name!r} failed:\n{done.stderr}")
            found[name] = json.loads(done.stdout.splitlines()[-1])
    return found


def fingerprints_text(models: Sequence[Any]) -> str:
    """Lay out how many runs made the same bits, and the first digits of what each made."""
    rows: list[list[object]] = []
    for model in models:
        found = fingerprints(model.decoder)
        digests = [digest for by_backend in found.values() for digest in by_backend.values()]
        fell = sum(digest.endswith("*") for digest in digests)
        kinds = {digest.rstrip("*") for digest in digests}
        runs = f"{len(found)} x {len(next(iter(found.values())))}"
        shown = ", ".join(sorted(digest[:12] for digest in kinds))
        rows.append([model.name, runs, len(kinds), fell, shown])
    conditions = ", ".join(CONDITIONS)
    header = ["model", "conditions x backends", "different results", "failed self-tests", "SHA-256"]
    return f"{table(header, rows)}\n\nConditions: {conditions}."
