"""Packing chunks on their way, by Zstandard: only of objects that are no secret.

How short a chunk becomes tells what is in it, so nothing but what its owner has marked public is
ever packed. A packed chunk is one Zstandard frame that says how long its content is. Whoever gets
it knows the length of the chunk from the proven outline, and unpacks no byte more than that.

Needs the extra `zstd`. Without it nothing is packed, and nobody is told that we could unpack.

Source: RFC 8878 (Zstandard), section 3.1.1 for what a frame begins with.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.object import CHUNK_LOG2_MAX

LEVEL: Final = 1
"""Half the time of the level zstd takes by itself, and a few hundredths longer."""
WINDOW_MAX: Final = 4 << CHUNK_LOG2_MAX
"""How far back a frame may refer, in bytes: the longest chunk there is."""
MAGIC: Final = b"\x28\xb5\x2f\xfd"


class Packed(bytes):
    """The bytes of a chunk, packed; shorter than the chunk."""

    __slots__ = ()


def available() -> bool:
    """Whether the extra is installed."""
    return _zstandard() is not None


def pack(chunk: bytes) -> bytes:
    """A chunk as `Packed`, or as it is when that would not make it shorter; safe in any thread."""
    zstandard = _zstandard()
    if zstandard is None:
        return chunk
    packed: bytes = zstandard.ZstdCompressor(level=LEVEL).compress(chunk)
    return Packed(packed) if len(packed) < len(chunk) else chunk


def unpack(packed: bytes, length: int) -> bytes:
    """The chunk of `length` bytes that was packed; never more memory than that is taken.

    Raises:
        ProtocolError: It is malformed, or is not as long as the chunk should be.
    """
    zstandard = _zstandard()
    if zstandard is None:
        raise ProtocolError("a packed chunk came, and nobody here can unpack it")
    try:
        # The library makes room for what the frame says: that is looked at first.
        if packed[:4] != MAGIC or zstandard.frame_content_size(packed) != length:
            raise ProtocolError("a packed chunk is not as long as it should be")
        unpacker = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)
        chunk: bytes = unpacker.decompress(packed, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProtocolError("a packed chunk cannot be unpacked") from error
    return chunk


@cache
def _zstandard() -> Any | None:
    try:
        return import_module("zstandard")
    except ImportError:
        return None
