"""Who is near: beacons as another node makes them, on a network of lists; and what peers told."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest

import whispurrnet
from whispurrnet.discovery import beacon
from whispurrnet.errors import HostError, UsageError
from whispurrnet.gossip.contact import Contact
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.node import discovering
from whispurrnet.node.discovering import Found, discover

QUIET: dict[str, Any] = {"lan": {"enabled": False}, "port": 0}
NAMES = itertools.count()
AT = "/ip4/192.0.2.7/tcp/9000"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


class Neighbour:
    """Somebody who says where it is."""

    def __init__(self, network_secret: bytes | None = None, at: str = AT) -> None:
        self.identity = Ephemeral.generate(os.urandom, wall_ms())
        self._mouth = beacon.Beacon(beacon.Config(), network_secret, os.urandom, wall_ms)
        self._mouth.handle(beacon.Update(self.identity, (at,)), 0.0)
        self._now = 0.0

    def say(self) -> bytes:
        self._now += 100.0
        (said,) = self._mouth.handle(beacon.Tick(), self._now)
        assert isinstance(said, beacon.Announce)
        return said.data


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the local network carries, by method, and what cannot be had."""
    air: dict[str, Any] = {"multicast": [], "broadcast": [], "mdns": [], "failed": {}, "open": 0}

    class Lan:
        def __init__(self, methods: Sequence[str], *_: Any, **__: Any) -> None:
            self._wanted = methods
            self.methods: tuple[str, ...] = ()

        async def start(self, hear: Callable[[bytes, str], None]) -> dict[str, HostError]:
            air["open"] += 1
            self.methods = tuple(m for m in self._wanted if m not in air["failed"])
            for method in self.methods:
                for data in air[method]:
                    asyncio.get_running_loop().call_soon(hear, data, method)
            return {m: e for m, e in air["failed"].items() if m in self._wanted}

        async def close(self) -> None:
            air["open"] -= 1

    monkeypatch.setattr(discovering, "Lan", Lan)
    monkeypatch.setattr(discovering, "expand", lambda m: tuple(air)[:3] if m == ("auto",) else m)
    yield air
    assert not air["open"]


def test_beacons_are_heard_by_each_method(network: dict[str, Any]) -> None:
    one, other = Neighbour(), Neighbour(at="/ip6/2001:db8::7/tcp/9001")
    network["multicast"] = [one.say(), os.urandom(600), other.say()]
    network["mdns"] = [network["multicast"][0], Neighbour(b"x" * 32).say()]

    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as node:
            first, second = await discover(node, "all", timeout_s=0.2)
            assert first.key == one.identity.proof.static_key.hex()
            assert first.id == one.identity.id.hex()
            assert (first.sources, first.addresses) == (("multicast", "mdns"), (AT,))
            assert not first.connected
            assert first.name
            assert second.sources == ("multicast",)
            (only,) = await discover(node, "mdns", timeout_s=0.2)
            assert only.sources == ("mdns",)
            assert not await discover(node, "broadcast", timeout_s=0.1)

    run(test)


def test_it_ends_when_there_are_enough(network: dict[str, Any]) -> None:
    network["multicast"] = [Neighbour().say() for _ in range(4)]

    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as node:
            started = time.monotonic()
            assert len(await discover(node, "multicast", count=3, timeout_s=10)) == 3
            assert time.monotonic() - started < 5

    run(test)


def test_a_private_network_hears_its_own(network: dict[str, Any]) -> None:
    async def test() -> None:
        async with whispurrnet.open(
            listen=(), network_secret="a long text of ours", **QUIET
        ) as node:
            secret = node.stack.shared.config.network_secret
            network["multicast"] = [Neighbour().say(), Neighbour(secret).say()]
            assert len(await discover(node, "multicast", timeout_s=0.2)) == 1

    run(test)


def test_what_peers_told_needs_no_network(network: dict[str, Any]) -> None:
    async def test() -> None:
        place = f"/memory/discovering-{next(NAMES)}"
        async with (
            whispurrnet.open(listen=(place,), **QUIET) as bob,
            whispurrnet.open(listen=(), enable_stealth=True, **QUIET) as ada,
        ):
            assert await discover(ada, "exchange") == ()
            await ada.connect(bob.ticket)
            (found,) = await discover(ada, "exchange", timeout_s=60)
            assert found == Found(
                key=bob.identity.static_key,
                id=bob.id,
                name=bob.name,
                addresses=(place,),
                sources=("peer", "book"),
                connected=True,
            )
            with pytest.raises(UsageError, match="stealth is on"):
                await discover(ada, "mdns")
            assert await discover(ada, "all", count=1) == (found,)

    run(test)


def test_contacts_that_neighbours_told_of() -> None:
    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as ada:
            key = os.urandom(32)
            expires_s = wall_ms() // 1000 + 600
            contact = Contact(key, ("/memory/nobody",), expires_s)
            ada.stack.gossiping.overlays[0].consider(contact, ada.now())
            (found,) = await discover(ada, "exchange")
            assert (found.key, found.id, found.name) == (key.hex(), "", "")
            assert not found.connected

    run(test)


def test_a_node_does_not_find_itself(network: dict[str, Any]) -> None:
    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as node:
            finds = discovering.Finds(node, 5)
            finds.add(bytes.fromhex(node.identity.static_key), (AT,), "multicast")
            assert finds.all == ()

    run(test)


def test_what_cannot_be_had_is_said(network: dict[str, Any]) -> None:
    network["failed"] = {"mdns": HostError("mDNS needs one more library; pip install it")}

    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as node:
            with pytest.raises(HostError, match="one more library"):
                await discover(node, "mdns", timeout_s=0.1)
            assert await discover(node, "all", timeout_s=0.1) == ()
            with pytest.raises(UsageError, match="take one of multicast, mdns"):
                await discover(node, "kademlia")

    run(test)
