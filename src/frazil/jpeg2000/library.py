"""Find OpenJPEG (libopenjp2) and the C structures that describe its interface.

The library comes with the wheels of imagecodecs and of Pillow, which frazil
depends on, so that nothing has to be installed by a system administrator; the
system's own is the last resort. The structures are glymur's: its module is
loaded here a second time, privately, with the library that was found. Imported
the usual way it would look for a library by itself, in the working directory's
``glymurrc`` first.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from frazil.errors import MissingEngineError

WHEELS = (
    ("imagecodecs", "../imagecodecs.libs/libopenjp2*"),
    ("imagecodecs", ".dylibs/libopenjp2*"),
    ("PIL", "../pillow.libs/libopenjp2*"),
    ("PIL", ".dylibs/libopenjp2*"),
)
OLDEST = (2, 4)  # the first that writes PLT markers, from which the resolutions' lengths are read


def candidates() -> list[str]:
    """Paths at which a libopenjp2 lies, wheels first, without loading any."""
    found = []
    for package, pattern in WHEELS:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            home = Path(spec.origin).parent
            base, _, name = pattern.rpartition("/")
            found += sorted(str(path) for path in (home / base).resolve().glob(name))
    system = ctypes.util.find_library("openjp2")
    return [*found, system] if system else found


@cache
def structures(path: str | None = None) -> Any:
    """Load OpenJPEG and glymur's description of it.

    Parameters
    ----------
    path : str, optional
        A certain library; by default the first of `candidates` that loads.

    Returns
    -------
    module
        glymur's ``lib.openjp2``, whose ``OPENJP2`` is the loaded library.

    Raises
    ------
    MissingEngineError
        If no library is found, or none that is new enough.
    """
    tried = []
    for name in [path] if path else candidates():
        try:
            library = ctypes.CDLL(name)
            library.opj_version.restype = ctypes.c_char_p
            version = library.opj_version().decode()
        except (OSError, AttributeError) as problem:
            tried.append(f"{name} ({problem})")
            continue
        if tuple(map(int, version.split(".")[:2])) >= OLDEST:
            return _describe(library)
        tried.append(f"{name} (version {version})")
    raise MissingEngineError(
        "no OpenJPEG library (libopenjp2 2.4 or newer) was found; "
        f"tried {', '.join(tried) or 'the wheels of imagecodecs and Pillow, and the system'}. "
        "Install one with: pip install imagecodecs"
    )


def _describe(library: ctypes.CDLL) -> ModuleType:
    """Execute glymur/lib/openjp2.py in a package of our own, whose configuration is ``library``."""
    spec = importlib.util.find_spec("glymur")
    if spec is None or spec.origin is None:
        raise MissingEngineError(
            "glymur describes OpenJPEG's structures and is missing: pip install 'glymur<0.15'"
        )
    package = f"_frazil_openjpeg_{library._handle:x}"  # noqa: SLF001 - one private copy for each library
    config = ModuleType(f"{package}.config")
    config.glymur_config = lambda _: library  # type: ignore[attr-defined]
    source = importlib.util.spec_from_file_location(
        f"{package}.lib.openjp2", Path(spec.origin).parent / "lib" / "openjp2.py"
    )
    if source is None or source.loader is None:
        raise MissingEngineError(
            f"glymur at {spec.origin} has no lib/openjp2.py: pip install 'glymur>=0.14,<0.15'"
        )
    sys.modules |= {config.__name__: config}
    for name in (package, f"{package}.lib"):
        parent = ModuleType(name)
        parent.__path__ = []
        sys.modules[name] = parent
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    return module
