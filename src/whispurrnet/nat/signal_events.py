"""What the signalling of WebRTC is told, and what it wants done (see `nat.signal`)."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from whispurrnet.base.machine import Tick


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the signalling."""

    timeout_s: float = 15.0
    """How long an attempt may take until its data channel is open, in seconds."""

    join_s: float = 10.0
    """How long the handshake in it may take, in seconds."""

    attempts_max: int = 32
    """Attempts at once, with all peers together."""

    answers_max: int = 16
    """Of these, how many others may have asked for."""

    offers_per_s: float = 0.1
    """How often one peer may ask, on average; `offers_burst` times at once."""

    offers_burst: float = 4.0

    candidates_max: int = 64
    """Candidates of one attempt that are taken of the peer, and told to it."""


# Events and effects


class Up(msgspec.Struct, frozen=True):
    """A session with a peer stands."""

    peer: int
    able: bool
    """Whether the peer says that it has WebRTC."""


class Down(msgspec.Struct, frozen=True):
    """The session has ended."""

    peer: int


class Begin(msgspec.Struct, frozen=True):
    """Offer this peer a link; nothing happens if `can_begin` does not hold."""

    peer: int


class Arrived(msgspec.Struct, frozen=True):
    """The body of a SIGNAL frame came."""

    peer: int
    body: bytes


class Described(msgspec.Struct, frozen=True):
    """Our description of an attempt is made: the offer, or the answer."""

    peer: int
    attempt: int
    sdp: str


class Found(msgspec.Struct, frozen=True):
    """We may be reached there; empty: there are no more."""

    peer: int
    attempt: int
    candidate: str
    mid: str


class Opened(msgspec.Struct, frozen=True):
    """The data channel is open, and the link was handed over."""

    peer: int
    attempt: int


class Failed(msgspec.Struct, frozen=True):
    """There will be no channel, or no session in it."""

    peer: int
    attempt: int
    reason: str


class Joined(msgspec.Struct, frozen=True):
    """A session with the peer stands that runs through the new link."""

    peer: int


class Send(msgspec.Struct, frozen=True):
    """Send this in a SIGNAL frame."""

    peer: int
    body: bytes


class Start(msgspec.Struct, frozen=True):
    """Make a peer connection: to offer (`offer` is empty), or to answer that offer."""

    peer: int
    attempt: int
    offer: str


class Accept(msgspec.Struct, frozen=True):
    """The answer to our offer came."""

    peer: int
    attempt: int
    sdp: str


class Candidate(msgspec.Struct, frozen=True):
    """The peer may be reached there."""

    peer: int
    attempt: int
    candidate: str
    mid: str


class Stop(msgspec.Struct, frozen=True):
    """Close the peer connection, if its link was not handed over."""

    peer: int
    attempt: int


class Ended(msgspec.Struct, frozen=True):
    """An attempt is over."""

    peer: int
    ok: bool
    reason: str
    """For people, empty when it went well."""
    offerer: bool
    """Whether we offered."""


Event: TypeAlias = Up | Down | Begin | Arrived | Described | Found | Opened | Failed | Joined | Tick
Effect: TypeAlias = Send | Start | Accept | Candidate | Stop | Ended
