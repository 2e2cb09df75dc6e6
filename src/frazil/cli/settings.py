"""Codecs and chunks as a user writes them: ``jp2k:ratio=32,coder=ht``, ``time=1,lat=721``, or YAML.

The notation of codecs is in `frazil.notation`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from frazil.errors import ConfigurationError
from frazil.notation import PREFIX, pair, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from frazil.codecs.base import PlaneCodec

LOSSLESS = "lossless"
QUOTES = "'\""
KEYS = ("codec", "variables", "chunks", "zarr_format")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to compress a data set.

    Parameters
    ----------
    codec : PlaneCodec or None
        For the variables that are not named; None for lossless.
    variables : dict of str to PlaneCodec or None
        For single variables.
    chunks : dict of str to int
        By dimension.
    zarr_format : {3, 2}
    """

    codec: PlaneCodec | None = None
    variables: dict[str, PlaneCodec | None] = field(default_factory=dict)
    chunks: dict[str, int] = field(default_factory=dict)
    zarr_format: int = 3


def gather(
    codec: str | None,
    variables: Iterable[str],
    chunks: str | None,
    zarr_format: int | None,
    config: Path | None,
) -> Settings:
    """Join the command line with the YAML file; the command line wins.

    Raises
    ------
    ConfigurationError
        If there is no codec at all, or one of the texts cannot be read.
    """
    found = read_config(config) if config else {}
    named = {str(k): read_codec(v) for k, v in _mapping(found.get("variables"), "variables").items()}
    named |= {name: read_codec(text) for name, text in (pair(text, "--var") for text in variables)}
    default = codec if codec is not None else found.get("codec")
    if default is None and not named:
        raise ConfigurationError(
            "name a codec: --codec jp2k:ratio=32 for all, or --var t2m=jp2k:psnr=60 for one"
        )
    cut = {str(k): v for k, v in _mapping(found.get("chunks"), "chunks").items()}
    cut |= read_chunks(chunks) if chunks else {}
    for dim, length in cut.items():
        if not isinstance(length, int) or isinstance(length, bool):
            raise ConfigurationError(f"a chunk length is a whole number, got {length!r} along {dim!r}")
    written = zarr_format if zarr_format is not None else found.get("zarr_format", 3)
    if written not in (2, 3):
        raise ConfigurationError(f"the Zarr format is 2 or 3, got {written!r}")
    return Settings(
        codec=read_codec(default) if default is not None else None,
        variables=named,
        chunks=cut,
        zarr_format=written,
    )


def read_codec(given: str | Mapping[str, Any] | None) -> PlaneCodec | None:
    """Make the codec that a text or a mapping names; None for ``"lossless"``.

    Examples
    --------
    >>> read_codec("lossless")
    >>> read_codec("jp2k:ratio=32,coder=ht").ratio
    32
    >>> read_codec("bounded:bound=rel:1e-3,base=jp2k(ratio=20),residual=mask").base.ratio
    20
    """
    from numcodecs.errors import UnknownCodecError
    from numcodecs.registry import get_codec

    from frazil.codecs.base import PlaneCodec

    if given is None or given == LOSSLESS:
        return None
    config = parse(given) if isinstance(given, str) else dict(given)
    name = config.get("id")
    if not isinstance(name, str):
        raise ConfigurationError(f"a codec needs an id, such as jp2k; got {given!r}")
    try:
        codec = get_codec(_whole(config))
    except ConfigurationError:
        raise
    except UnknownCodecError as error:
        raise ConfigurationError(
            f"there is no codec {str(error.codec_id).strip(QUOTES)!r}; there are {', '.join(known())}"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the settings of {given!r} make no codec: {error}") from error
    if not isinstance(codec, PlaneCodec):
        raise ConfigurationError(f"{name!r} is not one of frazil's codecs; there are {', '.join(known())}")
    return codec


def known() -> list[str]:
    """Names of the codecs that the command line takes."""
    from importlib.metadata import entry_points

    names = {point.name for point in entry_points(group="numcodecs.codecs")}
    return [*sorted(name.removeprefix("frazil.") for name in names if name.startswith("frazil.")), LOSSLESS]


def read_chunks(text: str) -> dict[str, int]:
    """Read chunk lengths by dimension; -1 is the whole axis.

    Examples
    --------
    >>> read_chunks("time=1,lat=-1")
    {'time': 1, 'lat': -1}
    """
    pairs = [pair(part, "--chunks") for part in text.split(",")]
    try:
        return {name: int(length) for name, length in pairs}
    except ValueError as error:
        raise ConfigurationError(
            f"--chunks wants whole numbers, as in time=1,lat=721, got {text!r}"
        ) from error


def read_limits(texts: Iterable[str], option: str) -> tuple[float | None, dict[str, float]]:
    """Read ``0.5`` (for all lossy variables) and ``t2m=0.5`` (for one).

    Examples
    --------
    >>> read_limits(["t2m=0.5", "1"], "--max-error")
    (1.0, {'t2m': 0.5})
    """
    default, named = None, {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        try:
            limit = float(number)
        except ValueError as error:
            raise ConfigurationError(f"{option} wants a number or NAME=NUMBER, got {text!r}") from error
        if not limit >= 0:
            raise ConfigurationError(f"{option} wants a limit of 0 or more, got {text!r}")
        if equals:
            named[name] = limit
        else:
            default = limit
    return default, named


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings (see docs/how-to/command-line.md)."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    settings = _mapping(found, str(path))
    unknown = sorted(str(key) for key in settings if key not in KEYS)
    if unknown:
        raise ConfigurationError(f"{path} holds {', '.join(unknown)}; it may hold {', '.join(KEYS)}")
    return settings


def _whole(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give codecs their full names, and texts that name a codec their form."""
    found = dict(config)
    if isinstance(name := found.get("id"), str) and "." not in name and name in known():
        found["id"] = f"{PREFIX}{name}"
    base = found.get("base")
    if isinstance(base, str) and (base in known() or not base.isidentifier()):
        base = parse(base)
    if isinstance(base, dict):
        found["base"] = _whole(base)
    if isinstance(kept := found.get("preserve"), str):
        found["preserve"] = kept.split("+")
    return found


def _mapping(found: Any, what: str) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigurationError(f"{what} wants a mapping of names to settings, got {found!r}")
    return dict(found)
