"""Contacts: nodes that may be called; the networks they belong to; and choosing among them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.address import parse

KEY_BYTES = 32
ADDRESSES_MAX = 4
Choice = TypeVar("Choice")


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


class Contact(msgspec.Struct, frozen=True, array_like=True):
    """A node that may be called, by anybody: only those who agreed are passed on."""

    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    """Its static key."""
    addresses: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...],
        Meta(min_length=1, max_length=ADDRESSES_MAX),
    ]
    expires_s: Annotated[int, Meta(ge=0, lt=2**32)]
    """Unix time in seconds."""


def pick(choices: Sequence[Choice], rng: Rng) -> Choice | None:
    """One of these at random, or None of none."""
    return choices[int(rng.random() * len(choices))] if choices else None


def sample(choices: Iterable[Choice], count: int, rng: Rng) -> list[Choice]:
    """At most `count` of these, all different places, in random order."""
    left = list(choices)
    taken: list[Choice] = []
    while left and len(taken) < count:
        place = int(rng.random() * len(left))
        left[place], left[-1] = left[-1], left[place]
        taken.append(left.pop())
    return taken


def prefix_of_host(host: str) -> str:
    """The network an IP address belongs to: IPv4 /24, IPv6 /48; empty where that says nothing.

    Loopback and private networks have none, for all of a household is in one; names have none.
    """
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback or ip.is_private or ip.is_link_local:
        return ""
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def prefix_of(contact: Contact) -> str | None:
    """The network of a contact's first address that has one; None if it cannot be called at all."""
    prefix: str | None = None
    for text in contact.addresses:
        try:
            address = parse(text)
        except UsageError:
            continue
        prefix = prefix_of_host(address.host)
        if prefix:
            break
    return prefix
