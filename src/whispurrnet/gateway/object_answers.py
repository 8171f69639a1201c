"""What the REST API takes and gives where it is about objects: see `answers`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from whispurrnet.gateway.answers import Answer, Ask, Name
from whispurrnet.node.holdings import ObjectInfo

Oid = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
"""The id of an object or of a set."""
Cap = Annotated[str, Meta(pattern="^([0-9a-fA-F]{64})?$")]
"""A capability; empty: none is needed."""
Sources = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)]
"""Peers: their names, ids, or the beginnings of these."""
Rate = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Byte = Annotated[int, Meta(ge=0, le=2**53)]
Bytes = Annotated[int, Meta(ge=1, le=2**53)]


class ObjectsAnswer(Answer, frozen=True):
    """A page of the objects that are here, in the order of their ids."""

    objects: tuple[ObjectInfo, ...]
    next: str
    """Ask for those with `after_oid` this; empty when there are no more."""


class EntryRow(Answer, frozen=True):
    """One thing that a folder names. Its name was made by others: it is text, never a path."""

    name: str
    oid: str
    size: int
    """Of a folder, of what lists its content."""
    folder: bool
    executable: bool
    mtime_ms: int | None


class EntriesAnswer(Answer, frozen=True):
    """What a folder names."""

    entries: tuple[EntryRow, ...]


class WrapAsk(Ask, frozen=True):
    """Make a folder of objects that are here."""

    entries: Annotated[dict[Name, Oid], Meta(max_length=10_000)]
    """Names, and the object of each."""


class RemovedAnswer(Answer, frozen=True):
    """An object is here no longer."""

    oid: str


class ShareAsk(Ask, frozen=True):
    """With whom: `cap` (whoever has a capability, which is answered), `everyone`, or a peer."""

    to: Name = "cap"
    """Or the long-term identity of somebody, 64 hexadecimal characters."""


class UnshareAsk(Ask, frozen=True):
    """With whom no longer; empty: with nobody at all."""

    to: Annotated[str, Meta(max_length=256)] = ""


class ShareAnswer(Answer, frozen=True):
    """How something is shared."""

    oid: str
    cap: str = ""
    """The capability, 64 hexadecimal characters: a secret, that opens it to whoever has it."""


class FetchAsk(Ask, frozen=True):
    """Get an object from peers that have it; again for one on its way adds these peers."""

    sources: Sources
    cap: Cap = ""
    folder: bool = False
    """Get all that it names, too."""
    priority: Annotated[int, Meta(ge=0, le=4)] = 2
    part: tuple[Byte, Bytes] | None = None
    """Only the chunks that hold these bytes: the first, from 0, and how many."""


class SourceRow(Answer, frozen=True):
    """A peer that something comes from."""

    name: str
    rate_bps: float
    """Bytes a second."""


class TransferRow(Answer, frozen=True):
    """How far a fetch is."""

    oid: str
    state: Literal["running", "done", "failed"]
    verified: int
    """Bytes that are here and right, those of earlier times included."""
    total: int
    """Bytes that are wanted, as far as that is known."""
    rate_bps: float
    eta_s: float | None
    sources: tuple[SourceRow, ...]
    waiting: str
    """What is being waited for, in words."""
    blamed: tuple[str, ...]
    """Peers that sent what is wrong."""
    error: str = ""
    """Why it failed."""


class LimitsAsk(Ask, frozen=True):
    """How fast objects may move, in bytes a second; null: as fast as they can."""

    up_bps: Rate | None = None
    down_bps: Rate | None = None
    peer_up_bps: Rate | None = None
    """To any one peer."""


class LimitsAnswer(Answer, frozen=True):
    """How fast objects may move from now on, in bytes a second."""

    up_bps: float | None
    down_bps: float | None
    peer_up_bps: float | None


class StorageAnswer(Answer, frozen=True):
    """How full the store of objects is."""

    objects: int
    bytes: int
    parts: int
    """Objects that are on their way."""
    quota: int | None
    free_bytes: int
    """Of the disk; 0 where nothing stays."""
    pinned: int
    fetching: int
    fetched_bytes: int
    """What came from peers since the start, and was right."""
    notes: tuple[str, ...]
    """What was found damaged or lost."""


class CollectedAnswer(Answer, frozen=True):
    """What nobody kept is gone."""

    removed: int
    freed_bytes: int
    over_bytes: int
    """By how much the rest is still over the quota."""


class SetRow(Answer, frozen=True):
    """A set of objects that is kept in step."""

    id: str
    objects: int
    wanted: int
    """How many are on their way."""
    sources: int
    """How many we follow who let us."""
    followers: int
    comparing: int
    problems: dict[str, str]
    """By the name of each peer that does not let us follow: why not."""


class FollowAsk(Ask, frozen=True):
    """Keep a set in step with that of peers."""

    sources: Sources
    cap: Cap = ""


class PutAsk(Ask, frozen=True):
    """Put objects that are here into a set."""

    objects: Annotated[tuple[Oid, ...], Meta(min_length=1, max_length=10_000)]


class SetEntryRow(Answer, frozen=True):
    """An object of a set."""

    oid: str
    size: int
    folder: bool
    time_s: int
    """When it came in, in unix seconds."""


class SetEntriesAnswer(Answer, frozen=True):
    """A page of what is in a set, oldest first."""

    entries: tuple[SetEntryRow, ...]
    total: int
