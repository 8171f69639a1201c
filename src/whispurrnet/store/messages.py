"""What travels in OBJECT frames: who asks for which chunks of what, and the chunks.

    frame = kind u8 | rest                                          all numbers big-endian
    MESSAGES (0) = a MessagePack array of at most 64 of the messages below (see `wire.codec`)
    DATA     (1) = ref u32 | index u32 | offset u32 | bytes         a part of one chunk
    SMALL    (2) = repeated: oid 32 | header 11 | bytes             whole objects of at most 16 KiB
    PACKED   (3) = ref u32 | index u32 | offset u32 | packed u32 | bytes
                   a part of one chunk that was packed (see `packing`); offset and length are those
                   of what was packed

A `ref` is a number that whoever wants an object chose for it in this session. The parts of a chunk
come in order; those of several chunks may be mixed. A chunk is packed only for whoever has said in
a request that it can unpack, and only if its object is public. Every answer is checked against the
id that was asked for, so nothing here has to be believed.

The names in brackets are those of the ONE chum protocol. Tags from 20 on are those of `sync`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.fields import U32, U63, Oid, RawHeader, Run, Words
from whispurrnet.store.object import (
    CUTS_HEAD,
    HASH_BYTES,
    HEADER_BYTES,
    PAGE_LEAVES,
    PROOF_MAX,
    SMALL_MAX,
    Header,
    Page,
)
from whispurrnet.store.sync_messages import SyncMessage
from whispurrnet.wire.codec import Codec
from whispurrnet.wire.ids import ObjectId

MESSAGES, DATA, SMALL, PACKED = 0, 1, 2, 3
"""The kinds of frames."""

RUNS_MAX: Final = 64
"""How many runs of chunks one message names, when something is asked for."""
HAVE_RUNS_MAX: Final = 1024
"""How many runs of chunks one message names, when somebody says what is there."""
ASKED_MAX: Final = 256
"""How many chunks of one object may be asked for and not be sent yet."""
PAGES_MAX: Final = 8
"""How many pages of one object may be asked for and not be sent yet."""
SMALL_ASK_MAX: Final = 512
"""How many small objects one message asks for."""
SMALL_ASKED_MAX: Final = 2048
"""How many small objects may be asked for and not be answered yet."""
BATCH_MAX: Final = 64
"""How many messages travel in one frame."""
BODY_BYTES_MAX: Final = 40_960
"""The longest body of messages; no message alone is longer than 24,000 bytes."""
PROOF_BYTES: Final = 32
"""How long the proof of a capability is."""

NOT_HERE, NO_ACCESS, BUSY, CHANGED, BAD = 1, 2, 3, 4, 5
"""Why something is refused: not here, or not for whoever asks (which of the two is not said); a
proof of access that does not hold; too much is asked for at a time; the file behind an object has
changed; the request makes no sense, such as a version of sync that is not spoken."""

PriorityField: TypeAlias = Annotated[int, Meta(ge=0, le=4)]
Leaves: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=HASH_BYTES * PAGE_LEAVES)]
Lengths: TypeAlias = Annotated[bytes, Meta(max_length=CUTS_HEAD.size + 4 * PAGE_LEAVES)]
Path: TypeAlias = Annotated[bytes, Meta(max_length=HASH_BYTES * PROOF_MAX)]
Proof: TypeAlias = Annotated[bytes, Meta(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
AskedRuns: TypeAlias = Annotated[tuple[Run, ...], Meta(max_length=RUNS_MAX)]
HaveRuns: TypeAlias = Annotated[tuple[Run, ...], Meta(max_length=HAVE_RUNS_MAX)]
Oids: TypeAlias = Annotated[tuple[Oid, ...], Meta(max_length=SMALL_ASK_MAX)]


class Request(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Send these chunks, in order [OBJECT_REQUEST]; the first of a `ref` is answered by `Have`."""

    ref: U32
    oid: Oid
    runs: AskedRuns
    priority: PriorityField
    """Among the objects that this peer wants; 4 is the most urgent."""
    unpacks: bool = False
    """Whether chunks may be sent packed from now on; who does not know of that says nothing."""


