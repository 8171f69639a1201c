"""What the stem is set by, told, and asks for (see `gossip.stem`)."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from whispurrnet.base.errors import ConfigError
from whispurrnet.base.machine import Tick

Why: TypeAlias = Literal["coin", "loop", "embargo", "alone", "full", "stranger", "off"]
"""What made us spread a message: our coin; we had it already; nobody else did in time; there is no
peer to hand it on to; too much is held; it came from no peer of ours; the stem is switched off."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the stem."""

    on: bool = True
    """Whether messages walk before they are spread. Off, whoever listens well knows who wrote."""

    epoch_s: float = 600.0
    """How long successors, routes and the coin hold, in seconds."""

    epoch_jitter_s: float = 30.0
    """An epoch is longer by up to so much, at random, in seconds: nodes do not change together."""

    successors: int = 2
    """How many peers messages are handed on to; two make the lines hard to learn."""

    fluff: float = 0.2
    """The chance that a node spreads what its peers hand on, for one epoch; 1/fluff is the mean
    length of a line."""

    embargo_min_s: float = 2.0
    """No message is spread for want of news of it sooner than this, in seconds."""

    embargo_mean_s: float = 8.0
    """How much later than `embargo_min_s` on average, exponentially distributed, in seconds."""

    relayed_per_s: float = 4.0
    """How many messages a second go to one successor; those of others beyond are spread at once,
    our own wait for their turn."""

    relayed_burst: float = 20.0
    """How many at once."""

    held_max: int = 4096
    """How many messages are held."""

    held_bytes_max: int = 16 * 2**20
    """How many bytes of messages are held; a single one may be longer."""

    embargo: bool = True
    """Whether a message that nobody spreads is spread by who holds it. Never switch it off: this
    is for the simulator, which shows what is lost without."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.fluff <= 1.0:
            raise ConfigError(f"fluff is {self.fluff}; a chance lies between 0 and 1")
        if self.successors < 1 or self.held_max < 1:
            raise ConfigError("successors and held_max are 1 or more")


class Rng(Protocol):
    """Chance: `random.Random` is one. In a node it must not be guessable."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


# Events and effects


class Add(msgspec.Struct, frozen=True):
    """A peer to gossip with is there. Of one already there, only `outbound` is learnt anew."""

    peer: int
    outbound: bool
    """We called it: an attacker chooses whom it calls, not whom we call."""


class Remove(msgspec.Struct, frozen=True):
    """A peer is gone, or to be gossiped with no longer."""

    peer: int


class Own(msgspec.Struct, frozen=True):
    """We wrote this. It never expires sooner than `expires_at`, in seconds."""

    id: bytes
    body: bytes
    expires_at: float


class Arrived(msgspec.Struct, frozen=True):
    """A peer handed this on to us. It was checked, and was not yet seen in the open."""

    peer: int
    id: bytes
    body: bytes
    expires_at: float


class Fluffed(msgspec.Struct, frozen=True):
    """A message was seen in the open, so its line did its work; unknown ones are ignored."""

    id: bytes


class Relay(msgspec.Struct, frozen=True):
    """Hand this on to that peer, and to nobody else."""

    peer: int
    body: bytes


class Fluff(msgspec.Struct, frozen=True):
    """Spread this in the open, to everybody."""

    body: bytes
    why: Why


Event: TypeAlias = Add | Remove | Own | Arrived | Fluffed | Tick
Effect: TypeAlias = Relay | Fluff
