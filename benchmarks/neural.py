"""Learned codecs against JPEG 2000, SZ3 and `Bounded`: bytes at equal error, under a bound, speed.

    python benchmarks/neural.py                          # prints the tables
    python benchmarks/neural.py --write                  # and puts them into docs/benchmarks.md
    python benchmarks/neural.py --only hours --model hours=folder/name.decoder.safetensors
    python benchmarks/neural.py --tables baselines,curves

Models are those that come with the package, those named by ``--model KIND=NAME`` (a shipped name, a file or a
digest), and for each kind of data a linear one, fitted on the spot. The data are in `neural_data`, what they
are compared with in `neural_baselines`, how bits and errors are counted in `neural_curves`, and what is told
of indices, speed and fingerprints in `neural_models`. A table whose modules are not installed says so.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import neural_models
import numpy as np
from neural_baselines import JOINT, curves, overview, sz3_chunk
from neural_curves import Curve, Normal, at, curve, least
from neural_data import KINDS, Kind, absent
from tables import publish, table
from timing import machine

import frazil
from frazil import sentinel2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

EPSILONS = (0.3, 0.15, 0.08, 0.04, 0.02)  # bounds, in standard deviations
FACTORS = {"tiles": 8, "hours": 4, "levels": 4}  # of the linear models
STEPS = 7  # points of a curve, at most
NEEDS = {
    "baselines": (),
    "curves": ("frazil.codecs.latent", "frazil.entropy.latents"),
    "bands": ("frazil.codecs.latent", "frazil.entropy.latents"),
    "bounded": ("frazil.codecs.latent", "frazil.entropy.latents"),
    "indices": ("frazil.codecs.codeword", "frazil.entropy.indices"),
    "speed": ("frazil.models.runtime", "frazil.entropy.latents"),
    "fingerprints": ("frazil.models.selftest", "frazil.entropy.latents"),
}


@dataclass(frozen=True, eq=False)
class Contender:
    """A model, and the data that it is for."""

    kind: Kind
    model: Any

    @property
    def size(self) -> int:
        """Bytes of what a reader needs."""
        return len(self.model.decoder.to_bytes())

    @property
    def codecs(self) -> dict[str, Any]:
        """Codecs over the steps that the model takes, by step; a model of codewords has one."""
        from frazil.codecs.codeword import Codeword
        from frazil.codecs.latent import Latent

        steps = self.model.decoder.steps
        if steps is None:
            return {"-": Codeword(model=self.model)}
        spread = np.geomspace(steps.least, steps.most, STEPS)
        chosen = sorted({*np.rint(spread).astype(int).tolist(), steps.default})
        return {str(step): Latent(model=self.model, step=step) for step in chosen}

    @property
    def usual(self) -> str:
        """Name of the codec with the step that the model's makers chose."""
        steps = self.model.decoder.steps
        return "-" if steps is None else str(steps.default)

    @property
    def points(self) -> Curve:
        """Measured once."""
        return _points(self)


@cache
def _points(contender: Contender) -> Curve:
    return curve(contender.codecs, contender.kind.test, contender.kind.std)


def contenders(kind: Kind, named: list[str], *, linear: bool) -> Iterator[Contender]:
    """Find the models for a kind of data: named ones, shipped ones with as many channels, the linear one."""
    from frazil import models

    channels = kind.train.shape[1]
    for name in dict.fromkeys([*named, *models.list_models()]):
        model = models.find(name)
        if model.decoder.channels == channels:
            yield Contender(kind, model)
        elif name in named:
            raise SystemExit(f"{name} has {model.decoder.channels} channels, the {kind.name} {channels}")
    if linear:
        from frazil.models.klt import fit_klt

        settings: dict[str, Any] = {"offset": kind.mean.ravel(), "scale": kind.std.ravel()}
        yield Contender(kind, fit_klt(kind.train, factor=FACTORS[kind.name], name="linear", **settings))


def times(bits: float | None, own: float) -> str:
    """How many times fewer bits ``own`` are; empty where the other's curve does not reach the error."""
    return "" if bits is None else f"{bits / own:.2f}"