class AskPage(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Send a page of the object's leaves."""

    ref: U32
    oid: Oid
    page: U32


class PageIs(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A page with what proves it; see `store.object.Page` [OBJECT_PAGE]."""

    ref: U32
    header: RawHeader
    page: U32
    leaves: Leaves
    lengths: Lengths
    proof: Path


class Have(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """These chunks, or all, can be asked for; adds to what was said before [OBJECT_HAVE]."""

    ref: U32
    oid: Oid
    complete: bool
    runs: HaveRuns


class Lacking(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """These chunks were asked for and are not here; they will not come."""

    ref: U32
    runs: HaveRuns


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Do not send these chunks; with none named, nothing more at all [OBJECT_CANCEL]."""

    ref: U32
    runs: AskedRuns


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Nothing, or nothing more, will be sent for this `ref`; it is forgotten [ERROR]."""

    ref: U32
    code: Annotated[int, Meta(ge=0, le=255)]
    text: Words


class AskSmall(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Send these objects whole, if they are small."""

    oids: Oids


class NotHere(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """These small objects were asked for and will not come: not here, not small, or not for you."""

    oids: Oids


class Metrics(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """How full our store is; sent only to whom we let know [STORAGE_METRICS]."""

    objects: U63
    bytes: U63
    parts: U63
    """Objects of which only some chunks are there."""
    quota: U63
    """In bytes; 0 is none."""
    free_bytes: U63
    pinned: U63


class Access(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """A proof that its sender holds the capability of a root (see `store.access`)."""

    root: Oid
    proof: Proof


TransferMessage: TypeAlias = (
    Request | AskPage | PageIs | Have | Lacking | Cancel | Refused | AskSmall | NotHere
)
OtherMessage: TypeAlias = Metrics | Access | SyncMessage
Message: TypeAlias = TransferMessage | OtherMessage

Whole: TypeAlias = tuple[ObjectId, Header, bytes]
"""A small object: its id, its header, its bytes."""

_DATA = struct.Struct(">BIII")
DATA_HEADER_BYTES: Final = _DATA.size
_PACKED = struct.Struct(">BIIII")
PACKED_HEADER_BYTES: Final = _PACKED.size
SMALL_HEADER_BYTES: Final = HASH_BYTES + HEADER_BYTES

_codec: Codec[Message] = Codec(Message)


def encode(*messages: Message) -> bytes:
    """The body of a frame of messages, at most 64."""
    assert len(messages) <= BATCH_MAX
    return b"\x00" + _codec.encode_all(messages)


def decode(body: bytes) -> list[Message]:
    """The messages of a frame of kind MESSAGES, its first byte included.

    Raises:
        ProtocolError: It is malformed or too long.
    """
    if len(body) > BODY_BYTES_MAX:
        raise ProtocolError(f"messages of {len(body)} bytes in one frame of objects")
    messages = _codec.decode_all(body[1:])
    if len(messages) > BATCH_MAX:
        raise ProtocolError(f"{len(messages)} messages in one frame of objects")
    return messages


def data_header(ref: int, index: int, offset: int) -> bytes:
    """What stands before a part of a chunk in a frame of kind DATA; 13 bytes."""
    return _DATA.pack(DATA, ref, index, offset)


def read_data(body: bytes) -> tuple[int, int, int, memoryview]:
    """The ref, the index, the offset and the part of a chunk, from a frame of kind DATA.

    Raises:
        ProtocolError: It is shorter than its header.
    """
    if len(body) < DATA_HEADER_BYTES:
        raise ProtocolError("a part of a chunk is shorter than its header")
    _, ref, index, offset = _DATA.unpack_from(body)
    return ref, index, offset, memoryview(body)[DATA_HEADER_BYTES:]


def packed_header(ref: int, index: int, offset: int, packed: int) -> bytes:
    """What stands before a part of a chunk that makes `packed` bytes when packed; 17 bytes."""
    return _PACKED.pack(PACKED, ref, index, offset, packed)


def read_part(body: bytes) -> tuple[int, int, int, int, memoryview]:
    """A part of a chunk, from a frame of kind DATA or PACKED.

    Returns:
        The ref, the index, the offset, how long the chunk is when packed (0: it is not packed), and
        the part.

    Raises:
        ProtocolError: It is shorter than its header, or nothing was packed.
    """
    if body[0] == DATA:
        ref, index, offset, part = read_data(body)
        return ref, index, offset, 0, part
    if len(body) < PACKED_HEADER_BYTES:
        raise ProtocolError("a part of a packed chunk is shorter than its header")
    _, ref, index, offset, packed = _PACKED.unpack_from(body)
    if not packed:
        raise ProtocolError("a packed chunk has no bytes")
    return ref, index, offset, packed, memoryview(body)[PACKED_HEADER_BYTES:]


def small_parts(objects: Sequence[Whole]) -> list[bytes]:
    """The body of a frame of kind SMALL, in parts."""
    parts = [b"\x02"]
    for oid, header, data in objects:
        parts += (oid, header.pack(), data)
    return parts


def read_small(body: bytes) -> list[Whole]:
    """The objects of a frame of kind SMALL; none is checked against its id yet.

    Raises:
        ProtocolError: It is malformed, or one of them is not small.
    """
    objects: list[Whole] = []
    at, end = 1, len(body)
    while at < end:
        start = at + SMALL_HEADER_BYTES
        if start > end:
            raise ProtocolError("a frame of small objects ends inside a header")
        header = Header.unpack(body[at + HASH_BYTES : start])
        stop = start + header.size
        if header.size > SMALL_MAX or stop > end:
            raise ProtocolError("a small object is too long for its frame")
        objects.append((ObjectId(body[at : at + HASH_BYTES]), header, body[start:stop]))
        at = stop
    return objects


def page_is(ref: int, header: Header, page: Page) -> PageIs:
    """The message that carries a page."""
    return PageIs(ref, header.pack(), page.index, page.leaves, page.lengths, page.proof)


def page_of(message: PageIs) -> Page:
    """The page that a message carries, not proven yet."""
    return Page(message.page, message.leaves, message.lengths, message.proof)
