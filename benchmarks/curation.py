"""What SALN costs a member, and how far it chooses alike at reduced resolution and at the full one.

    FRAZIL_DATA=/path/to/collection python benchmarks/curation.py [--repeats 5] [--write]

Costs: 256 members of 721 x 1440 points and 4 variables, as they come out of a decoder at levels 1/4, 1/8 and
1/16; what decoding them takes is not counted. CPU time of all threads, the least of the repeats.

Kept sets: superbatches drawn at random from real and simulated series, keep=0.5. The members that are kept by
scoring a store compressed by JP2K at each level are compared with those kept by scoring the original values:
the share that is in both. Drawing lots shares half. A rule sets the sign of fiedler_signed; where that turns
round between two resolutions, next to nothing is in both: the worst of the draws shows it.

Graphs: what else could have been chosen, on the same superbatches at full resolution. Cosines in physical
units, and after z-scores and centring; relative gaps of the spectrum, (lambda3 - lambda2) / lambda2, for each
weight and Laplacian; rank correlations between the scores.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from fields import folders
from tables import publish, table
from timing import machine

import frazil
from frazil.data.curation.graphs import centred, cosines, spectrum
from frazil.data.curation.members import ReducedResolution, average_blocks
from frazil.data.curation.saln import LAPLACIANS, WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

MEMBERS, VARIABLES, GRID = 256, 4, (721, 1440)
COST_LEVELS, LEVELS = (2, 3, 4), (0, 1, 2, 3)
SCORES, MODES = ("fiedler_abs", "fiedler_signed", "degree"), ("connected", "inverse", "combined")
KEEP, SUPERBATCH, DRAWS, RATIO = 0.5, 64, 10, 16
MUST, AIM, ALIKE, ALIKE_AIM = 1.0, 0.3, 0.90, 0.98
SERIES = {
    "jcm_t42_train_6h": "simulated, 6-hourly, 11 fields",
    "echam5_tsurf_6h_T63": "simulated, 6-hourly surface temperature",
    "era5_t2m_uk_hourly": "ERA5, hourly 2 m temperature",
    "era5_t2m_uk": "ERA5, hourly 2 m temperature, 3 days",
}


def reduced(length: int, level: int) -> int:
    return -(-length // (1 << level))


def cost(level: int, repeats: int, blocks: int = 1) -> tuple[float, float]:
    """Milliseconds of CPU and of wall-clock time a member, averaging over blocks of points included."""
    rng = np.random.default_rng(0)
    shape = (MEMBERS, VARIABLES, *(reduced(length, level) for length in GRID))
    members = rng.standard_normal(shape, dtype="f4")
    saln = frazil.SALN(keep=KEEP)
    saln.select(members)
    found = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        saln.select(members if blocks == 1 else average_blocks(members, blocks))
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (1e3 * min(column) / MEMBERS for column in zip(*found, strict=True))
    return cpu, wall


def members_of(ds: Any) -> npt.NDArray[np.float32]:
    """Stack what a series holds: shape (time, channel, y, x)."""
    arrays = [ds[name].values for name in sorted(ds.data_vars)]
    return np.concatenate([a.reshape(len(a), -1, *a.shape[-2:]) for a in arrays], axis=1)


def levels_of(path: Path) -> tuple[npt.NDArray[np.float32], dict[int, npt.NDArray[np.float32]]]:
    """Read the members of a file, and those of its compressed copy at each level."""
    import xarray as xr

    with xr.open_dataset(path) as ds, tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", frazil.TargetWarning)
        data = ds[[n for n, v in ds.data_vars.items() if v.dims[0] == "time" and v.ndim >= 3]].load()
        frazil.to_zarr(data, folder, codec=frazil.JP2K(ratio=RATIO), chunks={"time": 8}, mode="w")
        return members_of(data), {
            level: members_of(frazil.open_zarr(folder, level=level).load()) for level in LEVELS
        }


def alike(path: Path) -> list[list[object]]:
    """Rows of the table: for each mode and score the mean share at each level, and the worst at level 2."""
    full, at = levels_of(path)
    draws = draws_of(full)
    size = len(draws[0])
    rows: list[list[object]] = []
    for mode, score in itertools.product(MODES, SCORES):
        saln = frazil.SALN(keep=KEEP, mode=mode, score=score)
        shares = np.zeros((DRAWS, len(LEVELS)))
        for i, draw in enumerate(draws):
            wanted = set(saln.select(full[draw]).kept.tolist())
            for j, level in enumerate(LEVELS):
                kept = set(saln.select(at[level][draw]).kept.tolist())
                shares[i, j] = len(wanted & kept) / len(wanted)
        means = [f"{share:.3f}" for share in shares.mean(axis=0)]
        worst = f"{shares[:, LEVELS.index(2)].min():.3f}"
        points = "x".join(map(str, full.shape[-2:]))
        rows.append([path.stem, f"{full.shape[1]} x {points}", size, mode, score, *means, worst])
    return rows


def draws_of(full: npt.NDArray[np.float32]) -> list[npt.NDArray[np.int64]]:
    """Draw superbatches at random, the same each time."""
    size = min(SUPERBATCH, max(len(full) // 2, 3))
    rng = np.random.default_rng(0)
    return [np.sort(rng.permutation(len(full))[:size]) for _ in range(DRAWS)]


def pairs(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cosines of all pairs of members."""
    similar, _ = cosines(gram)
    return similar[np.triu_indices(len(similar), 1)]


