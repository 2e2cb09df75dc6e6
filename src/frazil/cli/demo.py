"""``frazil demo``: the whole way on real fields, from a NetCDF file to numbers and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.cli.pictures import Row
    from frazil.codecs.base import PlaneCodec
    from frazil.metrics import Scores

# What a user's own program does: it knows xarray, and frazil is merely installed.
READER = """\
import sys
import numpy
import xarray
for store, out in zip(sys.argv[1::2], sys.argv[2::2]):
    ds = xarray.open_zarr(store)
    name, = ds.data_vars
    numpy.save(out, ds[name].values)
"""
ONE_BIT = "jp2k:ratio={}"  # ratio 32 of float32, 16 of uint16: one bit a value
# Where the files have none, or a long one.
UNITS = {"mrms_rain": "mm/h", "ostia_sst": "K", "sentinel2": "DN"}
WIDE = ("variable", "codec", ">raw", ">PSNR", ">missing")  # not in a narrow terminal
DEFAULT_OUT = Path("demo-output")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One sample, there and back."""

    sample: str
    variable: str
    units: str
    original: npt.NDArray[Any]
    decoded: npt.NDArray[Any]
    codec: PlaneCodec
    stored: int
    scores: Scores
    encode_rate: float
    decode_rate: float


def demo(
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to write stores and picture.")
    ] = DEFAULT_OUT,
    codec: Annotated[
        str | None, typer.Option(metavar="CODEC", help="E.g. jp2k:ratio=100 or jp2k:psnr=60,coder=ht.")
    ] = None,
) -> None:
    """Compress real fields, read them in a fresh process with plain xarray, verify, and draw the errors."""
    from rich.text import Text

    from frazil import __version__
    from frazil.cli.console import console, size
    from frazil.cli.pictures import draw
    from frazil.samples import list_samples

    screen = console()
    names = list_samples()
    out.mkdir(parents=True, exist_ok=True)
    how = f"with {codec}" if codec else "to one bit a value"
    screen.print(Text(f"frazil {__version__}: {len(names)} real fields, compressed {how}", style="bold"))
    codecs = {name: _compress(name, out, codec) for name in names}
    screen.print(f"1. compressed    to {out}/NAME.zarr (Zarr v3)", markup=False)
    decoded = _read_elsewhere(names, out)
    screen.print("2. read back     by plain xarray in a fresh process without 'import frazil'")
    results = [_judge(name, out, codecs[name], decoded[name]) for name in names]
    _check(results)
    screen.print("3. verified      against the originals: same missing points, errors as below")
    _print_table(results)
    picture = out / "demo.png"
    draw([_row(result) for result in results], picture)
    raw, stored = sum(r.original.nbytes for r in results), sum(r.stored for r in results)
    screen.print(f"{size(raw)} -> {size(stored)}. Look at {picture}", markup=False)
    screen.print(f"Next: frazil inspect {out}/{names[0]}.zarr; frazil compress --help", markup=False)


def _compress(name: str, out: Path, text: str | None) -> PlaneCodec:
    """Write the sample as a store, and return the codec used."""
    import netCDF4

    from frazil.cli.settings import read_codec
    from frazil.errors import ConfigurationError
    from frazil.samples import sample_path
    from frazil.transcode import transcode

    source = sample_path(name)
    with netCDF4.Dataset(source) as file:
        itemsize = max(v.dtype.itemsize for v in file.variables.values() if v.ndim >= 3)
    codec = read_codec(text or ONE_BIT.format(8 * itemsize))
    if codec is None:
        raise ConfigurationError("the demo shows a lossy codec: give --codec jp2k:ratio=32")
    transcode(source, out / f"{name}.zarr", codec, overwrite=True)
    return codec


