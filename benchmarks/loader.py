"""What a batch costs: `frazil.make_loader` against xarray, xbatcher and the reading and decoding alone.

    pip install 'frazil[peers,torch]'
    python benchmarks/loader.py [--steps 512] [--repeats 3] [--memory 256MiB] [--folder KEPT] [--write]

Everybody delivers the same samples, each once an epoch (checked): four variables of 181 x 360 points, in
batches of 16, from the same stores in a warm page cache. Contenders are processes of their own that take
turns. What counts is CPU time, user and system, of a process and its workers, the least of all repeats;
wall-clock times stand beside it. Memory is what a process grew by, from before its first batch to its peak,
arrays, threads and all.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loader_peers import (
    BATCH,
    BITS,
    CONTIGUOUS,
    HT_RATIO,
    NAIVE,
    OURS,
    RAW,
    SHAPE,
    SINGLE,
    VARIABLES,
    Contender,
    Epoch,
    StoreSpec,
    available,
    channel,
    make_store,
    stored_bytes,
    truth,
)
from tables import publish, table
from timing import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

WARM = 2 * BATCH  # steps of the store that everybody goes through first
BUDGETS = ("192MiB", "256MiB", "512MiB")
VERSIONS = ("zarr", "numcodecs", "xarray", "xbatcher", "torch")
UNITS = {"KiB": 10, "MiB": 20, "GiB": 30}


def byte_count(text: str) -> int:
    """Bytes of "256MiB".

    Examples
    --------
    >>> byte_count("2KiB")
    2048
    """
    return int(float(text[:-3]) * (1 << UNITS[text[-3:]]))


@dataclasses.dataclass(frozen=True)
class Cost:
    """Least CPU and wall-clock seconds a sample, most bytes, over the epochs of one contender."""

    cpu: float
    wall: float
    first: float
    growth: int

    @classmethod
    def of(cls, epochs: Sequence[Epoch], samples: int) -> Cost:
        """Condense what was measured."""
        return cls(
            min(e.cpu for e in epochs) / samples,
            min(e.wall for e in epochs) / samples,
            min(e.first for e in epochs),
            max(e.growth for e in epochs),
        )


def measure(
    names: Sequence[str], paths: tuple[Path, Path], repeats: int, **options: Any
) -> dict[str, list[Epoch]]:
    """Let the contenders go through a store by turns; check that each of them delivered every sample once."""
    path, warm = paths
    expected = truth(path)
    contenders = {name: Contender(name, path, warm, **options) for name in names}
    epochs: dict[str, list[Epoch]] = {name: [] for name in names}
    try:
        for _ in range(repeats):
            for name, contender in contenders.items():
                epoch = contender.run()
                if sorted(epoch.marks) != expected:
                    raise SystemExit(f"{name} did not deliver each of {path.name}'s samples once")
                epochs[name].append(epoch)
                print(
                    f"{path.name:24s} {name:42s} {1e3 * epoch.cpu / len(expected):7.2f} ms CPU "
                    f"{1e3 * epoch.wall / len(expected):7.2f} ms {epoch.growth / 2**20:6.0f} MiB",
                    flush=True,
                )
    finally:
        for contender in contenders.values():
            contender.close()
    return epochs


def decodes(path: Path, memory: str, **window: Any) -> float:
    """Chunks decoded in one shuffled epoch over chunks there are."""
    import frazil

    reader = frazil.StoreReader(path, count=True)
    loader = frazil.make_loader(
        reader, variables=list(VARIABLES), batch_size=BATCH, shuffle=True, seed=1, memory=memory, **window
    )
    for _ in loader:
        pass
    return sum(reader.decodes.values()) / stored_bytes(path)[1]


def verdict(value: float, must: float, aim: float) -> str:
    """Say which of the two was reached; where ``aim`` is the smaller, less is better."""
    sign = 1 if aim >= must else -1
    return "aim" if sign * value >= sign * aim else "must" if sign * value >= sign * must else "no"


def least(costs: dict[str, Cost], names: Sequence[str], kind: str) -> float:
    """Seconds a sample of the best of ``names``."""
    return float(min(getattr(costs[name], kind) for name in names))


def targets(
    costs: dict[StoreSpec, dict[str, Cost]], counts: dict[str, dict[str, float]], peaks: dict[str, int]
) -> list[list[object]]:
    """Rows of the table of targets: what, must, aim, by CPU time, which was reached, by wall clock."""
    eight, one, ht = costs.values()
    rows: list[list[object]] = []

    def over(label: str, costs: dict[str, Cost], names: Sequence[str], must: float, aim: float) -> None:
        if all(name in costs for name in names):
            cpu, wall = (least(costs, names, kind) / getattr(costs[OURS], kind) for kind in ("cpu", "wall"))
            rows.append(
                [label, f">= {must:g}", f">= {aim:g}", f"{cpu:.2f}", verdict(cpu, must, aim), f"{wall:.2f}"]
            )

    naive = list(NAIVE.values())
    over("xarray and DataLoader (best of 0 to 2 workers), 8 steps a chunk", eight, naive, 6, 9)
    over("the same, 1 step a chunk", one, naive, 2.5, 4)
    over("xbatcher, 1-sample shuffled, 8 steps a chunk", eight, [SINGLE], 5, 8)
    over("xbatcher, contiguous while we shuffle, 8 steps a chunk", eight, [CONTIGUOUS], 1, 1.4)
    over("the same, 1 step a chunk", one, [CONTIGUOUS], 1, 1.4)
    for label, cost, must, aim in (
        ("our time over open, read and decode: zstd, 8 steps a chunk", eight, 1.6, 1.25),
        ("the same: zstd, 1 step a chunk", one, 1.6, 1.25),
        ("the same: HTJ2K, 8 steps a chunk", ht, 1.15, 1.05),
    ):
        cpu, wall = (getattr(cost[OURS], kind) / getattr(cost[RAW], kind) for kind in ("cpu", "wall"))
        rows.append(
            [label, f"<= {must:g}", f"<= {aim:g}", f"{cpu:.2f}", verdict(cpu, must, aim), f"{wall:.2f}"]
        )
    for what, (must, aim) in {"single steps": (1.0, 1.0), "one step ahead": (1.25, 1.15)}.items():
        for memory, count in counts[what].items():
            label = f"decodes of a chunk an epoch: {what}, {memory}"
            rows.append(
                [label, f"<= {must:g}", f"<= {aim:g}", f"{count:.3f}", verdict(count, must, aim), "-"]
            )
    for memory, peak in peaks.items():
        budget = byte_count(memory)
        label = f"resident memory that {memory} came to, MiB"
        reached = "aim" if peak <= budget else "no"
        rows.append([label, f"<= {budget >> 20}", "", f"{peak / 2**20:.0f}", reached, "-"])
    return rows


def cost_rows(costs: dict[StoreSpec, dict[str, Cost]]) -> list[list[object]]:
    """Rows of the table of costs."""
    return [
        [
            spec.name,
            name,
            f"{1e3 * cost.cpu:.2f}",
            f"{cost.cpu / by_name[OURS].cpu:.2f}",
            f"{1 / cost.wall:.0f}",
            f"{1e3 * cost.first:.0f}",
            "-" if "workers" in name and "0 workers" not in name else f"{cost.growth / 2**20:.0f}",
        ]
        for spec, by_name in costs.items()
        for name, cost in by_name.items()
    ]


def setting(steps: int, sizes: dict[StoreSpec, float], options: argparse.Namespace) -> str:
    """Say what was measured, and on what."""
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in VERSIONS if name in installed
    )
    mega = 4 * len(VARIABLES) * SHAPE[0] * SHAPE[1] / 1e6
    ratios = "; ".join(f"{spec.name}: {ratio:.2f}" for spec, ratio in sizes.items())
    return (
        f"{steps} steps of {len(VARIABLES)} made-up variables on {SHAPE[0]} x {SHAPE[1]} points, "
        f"{mega:.2f} MB a sample, {BITS} bits of the mantissa kept, zstd level 1 or JP2K(ratio={HT_RATIO}, "
        f"coder='ht'); compression ratios {ratios}. Batches of {BATCH}, `memory={options.memory!r}`, "
        f"{options.repeats} repeats by turns, the least of each. {machine()}, {versions}"
    )


def main() -> None:
    """Measure and print, or put into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", default="256MiB", help="byte budget of our loader (default: 256MiB)")
    parser.add_argument("--folder", type=Path, help="keep the stores here (default: a temporary folder)")
    parser.add_argument("--ours", action="store_true", help="measure only our loader and the raw limits")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run(options, options.folder or Path(temporary))


