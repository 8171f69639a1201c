"""What two nodes say to keep a set in step: opening, comparing, announcing.

Each message names the set it is about; a set is named by 32 bytes, as a root is. The numbers of the
tags begin at 20: these messages travel beside those of `store.messages`, in one body.

The versions a side speaks stand in `SyncOpen`, where every later version will find them; so do set
and proof. What a later version adds comes after what stands here, and is passed over.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.store.fields import U63, Oid, Words
from whispurrnet.store.object import OBJECT_MAX

VERSION_LEAST, VERSION_MOST = 1, 1
"""The versions of this protocol that we speak."""

FRAME_MAX = 23_900
"""The longest query or answer, in bytes: with its set, no message is longer than 24,000."""
OIDS_MAX = 512
"""How many objects may be asked about in one message."""
ENTRIES_MAX = 256
"""How many may be announced in one."""

U8 = Annotated[int, Meta(ge=0, le=255)]
Size = Annotated[int, Meta(ge=0, le=OBJECT_MAX)]
Frame = Annotated[bytes, Meta(max_length=FRAME_MAX)]
Oids = Annotated[tuple[Oid, ...], Meta(max_length=OIDS_MAX)]

# Why a set is not opened, or no longer open. An unknown number is read as NO_ACCESS.
NO_ACCESS: Final = 1
"""There is no such set here, or you may not see it: which of the two is not said."""
VERSION: Final = 2
"""We have no version of the protocol in common."""
BUSY: Final = 3
"""Not now; later."""
CLOSED: Final = 4
"""The set is not kept here any longer."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One object of a set.

    All but its id is only what a peer says. The time orders the set, and is the same everywhere.
    """

    time_s: U63
    """When it came into the set, in unix seconds."""
    oid: Oid
    size: Size
    """In bytes; good for choosing a way to fetch it, no more."""
    collection: bool = False
    """Whether it names others, which have to be here before it."""


Entries = Annotated[tuple[Entry, ...], Meta(max_length=ENTRIES_MAX)]


class SyncOpen(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """Let me follow this set. May be sent again, as with a proof that was lacking."""

    set: Oid
    least: U8
    most: U8
    nonce: U63
    """If both sides follow, the one with the greater number asks first."""
    proof: Annotated[bytes, Meta(max_length=32)] = b""
    """That I hold the set's capability (see `store.access`); empty where none is needed."""


class SyncOpened(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """You may; we speak this version."""

    set: Oid
    version: U8


class SyncRefused(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """You may not, or no longer [ERROR]."""

    set: Oid
    code: U8
    text: Words
    """For people."""


class SyncQuery(msgspec.Struct, frozen=True, array_like=True, tag=23):
    """A query of `wire.reconcile` [OBJECT_SYNC]; one at a time."""

    set: Oid
    query: Frame


class SyncAnswer(msgspec.Struct, frozen=True, array_like=True, tag=24):
    """The answer to it [OBJECT_SYNC]."""

    set: Oid
    answer: Frame


class SyncEnd(msgspec.Struct, frozen=True, array_like=True, tag=25):
    """I have compared, and announced to you what you lack."""

    set: Oid
    all: bool
    """Whether that was all; otherwise compare yourself."""


class SyncDescribe(msgspec.Struct, frozen=True, array_like=True, tag=26):
    """Announce these to me: I know no more than their ids."""

    set: Oid
    oids: Oids


class SyncAnnounce(msgspec.Struct, frozen=True, array_like=True, tag=27):
    """These are in the set, and complete with all below them [announceObjects]."""

    set: Oid
    entries: Entries


class SyncClose(msgspec.Struct, frozen=True, array_like=True, tag=28):
    """I follow no longer."""

    set: Oid


SyncMessage: TypeAlias = (
    SyncOpen
    | SyncOpened
    | SyncRefused
    | SyncQuery
    | SyncAnswer
    | SyncEnd
    | SyncDescribe
    | SyncAnnounce
    | SyncClose
)
