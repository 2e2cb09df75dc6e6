"""What learned codecs are compared with, driven fairly: JPEG 2000, alone and after a KLT, and SZ3.

    python benchmarks/neural_baselines.py             # prints the curves
    python benchmarks/neural_baselines.py --only tiles

Everything happens in units of each channel's standard deviation over the training data, in which the errors
are counted: nobody spends bytes on a channel because its numbers are large. How each allocates its bytes:

J2K
    Each channel is a codestream of its own (OpenJPEG, 9/7, 16 bits between its extremes), and all channels of
    all chunks are coded to one RMSE, found by up to four encodings each. Channels whose spread about their
    mean is below it cost two bytes. "no header" leaves out what a codestream of zeros of this shape takes.
J2K joint
    All channels are components of one codestream, and OpenJPEG's rate control cuts all code-blocks at one
    slope: the least squared error that JPEG 2000 reaches at these bytes without turning the channels.
KLT+J2K, KLT+J2K joint, slope KLT+J2K joint
    The same of the channels' principal components (orthonormal, fitted to the training data), in which
    squared errors add up as they do in the channels. "slope": fitted to differences between neighbours
    instead of values, since these are what is left for the packets; where training data hold clouds, it is
    the better of the two at small errors.
SZ3
    pysz, the chunk as a volume, one absolute bound; its default configuration.
JP2K, Bounded
    frazil's own, on the chunk in these units; container and everything else counted.

Results are kept in the folder ``frazil-neural`` of the system's temporary files, by content of the data,
method, setting and versions of the packages.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import inspect
import json
import math
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from neural_curves import Curve, Normal, Point, at
from neural_curves import point as measured
from neural_data import KINDS, Kind, absent
from tables import table

import frazil
from frazil.jpeg2000 import openjpeg
from frazil.jpeg2000.codestream import Layout, assemble, decompositions, dissect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    Cube = npt.NDArray[np.float64]  # (channels, y, x), in standard deviations

CACHE = Path(tempfile.gettempdir()) / "frazil-neural"
BITS, TOP = 16, 65535
CLOSE = 0.01  # of the wanted RMSE
ERRORS = (
    0.008,
    0.012,
    0.018,
    0.027,
    0.04,
    0.06,
    0.09,
    0.13,
    0.19,
    0.28,
    0.4,
)  # wanted RMSE, standard deviations
BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2)


class Slices:
    """A stack of planes as JPEG 2000 codestreams: of each its own, or one of all.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x)
        To be coded, in standard deviations.
    joint : bool
        One codestream.
    """

    def __init__(self, planes: Cube, *, joint: bool) -> None:
        self.groups = [planes] if joint else list(planes[:, None])
        self.shape = planes.shape

    def encode(self, error: float) -> tuple[Cube, int, int]:
        """Code to an RMSE; return what is decoded, bytes, and those of them that are headers."""
        found = [self._group(group, error) for group in self.groups]
        planes = np.concatenate([planes for planes, _, _ in found]).reshape(self.shape)
        return planes, sum(size for _, size, _ in found), sum(fixed for _, _, fixed in found)

    def _group(self, planes: Cube, error: float) -> tuple[Cube, int, int]:
        mean = planes.mean()
        if math.sqrt(np.mean((planes - mean) ** 2)) <= error:
            # The mean alone, to the nearest 1/16 of the error, in two bytes.
            return np.full_like(planes, round(mean / error * 16) * error / 16), 2, 0
        low, span = float(planes.min()), float(np.ptp(planes))
        layout = _layout(planes.shape)
        integers = np.rint((planes - low) * (TOP / span)).astype("i4")
        ask, best = error, None
        for _ in range(4):
            psnr = 20 * math.log10(span / ask)
            stream = openjpeg.encode(lambda k, out: np.copyto(out, integers[k]), layout, psnr=psnr)
            back = low + _decoded(stream, layout) * (span / TOP)
            got = math.sqrt(np.mean((back - planes) ** 2))
            if best is None or abs(math.log(got / error)) < abs(math.log(best[0] / error)):
                best = (got, back, len(stream))
            if abs(got / error - 1) < CLOSE:
                break
            ask *= (error / got) ** 0.9
        assert best is not None
        return best[1], best[2], _empty(layout)


def _layout(shape: tuple[int, ...]) -> Layout:
    n, y, x = shape
    return Layout((n, y, x), BITS, decompositions(y, x))


def _decoded(stream: bytes, layout: Layout) -> Cube:
    planes = np.empty(layout.shape)
    body, _ = dissect(stream, layout)

    def take(k: int, plane: npt.NDArray[np.int32]) -> None:
        planes[k] = np.clip(plane, 0, TOP)

    openjpeg.decode(assemble(layout, body), take, layout.shape)
    return planes


@cache
def _empty(layout: Layout) -> int:
    """Bytes of a codestream in which every sample is zero before the transform: nothing but headers."""
    middle = 1 << (BITS - 1)
    return len(openjpeg.encode(lambda _, out: out.fill(middle), layout, psnr=40.0))


def klt(kind: Kind, of: str) -> npt.NDArray[np.float64]:
    """Principal directions of the channels over the training data, a column each, strongest first.

    Parameters
    ----------
    kind : Kind
    of : {"values", "slopes"}
        Covariances of the values, or of their differences along x and y.
    """
    train = kind.normal(kind.train)
    parts = [train] if of == "values" else [np.diff(train, axis=-1), np.diff(train, axis=-2)]
    flat = np.concatenate([part.swapaxes(0, 1).reshape(train.shape[1], -1) for part in parts], axis=1)
    _, vectors = np.linalg.eigh(flat @ flat.T / flat.shape[1])
    return vectors[:, ::-1]


def j2k(kind: Kind, error: float, *, joint: bool = False, turned: str = "") -> Point:
    """JPEG 2000 of the channels, or of their principal components, at one RMSE."""
    turn = klt(kind, turned) if turned else np.eye(kind.train.shape[1])
    size = fixed = 0
    squares: list[float] = []
    worst = 0.0
    for chunk in kind.normal(kind.test):
        planes, more, headers = Slices(np.einsum("cyx,ck->kyx", chunk, turn), joint=joint).encode(error)
        off = np.einsum("kyx,ck->cyx", planes, turn) - chunk
        squares.append(float(np.mean(off**2)))
        worst = max(worst, float(np.abs(off).max()))
        size, fixed = size + more, fixed + headers
    return Point(f"{error:g}", math.sqrt(np.mean(squares)), size, kind.test.size, fixed, worst)


def sz3(kind: Kind, bound: float) -> Point:
    """SZ3 of the chunk as a volume, under an absolute bound."""
    sizes, errors = zip(*(sz3_chunk(chunk, bound) for chunk in kind.normal(kind.test)), strict=True)
    nrmse = math.sqrt(np.mean([np.mean(e**2) for e in errors]))
    worst = max(float(np.abs(e).max()) for e in errors)
    return Point(f"{bound:g}", nrmse, sum(sizes), kind.test.size, worst=worst)


def sz3_chunk(chunk: Cube, bound: float) -> tuple[int, Cube]:
    """Bytes of a chunk in standard deviations, and errors."""
    from pysz import sz, szConfig, szErrorBoundMode

    values = np.ascontiguousarray(chunk, "f4")
    config = szConfig()
    config.errorBoundMode, config.absErrorBound = szErrorBoundMode.ABS, bound
    data, _ = sz.compress(values, config)
    back, _ = sz.decompress(data, np.float32, values.shape)
    return len(data), np.asarray(back, "f8").reshape(chunk.shape) - values


def own(kind: Kind, codec: Any, setting: str) -> Point:
    """One of frazil's classical codecs on the chunks in standard deviations."""
    return measured(setting, Normal(codec, kind.mean, kind.std), kind.test, kind.std)


