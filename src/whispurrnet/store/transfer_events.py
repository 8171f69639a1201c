"""What the moving of objects is set by, told, and asks for (see `store.transfer`)."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.store.messages import Message, Whole
from whispurrnet.store.object import Header, Page
from whispurrnet.wire.ids import ObjectId

PRIORITY_MAX: Final = 4
PRIORITY: Final = 2
"""How urgent a fetch is unless said otherwise."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is there already of an object that is fetched again."""

    header: Header
    pages: tuple[Page, ...] = ()
    runs: tuple[tuple[int, int], ...] = ()
    """The chunks that are stored: the first and how many, in order."""


class Found(msgspec.Struct, frozen=True):
    """An object that is here, in whole or in part."""

    header: Header
    complete: bool
    runs: tuple[tuple[int, int], ...] = ()
    """The chunks that are stored, unless it is complete: the first and how many, in order."""
    public: bool = False
    """Whether its owner has said that it is no secret: its chunks may be packed."""


# Events


class Up(msgspec.Struct, frozen=True):
    """A session with a peer stands, and the peer speaks of objects."""

    peer: int


class Down(msgspec.Struct, frozen=True):
    """The session has ended. Fetches go on when the peer is up again, or with other sources."""

    peer: int


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """Get an object; again for one that is being fetched only adds its sources."""

    oid: ObjectId
    sources: tuple[int, ...]
    """Peers that may have it; those that are not up are asked as soon as they are."""
    priority: int = PRIORITY
    """0 to 4; the rate is shared as 2^priority."""
    known: Known | None = None
    only: tuple[tuple[int, int], ...] | None = None
    """Only these chunks: the first and how many; None is all. Those beyond the end are ignored."""


class AddSource(msgspec.Struct, frozen=True):
    """Another peer may have an object that is being fetched."""

    oid: ObjectId
    peer: int


class Stop(msgspec.Struct, frozen=True):
    """Fetch an object no longer. What was stored stays where it is."""

    oid: ObjectId


class FetchSmall(msgspec.Struct, frozen=True):
    """Get objects of at most 16 KiB from one peer: each is stored, or named in `Missing`."""

    peer: int
    oids: tuple[ObjectId, ...]


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """The body of an OBJECT frame came."""

    peer: int
    body: bytes


class Stored(msgspec.Struct, frozen=True):
    """Chunks are written; from now on they may be served."""

    oid: ObjectId
    indexes: tuple[int, ...]


class StoreFailed(msgspec.Struct, frozen=True):
    """The disk does not take it; the fetch ends."""

    oid: ObjectId
    text: str


class SmallStored(msgspec.Struct, frozen=True):
    """What `StoreSmall` asked for is done; `text` says why not, if it is not."""

    ticket: int
    text: str = ""


class Looked(msgspec.Struct, frozen=True):
    """Whether there is such an object, and whether the peer may have it."""

    ticket: int
    found: Found | None
    allowed: bool


class Paged(msgspec.Struct, frozen=True):
    """The page that was asked for, if it is here."""

    ticket: int
    page: Page | None


class ReadDone(msgspec.Struct, frozen=True):
    """The chunks that were asked for, or why there are none, in words for the peer.

    Those that are `packing.Packed` are sent so.
    """

    ticket: int
    chunks: tuple[bytes, ...] | list[bytes] | None
    text: str = ""


class SmallRead(msgspec.Struct, frozen=True):
    """Those of the small objects that are here and that the peer may have."""

    ticket: int
    objects: tuple[Whole, ...]


class Recheck(msgspec.Struct, frozen=True):
    """Who may have an object is not what it was: ask again before more of it is sent."""

    oid: ObjectId | None
    """None: or anything."""


class SetLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How fast objects may move, in bytes a second; None is as fast as they can."""

    down: float | None = None
    up: float | None = None
    up_peer: float | None = None
    """To each peer."""


# Effects


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send this in an OBJECT frame; small, and more urgent than data."""

    peer: int
    body: bytes
    priority: int


