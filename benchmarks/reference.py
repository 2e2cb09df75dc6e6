"""What JP2K is compared with: OpenJPEG called directly, at 16 bits, without anything of ours around it.

The encoder is libopenjp2 in memory, called plainly: all values of the chunk on 65536 levels between its
extremes, all planes as components of one image, 9/7 transform, one layer, code-blocks of 64 x 64, as many of
six resolutions as the planes allow. `Glymur` does the same through glymur and a file that lies in memory.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.jpeg2000 import library, openjpeg
from frazil.jpeg2000.codestream import Layout, assemble, decompositions, dissect, main_header
from frazil.planes import to_planes

if TYPE_CHECKING:
    import numpy.typing as npt

TOP = 65535
CLOSE = 0.002  # of the bytes: two encodings nearer than this are at equal bytes


def rmse(values: npt.NDArray[Any], decoded: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> float:
    """Root mean square error over the points that hold data."""
    error = decoded[valid].astype("f8") - values[valid].astype("f8")
    return math.sqrt(float(np.mean(error * error)))


@dataclass
class Direct:
    """A direct encoding of one chunk, at any number of bytes.

    Parameters
    ----------
    values : ndarray, shape (..., y, x)
        Missing points are given the mean of the others.
    """

    values: npt.NDArray[Any]
    tried: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Scale to 16 bits, once: this is not part of what is timed."""
        self.valid = np.isfinite(self.values)
        filled = np.where(self.valid, self.values, self.values[self.valid].mean(dtype="f8"))
        planes = to_planes(filled).astype("f8")
        self.low, self.span = float(planes.min()), float(np.ptp(planes))
        self.integers = np.rint((planes - self.low) * (TOP / self.span)).astype("i4")
        n, y, x = planes.shape
        self.layout = Layout((n, y, x), 16, decompositions(y, x))
        self.headers = len(main_header(self.layout)) + 16  # tile-part header, SOD, EOC

    def fill(self, k: int, out: npt.NDArray[np.int32]) -> None:
        """Hand plane ``k`` to the library."""
        np.copyto(out, self.integers[k])

    def encode(self, size: int) -> bytes:
        """Encode to ``size`` bytes, headers included: what is timed as "the plain 16-bit call"."""
        return openjpeg.encode(self.fill, self.layout, size=max(size - self.headers, 1))

    def rmse(self, size: int) -> float | None:
        """RMSE over valid points at ``size`` bytes: of an encoding that has them, or between two.

        None where the headers alone take more.
        """
        if size - self.headers < 8:
            return None
        ask = size
        for _ in range(5):
            near = min(self.tried, key=lambda got: abs(got - size), default=None)
            if near is not None and abs(near - size) <= CLOSE * size:
                return self.tried[near]
            below = max((got for got in self.tried if got < size), default=None)
            above = min((got for got in self.tried if got > size), default=None)
            if below is not None and above is not None and above - below < 0.04 * size:
                break
            got = self._try(ask)
            ask += size - got + (2 if got < size else -2)
        return self._between(size)

    def _try(self, size: int) -> int:
        body, _ = dissect(self.encode(size), self.layout)
        decoded = np.empty(self.integers.shape, "f8")

        def take(k: int, plane: npt.NDArray[np.int32]) -> None:
            decoded[k] = self.low + np.clip(plane, 0, TOP) * (self.span / TOP)

        openjpeg.decode(assemble(self.layout, body), take, self.layout.shape)
        if self.values.dtype.kind != "f":
            np.rint(decoded, out=decoded)
        got = len(body) + self.headers
        self.tried[got] = rmse(self.values, decoded.reshape(self.values.shape), self.valid)
        return got

    def _between(self, size: int) -> float | None:
        below = max((got for got in self.tried if got <= size), default=None)
        above = min((got for got in self.tried if got >= size), default=None)
        if below is None or above is None or not self.tried[above]:
            return self.tried[below if above is None else above]  # type: ignore[index]
        part = math.log(size / below) / math.log(above / below)
        return self.tried[below] ** (1 - part) * self.tried[above] ** part


class Glymur:
    """The direct encoding through glymur, into a file in /dev/shm where there is one."""

    def __init__(self, direct: Direct) -> None:
        self.direct = direct
        self.glymur = _import()
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - memory, not a predictable name
        self.folder = tempfile.TemporaryDirectory(dir=folder)
        self.path = Path(self.folder.name) / "chunk.j2k"
        self.pixels = np.ascontiguousarray(direct.integers.transpose(1, 2, 0).astype("u2"))
        if self.pixels.shape[2] == 1:
            self.pixels = self.pixels[..., 0]

    def encode(self, ratio: float) -> bytes:
        """Encode at OpenJPEG's own count of the ratio; return the file's bytes."""
        options: dict[str, Any] = {"mct": False} if self.pixels.ndim == 3 else {}
        self.glymur.Jp2k(
            self.path,
            data=self.pixels,
            cratios=[ratio],
            irreversible=True,
            numres=self.direct.layout.decompositions + 1,
            prog="RPCL",
            plt=True,
            **options,
        )
        return self.path.read_bytes()

    def decode(self) -> npt.NDArray[Any]:
        """Read the file that was written last."""
        return np.asarray(self.glymur.Jp2k(self.path)[:])

    def like(self, size: int) -> tuple[float, bytes]:
        """Ratio at which glymur's packets get the bytes of those of ``direct.encode(size)``, and its file."""
        body = size - self.direct.headers
        bits = 2 * self.direct.integers.size
        first = self.encode(bits / size)
        # Its comment names the library's version, and the library counts it.
        comment = first.index(b"\xff\x64")
        length = int.from_bytes(first[comment + 2 : comment + 4], "big") + 2
        ratio = bits / (body + len(main_header(self.direct.layout)) + length + 2)
        return ratio, self.encode(ratio)


def _import() -> Any:
    """Import glymur with the library that frazil uses; it looks for a configuration file only once."""
    if "glymur" not in sys.modules:
        with tempfile.TemporaryDirectory() as folder:
            configuration = Path(folder) / "glymur" / "glymurrc"
            configuration.parent.mkdir()
            configuration.write_text(f"[library]\nopenjp2: {library.structures().OPENJP2._name}\n")  # noqa: SLF001
            before = os.environ.get("XDG_CONFIG_HOME")
            os.environ["XDG_CONFIG_HOME"] = folder
            try:
                import glymur  # noqa: F401
            finally:
                if before is None:
                    del os.environ["XDG_CONFIG_HOME"]
                else:
                    os.environ["XDG_CONFIG_HOME"] = before
    return sys.modules["glymur"]
