"""The local network: every method of finding each other there, as one thing to send to.

A datagram is sent by each method that works and comes in by any, so the same one may come several
times. A method that cannot be had leaves the others at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeAlias

from whispurrnet.base.errors import HostError
from whispurrnet.lan import mdns
from whispurrnet.lan.broadcast import Broadcast
from whispurrnet.lan.mdns import Mdns
from whispurrnet.lan.multicast import GROUP4, GROUP6, Multicast

Method: TypeAlias = Literal["multicast", "broadcast", "mdns"]
Heard: TypeAlias = Callable[[bytes, Method], None]
"""Takes a datagram, and by which method it came."""


def expand(methods: Sequence[str]) -> tuple[Method, ...]:
    """What is to be tried: `auto` is multicast, broadcast, and mDNS where the extra is there."""
    if "auto" in methods:
        methods = (*methods, "multicast", "broadcast", *(["mdns"] if mdns.is_installed() else []))
    known: tuple[Method, ...] = ("multicast", "broadcast", "mdns")
    return tuple(method for method in known if method in methods)


class Lan:
    """Beacons on the local network, by one or more methods.

    Args:
        methods: `multicast`, `broadcast`, `mdns`, or `auto`.
        port: The UDP port of multicast and broadcast.
        group4: The IPv4 multicast group, or empty for none.
        group6: The IPv6 multicast group, or empty for none.
        service_port: Where peers call, for mDNS to name.
        interfaces: Names of the interfaces to use; all of them when None.

    Raises:
        UsageError: A port or a group is not one.
    """

    def __init__(
        self,
        methods: Sequence[str],
        port: int,
        group4: str = GROUP4,
        group6: str = GROUP6,
        *,
        service_port: int,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        make: dict[Method, Callable[[], Multicast | Broadcast | Mdns]] = {
            "multicast": lambda: Multicast(port, group4, group6, interfaces=interfaces),
            "broadcast": lambda: Broadcast(port, interfaces=interfaces),
            "mdns": lambda: Mdns(service_port, interfaces=interfaces),
        }
        self._made: dict[Method, Multicast | Broadcast | Mdns] = {
            method: make[method]() for method in expand(methods)
        }
        self._working: dict[Method, Multicast | Broadcast | Mdns] = {}

    @property
    def methods(self) -> tuple[Method, ...]:
        """Those that work."""
        return tuple(self._working)

    async def start(self, on_datagram: Heard) -> dict[Method, HostError]:
        """Start every method, and call `on_datagram` for each datagram.

        Cancelling is safe: close it.

        Returns:
            Which methods cannot be had, and why; without any that can, `send` does nothing.
        """
        failed: dict[Method, HostError] = {}
        for method, made in self._made.items():
            try:
                await made.start(partial(_hand_on, on_datagram, method))
            except HostError as error:
                failed[method] = error
            else:
                self._working[method] = made
        return failed

    def send(self, data: bytes) -> None:
        """Send one datagram by every method; it never waits, and what cannot be sent is lost."""
        for working in self._working.values():
            working.send(data)

    def renew(self) -> None:
        """Our identity has changed: what names there are must not link the two."""
        for working in self._working.values():
            if isinstance(working, Mdns):
                working.renew()

    async def close(self) -> None:
        """Stop sending and hearing; takes up to some two seconds, to say that we are gone."""
        self._working.clear()
        slow: list[Mdns] = []
        for made in self._made.values():
            if isinstance(made, Mdns):
                slow.append(made)
            else:
                made.close()
        await asyncio.gather(*(made.close() for made in slow))


def _hand_on(on_datagram: Heard, method: Method, data: bytes) -> None:
    on_datagram(data, method)
