"""Error-bounded coders of other packages, as the benchmarks call them, and a cache of what they reached.

    pip install 'frazil[peers]'
    python benchmarks/peers.py                # measures all of them on the fields, once
    python benchmarks/peers.py --only ostia

Peers get finite float32 only: gaps are filled with the mean of the other points, as most users do, and an
LZMA of the packed mask is added to their bytes. What they give back is compared with the field, point by
point, in float64 and before any rounding to a stored integer type.

Results are kept in the folder ``frazil-peers`` of the system's temporary files, by content of the planes,
peer, version and bound: only what is new is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fields import Field, read
from masks import distinct, lzma_size

from frazil.planes import to_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    Planes = npt.NDArray[np.float32]

BOUNDS = (1e-1, 1e-2, 1e-3, 1e-4)  # of the range
CACHE = Path(tempfile.gettempdir()) / "frazil-peers"
ZSTD_LEVEL = 19


@dataclass(frozen=True)
class Outcome:
    """What a coder made of a chunk under a bound; a bound of its own at each point is meant as well.

    Parameters
    ----------
    size : int
        Bytes, those of a mask included.
    violations : int
        Points whose error is above the bound.
    worst : float
        The largest error over the bound.
    rmse : float
        Root mean square error, in the units of the data.
    encode, decode : float
        Seconds of CPU time, of one call.
    """

    size: int
    violations: int
    worst: float
    rmse: float
    encode: float
    decode: float


@dataclass(frozen=True)
class Peer:
    """A coder of another package.

    Parameters
    ----------
    name : str
        As in the tables; "3-D" is part of it where a stack is coded as a volume.
    package : str
        The distribution that it comes in.
    compress : callable
        ``(planes, bound) -> bytes``.
    expand : callable
        ``(data, shape) -> array``.
    volume : bool
        Whether it is given stacks whole; the others get one plane after another.
    """

    name: str
    package: str
    compress: Callable[[Planes, float], bytes]
    expand: Callable[[bytes, tuple[int, ...]], npt.NDArray[Any]]
    volume: bool = False

    @property
    def version(self) -> str:
        """Of the distribution."""
        return importlib.metadata.version(self.package)

    def encode(self, planes: Planes, bound: float) -> list[bytes]:
        """Encode planes (n, y, x): one stream each, or one of them all."""
        if self.volume:
            return [self.compress(planes, bound)]
        return [self.compress(plane, bound) for plane in planes]

    def decode(self, streams: list[bytes], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode to planes of ``shape`` (n, y, x)."""
        if self.volume:
            return np.asarray(self.expand(streams[0], shape)).reshape(shape)
        return np.stack([np.asarray(self.expand(data, shape[1:])).reshape(shape[1:]) for data in streams])


def _sperr(planes: Planes, bound: float) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.sperr_encode(planes, level=bound, mode="pwe", numthreads=1))


def _sperr_back(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    import imagecodecs

    return imagecodecs.sperr_decode(data, numthreads=1).reshape(shape)


def _sz3(planes: Planes, bound: float) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.sz3_encode(planes, mode="abs", abs=bound))


