"""OpenJPEG in memory: planes of integers to a codestream and back, nothing through the file system.

ISO/IEC 15444-1 by libopenjp2, through ctypes, which releases the GIL in every
call. One codec object a call and no state of our own: safe in any number of
threads.
"""

from __future__ import annotations

import ctypes as c
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import EngineError, FormatError, NoRoomError
from frazil.jpeg2000.codestream import Layout, main_header
from frazil.jpeg2000.library import structures

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Fill = Callable[[int, npt.NDArray[np.int32]], None]
    Take = Callable[[int, npt.NDArray[np.int32]], None]

COMMENT = b"frazil"
BUFFER = 1 << 20
FAILED = c.c_size_t(-1).value
READ = c.CFUNCTYPE(c.c_size_t, c.c_void_p, c.c_size_t, c.c_void_p)
SKIP = c.CFUNCTYPE(c.c_int64, c.c_int64, c.c_void_p)
SEEK = c.CFUNCTYPE(c.c_int32, c.c_int64, c.c_void_p)
MESSAGE = c.CFUNCTYPE(None, c.c_char_p, c.c_void_p)


def encode(
    fill: Fill, layout: Layout, *, size: int | None = None, psnr: float | None = None, path: str | None = None
) -> bytes:
    """Encode planes of unsigned integers.

    Parameters
    ----------
    fill : callable
        ``fill(k, plane)`` writes plane ``k`` into ``plane``, int32 of shape (y, x):
        straight into the library's memory.
    layout : Layout
        With ``ht=False``.
    size : int, optional
        Bytes that the packets may take, allocated jointly over the planes.
    psnr : float, optional
        In dB below the full range of ``layout.bits``, over all planes. With neither, every bit is kept.
    path : str, optional
        A certain libopenjp2 (see `frazil.jpeg2000.library`).

    Returns
    -------
    bytes
        A codestream with a PLT marker.

    Raises
    ------
    EngineError
        If the library refuses.
    """
    opj, lib = _library(path)
    n, y, x = layout.shape
    parameters = opj.CompressionParametersType()
    lib.opj_set_default_encoder_parameters(c.byref(parameters))
    parameters.irreversible = int(not layout.reversible)
    parameters.numresolution = layout.decompositions + 1
    parameters.prog_order = 2
    parameters.tcp_numlayers = 1
    parameters.cp_comment = COMMENT
    if psnr is not None:
        parameters.cp_fixed_quality = 1
        parameters.tcp_distoratio[0] = psnr
    else:
        parameters.cp_disto_alloc = 1
        if size is not None:
            # The library counts the main header, the comment and EOC in its ratio.
            header = len(main_header(layout)) + 6 + len(COMMENT) + 2
            parameters.tcp_rates[0] = n * y * x * layout.bits / 8 / (size + header)
    components = (opj.ImageComptParmType * n)()
    for component in components:
        component.dx = component.dy = 1
        component.w, component.h = x, y
        component.prec = component.bpp = layout.bits
    image = lib.opj_image_create(n, components, 2)
    if not image:
        raise EngineError(f"OpenJPEG has no memory for {n} planes of {y} x {x} points")
    stream, codec = lib.opj_stream_create(BUFFER, 0), lib.opj_create_compress(0)
    messages, keep = _listen(lib, codec)
    written, callbacks = _writer(lib, stream)
    try:
        contents = image.contents
        contents.x1, contents.y1 = x, y
        for k in range(n):
            fill(k, np.ctypeslib.as_array(contents.comps[k].data, (y, x)))
        options = (c.c_char_p * 2)(b"PLT=YES", None)
        done = (
            lib.opj_setup_encoder(codec, c.byref(parameters), image)
            and lib.opj_encoder_set_extra_options(codec, options)
            and lib.opj_codec_set_threads(codec, 0)
            and lib.opj_start_compress(codec, image, stream)
            and lib.opj_encode(codec, stream)
            and lib.opj_end_compress(codec, stream)
        )
    finally:
        lib.opj_destroy_codec(codec)
        lib.opj_stream_destroy(stream)
        lib.opj_image_destroy(image)
    if not done:
        kind = NoRoomError if "output buffer" in _said(messages) else EngineError
        raise kind(f"OpenJPEG could not encode {n} planes of {y} x {x} points: {_said(messages)}")
    del keep, callbacks
    return bytes(written)


def decode(stream: bytes, take: Take, shape: tuple[int, int, int], *, path: str | None = None) -> None:
    """Decode a codestream of ``shape`` (n, y, x).

    Parameters
    ----------
    stream : bytes
        As `codestream.assemble` puts it together.
    take : callable
        ``take(k, plane)`` gets plane ``k``, int32 of shape (y, x), in the library's memory:
        valid during the call.
    shape : tuple of int
        What the codestream must hold.
    path : str, optional
        A certain libopenjp2.

    Raises
    ------
    FormatError
        If the library cannot decode the bytes.
    """
    opj, lib = _library(path)
    parameters = opj.DecompressionParametersType()
    lib.opj_set_default_decoder_parameters(c.byref(parameters))
    image = c.POINTER(opj.ImageType)()
    source, codec = lib.opj_stream_create(min(BUFFER, max(len(stream), 64)), 1), lib.opj_create_decompress(0)
    messages, keep = _listen(lib, codec)
    callbacks = _reader(lib, source, stream)
    try:
        done = (
            lib.opj_setup_decoder(codec, c.byref(parameters))
            and lib.opj_codec_set_threads(codec, 0)
            and lib.opj_read_header(source, codec, c.byref(image))
            and lib.opj_decode(codec, source, image)
            and lib.opj_end_decompress(codec, source)
        )
        n, y, x = shape
        if not done or image.contents.numcomps != n:
            raise FormatError(f"OpenJPEG cannot decode this codestream: {_said(messages)}")
        for k in range(n):
            component = image.contents.comps[k]
            if not component.data or (component.h, component.w) != (y, x):
                raise FormatError(f"OpenJPEG decoded no plane of {y} x {x} points: {_said(messages)}")
            take(k, np.ctypeslib.as_array(component.data, (y, x)))
    finally:
        lib.opj_destroy_codec(codec)
        lib.opj_stream_destroy(source)
        if image:
            lib.opj_image_destroy(image)
    del keep, callbacks


