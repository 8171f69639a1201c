"""What a relay is set to, what happens to it, and what it wants done (see `nat.relay`)."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.nat import relay_messages as messages


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a circuit may carry, and for how long."""

    bytes_per_s: int = 32 << 20
    """Each way, a second; 0: as fast as it goes."""

    bytes_max: int = 0
    """In all, both ways; 0: without end."""

    idle_s: float = 900.0
    """It ends after so long without a byte, in seconds; peers that sleep are silent for 300."""

    life_s: float = 86_400.0
    """It ends after so long in any case, in seconds."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a relay."""

    on: bool = False
    """Whether peers may have places here."""

    introduce: bool = True
    """Whether peers without a place are joined too, for as little as `introduction` allows."""

    expires_s: int = 3600
    """How long a place is kept unless it is renewed, in seconds."""

    overlap_s: float = 600.0
    """How long a peer that took another id is still found by the old one, in seconds."""

    token_s: float = 10.0
    """How long a token is good, in seconds."""

    places_max: int = 4096
    places_per_network_max: int = 256
    """Of peers of one network: IPv4 /24, IPv6 /48; private networks are not counted."""

    circuits_max: int = 4096
    circuits_per_peer_max: int = 64
    circuits_per_network_max: int = 256

    connects_per_minute: float = 60.0
    """How often one peer may ask for a circuit; as many at once."""

    connects_per_network_per_minute: float = 600.0

    reserves_per_minute: float = 12.0
    """How often one peer may ask for a place."""

    circuit: Allowance = Allowance()
    introduction: Allowance = Allowance(
        bytes_per_s=256 << 10, bytes_max=256 << 10, idle_s=30.0, life_s=60.0
    )
    introductions_max: int = 16
    """How many at a time."""

    networks_max: int = 4096
    """Networks whose rates are remembered."""


# Events and effects


class Up(msgspec.Struct, frozen=True):
    """A session with a peer stands."""

    peer: int
    id: bytes
    network: str
    """Where it calls from, as `Config.places_per_network_max` counts; empty: not counted."""
    welcome: bool = True
    """Whether policy lets it use this relay."""


class Renamed(msgspec.Struct, frozen=True):
    """A peer has another id from now on."""

    peer: int
    id: bytes


class Welcomed(msgspec.Struct, frozen=True):
    """Policy lets a peer use this relay from now on, or no longer."""

    peer: int
    welcome: bool


class Down(msgspec.Struct, frozen=True):
    """Its session has ended, and its place with it."""

    peer: int


class Arrived(msgspec.Struct, frozen=True):
    """A message came."""

    peer: int
    message: messages.Asking


class Joined(msgspec.Struct, frozen=True):
    """A link began with a token that `expects` knows."""

    link: int
    token: bytes


class Gone(msgspec.Struct, frozen=True):
    """A link that began with a token is gone, before it was spliced."""

    link: int


class Ended(msgspec.Struct, frozen=True):
    """A splice is over."""

    circuit: int


class Send(msgspec.Struct, frozen=True):
    """Send this in a RELAY frame."""

    peer: int
    message: messages.Answering


class Splice(msgspec.Struct, frozen=True):
    """Say `READY` on both links, then copy what comes on each to the other; tell when it ends."""

    circuit: int
    caller: int
    """The link of who asked."""
    target: int
    allowance: Allowance


class Cut(msgspec.Struct, frozen=True):
    """End a splice."""

    circuit: int


class Close(msgspec.Struct, frozen=True):
    """Close a link that nobody came to meet."""

    link: int


Event: TypeAlias = Up | Renamed | Welcomed | Down | Arrived | Joined | Gone | Ended | Tick
Effect: TypeAlias = Send | Splice | Cut | Close
