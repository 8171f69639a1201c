"""What the spreading of messages is set by, told, and asks for (see `gossip.spread`)."""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick

COUNTS: Final[dict[str, str]] = {
    "published": "Messages brought into the open here.",
    "received": "Messages that a neighbour was the first to bring.",
    "duplicates": "Copies of messages that were there.",
    "forwarded": "Copies pushed to neighbours, at first or on the way.",
    "served": "Copies sent because a neighbour asked.",
    "asked": "Times a neighbour was asked for a message.",
    "repaired": "Messages that came because we asked.",
    "expired": "Copies that came too late.",
    "refused": "Copies that were malformed or invalid.",
}
"""What `Spread.stats` counts."""

FaultKind: TypeAlias = Literal["malformed", "invalid", "expired", "unserved", "flood"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the spreading of messages."""

    fanout: int = 3
    """To how many neighbours a message is pushed."""

    hops_max: int = 10
    """How often a message is forwarded by pushing; then it is only announced."""

    eager_bytes_max: int = 4160
    """A longer body is only announced; the third size of an envelope fits, with its stamp."""

    announce_s: float = 0.05
    """Announcements to one neighbour that follow one another so closely go together, in seconds."""

    announce_ids: int = 64
    """How many ids go in one frame, at most 256."""

    want_after_s: float = 0.4
    """How long to wait for a push, and for an answer, in seconds."""

    want_after_announced_s: float = 0.1
    """How long to wait when no push is to be expected, in seconds."""

    want_tries: int = 5
    """How often a message is asked for."""

    asked_max: int = 32
    """How many messages are asked of one neighbour at a time."""

    unserved_s: float = 3.0
    """Who was asked and has sent nothing of it for so long is at fault, in seconds."""

    served_hop: int = 5
    """The hop of a message that is sent because it was asked for."""

    served_bytes_per_s: float = 512 * 1024
    """How much is sent to one neighbour because it asks, in bytes a second; twice that at once."""

    pushed_per_s: float = 4.0
    """How many messages of one neighbour, and of our own, are pushed on a second; more of them are
    only announced. So what one sends too much does not make honest neighbours exceed the ration
    that each gives the other: three of eight pushes go over each link."""

    pushed_burst: float = 20.0
    """How many at once."""

    seen_s: float = 300.0
    """How long the id of a message is remembered at least, in seconds."""

    seen_max: int = 1_000_000
    """How many ids are remembered."""

    cache_bytes: int = 32 * 1024 * 1024
    """How much is kept for those who ask, in bytes."""

    sync_s: float = 60.0
    """How often to compare with a neighbour, in seconds; each time jittered by a fifth."""

    announced_max: int = 4096
    """How many announcements of one neighbour are remembered."""

    flood_first: bool = True
    """For the simulator only: False is a node that pushes what it publishes to three."""

    retry: bool = True
    """For the simulator only: False is a node that asks once."""

    check_hops: bool = True
    """For the simulator only: False is a node that does not look at the hop."""


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a message without dear checks; a `Checker` may give a richer one."""

    id: bytes
    """16 bytes, computed."""
    expires_at: float
    """From when on it is not accepted, in monotonic seconds; the checker bounds how late."""
    stamped_s: int
    """What orders messages, such as their expiry: unix seconds, the same at every node."""
    urgent: bool = False


class Unwelcome(ProtocolError):  # noqa: N818 - not the neighbour's error
    """A message that is not taken here, though its sender could not know that: no fault of its."""


class Checker(Protocol):
    """What tells a message from garbage; all of it is opaque here."""

    def inspect(self, body: bytes, now: float) -> Item:
        """The cheap part, which every copy goes through.

        Raises:
            ProtocolError: It has not the shape of a message.
        """
        ...

    def admit(self, item: Item, body: bytes, now: float) -> None:
        """The dear part, only for what was not seen before.

        Raises:
            Unwelcome: It is not taken, but whoever sent it did nothing wrong.
            ProtocolError: It is not one to be forwarded.
        """
        ...


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


# Events and effects


class Add(msgspec.Struct, frozen=True):
    """A neighbour is there; again for a known one means nothing."""

    peer: int


class Remove(msgspec.Struct, frozen=True):
    """A neighbour is gone."""

    peer: int


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A neighbour sent a frame."""

    peer: int
    data: bytes


class Publish(msgspec.Struct, frozen=True):
    """Bring a message into the open: we are the first to push it. One already seen is left."""

    body: bytes


class Sync(msgspec.Struct, frozen=True):
    """Compare with this neighbour now."""

    peer: int


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a frame to a neighbour; 10 is the most urgent."""

    peer: int
    data: bytes
    priority: int


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """A message is in the open for the first time, also one that was published here."""

    body: bytes
    hop: int
    item: Item


class Useful(msgspec.Struct, frozen=True, gc=False):
    """A neighbour was the first to bring a message."""

    peer: int


class Fault(msgspec.Struct, frozen=True, gc=False):
    """A neighbour did what it should not; "expired" and "unserved" may be bad luck."""

    peer: int
    kind: FaultKind


Event: TypeAlias = Arrived | Add | Remove | Publish | Sync | Tick
Effect: TypeAlias = Send | Deliver | Useful | Fault
