"""What a node does with circuits: asks, gives up, carries, lets go; real nodes on memory links."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import whispurrnet
from whispurrnet.errors import NetworkError
from whispurrnet.node.status import relay_status
from whispurrnet.stack import events
from whispurrnet.wire.address import parse

NAMES = itertools.count()
QUIET: dict[str, Any] = {"lan": {"enabled": False}, "port": 0, "gossip": {"enabled": False}}
STAY: dict[str, Any] = {"upgrade": False, "webrtc": "off"}


def node(*listen: str, **nat: Any) -> Any:
    return whispurrnet.open(listen=listen, nat=STAY | nat, **QUIET)


async def until(true: Callable[[], bool]) -> None:
    """Give the loop its turns until something is so."""
    for _ in range(100_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not become so")


@asynccontextmanager
async def street(**nat: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A relay, Bob who has a place there, and Alice."""
    place = f"/memory/relay-{next(NAMES)}"
    async with (
        asyncio.timeout(20),
        node(place, relay=True, **nat) as relay,
        node(relays=(relay.ticket.text,)) as bob,
        node() as alice,
    ):
        async for event in bob.events():
            if event["type"] == "relayed":
                break
        yield relay, bob, alice


def test_what_status_says_of_a_relay() -> None:
    async def main() -> None:
        async with street() as (relay, bob, alice):
            assert relay.status().relay.places == 1
            assert (bob.status().relay.held, bob.status().relay.wanted) == (1, 1)
            peer = await alice.connect(bob.ticket)
            await peer.whisper(b"through")
            shown = relay_status(relay)
            assert (shown.on, shown.circuits) == (True, 1)
            assert shown.carried_bytes > 1000
            await alice.disconnect(peer)
            await until(lambda: not relay_status(relay).circuits)
            assert relay_status(relay).carried_bytes >= shown.carried_bytes

    asyncio.run(main())


def test_the_events_say_by_which_path() -> None:
    async def main() -> None:
        async with street() as (_, bob, alice):
            feed = alice.events()
            await alice.connect(bob.ticket)
            paths = []
            async for event in feed:
                if event["type"] == "peer_up":
                    paths.append(event["path"].partition(" (")[0])
                if len(paths) == 2:
                    break
            assert paths == ["direct memory", "relay"]

    asyncio.run(main())


def test_a_wait_that_is_cancelled_is_forgotten() -> None:
    async def main() -> None:
        async with street() as (_, bob, alice):
            circuits = alice._driver.circuits
            task = asyncio.create_task(circuits.ask(parse(bob.ticket.addresses[0])))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not circuits._asked
            assert not alice.stack.relaying._wanted

    asyncio.run(main())


def test_a_relay_that_is_not_there_is_named() -> None:
    async def main() -> None:
        async with asyncio.timeout(20), node() as alice:
            nowhere = parse("/memory/nowhere").through(b"k" * 32, b"i" * 32)
            with pytest.raises(NetworkError, match="the relay memory 'nowhere'"):
                await alice._driver.circuits.ask(nowhere)

    asyncio.run(main())


def test_a_pair_whose_link_is_gone_already_is_told_of_as_ended() -> None:
    async def main() -> None:
        async with asyncio.timeout(20), node(relay=True) as relay:
            told: list[events.Event] = []
            driver = relay._driver
            driver.submit = told.append
            allowed = relay.stack.relaying.relay.config.circuit
            driver.circuits._splice(events.Splice(7, 100, 101, allowed))
            del driver.submit
            assert told == [events.SpliceEnded(7, 0)]

    asyncio.run(main())


def test_a_closed_relay_leaves_no_link_open() -> None:
    async def main() -> None:
        async with street() as (relay, bob, alice):
            peer = await alice.connect(bob.ticket)
            await peer.whisper(b"through")
            await relay.close()
            await until(lambda: not peer.connected)
            assert not relay._driver.circuits.splicer

    asyncio.run(main())
