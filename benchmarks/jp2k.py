"""JP2K against a direct OpenJPEG encoding and glymur: error at equal bytes, CPU time, low resolutions.

    python benchmarks/jp2k.py                  # prints the tables (some ten minutes)
    python benchmarks/jp2k.py --write          # and puts them into docs/benchmarks.md
    python benchmarks/jp2k.py --repeats 1 --only ostia

What it is compared with is in `reference`, the fields are in `fields`, how time is measured is in `timing`.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from fields import Field, described, read
from reference import Direct, Glymur, rmse
from results import (
    MEDIUM,
    File,
    Layers,
    Reading,
    Row,
    fields_table,
    files_table,
    layers_table,
    reading_table,
    targets,
)
from tables import publish
from timing import compare, machine

import frazil
from frazil import container

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

RATIOS = (8, 32, 100)
LARGE = 400_000  # points from which reading at low resolution is measured


def codecs(ratio: float) -> dict[str, frazil.JP2K]:
    return {"ebcot": frazil.JP2K(ratio=ratio), "ht": frazil.JP2K(ratio=ratio, coder="ht")}


def measure(field: Field, direct: Direct, ratio: int, repeats: int) -> Row:
    x, both = field.values, codecs(ratio)
    data = {name: codec.encode(x) for name, codec in both.items()}
    errors = {name: rmse(x, codec.decode(data[name]), direct.valid) for name, codec in both.items()}
    mask = len(container.unpack(data["ebcot"])[1].get("M", b""))

    def against(name: str, allowance: int) -> float | None:
        reference = direct.rmse(len(data[name]) - allowance)
        return errors[name] / reference if reference else None

    missed = None
    contenders: dict[str, Callable[[], Any]] = {
        name: lambda c=codec: c.encode(x) for name, codec in both.items()
    }
    if errors["ht"]:
        span = float(np.ptp(x[direct.valid].astype("f8")))
        asked = min(max(20 * math.log10(span / errors["ht"]), 10), 120)
        quality = frazil.JP2K(psnr=asked, coder="ht")
        got = rmse(x, quality.decode(quality.encode(x)), direct.valid)
        missed = asked - 20 * math.log10(span / got) if got else None
        contenders["psnr"] = lambda: quality.encode(x)
    times = compare(repeats, plain=lambda: direct.encode(len(data["ebcot"])), **contenders)
    back = compare(
        repeats, **{name: lambda c=codec, d=data[name]: c.decode(d) for name, codec in both.items()}
    )
    return Row(
        field.name,
        x.size,
        field.masked,
        field.points,
        ratio,
        x.nbytes / len(data["ebcot"]),
        x.nbytes / len(data["ht"]),
        against("ebcot", mask),
        against("ht", mask),
        against("ebcot", 0) if mask else None,
        times.speedup("ebcot", "plain"),
        times.speedup("ht", "plain"),
        times.speedup("psnr", "plain") if "psnr" in contenders else None,
        missed,
        back.speedup("ht", "ebcot"),
    )


def reading(field: Field, repeats: int) -> list[Reading]:
    found = []
    for name, codec in codecs(32).items():
        data = codec.encode(field.values)
        prefix = {level: data[: codec.bytes_needed(data[:-1], level)] for level in (1, 2)}
        times = compare(
            repeats,
            full=lambda c=codec, d=data: c.decode(d),
            half=lambda c=codec, p=prefix[1]: c.decode_prefix(p, 1),
            quarter=lambda c=codec, p=prefix[2]: c.decode_prefix(p, 2),
        )
        found.append(
            Reading(
                field.name,
                name,
                times.speedup("half", "full"),
                times.speedup("quarter", "full"),
                len(prefix[1]) / len(data),
                len(prefix[2]) / len(data),
            )
        )
    return found


class Engine:
    """Measures the CPU time inside the engines' calls, but for the functions that hand them planes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._inside = 0.0

    def __enter__(self) -> Self:
        """Put clocks around the calls."""
        from frazil.jpeg2000 import htj2k, openjpeg

        self._saved = [
            (module, name, getattr(module, name))
            for module in (htj2k, openjpeg)
            for name in ("encode", "decode")
        ]
        for module, name, call in self._saved:
            setattr(module, name, self._timed(call, module is openjpeg))
        return self

    def __exit__(self, *_: object) -> None:
        """Take them away."""
        for module, name, call in self._saved:
            setattr(module, name, call)

    def _timed(self, call: Callable[..., Any], calls_back: bool) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            if calls_back:
                arguments = tuple(self._apart(a) if callable(a) else a for a in arguments)
            self._inside, start = 0.0, time.process_time()
            result = call(*arguments, **options)
            self.seconds.append(time.process_time() - start - self._inside)
            return result

        return timed

    def _apart(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        def apart(*arguments: Any) -> Any:
            start = time.process_time()
            result = callback(*arguments)
            self._inside += time.process_time() - start
            return result

        return apart


def layers(field: Field, repeats: int) -> list[Layers]:
    """Split the time of encoding and decoding.

    The engine's last call made the codestream, those before belong to the search.
    """
    found, per = [], 1e3 / field.megapixels
    for name, codec in codecs(32).items():
        data = codec.encode(field.values)
        turns = []
        for _ in range(repeats):
            with Engine() as encoding:
                start = time.process_time()
                codec.encode(field.values)
                whole = time.process_time() - start
            with Engine() as decoding:
                start = time.process_time()
                codec.decode(data)
                back = time.process_time() - start
            if not encoding.seconds or not decoding.seconds:
                return found  # stored as it is
            inside, outside = sum(encoding.seconds), sum(decoding.seconds)
            last = encoding.seconds[-1]
            turns.append([last, inside - last, whole - inside, outside, back - outside])
        middle = [statistics.median(values) * per for values in zip(*turns, strict=True)]
        found.append(Layers(field.name, field.masked, name, *middle))
    return found


def file(field: Field, direct: Direct, repeats: int) -> File:
    from frazil.jpeg2000 import openjpeg
    from frazil.jpeg2000.codestream import assemble, dissect

    size, codec = int(field.values.nbytes / 32), frazil.JP2K(ratio=32)
    glymur = Glymur(direct)
    ratio, theirs = glymur.like(size)
    body, _ = dissect(direct.encode(size), direct.layout)
    stream, out = assemble(direct.layout, body), np.empty_like(direct.integers)
    times = compare(
        repeats,
        ours=lambda: direct.encode(size),
        glymur=lambda: glymur.encode(ratio),
        codec=lambda: codec.encode(field.values),
        decode=lambda: openjpeg.decode(
            stream, lambda k, plane: np.copyto(out[k], plane), direct.layout.shape
        ),
        decode_glymur=glymur.decode,
    )
    return File(
        field.name,
        body == dissect(theirs, direct.layout)[0],
        times.speedup("ours", "glymur"),
        times.speedup("decode", "decode_glymur"),
        times.speedup("codec", "glymur"),
    )


def importing(repeats: int) -> float:
    """Seconds of CPU time of ``import frazil`` after ``import numpy``, in fresh processes by turns."""

    def spent(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    numpy, both = "import numpy", "import numpy, frazil"
    spent(both)
    return statistics.median([-spent(numpy) + spent(both) for _ in range(repeats)])


def memory(coder: str) -> float:
    """Peak memory of encoding (24, 721, 1440) float32 beyond the input, in chunks; in a fresh process."""
    run = subprocess.run(
        [sys.executable, __file__, "--memory", coder], check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def measure_memory(coder: str) -> float:
    """Encode the stack here and say by how much the high-water mark rose, in chunks."""
    from frazil.samples import sample_path

    plane = _plane(sample_path("era5_t850"))
    codec = codecs(32)[coder]
    codec.encode(plane[:256, :256])  # libraries and kernels are loaded, which is not the chunk's doing
    rng = np.random.default_rng(0)
    chunk = np.empty((24, *plane.shape), "f4")
    for k in range(24):
        rng.standard_normal(out=chunk[k], dtype="f4")
        chunk[k] *= 0.05
        chunk[k] += np.roll(plane, 3 * k, axis=1)
    before = _resident()
    codec.encode(chunk)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / chunk.nbytes


def _plane(path: Path) -> npt.NDArray[np.float32]:
    import xarray as xr

    with xr.open_dataset(path) as ds:
        return np.ascontiguousarray(next(iter(ds.data_vars.values())).values.reshape(721, 1440))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each measurement of time")
    parser.add_argument("--only", default="", help="fields whose name contains this")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    parser.add_argument("--memory", choices=("ebcot", "ht"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(measure_memory(options.memory))
        return
    rows: list[Row] = []
    readings: list[Reading] = []
    shares: list[Layers] = []
    files: list[File] = []
    for field in read():
        if options.only not in field.name:
            continue
        direct = Direct(field.values)
        for ratio in RATIOS:
            rows.append(measure(field, direct, ratio, options.repeats))
            print(rows[-1], flush=True)
        if field.values.size >= LARGE:
            readings += reading(field, options.repeats)
        if field.values.size >= MEDIUM and not field.points:
            shares += layers(field, options.repeats)
            files.append(file(field, direct, options.repeats))
    others = {"import": importing(8 * options.repeats), "ebcot": memory("ebcot"), "ht": memory("ht")}

    write = options.write
    publish("jp2k: setting", f"{described()}; {options.repeats} turns. {machine()}", write=write)
    publish("jp2k: targets", targets(rows, readings, shares, files, others), write=write)
    for ratio in RATIOS:
        publish(f"jp2k: ratio {ratio}", fields_table([r for r in rows if r.ratio == ratio]), write=write)
    publish("jp2k: reading", reading_table(readings), write=write)
    publish("jp2k: layers", layers_table(shares), write=write)
    publish("jp2k: glymur", files_table(files), write=write)


if __name__ == "__main__":
    main()
