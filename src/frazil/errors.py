"""Everything frazil raises or warns of on purpose.

::

    FrazilError
    ├── FormatError             (also a ValueError)   the bytes are not ours, too new, or damaged
    │   ├── TruncatedError          they end too early
    │   ├── ChecksumError           they changed after they were written
    │   └── ChunkMismatchError      they hold another shape or dtype than the array says
    ├── ConfigurationError      (also a ValueError)   these settings make no codec
    ├── UnsupportedArrayError   (also a TypeError)    this codec cannot hold this array
    ├── EngineError             (also a RuntimeError) a native library refused to do its part
    │   ├── MissingEngineError      or cannot be found at all
    │   └── NoRoomError             or gave up on noise that it would make larger
    ├── MissingModelError       (also a LookupError)  a model is nowhere that was looked
    └── StoreError              (also an OSError)     a store cannot be read or written as asked

    FrazilWarning               (a UserWarning)
    ├── BackendWarning              a library failed a model's self-test; numpy decodes it instead
    ├── LossyRewriteWarning         a partial write encodes points a second time
    ├── TargetWarning               a ratio or an error that was asked for cannot be had within the bound
    └── WorkerWarning               a process that read for a loader died; the loader goes on
"""


class FrazilError(Exception):
    """Base class: ``except FrazilError`` catches everything below."""


class FormatError(FrazilError, ValueError):
    """The encoded bytes cannot be read."""


class TruncatedError(FormatError):
    """The encoded bytes end before the container does."""


class ChecksumError(FormatError):
    """The container's checksum does not match its contents."""


class ChunkMismatchError(FormatError):
    """The container holds an array of another shape or dtype than its Zarr array declares."""


class ConfigurationError(FrazilError, ValueError):
    """The settings of a codec contradict each other or are out of range."""


class UnsupportedArrayError(FrazilError, TypeError):
    """The dtype or size of the array is outside what the codec stores."""


class EngineError(FrazilError, RuntimeError):
    """A native library (OpenJPEG, OpenJPH) refused to encode or decode."""


class MissingEngineError(EngineError):
    """A native library that this codec needs cannot be found."""


class NoRoomError(EngineError):
    """A native encoder's buffer is too small for data that it would not make smaller."""


class MissingModelError(FrazilError, LookupError):
    """The model that a chunk needs is in none of the places where models are looked for."""


class StoreError(FrazilError, OSError):
    """A store cannot be read or written as asked."""


class FrazilWarning(UserWarning):
    """Base class of the warnings."""


class BackendWarning(FrazilWarning):
    """A library did not pass a model's self-test; the slower path that always passes is taken."""


class LossyRewriteWarning(FrazilWarning):
    """A partial write decodes, merges and re-encodes points that were already lossy."""


class TargetWarning(FrazilWarning):
    """A ratio or an error that was asked for cannot be had within the bound."""


class WorkerWarning(FrazilWarning):
    """A process that read for a loader died; the loader goes on where it stood."""
