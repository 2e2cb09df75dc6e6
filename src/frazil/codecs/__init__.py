"""The codecs. One file each; this list is the only other place that names them."""

from frazil.codecs.bounded import Bounded
from frazil.codecs.jp2k import JP2K

__all__ = ["JP2K", "Bounded"]
