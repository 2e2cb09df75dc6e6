"""Compare a compressed store with its source, variable by variable, part by part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from frazil.errors import ConfigurationError, FrazilError
from frazil.metrics import Scores, score_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt
    import xarray as xr


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
    """How one variable came through; ``problems`` is empty where all is well."""

    name: str
    codec: str
    lossy: bool
    scores: Scores
    problems: tuple[str, ...]


def verify(original: str | Path, compressed: str | Path, limits: Limits | None = None) -> Iterator[Verdict]:
    """Compare every variable of ``original`` with its counterpart; yields a `Verdict` for each.

    A variable fails if it is absent or cannot be decoded, if its shape
    differs, if other points are missing than in the original, if its codec
    is lossless and a value differs, or if it exceeds its limits.

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
    from frazil.inventory import codec_text, frazil_codec, is_lossy
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
            scores, broken = _compare(ours.variables[name], theirs.variables[name])
            problems = broken or _problems(scores, limits.of(name), lossy=lossy)
            text = codec_text(config) if config else "lossless"
            yield Verdict(name=name, codec=text, lossy=lossy, scores=scores, problems=problems)


def _compare(ours: xr.Variable, theirs: xr.Variable) -> tuple[Scores, tuple[str, ...]]:
    if ours.shape != theirs.shape or ours.dims != theirs.dims:
        return Scores(), (f"has shape {dict(theirs.sizes)}, the original {dict(ours.sizes)}",)
    try:
        return score_parts(_parts(ours, theirs)), ()
    except (FrazilError, ValueError, RuntimeError) as error:  # a damaged chunk is a finding, not our failure
        return Scores(), (f"cannot be decoded: {error}",)


def _parts(ours: xr.Variable, theirs: xr.Variable) -> Iterator[tuple[npt.ArrayLike, npt.ArrayLike]]:
    from frazil.access import default_chunks
    from frazil.transcode import plan

    cut = theirs.encoding.get("preferred_chunks", {})
    default = default_chunks(theirs.shape)
    chunks = tuple(cut.get(dim, length) for dim, length in zip(theirs.dims, default, strict=True))
    for region in plan(theirs.shape, chunks, theirs.dtype.itemsize):
        at = tuple(slice(*span) for span in region)
        yield ours[at].values, theirs[at].values


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