def _sz3_back(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    import imagecodecs

    return imagecodecs.sz3_decode(data, shape, "f4")


def _pysz(planes: Planes, bound: float) -> bytes:
    from pysz import sz, szConfig, szErrorBoundMode

    config = szConfig()
    config.errorBoundMode, config.absErrorBound = szErrorBoundMode.ABS, bound
    return sz.compress(planes, config)[0].tobytes()


def _pysz_back(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    from pysz import sz

    return sz.decompress(np.frombuffer(data, "u1"), np.float32, shape)[0]


def _zfp(planes: Planes, bound: float) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zfp_encode(planes, level=bound, mode="a", numthreads=1))


def _zfp_back(data: bytes, _: tuple[int, ...]) -> npt.NDArray[Any]:
    import imagecodecs

    return imagecodecs.zfp_decode(data, numthreads=1)


def _ebcc(planes: Planes, bound: float) -> bytes:
    from numcodecs_wasm_ebcc import Ebcc

    return np.asarray(Ebcc(residual="absolute", error=bound).encode(planes)).tobytes()


def _ebcc_back(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    from numcodecs_wasm_ebcc import Ebcc

    back = Ebcc(residual="absolute", error=1.0).decode(np.frombuffer(data, "u1"))
    return np.asarray(back).reshape(shape)


def _bitround(planes: Planes, bound: float) -> bytes:
    """Keep the fewest bits that meet the bound, then bytes of the same significance together."""
    from numcodecs import BitRound, Shuffle, Zstd

    for bits in range(24):
        codec = BitRound(keepbits=bits) if bits < 23 else None
        rounded = planes if codec is None else codec.decode(codec.encode(planes)).reshape(planes.shape)
        if np.abs(rounded.astype("f8") - planes).max() <= bound:
            break
    return Zstd(level=ZSTD_LEVEL).encode(Shuffle(elementsize=4).encode(np.ascontiguousarray(rounded)))


def _bitround_back(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    from numcodecs import Shuffle, Zstd

    return np.frombuffer(Shuffle(elementsize=4).decode(Zstd().decode(data)), "f4").reshape(shape)


PEERS = (
    Peer("SPERR", "imagecodecs", _sperr, _sperr_back),
    Peer("SPERR 3-D", "imagecodecs", _sperr, _sperr_back, volume=True),
    Peer("SZ3", "imagecodecs", _sz3, _sz3_back),
    Peer("SZ3 3-D", "imagecodecs", _sz3, _sz3_back, volume=True),
    Peer("pysz", "pysz", _pysz, _pysz_back),
    Peer("pysz 3-D", "pysz", _pysz, _pysz_back, volume=True),
    Peer("ZFP", "imagecodecs", _zfp, _zfp_back),
    Peer("ZFP 3-D", "imagecodecs", _zfp, _zfp_back, volume=True),
    Peer("EBCC", "numcodecs-wasm-ebcc", _ebcc, _ebcc_back, volume=True),
    Peer("bitround", "numcodecs", _bitround, _bitround_back, volume=True),
)


@dataclass(frozen=True)
class Prepared:
    """A field as peers get it.

    Parameters
    ----------
    planes : ndarray of float32, shape (n, y, x)
        Finite.
    valid : ndarray of bool, shape (n, y, x)
        Where there are data; elsewhere nothing is compared.
    mask_size : int
        Bytes of the compressed mask; 0 where nothing is missing.
    """

    planes: Planes
    valid: npt.NDArray[np.bool_]
    mask_size: int

    @functools.cached_property
    def span(self) -> float:
        """Maximum minus minimum of the data."""
        some = self.planes[self.valid].astype("f8")
        return float(some.max() - some.min())

    @functools.cached_property
    def key(self) -> str:
        """Hash of the planes and of where they are valid."""
        digest = hashlib.blake2b(repr(self.planes.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.planes).tobytes())
        digest.update(np.packbits(self.valid).tobytes())
        return digest.hexdigest()


def prepare(field: Field) -> Prepared:
    """Fill the gaps of a field and weigh its mask."""
    values, valid = to_planes(field.values), to_planes(field.valid)
    if valid.all():
        return Prepared(np.ascontiguousarray(values, "f4"), valid, 0)
    filled = np.where(valid, values, values[valid].mean(dtype="f8")).astype("f4")
    return Prepared(filled, valid, lzma_size(distinct(field)))


def compared(
    x: npt.NDArray[Any], y: npt.NDArray[Any], valid: npt.NDArray[np.bool_], bound: float | npt.NDArray[Any]
) -> tuple[int, float, float]:
    """Return the number of violations, the largest error over the bound, and the RMSE; NaN is a violation."""
    error = np.abs(y.astype("f8") - x.astype("f8"))[valid]
    limit = np.broadcast_to(bound, valid.shape)[valid]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(error == 0, 0, error / limit)
    return int((~(error <= limit)).sum()), float(share.max()), float(np.sqrt((error**2).mean()))


def measure(peer: Peer, given: Prepared, bound: float) -> Outcome:
    """Encode, decode and compare."""
    start = time.process_time()
    streams = peer.encode(given.planes, bound)
    middle = time.process_time()
    back = peer.decode(streams, given.planes.shape)
    end = time.process_time()
    size = sum(map(len, streams)) + given.mask_size
    return Outcome(size, *compared(given.planes, back, given.valid, bound), middle - start, end - middle)


def outcome(peer: Peer, given: Prepared, bound: float) -> Outcome | None:
    """Take a measurement from the cache or make it; None where the peer refuses such planes."""
    name = f"{given.key} {peer.name} {peer.version} {float(bound).hex()}"
    file = CACHE / f"{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}.json"
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Outcome(**kept) if kept else None
    try:
        found = measure(peer, given, bound)
    except Exception as error:  # noqa: BLE001 - each package has errors of its own
        print(f"{peer.name} refuses {given.planes.shape} at {bound:.3g}: {error}", flush=True)
        found = None
    CACHE.mkdir(exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(found) if found else None), encoding="utf-8")
    part.replace(file)
    return found


def outcomes(given: Prepared, bound: float, peers: Iterable[Peer] = PEERS) -> dict[str, Outcome]:
    """Measure the peers that take such planes; volumes only of stacks."""
    alone = given.planes.shape[0] == 1
    found = {}
    for peer in peers:
        if peer.volume and alone and peer.name.endswith("3-D"):
            continue
        if (result := outcome(peer, given, bound)) is not None:
            found[peer.name] = result
    return found


def best(found: dict[str, Outcome]) -> str:
    """Name the peer of the fewest bytes."""
    return min(found, key=lambda name: found[name].size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="fields whose name contains this")
    parser.add_argument("--all", action="store_true", help="simulated and unstructured fields as well")
    options = parser.parse_args()
    for field in read():
        if options.only not in field.name or (not options.all and (field.simulated or field.points)):
            continue
        given = prepare(field)
        for bound in BOUNDS:
            found = outcomes(given, bound * given.span)
            line = ", ".join(
                f"{name} {field.values.size * 4 / o.size:.4g}" + f" (!{o.violations})" * (o.violations > 0)
                for name, o in sorted(found.items(), key=lambda item: item[1].size)
            )
            print(f"{field.name} {bound:g}: {line}", flush=True)


if __name__ == "__main__":
    main()
