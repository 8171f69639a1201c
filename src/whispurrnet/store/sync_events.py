"""What keeping sets in step is set by, told, and asks for (see `store.sync`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.store.sync_messages import Entry, SyncMessage
from whispurrnet.wire.items import Items


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the keeping in step."""

    round_s: float = 300.0
    """How often to compare with a source, in seconds, give or take a fifth. What is new is
    announced at once; comparing finds what was missed."""

    soon_s: float = 5.0
    """How soon to compare again when something is known to be missed, in seconds."""

    retry_s: float = 60.0
    """When to ask again after a refusal, in seconds."""

    answer_s: float = 20.0
    """How long to wait for an answer, in seconds."""

    announce_s: float = 0.05
    """What is new in this time is announced together, in seconds."""

    wanted_max: int = 2048
    """How many objects of one source are being fetched before more are asked for."""

    announced_max: int = 4096
    """How many objects wait to be announced to one peer; what is more, it finds by comparing."""

    announced_per_s: float = 2000.0
    """How many announcements of one source are read a second; four times as many at once."""

    queries_per_s: float = 64.0
    """How many short queries of a peer are answered a second, four times as many at once. One of
    24,000 bytes counts for 24 of them."""

    described_per_s: float = 20_000.0
    """How many objects are described to a peer a second."""

    failures_max: int = 64
    """After so many objects that a source named and did not give, it is left for a while."""

    sets_max: int = 256
    """How many sets may be kept in step."""

    sources_max: int = 64
    """How many sources a set may have."""

    gate: bool = True
    """For the simulator only: False is a node that does not ask whether a peer may see a set."""

    bounded: bool = True
    """For the simulator only: False is a node that takes all that is announced."""

    again: bool = True
    """For the simulator only: False is a node that compares once."""


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


class Host(Protocol):
    """Whom the core asks, who answers at once: the index of the sets, and who may see them."""

    def entries(self, set: bytes, oids: Sequence[bytes]) -> list[Entry]:
        """Which of these are in the set here, complete; in any order. 512 oids at most."""
        ...

    def prove(self, peer: int, set: bytes) -> bytes:
        """What to show this peer so that it lets us follow (see `access.proof`), or nothing."""
        ...

    def admit(self, peer: int, set: bytes, proof: bytes) -> bool:
        """Whether a peer that shows this may see a set; what it has proven is remembered."""
        ...

    def allowed(self, peer: int, set: bytes) -> bool:
        """Whether it still may."""
        ...


# Events


class Up(msgspec.Struct, frozen=True):
    """A session with a peer that speaks of objects stands."""

    peer: int


class Down(msgspec.Struct, frozen=True):
    """It has ended."""

    peer: int


class Join(msgspec.Struct, frozen=True):
    """Keep a set; whoever may see it can follow us."""

    set: bytes
    """32 bytes."""
    items: Items
    """The times and ids of what is in it; belongs to the core from now on."""
    sources: tuple[int, ...] = ()
    """Whom we follow; each as soon as it is up."""


class Follow(msgspec.Struct, frozen=True):
    """Follow this peer too."""

    set: bytes
    peer: int


class Unfollow(msgspec.Struct, frozen=True):
    """Follow it no longer."""

    set: bytes
    peer: int


class Leave(msgspec.Struct, frozen=True):
    """Keep a set in step no longer."""

    set: bytes


class Added(msgspec.Struct, frozen=True):
    """An object is in the set, ours or fetched: it, all below it and its index entry are stored."""

    set: bytes
    entry: Entry


class Removed(msgspec.Struct, frozen=True):
    """An object is no longer in the set here. Others keep it; from a source it comes again."""

    set: bytes
    entry: Entry


class Failed(msgspec.Struct, frozen=True):
    """What was needed could not be fetched from this peer; None: it is nobody's fault."""

    set: bytes
    oid: bytes
    peer: int | None


class Arrived(msgspec.Struct, frozen=True):
    """A peer sent a message."""

    peer: int
    message: SyncMessage


# Effects


class Send(msgspec.Struct, frozen=True):
    """Send a message."""

    peer: int
    message: SyncMessage


class Need(msgspec.Struct, frozen=True):
    """Fetch these, and of a collection all below it first; then say `Added` or `Failed`."""

    peer: int
    set: bytes
    entries: tuple[Entry, ...]


class Source(msgspec.Struct, frozen=True):
    """This peer has these too, which are being fetched."""

    peer: int
    set: bytes
    oids: tuple[bytes, ...]


class Drop(msgspec.Struct, frozen=True):
    """Nobody who is there has these: fetch them no longer. They are needed again when it is."""

    set: bytes
    oids: tuple[bytes, ...]


class Retime(msgspec.Struct, frozen=True):
    """An object in the set has an earlier time elsewhere: write that into the index."""

    set: bytes
    oid: bytes
    time_s: int


class Synced(msgspec.Struct, frozen=True):
    """We have compared with a source and know all that it has."""

    peer: int
    set: bytes


class Ended(msgspec.Struct, frozen=True):
    """A peer and we do not, or no longer, follow each other in this; later we may try again."""

    peer: int
    set: bytes
    code: int
    """See `sync_messages`; 0: the peer is at fault."""
    text: str
    """For people; if `theirs`, the peer's own words."""
    theirs: bool = False


class Fault(msgspec.Struct, frozen=True):
    """A peer did what it should not; "unserved" may be bad luck."""

    peer: int
    kind: Literal["malformed", "flood", "unserved"]


Event: TypeAlias = (
    Up | Down | Join | Follow | Unfollow | Leave | Added | Removed | Failed | Arrived | Tick
)
Effect: TypeAlias = Send | Need | Source | Drop | Retime | Synced | Ended | Fault
