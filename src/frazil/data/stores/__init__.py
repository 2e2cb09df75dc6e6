"""Chunks of any Zarr store or dataset: where they lie, how they become values.

`reader` is what others use; `opening` finds the arrays, `variables` and
`stored_arrays` describe them, `chunk_sources` read their chunks: `direct`
where the codecs are known, `placement` and `objects` for what lies where.
`cf` unpacks values, `retries` tries again what failed, `fingerprints` tells
one store from another, `attributes` writes to it.
"""

from frazil.data.stores.reader import StoreReader
from frazil.data.stores.stored_arrays import StoredArray

__all__ = ["StoreReader", "StoredArray"]