METHODS: dict[str, tuple[tuple[float, ...], Callable[[Kind, float], Point]]] = {
    "J2K": (ERRORS, j2k),
    "J2K joint": (ERRORS, lambda kind, e: j2k(kind, e, joint=True)),
    "KLT+J2K": (ERRORS, lambda kind, e: j2k(kind, e, turned="values")),
    "KLT+J2K joint": (ERRORS, lambda kind, e: j2k(kind, e, joint=True, turned="values")),
    "slope KLT+J2K joint": (ERRORS, lambda kind, e: j2k(kind, e, joint=True, turned="slopes")),
    "SZ3": (BOUNDS, sz3),
    "JP2K": (
        (8, 16, 32, 64, 128, 256, 512, 1024),
        lambda kind, r: own(kind, frazil.JP2K(ratio=r), f"ratio {r:g}"),
    ),
    "Bounded": (BOUNDS, lambda kind, b: own(kind, frazil.Bounded(bound=b), f"bound {b:g}")),
}
JOINT = ("J2K joint", "KLT+J2K joint", "slope KLT+J2K joint")
PACKAGES = ("frazil", "pysz", "numpy")


@cache
def sources() -> str:
    """Hash of what makes the bytes here."""
    code = "".join(inspect.getsource(part) for part in (Slices, klt, j2k, sz3_chunk, measured))
    return hashlib.blake2b(code.encode(), digest_size=6).hexdigest()


def baseline(kind: Kind, method: str) -> Curve:
    """Measure a baseline, or take it from the cache."""
    settings, measure = METHODS[method]
    versions = [importlib.metadata.version(name) for name in PACKAGES]
    key = json.dumps([kind.digest, method, settings, sources(), versions])
    file = CACHE / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.json"
    if not file.exists():
        points = [asdict(measure(kind, setting)) for setting in settings]
        CACHE.mkdir(exist_ok=True)
        file.write_text(json.dumps(points), encoding="utf-8")
    return [Point(**point) for point in json.loads(file.read_text(encoding="utf-8"))]


def curves(kind: Kind, methods: Iterable[str] = METHODS) -> dict[str, Curve]:
    """Measure all baselines, or take them from the cache."""
    return {method: baseline(kind, method) for method in methods}


GRID = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)


def overview(found: dict[str, Curve], errors: Sequence[float] = GRID) -> str:
    """Lay out bits a value at equal errors; in brackets without headers, where they were counted apart."""
    rows: list[list[object]] = []
    for error in errors:
        cells = []
        for points in found.values():
            full, bare = at(points, error), at(points, error, bare=True)
            text = "-" if full is None else f"{full:.4f}"
            cells.append(text + (f" ({bare:.4f})" if any(p.fixed for p in points) and bare else ""))
        rows.append([f"{error:g}", *cells])
    return table(["nRMSE", *found], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    options = parser.parse_args()
    if absent():
        return
    for name, read in KINDS.items():
        if options.only in name:
            kind = read()
            print(f"\n== {name}: {kind.split}\n\n{overview(curves(kind))}", flush=True)


if __name__ == "__main__":
    main()
