"""What every codec promises, as tests to inherit; and what it takes to write more of them.

::

    from frazil.testing import CodecContract

    class TestDeflate16(CodecContract):
        codec = Deflate16()
        tolerance = 1e-5    # of the range: half of 1 / 65535, and then some

The rest of a codec's test file is what is peculiar to that codec. Strategies
for hypothesis (`shapes`, `float_arrays`, `int_arrays`, `bounds`) make arrays that
weather never sends and users do; `reseal` lets a mutated chunk past the
checksum, so that the decoder behind it is tested too.
"""

from __future__ import annotations

try:
    import hypothesis  # noqa: F401 - asked for here, so that a missing one is said once and in a sentence
    import pytest  # noqa: F401
except ImportError as error:
    raise ImportError("frazil.testing needs pytest and hypothesis: pip install 'frazil[testing]'") from error

from frazil.testing.arrays import bit_equal, bounds, field, float_arrays, int_arrays, shapes
from frazil.testing.chunks import reseal, roundtrip
from frazil.testing.contract import CodecContract

__all__ = [
    "CodecContract",
    "bit_equal",
    "bounds",
    "field",
    "float_arrays",
    "int_arrays",
    "reseal",
    "roundtrip",
    "shapes",
]
