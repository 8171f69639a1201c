"""What a NAT does, in the words of RFC 4787 and in plain ones, and who can meet through two.

A NAT maps an inner address and port to an outer one, and filters what comes back:

    mapping      the same outer port for all destinations, for each address, for each port
    filtering    what comes from anybody, from an address that was sent to, from such a port

Two meet directly by hole punching when each sends to where the other is seen: that works unless a
side's outer port cannot be foreseen and the other side lets in only what it expects by port.

Source: RFC 4787, sections 4 and 5; RFC 5780, sections 4.3 and 4.4; the names of kinds are those of
RFC 3489, section 5, which people still use.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Behaviour: TypeAlias = Literal[
    "endpoint independent", "address dependent", "address and port dependent", "unknown"
]
Kind: TypeAlias = Literal[
    "none", "full cone", "restricted cone", "port-restricted cone", "cone", "symmetric", "unknown",
    "blocked",
]  # fmt: skip
"""`cone`: the mapping is known, the filtering is not; `blocked`: nobody answered over UDP."""

INDEPENDENT: Behaviour = "endpoint independent"
BY_ADDRESS: Behaviour = "address dependent"
BY_PORT: Behaviour = "address and port dependent"
UNKNOWN: Behaviour = "unknown"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One STUN server, and what it told."""

    server: str
    """As it was named."""
    seen_as: str = ""
    """The address and port it saw; empty when it did not answer."""
    rtt_ms: float | None = None
    tells_behaviour: bool = False
    """Whether it has a second address to answer from (RFC 5780)."""
    problem: str = ""
    """Why it told nothing."""


class NatReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the NAT in front of this node."""

    kind: Kind
    mapping: Behaviour = UNKNOWN
    filtering: Behaviour = UNKNOWN
    hairpinning: bool | None = None
    """Whether two behind it meet by their outer addresses; None: not known."""
    seen_as: tuple[str, ...] = ()
    """The outer addresses and ports, each once."""
    asked: tuple[Asked, ...] = ()
    note: str = ""
    """What could not be told, and why."""


def kind_of(mapping: Behaviour, filtering: Behaviour, *, translated: bool) -> Kind:
    """The usual name of a NAT with this behaviour; `translated`: it is one at all."""
    if not translated:
        return "none"
    if mapping == UNKNOWN:
        return "unknown"
    if mapping != INDEPENDENT:
        return "symmetric"
    by_filtering: dict[Behaviour, Kind] = {
        INDEPENDENT: "full cone",
        BY_ADDRESS: "restricted cone",
        BY_PORT: "port-restricted cone",
        UNKNOWN: "cone",
    }
    return by_filtering[filtering]


def can_meet(one: Kind, other: Kind) -> bool | None:
    """Whether two behind such NATs can meet by hole punching; None: not known."""
    kinds = {one, other}
    if "blocked" in kinds:
        return False
    if "unknown" in kinds:
        return None
    if "symmetric" not in kinds or "none" in kinds:
        return True
    if kinds == {"symmetric"} or "port-restricted cone" in kinds:
        return False
    return None if "cone" in kinds else True


MEANINGS: dict[Kind, str] = {
    "none": "No NAT: others see this machine under its own address.",
    "full cone": "A full-cone NAT: once this node has sent anything, anybody can answer it.",
    "restricted cone": "A restricted-cone NAT: it lets in whoever's address this node has sent to.",
    "port-restricted cone": "A port-restricted cone NAT, the usual home router: it lets in "
    "only whom this node has sent to.",
    "cone": "A cone NAT: all see this node under one address; whom it lets in is not known.",
    "symmetric": "A symmetric NAT: everybody sees this node under another port.",
    "unknown": "There is a NAT; of what kind, one answer alone cannot tell.",
    "blocked": "Nobody answered over UDP: it is blocked here, or the servers are down.",
}


def reachable(kind: Kind) -> str:
    """Which peers can be reached directly from behind such a NAT, in one sentence."""
    match kind:
        case "blocked":
            return "Peers behind a NAT are reached through a relay; public ones directly, by TCP."
        case "unknown":
            return "Ask two servers, or one with two addresses, to know which peers can be reached."
        case "symmetric":
            return (
                "Direct with public peers and those behind full or restricted cones; through TURN "
                "or a relay with port-restricted cones and symmetric NATs."
            )
        case "port-restricted cone" | "cone":
            return (
                "Direct with public peers and those behind any cone; through TURN or a relay with "
                "symmetric NATs."
            )
        case "none" | "full cone" | "restricted cone":
            return "Direct with peers behind any kind of NAT."
