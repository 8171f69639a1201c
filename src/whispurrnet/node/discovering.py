"""Who is near: beacons heard within a time, and nodes that peers told of.

`multicast`, `broadcast` and `mdns` listen on sockets of their own, whether or not the node itself
is to be found that way, and send no beacon; mDNS asks who is there, so others see that somebody
does. `exchange` hears nobody: it is what this node was told already, by neighbours and by peers,
and calls that it keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.discovery import beacon
from whispurrnet.lan.lan import Lan, Method, expand
from whispurrnet.node.words import name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whispurrnet.node.node import Node

KEY_BYTES = 32
METHODS = ("multicast", "mdns", "broadcast", "exchange", "all")


class Found(msgspec.Struct, frozen=True):
    """A node that was found."""

    key: str
    """Its static key: 64 hexadecimal characters."""
    id: str
    """Its id; empty when nobody says."""
    name: str
    """A name for people; empty without an id."""
    addresses: tuple[str, ...]
    sources: tuple[str, ...]
    """Where from: `multicast`, `broadcast`, `mdns`, `exchange`, `peer`, `book`."""
    connected: bool


class Finds:
    """What was found so far, each node once.

    Args:
        node: Who looks; it does not find itself.
        count: How many are enough.
    """

    def __init__(self, node: Node, count: int) -> None:
        self._node = node
        self._count = count
        self._ours = {one.proof.static_key for one in node.stack.shared.identities}
        self._found: dict[bytes, Found] = {}
        self.enough = asyncio.Event()

    def add(
        self, key: bytes, addresses: Sequence[str], source: str, *, id: bytes | None = None
    ) -> None:
        """Somebody was found, or again; nodes beyond those that are enough are left out."""
        known = self._found.get(key)
        if key in self._ours or (known is None and len(self._found) >= self._count):
            return
        text = id.hex() if id is not None else known.id if known is not None else ""
        self._found[key] = Found(
            key=key.hex(),
            id=text,
            name=name_of(bytes.fromhex(text)) if text else "",
            addresses=tuple(dict.fromkeys((*(known.addresses if known else ()), *addresses))),
            sources=tuple(dict.fromkeys((*(known.sources if known else ()), source))),
            connected=self._node.stack.roster.reached(key),
        )
        if len(self._found) >= self._count:
            self.enough.set()

    @property
    def all(self) -> tuple[Found, ...]:
        """In the order in which they were found."""
        return tuple(self._found.values())


async def discover(
    node: Node, method: str = "all", *, count: int = 20, timeout_s: float = 6.0
) -> tuple[Found, ...]:
    """Collect who is near, until there are enough or the time is over. Cancelling is safe.

    Args:
        node: Who looks.
        method: One of `METHODS`.
        count: How many are enough, at least 1.
        timeout_s: For how long to listen; `exchange` alone does not wait.

    Raises:
        UsageError: There is no such method; or stealth is on, and the method would be noticed.
        HostError: The method cannot be had on this machine.
    """
    if method not in METHODS:
        raise UsageError(f"{method[:70]!r} is no way to find others; take one of {_listed()}")
    finds = Finds(node, count)
    if method in {"exchange", "all"}:
        _told(node, finds)
    if method != "exchange" and not finds.enough.is_set():
        await _listen(node, method, finds, timeout_s)
    return finds.all


def _listed() -> str:
    return ", ".join(METHODS)


def _told(node: Node, finds: Finds) -> None:
    """What neighbours, peers and our own calls say."""
    for overlay in node.stack.gossiping.overlays.values():
        for contact in overlay.membership.passive:
            finds.add(contact.key, contact.addresses, "exchange")
    for record in node.stack.roster:
        if record.addresses:
            finds.add(record.static_key, record.addresses, "peer", id=record.id)
    book = node.stack.shared.calls.book
    for key in book.peers():
        if len(key) == KEY_BYTES and not key.startswith(b"@/"):  # not an address without a key
            finds.add(key, [entry.address for entry in book.entries(key)], "book")


async def _listen(node: Node, method: str, finds: Finds, timeout_s: float) -> None:
    if node.settings.enable_stealth:
        raise UsageError(
            "stealth is on: to look around on the network shows that somebody does; "
            "take --method exchange, or set enable_stealth = false"
        )
    wanted = node.settings.lan
    ears: dict[Method, beacon.Beacon] = {}

    def heard(data: bytes, by: Method) -> None:
        ear = ears.setdefault(by, _ear(node))
        for effect in ear.handle(beacon.Datagram(data), node.now()):
            if isinstance(effect, beacon.Found):
                proof = effect.proof
                finds.add(proof.static_key, effect.addresses, by, id=proof.id)

    lan = Lan(
        expand(("auto",) if method == "all" else (method,)),
        wanted.multicast_port,
        wanted.multicast_group,
        wanted.multicast_group6,
        service_port=9000,  # nothing is published: nothing is sent
    )
    try:
        failed = await lan.start(heard)
        if not lan.methods:
            raise next(iter(failed.values()), HostError("no network to listen on; check its cable"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await finds.enough.wait()
    finally:
        await lan.close()


def _ear(node: Node) -> beacon.Beacon:
    """What understands the beacons of our network, and never speaks."""
    shared = node.stack.shared
    return beacon.Beacon(
        shared.config.beacon,
        network_secret=shared.config.network_secret,
        entropy=secrets.token_bytes,
        wall=lambda: time.time_ns() // 1_000_000,
    )