@cache
def _library(path: str | None) -> tuple[Any, Any]:
    """Declare what we call; on a handle of our own, since glymur declares anew at each of its calls."""
    opj = structures(path)
    lib = c.CDLL(opj.OPENJP2._name)  # noqa: SLF001 - the path it was loaded from
    pointer, integer, size = c.c_void_p, c.c_int32, c.c_size_t
    image, encoder = c.POINTER(opj.ImageType), c.POINTER(opj.CompressionParametersType)
    decoder, component = c.POINTER(opj.DecompressionParametersType), c.POINTER(opj.ImageComptParmType)
    declared: dict[str, tuple[Any, list[Any]]] = {
        "opj_stream_create": (pointer, [size, integer]),
        "opj_stream_destroy": (None, [pointer]),
        "opj_stream_set_read_function": (None, [pointer, READ]),
        "opj_stream_set_write_function": (None, [pointer, READ]),
        "opj_stream_set_skip_function": (None, [pointer, SKIP]),
        "opj_stream_set_seek_function": (None, [pointer, SEEK]),
        "opj_stream_set_user_data": (None, [pointer, pointer, pointer]),
        "opj_stream_set_user_data_length": (None, [pointer, c.c_uint64]),
        "opj_create_compress": (pointer, [integer]),
        "opj_create_decompress": (pointer, [integer]),
        "opj_destroy_codec": (None, [pointer]),
        "opj_set_default_encoder_parameters": (None, [encoder]),
        "opj_set_default_decoder_parameters": (None, [decoder]),
        "opj_setup_encoder": (integer, [pointer, encoder, image]),
        "opj_setup_decoder": (integer, [pointer, decoder]),
        "opj_encoder_set_extra_options": (integer, [pointer, c.POINTER(c.c_char_p)]),
        "opj_codec_set_threads": (integer, [pointer, c.c_int]),
        "opj_image_create": (image, [c.c_uint32, component, c.c_int]),
        "opj_image_destroy": (None, [image]),
        "opj_start_compress": (integer, [pointer, image, pointer]),
        "opj_encode": (integer, [pointer, pointer]),
        "opj_end_compress": (integer, [pointer, pointer]),
        "opj_read_header": (integer, [pointer, pointer, c.POINTER(image)]),
        "opj_decode": (integer, [pointer, pointer, image]),
        "opj_end_decompress": (integer, [pointer, pointer]),
        "opj_set_error_handler": (integer, [pointer, MESSAGE, pointer]),
    }
    for name, (result, arguments) in declared.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return opj, lib


def _listen(lib: Any, codec: Any) -> tuple[list[str], Any]:
    """Collect what the library has to say about this one call."""
    messages: list[str] = []
    handler = MESSAGE(lambda text, _: messages.append((text or b"").decode(errors="replace").strip()))
    lib.opj_set_error_handler(codec, handler, None)
    return messages, handler


def _said(messages: list[str]) -> str:
    return "; ".join(messages[:3]) or "it gave no reason"


def _writer(lib: Any, stream: Any) -> tuple[bytearray, tuple[Any, ...]]:
    written = bytearray()

    def write(source: int, count: int, _: int) -> int:
        written.extend(c.string_at(source, count))
        return count

    callbacks = (READ(write), SKIP(lambda _count, _data: -1), SEEK(lambda _position, _data: 0))
    lib.opj_stream_set_write_function(stream, callbacks[0])
    lib.opj_stream_set_skip_function(stream, callbacks[1])
    lib.opj_stream_set_seek_function(stream, callbacks[2])
    return written, callbacks


def _reader(lib: Any, stream: Any, data: bytes) -> tuple[Any, ...]:
    address, total, at = c.cast(c.c_char_p(data), c.c_void_p).value or 0, len(data), 0

    def read(target: int, count: int, _: int) -> int:
        nonlocal at
        count = min(count, total - at)
        if count <= 0:
            return FAILED
        c.memmove(target, address + at, count)
        at += count
        return count

    def skip(count: int, _: int) -> int:
        nonlocal at
        at = min(total, at + count)
        return count

    def seek(position: int, _: int) -> int:
        nonlocal at
        at = min(max(position, 0), total)
        return int(at == position)

    callbacks = (READ(read), SKIP(skip), SEEK(seek))
    lib.opj_stream_set_read_function(stream, callbacks[0])
    lib.opj_stream_set_skip_function(stream, callbacks[1])
    lib.opj_stream_set_seek_function(stream, callbacks[2])
    lib.opj_stream_set_user_data(stream, None, None)
    lib.opj_stream_set_user_data_length(stream, total)
    return callbacks
