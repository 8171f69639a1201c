"""Collections: an object that names others, as a folder names its files.

    manifest = ["WNDIR", 1, [entry, ...]]                            MessagePack, one way only
    entry    = [name, id 32, size, kind 0 or 1, executable, mtime_ms or nil]

Kind 1 is a collection again. Entries are in the order of their names' bytes, no name twice, every
name checked by `names`; there are no links. Whoever reads a manifest writes it again and compares,
so that one content has one id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.store.names import check_all
from whispurrnet.store.object import OBJECT_MAX
from whispurrnet.wire.ids import OBJECT_ID_BYTES, ObjectId

MAGIC = b"\x93\xa5WNDIR\x01"
"""What every manifest begins with."""

ENTRIES_MAX = 100_000
BYTES_MAX = 16 * 2**20
_TIME_MAX = (1 << 53) - 1


class Kind(IntEnum):
    """What an entry is."""

    FILE = 0
    FOLDER = 1


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One file, or one folder, of a collection."""

    name: Annotated[str, Meta(max_length=255)]
    oid: Annotated[bytes, Meta(min_length=OBJECT_ID_BYTES, max_length=OBJECT_ID_BYTES)]
    size: Annotated[int, Meta(ge=0, le=OBJECT_MAX)]
    """In bytes; of a folder, of its manifest."""

    kind: Kind = Kind.FILE
    executable: bool = False
    mtime_ms: Annotated[int, Meta(ge=0, le=_TIME_MAX)] | None = None
    """Unix milliseconds, if told."""


_Manifest = tuple[str, int, Annotated[list[Entry], Meta(max_length=ENTRIES_MAX)]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Manifest).decode


def is_manifest(data: bytes | bytearray | memoryview) -> bool:
    """Whether an object that begins like this is meant as a collection."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def encode(entries: Iterable[Entry]) -> bytes:
    """The bytes of a collection, whatever order its entries come in.

    Raises:
        UsageError: A name cannot be used, or there is too much of it.
    """
    ordered = sorted(entries, key=lambda entry: entry.name.encode(errors="surrogatepass"))
    check_all(entry.name for entry in ordered)
    data = _encode(("WNDIR", 1, ordered))
    if len(ordered) > ENTRIES_MAX or len(data) > BYTES_MAX:
        raise UsageError(
            f"a folder of {len(ordered)} files is too large for one collection ({ENTRIES_MAX} "
            f"entries, {BYTES_MAX} bytes); put them into several folders"
        )
    return data


def decode(data: bytes) -> list[Entry]:
    """The entries of a collection, in order.

    Raises:
        ProtocolError: It is not one, is not written the one way, or a name cannot be used.
    """
    if len(data) > BYTES_MAX or not is_manifest(data):
        raise ProtocolError("the object is not a collection")
    try:
        entries: list[Entry] = _decode(data)[2]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("a collection is malformed") from error
    try:
        again = encode(entries)
    except UsageError as error:
        raise ProtocolError(f"a collection cannot be used: {error}") from error
    if again != data:
        raise ProtocolError("a collection is not written as collections are")
    return entries


def children(entries: Sequence[Entry]) -> list[ObjectId]:
    """The objects that a collection names, each once, in order."""
    return list(dict.fromkeys(ObjectId(entry.oid) for entry in entries))