def curves_table(found: list[Contender]) -> str:
    """Lay out real bytes of learned codecs beside those of the others at the same error."""
    rows: list[list[object]] = []
    for one in found:
        raw = 8 * one.kind.test.dtype.itemsize
        others = curves(one.kind)
        for p in one.points:
            plain, turned = others["J2K"], others["KLT+J2K"]
            joint = least([others[name] for name in JOINT], p.nrmse, bare=True)
            rows.append(
                [
                    one.kind.name,
                    one.model.name,
                    p.setting,
                    f"{p.nrmse:.4f}",
                    f"{p.bpv:.4f}",
                    f"{raw / p.bpv:.0f}",
                    times(at(plain, p.nrmse), p.bpv),
                    times(at(plain, p.nrmse, bare=True), p.bpv),
                    times(at(turned, p.nrmse), p.bpv),
                    times(at(turned, p.nrmse, bare=True), p.bpv),
                    times(joint, p.bpv),
                    times(at(others["SZ3"], p.nrmse), p.bpv),
                    times(at(others["Bounded"], p.nrmse), p.bpv),
                ]
            )
    header = ["data", "model", "step", "nRMSE", "bpv", "ratio", "J2K", "no header", "KLT+J2K", "no header"]
    return table([*header, "best joint, no header", "SZ3", "Bounded"], rows)


def pays_table(found: list[Contender]) -> str:
    """Lay out sizes of model files, and megabytes of raw data after which saved bytes have paid for one."""
    rows: list[list[object]] = []
    for one in found:
        p = next(p for p in one.points if p.setting == one.usual)
        others = curves(one.kind)
        rivals = {
            "J2K": at(others["J2K"], p.nrmse, bare=True),
            "joint": least([others[name] for name in JOINT], p.nrmse, bare=True),
            "SZ3": at(others["SZ3"], p.nrmse),
            "Bounded": at(others["Bounded"], p.nrmse),
        }
        after = [breakeven(one, bits, p.bpv) for bits in rivals.values()]
        tensors = one.model.decoder.tensors
        numbers = sum(t.size for name, t in tensors.items() if not name.startswith("coder."))
        cells = [one.usual, f"{p.nrmse:.4f}", numbers, one.size]
        rows.append([one.kind.name, one.model.name, *cells, *after])
    header = ["data", "model", "step", "nRMSE", "numbers", "bytes"]
    return table([*header, *(f"MB over {name}" for name in ("J2K", "best joint", "SZ3", "Bounded"))], rows)


def breakeven(one: Contender, bits: float | None, own: float) -> str:
    """Megabytes of raw data at which a model has paid for its file; "never" if it saves nothing."""
    if bits is None:
        return ""
    if bits <= own:
        return "never"
    return f"{8 * one.size / (bits - own) * one.kind.test.dtype.itemsize / 1e6:.0f}"


def bands_table(found: list[Contender]) -> str:
    """Lay out what is peculiar to Sentinel-2: native values, clouds, seams; classical codecs as well."""
    rows: list[list[object]] = []
    for one in found:
        kind = one.kind
        free = sentinel2.cloud_free(kind.test)
        share = sentinel2.true_values(kind.test.shape) / kind.test.size
        jp2k = [Normal(frazil.JP2K(ratio=ratio), kind.mean, kind.std) for ratio in (32, 128)]
        factor = one.model.decoder.factor
        measured = [(one.model.name, step, codec) for step, codec in one.codecs.items()]
        measured += [("JP2K", "-", codec) for codec in jp2k]
        for name, step, codec in measured:
            data = [codec.encode(chunk) for chunk in kind.test]
            back = np.stack([np.asarray(codec.decode(d)).reshape(kind.test.shape[1:]) for d in data])
            scores = sentinel2.errors(kind.test, back, free)
            ratio = kind.test.nbytes / sum(map(len, data))
            seams = sentinel2.blockiness(back / kind.std, kind.test / kind.std, factor)
            squares = {m: np.mean(scores.nrmse[list(sentinel2.bands_at(m))] ** 2) for m in (10, 20, 60)}
            resolution = [f"{np.sqrt(square):.3f}" for square in squares.values()]
            cells = [f"{ratio:.0f}", f"{ratio * share:.0f}", *resolution, f"{seams:.2f}", factor]
            rows.append([name, step, *cells])
    errors = [f"error at {m} m" for m in (10, 20, 60)]
    return table(["model", "step", "ratio", "of native values", *errors, "seams", "every"], rows)


def guarded(one: Contender, eps: float, chunk: npt.NDArray[Any]) -> tuple[int, float]:
    """Bytes of a chunk under a bound in standard deviations, and the largest error over the bound."""
    codec_of = type(next(iter(one.codecs.values())))
    if one.kind.common:
        codec = codec_of(model=one.model, bound=float(eps * one.kind.std.flat[0]))
        data = codec.encode(chunk)
    else:
        codec = codec_of(model=one.model, bound="array")
        bounds = np.broadcast_to((eps * one.kind.std).astype("f4"), chunk.shape)
        data = codec.encode_chunk(chunk, bounds=np.ascontiguousarray(bounds))
    off = np.asarray(codec.decode(data), "f8").reshape(chunk.shape) - chunk
    # The bounds as they were given: a float32 may be a little more than the number it stands for.
    limit = eps * one.kind.std if one.kind.common else (eps * one.kind.std).astype("f4").astype("f8")
    return len(data), float(np.max(np.abs(off) / limit))