def run(options: argparse.Namespace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    steps = options.steps
    specs = [StoreSpec(steps, 8), StoreSpec(steps, 1), StoreSpec(steps, 8, "ht")]
    data = {name: channel(steps, mean, seed) for seed, (name, mean) in enumerate(VARIABLES.items())}
    paths = {
        spec: (
            make_store(folder, spec, data),
            make_store(folder, dataclasses.replace(spec, steps=WARM), data),
        )
        for spec in specs
    }
    del data
    raw_bytes = 4 * steps * len(VARIABLES) * SHAPE[0] * SHAPE[1]
    sizes = {spec: raw_bytes / stored_bytes(path)[0] for spec, (path, _) in paths.items()}
    costs = {}
    for spec in specs:
        names = [OURS, RAW] if spec.codec == "ht" or options.ours else available()
        epochs = measure(names, paths[spec], options.repeats, memory=options.memory)
        costs[spec] = {name: Cost.of(found, steps) for name, found in epochs.items()}
    eight = paths[specs[0]]
    windows: dict[str, dict[str, tuple[int, ...]]] = {
        "single steps": {"inputs": (0,), "targets": ()},
        "one step ahead": {"inputs": (0,), "targets": (1,)},
    }
    counts = {
        what: {memory: decodes(eight[0], memory, **window) for memory in BUDGETS}
        for what, window in windows.items()
    }
    peaks = {
        memory: max(e.growth for e in measure([OURS], eight, 2, memory=memory)[OURS]) for memory in BUDGETS
    }
    text = setting(steps, sizes, options) + "\n\n"
    head = ["target", "must", "aim", "CPU time", "reached", "wall clock"]
    text += table(head, targets(costs, counts, peaks))
    publish("loader: targets", text, write=options.write)
    head = ["store", "loader", "CPU ms a sample", "over ours", "samples/s", "first batch, ms", "memory, MiB"]
    publish("loader: costs", table(head, cost_rows(costs)), write=options.write)


if __name__ == "__main__":
    main()
