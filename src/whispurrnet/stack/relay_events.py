"""What the stack and its shell say to each other of relays (see `docs/protocol/relay.md`)."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from whispurrnet.nat.relay_events import Allowance

# From the shell


class OpenCircuit(msgspec.Struct, frozen=True):
    """Be joined to who is at this relayed address; the answer is `CircuitReady` or `NoCircuit`."""

    ref: int
    """Chosen by the shell, above 0."""
    address: str


class ForgetCircuit(msgspec.Struct, frozen=True):
    """Nobody waits for that any more."""

    ref: int


class SpliceEnded(msgspec.Struct, frozen=True):
    """Two links that were spliced are gone, both."""

    circuit: int
    bytes: int
    """What was copied, both ways."""


# To the shell


class CircuitReady(msgspec.Struct, frozen=True):
    """Open a link to the relay, begin it with the token, wait for one byte, 1: the link is ours."""

    ref: int
    token: bytes


class NoCircuit(msgspec.Struct, frozen=True):
    """There is none."""

    ref: int
    reason: str


class AcceptCircuit(msgspec.Struct, frozen=True):
    """Somebody calls through a relay: the same, and what comes of it is an inbound link."""

    token: bytes
    addresses: tuple[str, ...]
    """Where the relay is reached."""
    remote: str
    """The relayed address of the caller, as the relay says."""


class Splice(msgspec.Struct, frozen=True):
    """Say the byte on both links, then copy what comes on each to the other, unread."""

    circuit: int
    caller: int
    target: int
    allowance: Allowance


class CutSplice(msgspec.Struct, frozen=True):
    """Close two links that were spliced."""

    circuit: int


class Placed(msgspec.Struct, frozen=True):
    """Through relays we are reached at these addresses from now on."""

    addresses: tuple[str, ...]


Event: TypeAlias = OpenCircuit | ForgetCircuit | SpliceEnded
Effect: TypeAlias = CircuitReady | NoCircuit | AcceptCircuit | Splice | CutSplice | Placed
