"""An error bound that holds at every point, around any coder."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numcodecs.abc import Codec

from frazil import bounds, container
from frazil.codecs.base import PlaneCodec
from frazil.errors import ConfigurationError, NoRoomError, TruncatedError
from frazil.guarantee import choice, quality, rebuilding, record, reduced
from frazil.guarantee.task import Task
from frazil.planes import stack_shape
from frazil.sealing import unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from frazil.bounds import Bound
    from frazil.cells import Cells
    from frazil.container import Sections
    from frazil.guarantee.task import Settled
    from frazil.masks import Valid

KEPT = ("mean", "range", "sign", "zeros")
METHODS = ("auto", "interpolation", "wavelet")


@dataclass(frozen=True, kw_only=True)
class Bounded(PlaneCodec):
    """|decoded - original| <= bound at every point, whatever does the coding.

    NaN, infinities and missing values come back bit for bit. Every chunk is
    decoded when it is encoded, and compared; where the bound would not hold,
    the value itself is stored.

    Parameters
    ----------
    bound : float or str
        Absolute, in the units of the array: ``0.1`` or ``"abs:0.1"``. Or
        ``"rel:1e-3"`` of the chunk's range, ``"rel:1e-3:array"`` of the whole
        array's (`frazil.to_zarr` turns it into a number), ``"pw_rel:1e-3"`` of each
        value, ``"local_std:window=15,fraction=0.1,floor=1e-3"``, or ``"array"``: bounds
        given beside the data. Where a bound is 0 the value is exact.
    base : str or codec
        "auto": the smaller of the built-in methods, chunk by chunk; or one of
        them, "interpolation" or "wavelet"; or a codec whose errors are then
        corrected: `JP2K` or any numcodecs codec that takes the chunk.
    residual : {"context", "mask"}
        How a base codec's errors are corrected. "context": in steps of twice the bound, with
        a context-mixing coder. "mask": the method of the WeatherGenerator report D1.2, for JPEG 2000.
    profile : {"best", "fast"}
        "fast" trades some per cent of size for speed.
    grid : bool
        Decoded values lie on a fixed grid, so that rewriting them changes nothing.
    ratio : float, optional
        Bytes in over bytes out to aim at; the bound always wins.
    rmse : float, optional
        Root mean square error to aim at, in the units of the array; the bound always wins.
    preserve : sequence of {"sign", "zeros", "range", "mean"}
        What else is kept: the sign of each value; exact zeros; the extremes of each
        chunk; the mean of each plane, to a hundredth of the bound.
    missing : float, optional
        See `PlaneCodec`.

    Raises
    ------
    ConfigurationError
        If the settings contradict each other or are out of range.

    Examples
    --------
    >>> y, x = np.mgrid[:256, :256] / 256
    >>> field = (280 + 20 * np.sin(5 * y) * np.cos(7 * x)).astype("f4")
    >>> codec = Bounded(bound=0.1)
    >>> encoded = codec.encode(field)
    >>> bool(field.nbytes / len(encoded) > 100)
    True
    >>> bool(abs(codec.decode(encoded) - field).max() <= 0.1)
    True
    """

    codec_id: ClassVar[str] = "frazil.bounded"
    bound: float | str
    base: Any = "auto"
    residual: Literal["context", "mask"] = "context"
    profile: Literal["best", "fast"] = "best"
    grid: bool = False
    ratio: float | None = None
    rmse: float | None = None
    preserve: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the configuration."""
        limit = self.limit  # parsed: what is wrong with it is said here
        object.__setattr__(self, "bound", self.bound if isinstance(self.bound, str) else limit.value)
        if isinstance(self.base, dict):
            from numcodecs.registry import get_codec

            object.__setattr__(self, "base", get_codec(dict(self.base)))
        object.__setattr__(self, "preserve", tuple(sorted(self.preserve)))
        for name, allowed in (("residual", ("context", "mask")), ("profile", ("best", "fast"))):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name} is {' or '.join(map(repr, allowed))}, got {getattr(self, name)!r}"
                )
        if isinstance(self.base, str) and self.base not in METHODS:
            raise ConfigurationError(
                f"base is one of {', '.join(map(repr, METHODS))} or a codec, got {self.base!r}"
            )
        unknown = [what for what in self.preserve if what not in KEPT]
        if unknown or isinstance(self.preserve, str):
            raise ConfigurationError(f"preserve lists some of {', '.join(KEPT)}; got {self.preserve!r}")
        if self.ratio is not None and (isinstance(self.ratio, bool) or not 1 < self.ratio < 1e6):
            raise ConfigurationError(f"ratio is bytes in over bytes out, 1 to 1e6, got {self.ratio!r}")
        if self.rmse is not None and (isinstance(self.rmse, bool) or not 0 < self.rmse < np.inf):
            raise ConfigurationError(f"rmse is in the units of the array, more than 0, got {self.rmse!r}")
        if self.ratio is not None and self.rmse is not None:
            raise ConfigurationError("Bounded takes one of ratio= and rmse=, got both")
        if self.grid and (self.limit.kind not in {"abs", "array"} or not isinstance(self.base, str)):
            raise ConfigurationError(
                "a fixed grid needs bounds that do not depend on the data, a number or 'array', and a "
                f"built-in method; got bound {self.limit.text!r} and base {self.base!r}"
            )
        if self.grid and (self.ratio or self.rmse or self.base == "wavelet" or set(self.preserve) & {"mean"}):
            raise ConfigurationError(
                "a fixed grid leaves nothing to choose: drop ratio=, rmse=, base='wavelet', preserve 'mean'"
            )
        _ = self.codec

    @cached_property
    def limit(self) -> Bound:
        """The bound, parsed."""
        return bounds.parse(self.bound)

    @cached_property
    def codec(self) -> Any:
        """The base codec; None for the built-in methods."""
        if isinstance(self.base, Codec):
            return self.base
        if not isinstance(self.base, str):
            raise ConfigurationError(
                f"base is one of {', '.join(map(repr, METHODS))} or a numcodecs codec, got {self.base!r}"
            )
        if self.residual == "mask":
            from frazil.codecs.jp2k import JP2K

            return JP2K()
        return None

    def __hash__(self) -> int:
        """Hash the configuration: base codecs of other packages may have none."""
        return hash(json.dumps(self.get_config(), sort_keys=True, default=repr))

    @property
    def lossless(self) -> bool:
        """Whether every chunk comes back bit for bit."""
        return self.limit.kind == "abs" and self.limit.value == 0

    @property
    def wants_bounds(self) -> bool:
        """Whether the bounds are an array, given beside the data."""
        return self.limit.kind == "array"

    def sentinels(self, fill_value: Any = None) -> list[Any]:
        """Zeros are kept like missing values: exactly, and without a trace on their neighbours."""
        exact = self.limit.kind == "pw_rel" or not {"zeros", "sign"}.isdisjoint(self.preserve)
        kept = [0.0, -0.0] if exact else []
        return super().sentinels(fill_value) + kept

    def reduced_meaning(self, level: int) -> str:
        """Say what the samples of ``level`` are: points within the bound, or something smoother."""
        method = "interpolation" if self.grid else str(self.base)
        return reduced.meaning(method, self.limit, level, self.codec)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        config = super().get_config()
        defaults = {"preserve": (), "grid": False, "profile": "best"}
        config["preserve"] = list(self.preserve)
        return {k: v for k, v in config.items() if k not in defaults or v not in (defaults[k], [])}

    def encode_planes(
        self,
        planes: npt.NDArray[Any],
        *,
        spent: int,
        valid: Valid | None = None,
        bounds: npt.NDArray[Any] | None = None,
    ) -> Sections:
        """Write the record (B), what the method needs (D, P), and its stream (Q); or a value (K); or all (R).

        ``bounds`` are those of an "array" bound, of the shape of the planes or of the chunk.
        """
        task = self._task(planes, None if valid is None else valid(), bounds)
        constant = task.constant()
        settled = task.settle(constant) if constant is not None else None
        if settled is not None:
            return settled.sections
        if (self.ratio or self.rmse) and self.codec is None:
            budget = None if self.ratio is None else int(planes.nbytes / self.ratio) - spent
            methods = METHODS[1:] if self.base == "auto" else (self.base,)
            settled = quality.reach(task, budget=budget, rmse=self.rmse, methods=methods)
        else:
            settled = self._settle(task)
        if settled is None or 3 * settled.size > planes.nbytes:
            exact = filter(None, map(task.settle, task.exactly()))
            settled = min([*exact, *([settled] if settled else [])], key=lambda attempt: attempt.size)
        return settled.sections

    def decode_planes(
        self,
        sections: Sections,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        level: int = 0,
        *,
        valid: Valid | None = None,
    ) -> npt.NDArray[Any]:
        """Invert `encode_planes` within the bound, at 1/2**level of the resolution."""
        known = None if valid is None else valid()
        return rebuilding.rebuild(sections, shape, dtype, level, known, self.codec)

    def bytes_needed(self, prefix: bytes, level: int) -> int:
        """How many of a container's first bytes `decode_prefix` needs for ``level``; see `PlaneCodec`."""
        head = container.peek(prefix)
        if (
            level == 0
            or head.total <= len(prefix)
            or head.spans.keys() & {rebuilding.CONSTANT, rebuilding.RAW}
        ):
            return head.total
        if not head.spans.keys() >= {rebuilding.RECORD, rebuilding.STREAM}:
            known = max((stop for _, stop in head.spans.values()), default=len(prefix))
            return min(max(known, len(prefix)) + 256, head.total)
        (first, last), (start, stop) = head.spans[rebuilding.RECORD], head.spans[rebuilding.STREAM]
        said = record.unpack(unseal(bytes(prefix[first:last])), head.spec.dtype)
        if not said.checks:
            return head.total
        try:
            needed = rebuilding.prefix_needed(
                said.method, bytes(prefix[start:stop]), stack_shape(head.spec.shape), level
            )
        except TruncatedError:
            return min(len(prefix) + 256, head.total)
        return min(start + needed, head.total)

    def _task(
        self,
        planes: npt.NDArray[Any],
        known: npt.NDArray[np.bool_] | None,
        given: npt.NDArray[Any] | None,
    ) -> Task:
        """Say what the errors of a chunk may be."""
        wide = planes.astype("f4") if planes.dtype == np.dtype("f2") else planes
        allowed = self.limit.resolve(planes, known, given=given)
        if self.limit.kind in {"rel", "local_std"}:
            # whoever checks it may compute range or deviation in single precision
            allowed = allowed * (1 - 2.0**-14)
        if planes.dtype.kind == "f":
            # ... or the difference: it is rounded to no more than the bound if the dtype holds the bound
            with np.errstate(over="ignore"):
                single = np.asarray(allowed).astype(planes.dtype).astype("f8")
            if planes.dtype == np.dtype("f8"):
                single *= 1 - 2.0**-52  # no wider type to compare in: a difference may be rounded down
            allowed = np.minimum(allowed, single)
        if not self.limit.pointwise:
            allowed = float(allowed)
        limits = None
        if "range" in self.preserve:
            inside = wide if known is None or not known.any() else wide[known]
            limits = (float(inside.min()), float(inside.max()))
        return Task(
            planes=planes,
            wide=wide,
            known=known,
            allowed=allowed,
            base=self.codec,
            fraction=self.limit.value if self.limit.kind == "pw_rel" and planes.dtype.kind == "f" else None,
            limits=limits,
            keep=tuple(what for what in self.preserve if what in {"sign", "mean"}),
            grid=self.grid,
            profile=self.profile,
        )

    def _settle(self, task: Task) -> Settled | None:
        """Take the first attempt that keeps the bound; where means are kept, the smallest of three bounds."""
        if "mean" not in self.preserve:
            return next(filter(None, map(task.settle, self._encoded(task, task.cells()))), None)
        found: list[Settled] = []
        for share in (1.0, 0.97, 0.9):
            # means are shifted within what a part of the bound leaves free
            found += filter(None, map(task.settle, self._encoded(task, task.cells(share))))
        return min(found, key=lambda settled: settled.size, default=None)

    def _encoded(self, task: Task, cells: Cells | None) -> Iterator[Sections]:
        if self.codec is not None and self.residual == "mask":
            with suppress(NoRoomError):
                yield task.masked()
        elif cells is None:
            return
        elif self.codec is not None:
            with suppress(NoRoomError):
                yield task.corrected(cells)
        elif self.base == "wavelet":
            yield task.transformed(cells)
        elif self.base == "interpolation":
            yield task.interpolated(cells)
        else:
            yield from choice.attempts(task, cells)
