"""Compare a compressed store with its source, variable by variable, part by part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from frazil.chunk_bounds import SUFFIX
from frazil.errors import ConfigurationError, FrazilError
from frazil.metrics import Scores, score_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt
    import xarray as xr

    from frazil.bound_checks import BoundCheck


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a lossy variable may differ by; None is no limit, a variable's own limit goes first.

    Parameters
    ----------
    max_error, rmse : float or None
        In the units of the variable.
    relative : float or None
        Largest error / range of the original.
    named : dict
        ``{"max_error": {"t2m": 0.5}, ...}``.
    """

    max_error: float | None = None
    rmse: float | None = None
    relative: float | None = None
    named: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, name: str) -> dict[str, float]:
        """Limits that hold for variable ``name``."""
        found = {key: self.named.get(key, {}).get(name, getattr(self, key)) for key in WORDS}
        return {key: limit for key, limit in found.items() if limit is not None}

    def names(self) -> set[str]:
        """Variables that have a limit of their own."""
        return {name for limits in self.named.values() for name in limits}


WORDS = {"max_error": "max error", "rmse": "RMSE", "relative": "relative error"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one variable came through; ``problems`` is empty where all is well.

    ``bound`` is the bound that its codec keeps, if it keeps one, and ``share`` the largest error over it.
    """

    name: str
    codec: str
    lossy: bool
    scores: Scores
    problems: tuple[str, ...]
    bound: str | None = None
    share: float | None = None


def verify(original: str | Path, compressed: str | Path, limits: Limits | None = None) -> Iterator[Verdict]:
    """Compare every variable of ``original`` with its counterpart; yields a `Verdict` for each.

    A variable fails if it is absent or cannot be decoded, if its shape
    differs, if other points are missing than in the original, if its codec
    is lossless and a value differs, if it exceeds its limits, or if its codec
    keeps a bound and an error exceeds it or what its chunk
    records of it. Where the bounds are an array, that is looked for beside
    the variable, as ``<name>_bound``, in the store and then in the original.

    Parameters
    ----------
    original, compressed : str or Path
        NetCDF or Zarr, paths or URLs.
    limits : Limits, optional

    Raises
    ------
    StoreError
        If one of the two cannot be opened.
    ConfigurationError
        If a limit names a variable that is not there.
    """
    from frazil.inventory import frazil_codec, is_lossy
    from frazil.notation import codec_text
    from frazil.sources import is_zarr, open_group, open_source

    limits = limits or Limits()
    group = open_group(compressed) if is_zarr(str(compressed)) else None
    with open_source(original) as ours, open_source(compressed) as theirs:
        for name in sorted(limits.names() - set(map(str, ours.variables))):
            raise ConfigurationError(f"a limit names {name!r}, which the original does not have")
        for name in map(str, ours.variables):
            if name not in theirs.variables:
                gone = ("is not in the store",)
                yield Verdict(name=name, codec="", lossy=False, scores=Scores(), problems=gone)
                continue
            array: Any = group[name] if group is not None else None
            config = frazil_codec(array) if array is not None else None
            lossy = array is not None and is_lossy(array)
            text = codec_text(config) if config else "lossless"
            verdict = Verdict(name=name, codec=text, lossy=lossy, scores=Scores(), problems=())
            beside = f"{name}{SUFFIX}"
            bounds = next((ds.variables[beside] for ds in (theirs, ours) if beside in ds.variables), None)
            verdict = _compared(verdict, ours.variables[name], theirs.variables[name], array, bounds)
            found = verdict.problems or _problems(verdict.scores, limits.of(name), lossy=lossy)
            yield replace(verdict, problems=found)


def _compared(
    verdict: Verdict, ours: xr.Variable, theirs: xr.Variable, array: Any, bounds: xr.Variable | None
) -> Verdict:
    from frazil.bound_checks import BoundCheck
    from frazil.inventory import bound_of

    if ours.shape != theirs.shape or ours.dims != theirs.dims:
        wrong = f"has shape {dict(theirs.sizes)}, the original {dict(ours.sizes)}"
        return replace(verdict, problems=(wrong,))
    try:
        if array is None or bound_of(array) is None:
            return replace(verdict, scores=score_parts(_parts(ours, theirs, array)))
        check = BoundCheck(array, theirs, bounds)
        scores = score_parts(_parts(ours, theirs, array, check))
    except (FrazilError, ValueError, RuntimeError) as error:  # a damaged chunk is a finding, not our failure
        return replace(verdict, problems=(f"cannot be decoded: {error}",))
    return replace(verdict, scores=scores, problems=check.problems(), bound=check.text, share=check.share)


def _parts(
    ours: xr.Variable, theirs: xr.Variable, array: Any, check: BoundCheck | None = None
) -> Iterator[tuple[npt.ArrayLike, npt.ArrayLike]]:
    from frazil.access import default_chunks
    from frazil.transcode import plan

    chunks = default_chunks(theirs.shape) if array is None else array.shards or array.chunks
    for region in plan(theirs.shape, chunks, theirs.dtype.itemsize):
        at = tuple(slice(*span) for span in region)
        pair = ours[at].values, theirs[at].values
        if check is not None:
            check.add(region, *pair)
        yield pair


def _problems(scores: Scores, limits: Mapping[str, float], *, lossy: bool) -> tuple[str, ...]:
    found = []
    if not scores.same_mask:
        found.append(f"{scores.mask_differs} points are missing in one and not in the other")
    if not lossy and not scores.identical and scores.same_mask:
        found.append(f"is stored lossless, but {scores.differing} points differ")
    found += [
        f"{WORDS[key]} {getattr(scores, key):.4g} is above {limit:g}"
        for key, limit in limits.items()
        if not getattr(scores, key) <= limit
    ]
    return tuple(found)
