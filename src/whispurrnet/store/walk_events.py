"""What the fetching of a collection is bounded by, told, and asks for (see `store.walk`)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple, TypeAlias

import msgspec

from whispurrnet.store import manifest
from whispurrnet.wire.ids import ObjectId

RECORD: Final = Struct(">32sBQ")
"""What is kept of each object that a collection names: its id, its kind and its size."""
KEY_BYTES: Final = 33
"""A record begins with what tells an object from others: its id, and whether it is a collection."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a tree may be."""

    entries_max: int = 1_000_000
    """How many files and folders it may have when it is unpacked."""

    bytes_max: int = 1 << 44
    """How many bytes, in all, when it is unpacked."""

    collections_max: int = 100_000
    """How many different collections."""

    depth_max: int = 32
    """How many folders within one another."""

    window: int = 64
    """How many objects are asked for at a time."""


class Listing(NamedTuple):
    """What a collection names, packed."""

    records: bytes
    bytes: int
    """The sum of the sizes."""


def listing(data: bytes) -> Listing:
    """Read a manifest; takes 0.4 s for the largest, so not where messages wait.

    Raises:
        ProtocolError: It is no manifest, or names what cannot be a name.
    """
    entries = manifest.decode(data)
    pack = RECORD.pack
    records = b"".join(pack(entry.oid, entry.kind, entry.size) for entry in entries)
    return Listing(records, sum(entry.size for entry in entries))


# Events and effects


class Begin(msgspec.Struct, frozen=True):
    """Start."""


class Have(msgspec.Struct, frozen=True):
    """A file is stored, whole and verified."""

    oid: ObjectId
    size: int


class Listed(msgspec.Struct, frozen=True):
    """So is a collection; this is what it names."""

    oid: ObjectId
    size: int
    listing: Listing


class Lost(msgspec.Struct, frozen=True):
    """An object cannot be had, or is no collection."""

    oid: ObjectId
    text: str


class Need(msgspec.Struct, frozen=True):
    """Say `Have`, or `Listed` for a collection, when this is stored."""

    oid: ObjectId
    size: int | None
    """What its collection says; None for the root."""
    collection: bool


class Complete(msgspec.Struct, frozen=True):
    """A collection and all below it is stored; the root comes last."""

    oid: ObjectId
    entries: int
    """How many files and folders it has, unpacked, itself included."""
    bytes: int
    """How many bytes, unpacked."""


class Failed(msgspec.Struct, frozen=True):
    """The walk is over without its root; what is stored stays."""

    oid: ObjectId
    """Because of this object."""
    text: str


Event: TypeAlias = Begin | Have | Listed | Lost
Effect: TypeAlias = Need | Complete | Failed


class Progress(msgspec.Struct, frozen=True):
    """How far it is, in what is known so far. What is named twice counts once or twice."""

    entries: int
    entries_done: int
    bytes: int
    bytes_done: int
