"""Objects: bytes under a name that is computed from them, checked chunk by chunk.

An object is cut into chunks. Its id is the root of a tree of BLAKE3 hashes over them:

    leaf   = BLAKE3(chunk)                           each hash under a context of its own
    cut    = BLAKE3(leaf | offset u64 | length u32)  mode CDC only: where the chunk lies
    node   = BLAKE3(left | right)                    an odd one at the end is promoted as it is
    root   = the top node; in mode CDC: BLAKE3(count of chunks u32 | top node)
    id     = BLAKE3(header | root)
    header = version u8 (1) | mode u8 | chunk_log2 u8 | size u64          all numbers big-endian

The leaves travel in pages of 512, each with the hashes beside its way to the root, so that a page
is proven before a chunk is asked for, and a chunk before it is written or passed on.

Modes: FIXED, all chunks of one length but the last; CDC, cut where the content says, between a
quarter and four times `1 << chunk_log2` bytes; SEALED, like FIXED over a ciphertext (`sealing`).

Source: the project's own; the two levels after Bao and iroh-blobs (chunk groups), the contexts
after RFC 6962, section 2.1 (a leaf is never taken for a node).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias

import msgspec
from blake3 import blake3 as _blake3

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.wire.ids import ObjectId

VERSION = 1
CHUNK_LOG2 = 18
"""256 KiB, what is checked at once."""
CHUNK_LOG2_MIN, CHUNK_LOG2_MAX = 10, 20
PAGE_LEAVES = 512
"""How many leaves a page holds; such a page fits one frame."""
HASH_BYTES = 32
OBJECT_MAX = 1 << 44
"""The largest object, in bytes."""
CHUNKS_MAX = OBJECT_MAX >> CHUNK_LOG2
"""The most chunks of an object, however small they are."""
SMALL_MAX = 16 * 1024
"""An object up to this size travels whole, in one frame."""
INLINE_MAX = 64 * 1024
"""An object up to this size has no file of its own."""
PROOF_MAX = 32
"""No tree is higher than this above its pages."""

_HEADER = struct.Struct(">BBBQ")
HEADER_BYTES = _HEADER.size
_WHERE = struct.Struct(">QI")
_COUNT = struct.Struct(">I")
CUTS_HEAD = struct.Struct(">IQ")
"""What `Page.lengths` begins with: the chunks of the object, and where the page begins."""

Data: TypeAlias = bytes | bytearray | memoryview


class BadObject(ProtocolError):  # noqa: N818 - what it is, in the field's word
    """The object itself is malformed: to blame is who named it, not who serves it."""


class Mode(IntEnum):
    """How an object is cut."""

    FIXED = 0
    CDC = 1
    SEALED = 2


class Header(msgspec.Struct, frozen=True):
    """What an object is, apart from its bytes; part of what its id is made of."""

    mode: Mode
    chunk_log2: int
    size: int
    """In bytes."""

    def __post_init__(self) -> None:
        fault = _fault(self.mode, self.chunk_log2, self.size)
        if fault:
            raise UsageError(f"no such object can be: {fault}")

    def pack(self) -> bytes:
        """The 11 bytes that are hashed and sent."""
        return _HEADER.pack(VERSION, self.mode, self.chunk_log2, self.size)

    @classmethod
    def unpack(cls, raw: bytes) -> Header:
        """Read a header.

        Raises:
            ProtocolError: It is not one of this version, or out of bounds.
        """
        if len(raw) != HEADER_BYTES:
            raise ProtocolError(f"the header of an object has {HEADER_BYTES} bytes, not {len(raw)}")
        version, mode, chunk_log2, size = _HEADER.unpack(raw)
        fault = _fault(mode, chunk_log2, size)
        if version != VERSION:
            fault = f"it has version {version}, and this program knows {VERSION}"
        if fault:
            raise ProtocolError(f"the header of an object is wrong: {fault}")
        return cls(Mode(mode), chunk_log2, size)

    @property
    def chunk_bytes(self) -> int:
        """The length of a chunk; in mode CDC about the average."""
        return 1 << self.chunk_log2

    @property
    def chunk_bytes_max(self) -> int:
        """No chunk is longer."""
        return self.chunk_bytes << 2 if self.mode is Mode.CDC else self.chunk_bytes

    @property
    def chunk_bytes_min(self) -> int:
        """No chunk but the last is shorter."""
        return self.chunk_bytes >> 2 if self.mode is Mode.CDC else self.chunk_bytes

    @property
    def inline(self) -> bool:
        """Whether it is one chunk that is kept without a file of its own."""
        return self.size <= min(INLINE_MAX, self.chunk_bytes_min)

    @property
    def chunks(self) -> int:
        """How many chunks, at least one. In mode CDC only a page tells: see `Growing.chunks`."""
        assert self.mode is not Mode.CDC, "only a page tells"
        return max(1, -(-self.size >> self.chunk_log2))

    @property
    def chunks_max(self) -> int:
        """There are no more chunks than this, in any mode."""
        return max(1, -(-self.size // self.chunk_bytes_min))

    def length(self, index: int) -> int:
        """The length of a chunk in bytes; not in mode CDC."""
        assert 0 <= index < self.chunks
        return min(self.chunk_bytes, self.size - (index << self.chunk_log2))


class Page(msgspec.Struct, frozen=True):
    """The leaves of up to 512 chunks, and what proves them."""

    index: int
    leaves: bytes
    """32 bytes each."""

    lengths: bytes
    """Mode CDC: chunks of the object u32 | offset of the page u64 | a length u32 for each leaf.
    Otherwise empty."""

    proof: bytes
    """32 bytes each: the node beside the way at every height above the page where there is one."""


def _hasher(context: str) -> Callable[[Data], bytes]:
    """BLAKE3 under a context, without deriving its key anew each time."""
    fresh = _blake3(derive_key_context=f"whispurrnet obj {context} v1").copy

    def digest(data: Data) -> bytes:
        hasher = fresh()
        hasher.update(data)
        return hasher.digest()

    return digest


leaf = _hasher("leaf")
"""The hash of one chunk."""

_node = _hasher("node")
_cut = _hasher("cut")
_cuts = _hasher("cuts")
_root = _hasher("root")


def parent(left: bytes, right: bytes) -> bytes:
    """The node above two."""
    return _node(left + right)


def cut(hashed: bytes, offset: int, length: int) -> bytes:
    """What stands in the tree of mode CDC in the place of a leaf."""
    return _cut(hashed + _WHERE.pack(offset, length))


def level_above(level: list[bytes]) -> list[bytes]:
    """The nodes above these; an odd one at the end is promoted as it is."""
    above = [_node(level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) & 1:
        above.append(level[-1])
    return above


def top(level: list[bytes]) -> bytes:
    """The one node above all of these, at least one."""
    while len(level) > 1:
        level = level_above(level)
    return level[0]


def object_id(header: Header, root: bytes, chunks: int = 0) -> ObjectId:
    """The id of an object.

    Args:
        header: Of the object.
        root: The top node of its tree.
        chunks: How many chunks it has; only mode CDC asks.
    """
    if header.mode is Mode.CDC:
        root = _cuts(_COUNT.pack(chunks) + root)
    return ObjectId(_root(header.pack() + root))


def small_id(header: Header, data: Data) -> ObjectId:
    """The id of an object of one chunk.

    Raises:
        ProtocolError: The data is not as long as the header says, or more than one chunk.
    """
    if len(data) != header.size or header.size > header.chunk_bytes:
        raise ProtocolError(
            f"an object of one chunk has {len(data)} bytes, and its header says {header.size}"
        )
    hashed = leaf(data)
    if header.mode is Mode.CDC:
        return object_id(header, cut(hashed, 0, len(data)), 1)
    return object_id(header, hashed)


def _fault(mode: int, chunk_log2: int, size: int) -> str:
    """Why a header cannot be, or nothing."""
    if mode not in {0, 1, 2}:
        return f"nobody cuts by mode {mode}"
    if not CHUNK_LOG2_MIN <= chunk_log2 <= CHUNK_LOG2_MAX:
        return f"a chunk of 2^{chunk_log2} bytes"
    if not 0 <= size <= OBJECT_MAX:
        return f"{size} bytes are more than the {OBJECT_MAX} of the largest object"
    if size >> chunk_log2 > CHUNKS_MAX:
        return f"{size} bytes in chunks of 2^{chunk_log2} are too many chunks"
    return ""