class Ready(msgspec.Struct, frozen=True):
    """There is something to `pull` for this peer."""

    peer: int


class Look(msgspec.Struct, frozen=True):
    """Is there such an object, and may the peer have it? Answered by `Looked`."""

    ticket: int
    peer: int
    oid: ObjectId


class ReadPage(msgspec.Struct, frozen=True):
    """Read a page of leaves; answered by `Paged`."""

    ticket: int
    oid: ObjectId
    page: int


class Read(msgspec.Struct, frozen=True):
    """Read chunks, one after the other; answered by `ReadDone`."""

    ticket: int
    oid: ObjectId
    index: int
    count: int
    pack: bool = False
    """Whether each is to go through `packing.pack`."""


class ReadSmall(msgspec.Struct, frozen=True):
    """Read small objects, as far as the peer may have them; answered by `SmallRead`."""

    ticket: int
    peer: int
    oids: tuple[ObjectId, ...]


class Begin(msgspec.Struct, frozen=True):
    """An object's header is proven: make room for it. Not asked for what was `Known`."""

    oid: ObjectId
    header: Header


class StorePage(msgspec.Struct, frozen=True):
    """Keep a proven page."""

    oid: ObjectId
    header: Header
    page: Page


class Store(msgspec.Struct, frozen=True, gc=False):
    """Write a verified chunk; answered by `Stored` or `StoreFailed`."""

    oid: ObjectId
    index: int
    data: bytes


class StoreSmall(msgspec.Struct, frozen=True):
    """Keep these verified objects; answered by `SmallStored`."""

    ticket: int
    peer: int
    objects: tuple[Whole, ...]


class Progress(msgspec.Struct, frozen=True):
    """How a fetch is doing, at most four times a second."""

    oid: ObjectId
    verified: int
    """Bytes that are here and right, those of earlier times included."""
    total: int
    """Bytes that are wanted; 0 while that is not known."""
    rate_bps: float
    """Bytes a second, smoothed."""
    eta_s: float | None
    """How long it will take at this rate, in seconds; None while nothing moves."""
    sources: tuple[tuple[int, float], ...]
    """Each source that is being asked, and how fast it is, in bytes a second."""
    waiting: str
    """What is being waited for, in words; empty while chunks arrive."""


class Done(msgspec.Struct, frozen=True):
    """All that was wanted of an object is stored."""

    oid: ObjectId
    complete: bool
    """Whether that is all there is of it."""


class Failed(msgspec.Struct, frozen=True):
    """A fetch has ended without all of its object; the reason is for people."""

    oid: ObjectId
    reason: str


class Missing(msgspec.Struct, frozen=True):
    """Small objects that will not come from this peer, and why, in words."""

    peer: int
    oids: tuple[ObjectId, ...]
    reason: str


class Blame(msgspec.Struct, frozen=True):
    """A peer sent what is not what was asked for; it is not asked for this object again."""

    peer: int
    oid: ObjectId
    reason: str
    weight: int
    """1 the first time, 2 from then on."""


class Passed(msgspec.Struct, frozen=True):
    """A message that is not about the moving of objects: access, metrics, sync."""

    peer: int
    message: Message


Event: TypeAlias = (
    Up
    | Down
    | Fetch
    | AddSource
    | Stop
    | FetchSmall
    | Arrived
    | Stored
    | StoreFailed
    | SmallStored
    | Looked
    | Paged
    | ReadDone
    | SmallRead
    | Recheck
    | SetLimits
    | Tick
)
Effect: TypeAlias = (
    Send
    | Ready
    | Look
    | ReadPage
    | Read
    | ReadSmall
    | Begin
    | StorePage
    | Store
    | StoreSmall
    | Progress
    | Done
    | Failed
    | Missing
    | Blame
    | Passed
)
