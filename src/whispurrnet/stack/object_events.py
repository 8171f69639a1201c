"""What the shell tells the exchange of objects, and what it tells the shell (see `stack.exchange`).

The events and effects of `store.transfer` and `store.sync` travel as they are. Here is what stands
between them and the disk: who may have what is decided from the roots that only the disk knows.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from whispurrnet.crypto.keys import Secret
from whispurrnet.store import sync_events
from whispurrnet.store.access import Whom
from whispurrnet.store.messages import Metrics
from whispurrnet.store.object import Header
from whispurrnet.store.sync_messages import Entry
from whispurrnet.store.transfer_events import Found
from whispurrnet.wire.ids import ObjectId

OBJECT_PRIORITY: Final = 6
"""How urgent what is said about objects is; their bytes come after everything else."""


# From the shell


class LoadGrants(msgspec.Struct, frozen=True):
    """What was shared with whom when it was last kept (see `access.Grants.encode`)."""

    kept: bytes


class Share(msgspec.Struct, frozen=True):
    """Let somebody see a root and all that is in it; the answer, at once, is `SharedBy`."""

    root: bytes
    whom: Whom
    cap: Secret | None = None
    """Take this capability instead of making one."""


class Unshare(msgspec.Struct, frozen=True):
    """Let somebody see it no longer, or anybody."""

    root: bytes
    whom: Whom | None = None


class HoldCap(msgspec.Struct, frozen=True):
    """Show a peer, in each session with it, that we hold the capability of a root of its."""

    peer: int
    root: bytes
    cap: Secret


class TellStorage(msgspec.Struct, frozen=True):
    """Tell a peer how full our store is [STORAGE_METRICS]."""

    peer: int
    metrics: Metrics


class ObjectLooked(msgspec.Struct, frozen=True):
    """The answer to `Look`: what is here, and the roots above it."""

    ticket: int
    found: Found | None
    roots: tuple[bytes, ...]


class SmallLooked(msgspec.Struct, frozen=True):
    """The answer to `ReadSmall`: each object that is here, with the roots above it."""

    ticket: int
    objects: tuple[tuple[ObjectId, Header, bytes, tuple[bytes, ...]], ...]


class JoinSet(msgspec.Struct, frozen=True):
    """Keep a set in step; these are in it already."""

    set: bytes
    entries: tuple[Entry, ...]
    sources: tuple[int, ...] = ()


class PutInSet(msgspec.Struct, frozen=True):
    """These are in a set from now on: each is stored, whole, and so is what it names."""

    set: bytes
    entries: tuple[Entry, ...]


class DropFromSet(msgspec.Struct, frozen=True):
    """An object is in a set no longer."""

    set: bytes
    oid: bytes


# Effects for the shell


class SharedBy(msgspec.Struct, frozen=True):
    """A root is shared; by this capability, if that is how."""

    root: bytes
    cap: Secret | None


class StorageTold(msgspec.Struct, frozen=True):
    """A peer told how full its store is."""

    peer: int
    metrics: Metrics


Event: TypeAlias = (
    LoadGrants
    | Share
    | Unshare
    | HoldCap
    | TellStorage
    | ObjectLooked
    | SmallLooked
    | JoinSet
    | PutInSet
    | DropFromSet
    | sync_events.Follow
    | sync_events.Unfollow
    | sync_events.Leave
    | sync_events.Failed
)
Effect: TypeAlias = SharedBy | StorageTold
SetEffect: TypeAlias = (
    sync_events.Need
    | sync_events.Source
    | sync_events.Drop
    | sync_events.Retime
    | sync_events.Synced
    | sync_events.Ended
)
