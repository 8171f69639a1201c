"""How far an address reaches: what others say of addresses must not lead us into our own house."""

from __future__ import annotations

import ipaddress
from enum import IntEnum

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.address import parse


class Reach(IntEnum):
    """From where an address can be reached; more is farther."""

    NOWHERE = 0
    MACHINE = 1
    """Loopback, and links inside one process."""
    NETWORK = 2
    """Private and link-local addresses."""
    WORLD = 3
    """Everything else, names included."""


def reach(address: str) -> Reach:
    """How far an address reaches, as its text tells."""
    try:
        place = parse(address)
    except UsageError:
        return Reach.NOWHERE
    if place.kind == "memory":  # of a relayed address it is the relay that is called
        return Reach.MACHINE
    try:
        host = ipaddress.ip_address(place.host.partition("%")[0])
    except ValueError:
        return Reach.WORLD
    if host.is_loopback or host.is_unspecified:
        return Reach.MACHINE
    return Reach.NETWORK if host.is_private or host.is_link_local else Reach.WORLD