def bounded_table(found: list[Contender], most: int = 8) -> str:
    """Lay out bytes under a bound at every point; of up to ``most`` chunks, spread over those of the test."""
    rows: list[list[object]] = []
    for one in found:
        kind = one.kind
        chunks = kind.test[:: -(-len(kind.test) // most)]
        for eps in EPSILONS:
            own, reached = zip(*(guarded(one, eps, chunk) for chunk in chunks), strict=True)
            rival = Normal(frazil.Bounded(bound=eps, base="auto"), kind.mean, kind.std)
            sz3 = [sz3_chunk(chunk, eps)[0] for chunk in kind.normal(chunks)]
            ours = [len(rival.encode(chunk)) for chunk in chunks]
            cells: list[object] = [f"{8 * sum(own) / chunks.size:.4f}"]
            for others in (sz3, ours):
                ratios = [theirs / mine for theirs, mine in zip(others, own, strict=True)]
                summary = sum(others) / sum(own), statistics.median(ratios), min(ratios)
                cells += [f"{ratio:.2f}" for ratio in summary]
            rows.append([kind.name, one.model.name, f"{eps:g}", len(chunks), *cells, f"{max(reached):.6f}"])
    header = ["data", "model", "bound, std", "chunks", "bpv"]
    columns = [f"{what}{rival}" for rival in ("SZ3", "Bounded") for what in ("", "median, ", "worst, ")]
    return table([*header, *columns, "error / bound"], rows)


def baselines_text(kinds: list[Kind]) -> str:
    """Lay out the curves of the baselines, kind by kind."""
    return "\n\n".join(f"**{kind.name}**: {kind.split}\n\n{overview(curves(kind))}" for kind in kinds)


def indices_text(found: list[Contender]) -> str:
    """Lay out bits an index, of models that have some."""
    some = [(one.model, one.kind.test) for one in found if one.model.decoder.kind == "codeword"]
    return neural_models.indices_table(some) if some else ""


def lacking(name: str) -> str:
    """Say which module a table has to wait for; empty if none."""
    for module in NEEDS[name]:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"{module} cannot be imported: {error}"
    return ""


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--only", default="", help="kinds of data whose name contains this")
    parser.add_argument("--model", action="append", default=[], metavar="KIND=NAME", help="one more model")
    parser.add_argument("--tables", default=",".join(NEEDS), help="which of them, with commas")
    parser.add_argument("--no-linear", action="store_true", help="fit no linear models")
    parser.add_argument("--repeats", type=int, default=5, help="turns of the timing")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    if absent():
        return
    wanted = options.tables.split(",")
    if unknown := set(wanted) - NEEDS.keys():
        parser.error(f"there is no table {', '.join(sorted(unknown))}; there are {', '.join(NEEDS)}")
    publish("neural: setting", f"{machine()}", write=options.write)
    kinds = [read() for name, read in KINDS.items() if options.only in name]
    missing = {name: lacking(name) for name in wanted}
    for name, reason in missing.items():
        if reason:
            print(f"no table of {name}: {reason}", flush=True)
    found: list[Contender] = []
    if any(NEEDS[name] and not missing[name] for name in wanted):
        for kind in kinds:
            named = [m.partition("=")[2] for m in options.model if m.partition("=")[0] == kind.name]
            found += contenders(kind, named, linear=not options.no_linear)
    parts: dict[str, dict[str, Callable[[], str]]] = {
        "baselines": {"baselines": partial(baselines_text, kinds)},
        "curves": {"curves": partial(curves_table, found), "models": partial(pays_table, found)},
        "bands": {"bands": partial(bands_table, [one for one in found if one.kind.name == "tiles"])},
        "bounded": {"bounded": partial(bounded_table, found)},
        "indices": {"indices": partial(indices_text, found)},
        "speed": {
            "speed": lambda: neural_models.speed_table(
                [(o.kind.name, o.model, o.codecs[o.usual], o.kind.test[0]) for o in found], options.repeats
            )
        },
        "fingerprints": {"fingerprints": lambda: neural_models.fingerprints_text([o.model for o in found])},
    }
    for name in wanted:
        for title, make in parts[name].items() if not missing[name] else ():
            # A table without rows is two lines: its header and a rule.
            if (text := make()).count("\n") > 1:
                publish(f"neural: {title}", text, write=options.write)
            else:
                print(f"no table of {title}: no model has what it shows", flush=True)


if __name__ == "__main__":
    main()