def _read_elsewhere(names: list[str], out: Path) -> dict[str, npt.NDArray[Any]]:
    """Decode every store in a process of its own with `READER`."""
    import subprocess
    import sys
    import tempfile

    import numpy as np

    from frazil.errors import StoreError

    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.npy" for name in names}
        pairs = [str(part) for name, file in files.items() for part in (out / f"{name}.zarr", file)]
        command = [sys.executable, "-W", "ignore", "-c", READER, *pairs]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StoreError(f"a fresh process cannot read the stores: {last}")
        return {name: np.load(file) for name, file in files.items()}


def _judge(name: str, out: Path, codec: PlaneCodec, decoded: npt.NDArray[Any]) -> Result:
    from frazil.inventory import describe
    from frazil.metrics import score
    from frazil.samples import sample_path
    from frazil.sources import open_group, open_source

    with open_source(sample_path(name)) as ds:
        (variable,) = ds.data_vars
        original = ds[variable].values
        units = UNITS.get(name) or str(ds[variable].attrs.get("units", ""))
    encode_rate, decode_rate = _speed(codec, original)
    array: Any = open_group(out / f"{name}.zarr")[str(variable)]
    return Result(
        sample=name,
        variable=str(variable),
        units=units,
        original=original,
        decoded=decoded,
        codec=codec,
        stored=describe(str(variable), array).stored,
        scores=score(original, decoded),
        encode_rate=encode_rate,
        decode_rate=decode_rate,
    )


def _speed(codec: PlaneCodec, chunk: npt.NDArray[Any]) -> tuple[float, float]:
    """Bytes a second of one thread, encoding and decoding; the first calls compile and do not count."""
    from time import perf_counter

    encoded = codec.encode(chunk)
    codec.decode(encoded)
    start = perf_counter()
    codec.encode(chunk)
    middle = perf_counter()
    codec.decode(encoded)
    end = perf_counter()
    return chunk.nbytes / (middle - start), chunk.nbytes / (end - middle)


def _check(results: list[Result]) -> None:
    for result in results:
        if not result.scores.same_mask:
            typer.echo(
                f"frazil: {result.sample}: {result.scores.mask_differs} missing points did not come back",
                err=True,
            )
            raise typer.Exit(1)


def _print_table(results: list[Result]) -> None:
    """Print the scores; a terminal of 80 columns gets the columns that matter most."""
    from frazil.cli.console import console, table

    screen = console()
    rows = [_cells(result) for result in results]
    names = [name for name in rows[0] if screen.width >= 120 or name not in WIDE]
    screen.print(table(names, [[row[name] for name in names] for row in rows]))


def _cells(r: Result) -> dict[str, str]:
    from frazil.cli.console import figures, size
    from frazil.metrics import ratio
    from frazil.notation import codec_text

    return {
        "field": r.sample,
        "variable": r.variable,
        "codec": codec_text(r.codec.get_config()),
        ">raw": size(r.original.nbytes),
        ">stored": size(r.stored),
        ">ratio": figures(ratio(r.original.nbytes, r.stored)),
        ">max error": f"{figures(r.scores.max_error)} {r.units}".strip(),
        ">RMSE": f"{figures(r.scores.rmse)} {r.units}".strip(),
        ">PSNR": f"{r.scores.psnr:.1f} dB",
        ">missing": f"{r.scores.missing / r.original.size:.1%}",
        ">encode": f"{size(r.encode_rate)}/s",
        ">decode": f"{size(r.decode_rate)}/s",
    }


def _row(result: Result) -> Row:
    from frazil.cli.console import figures, size
    from frazil.cli.pictures import Row
    from frazil.metrics import ratio

    s = result.scores
    caption = "\n".join(
        [
            f"{size(result.original.nbytes)} → {size(result.stored)}",
            f"ratio {figures(ratio(result.original.nbytes, result.stored))}",
            f"max error {figures(s.max_error)} {result.units}",
            f"RMSE {figures(s.rmse)} {result.units}",
        ]
    )
    return Row(
        sample=result.sample, units=result.units, caption=caption, pair=(result.original, result.decoded)
    )
