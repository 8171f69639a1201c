"""What neighbours say to one another, what happens to a membership, and its settings.

A body of a VIEW frame is a MessagePack array of exactly one message (see `wire.codec`). Peers are
small integers that the caller gives out.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.machine import Tick
from whispurrnet.gossip.contact import Contact
from whispurrnet.wire.codec import Codec

OFFERED_MAX = 4
"""Contacts in an answer or a prune."""

CONTACTS_MAX = 8
"""Contacts in a shuffle."""

HOPS_MAX = 16
BACKOFF_S_MAX = 3600
BODY_BYTES_MAX = 16 * 1024
"""More than the longest message takes."""

Offered: TypeAlias = Annotated[tuple[Contact, ...], Meta(max_length=OFFERED_MAX)]
Shuffled: TypeAlias = Annotated[tuple[Contact, ...], Meta(max_length=CONTACTS_MAX)]
Hops: TypeAlias = Annotated[int, Meta(ge=0, le=HOPS_MAX)]
WalkId: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]


class Join(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I have no neighbours: take me, and tell others of me. Answered; once in a session."""

    me: Contact | None
    """None: tell nobody."""


class ForwardJoin(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Somebody new is there."""

    contact: Contact
    ttl: Hops


class Neighbor(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Take me into your active view. Answered."""

    urgent: bool
    """I am in need (see `Config.outbound_min`), or half of my neighbours bring me nothing."""
    me: Contact | None


class NeighborReply(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Whether I took you; the answers come in the order of the questions."""

    accepted: bool
    me: Contact | None
    contacts: Offered


class Prune(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """You are not in my active view any more; do not ask again for so long."""

    contacts: Offered
    backoff_s: Annotated[int, Meta(ge=0, le=BACKOFF_S_MAX)]


class Shuffle(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Contacts on a walk; whoever is at its end answers with others, the same way back."""

    walk: WalkId
    ttl: Hops
    contacts: Shuffled


class ShuffleReply(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The answer to a walk."""

    walk: WalkId
    contacts: Shuffled


Message: TypeAlias = Join | ForwardJoin | Neighbor | NeighborReply | Prune | Shuffle | ShuffleReply


def codec() -> Codec[Message]:
    """A codec of these messages; it counts the unknown ones."""
    return Codec(Message)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a membership."""

    active: int = 8
    """Neighbours, friends not counted."""

    outbound_min: int = 4
    """So many of their places are only for those we called. With fewer neighbours than this, or
    fewer than half of this that we called, we are in need, and our questions urgent."""

    per_prefix: int = 2
    """Neighbours of one network: IPv4 /24, IPv6 /48."""

    per_inviter: int = 5
    """Neighbours of one branch of a closed realm: let in by one invitee of the founder, or by
    those whom it let in."""

    passive: int = 64
    """Contacts remembered."""

    arwl: int = 6
    """Hops of the walk that tells of somebody new."""

    prwl: int = 3
    """The hop, counted from its end, that remembers whom it tells of; so does the last."""

    shuffle_s: float = 30.0
    """How often contacts are exchanged, in seconds."""

    shuffle_active: int = 3
    """Contacts of neighbours in a shuffle."""

    shuffle_passive: int = 4
    """Contacts of the passive view in a shuffle."""

    shuffle_ttl: int = 6
    """Hops of a shuffle."""

    prune_backoff_s: float = 60.0
    """After a prune neither side takes the other for so long; nor do we ask again whoever has
    refused or could not be reached. In seconds."""

    evicted_backoff_s: float = 10.0
    """The same after a prune that only made room for another, and the peer did nothing wrong: who
    is pushed out by all at once would else be kept out by all. In seconds."""

    alone_s: float = 4.0
    """The same while there is no neighbour at all: at first so long, in seconds, and each time
    twice as long, up to `prune_backoff_s`."""

    neighbor_timeout_s: float = 10.0
    """How long to wait for an answer, in seconds."""

    promote_s: float = 5.0
    """How soon to look for neighbours when there are too few, in seconds; up to 16 times that
    while it is in vain and not urgent."""

    dials_max: int = 6
    """Contacts called at a time."""

    dial_timeout_s: float = 15.0
    """A call without an outcome after so long has failed, in seconds."""

    evict_s: float = 10.0
    """How often somebody in need may push out another, in seconds."""

    evict_burst: float = 4.0
    """How often that may be at once."""

    acts_per_s: float = 0.1
    """How often a peer may join, ask or prune."""

    acts_burst: float = 8.0
    """How often that may be at once; whoever does it more often breaks the protocol."""

    shuffles_per_s: float = 0.2
    """Shuffles taken from a peer; more are ignored."""

    shuffles_burst: float = 10.0
    """How many at once."""

    walks_per_s: float = 5.0
    """How many new nodes we tell a peer of; ten times as many at once."""

    messages_per_s: float = 20.0
    """Messages of any kind a peer may send; whoever sends more breaks the protocol."""

    messages_burst: float = 400.0
    """How many at once."""


# Events


class Me(msgspec.Struct, frozen=True):
    """This is our static key, and our contact; without one, nobody is told of us."""

    key: bytes
    contact: Contact | None = None


class Up(msgspec.Struct, frozen=True):
    """A session with a peer is there; of one that is up already, this is how it is now."""

    peer: int
    key: bytes
    """Its static key, authenticated."""
    contact: Contact | None
    """What it said of itself, if it agreed that others call it."""
    outbound: bool
    """Whether we called."""
    prefix: str
    """Its network (`contact.prefix_of_host` of where it really is); empty counts nowhere."""
    friend: bool
    inviter: bytes = b""
    """Its branch of a closed realm (`trust.chain.Member`); empty counts nowhere."""


class Down(msgspec.Struct, frozen=True):
    """The last session with a peer ended."""

    peer: int


class Arrived(msgspec.Struct, frozen=True):
    """A message of a peer."""

    peer: int
    body: bytes


class Failed(msgspec.Struct, frozen=True):
    """A `Dial` came to nothing."""

    key: bytes


class Ban(msgspec.Struct, frozen=True):
    """A peer behaves badly: it leaves the active view for a while. Friends stay."""

    peer: int


class Consider(msgspec.Struct, frozen=True):
    """Here is somebody, found without the help of neighbours."""

    contact: Contact
    is_first: bool = False
    """An anchor: to be called before others."""
    is_shared: bool = True
    """Its owner agreed that others are told of it."""


class Graft(msgspec.Struct, frozen=True):
    """These members bring too little, the worst first: look for others in the place of two."""

    peers: tuple[int, ...]


# Effects


class Send(msgspec.Struct, frozen=True):
    """Send this, after what was sent to this peer before."""

    peer: int
    body: bytes


class Dial(msgspec.Struct, frozen=True):
    """Call somebody; `Up` or `Failed` follows."""

    contact: Contact


class Active(msgspec.Struct, frozen=True):
    """A peer entered the active view."""

    peer: int


class Inactive(msgspec.Struct, frozen=True):
    """A peer left the active view."""

    peer: int


class Release(msgspec.Struct, frozen=True):
    """A session that we began is not needed here: once all is sent it may be closed."""

    peer: int


class Seek(msgspec.Struct, frozen=True):
    """We are in need and know nobody whom we could call: `Consider` whoever else was found."""


Event: TypeAlias = Me | Up | Down | Arrived | Failed | Ban | Consider | Graft | Tick
Effect: TypeAlias = Send | Dial | Active | Inactive | Release | Seek