def ranked(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Rank correlation."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def graphs(path: Path) -> list[object]:
    """Row of the table: medians over the superbatches."""
    import xarray as xr

    with xr.open_dataset(path) as ds:
        full = members_of(ds[[n for n, v in ds.data_vars.items() if v.dims[0] == "time" and v.ndim >= 3]])
    found = []
    for draw in draws_of(full):
        members = full[draw]
        rows = np.nan_to_num(members.reshape(len(members), -1).astype("f8"))
        saln = frazil.SALN()
        gram = saln.sum_blocks([saln.block_gram(block) for block in saln.blocks(members)])
        if gram.ndim > 2:
            raise SystemExit(
                f"{path.stem}: members lack different points, which these figures do not allow for"
            )
        raw = rows @ rows.T
        weights = cosines(raw)[0] - np.eye(len(raw))
        literal = spectrum(weights, "unnormalised")
        centred_pairs = pairs(centred(gram))
        gaps = [
            frazil.SALN(weight=w, laplacian=kind).select_gram(gram).diagnostics.gap or 0.0
            for w, kind in itertools.product(WEIGHTS, LAPLACIANS)
        ]
        by = {name: frazil.SALN(score=name).select_gram(gram).scores for name in SCORES}
        found.append(
            [
                pairs(raw).min(),
                (literal.lambda3 - literal.lambda2) / literal.lambda2,
                float((centred_pairs < 0).mean()),
                *gaps,
                ranked(by["fiedler_abs"], by["degree"]),
                abs(ranked(by["fiedler_signed"], by["degree"])),
            ]
        )
    return [path.stem, *(f"{median:.3f}" for median in np.median(found, axis=0))]


def main() -> None:
    """Measure and print, or put into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    rows: list[list[object]] = []
    for level in COST_LEVELS:
        cpu, wall = cost(level, options.repeats)
        points = " x ".join(str(reduced(length, level)) for length in GRID)
        reached = "aim" if cpu <= AIM else "must" if cpu <= MUST else "no"
        rows.append(
            [f"1/{1 << level}", points, f"{cpu:.2f}", f"<= {MUST:g}", f"<= {AIM:g}", reached, f"{wall:.2f}"]
        )
        print(rows[-1], flush=True)
    level = ReducedResolution().levels
    shape = tuple(reduced(length, level) for length in GRID)
    blocks = ReducedResolution().blocks(shape)
    cpu, wall = cost(level, options.repeats, blocks)
    reached = "aim" if cpu <= AIM else "must" if cpu <= MUST else "no"
    label = f"1/{1 << level}, averaged over {blocks} x {blocks}: a loader's default"
    points = " x ".join(str(-(-n // blocks)) for n in shape)
    rows.append([label, points, f"{cpu:.2f}", f"<= {MUST:g}", f"<= {AIM:g}", reached, f"{wall:.2f}"])
    text = f"SALN(keep={KEEP}) on {MEMBERS} members of {VARIABLES} variables. {machine()}\n\n"
    head = ["resolution", "points", "CPU ms a member", "must", "aim", "reached", "wall ms a member"]
    publish("curation: cost", text + table(head, rows), write=options.write)

    paths = [path for folder in folders() for name in SERIES if (path := folder / f"{name}.nc").exists()]
    rows = [row for path in paths for row in alike(path)]
    text = "; ".join(f"{path.stem}: {SERIES[path.stem]}" for path in paths)
    text += f". keep={KEEP}, {DRAWS} superbatches each, JP2K(ratio={RATIO}). "
    at_two = [float(str(row[5 + LEVELS.index(2)])) for row in rows if row[3:5] == [MODES[0], SCORES[0]]]
    text += f"With the defaults at level 2: {min(at_two):.3f} to {max(at_two):.3f} "
    text += f"(must >= {ALIKE:g}, aim >= {ALIKE_AIM:g}).\n\n"
    head = ["series", "member", "superbatch", "mode", "score", *(f"level {level}" for level in LEVELS)]
    publish("curation: kept sets", text + table([*head, "worst, level 2"], rows), write=options.write)

    gaps = [f"gap, {w}, {kind}" for w, kind in itertools.product(WEIGHTS, LAPLACIANS)]
    head = [
        "series",
        "least cosine, physical units",
        "their gap, D - S",
        "negative cosines, z-scores centred",
        *gaps,
    ]
    head += ["rank correlation, fiedler_abs and degree", "fiedler_signed and degree, without sign"]
    text = f"Medians of {DRAWS} superbatches of up to {SUPERBATCH} members at full resolution.\n\n"
    publish("curation: graphs", text + table(head, [graphs(path) for path in paths]), write=options.write)


if __name__ == "__main__":
    main()
