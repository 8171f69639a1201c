"""Whole nodes over real sockets move from a relay to a direct path while they talk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import whispurrnet
from whispurrnet.base.bounded import TokenBucket
from whispurrnet.node.peer import Peer
from whispurrnet.node.why import why
from whispurrnet.stack import events

QUIET: dict[str, Any] = {"lan": {"enabled": False}, "port": 0, "gateway": {"enabled": False}}
HERE = "/ip4/127.0.0.1/tcp/0"

WHISPERS = 10_000
MOVES = 20


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


@contextlib.asynccontextmanager
async def carried(
    nat: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[whispurrnet.Node, whispurrnet.Node]]:
    """Ada, and Bob whom she reached through a relay; both listen.

    The relay does not gossip: it would make them neighbours, who reach each other directly.
    """
    more = {**QUIET, **settings}
    apart = {"nat": {"relay": True}, "gossip": {"enabled": False}}
    async with (
        whispurrnet.open(listen=(HERE,), **QUIET, **apart) as relay,
        whispurrnet.open(
            listen=(HERE,), nat={"relays": (relay.ticket.text,), **(nat or {})}, **more
        ) as bob,
        whispurrnet.open(listen=(HERE,), nat=nat or {}, **more) as ada,
    ):
        await until(bob, lambda: any("/relay/" in one for one in bob.ticket.addresses))
        way = tuple(one for one in bob.ticket.addresses if "/relay/" in one)
        ticket = whispurrnet.Ticket(static_key=bob.ticket.static_key, addresses=way)
        peer = await ada.connect(ticket)
        assert peer.path.startswith("relay (via ")
        yield ada, bob


async def until(node: whispurrnet.Node, true: Callable[[], bool]) -> None:
    """Wait for an event of the node after which something holds."""
    with contextlib.closing(node.events()) as feed:
        while not true():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(feed)


def other(node: whispurrnet.Node, peer: whispurrnet.Node) -> Peer:
    """One node as the other knows it."""
    return node.peer(peer.id)


def again(node: whispurrnet.Node, peer: Peer) -> None:
    """Let a node think that a relay carries a session, so that it can move once more."""
    live = peer.record.live
    assert live is not None
    live.path, live.moved_s = "relay", None
    peer.record.moves = TokenBucket(1, 8)
    node.stack.paths.heard(peer.record, node.now())


def test_a_relayed_pair_moves_to_tcp_and_both_are_told() -> None:
    async def test() -> None:
        async with carried() as (ada, bob):
            here, there = other(ada, bob), other(bob, ada)
            with contextlib.closing(ada.events()) as feed:
                seen = [event async for event in _until_moved(feed)]
            assert here.path == "direct tcp"
            await until(bob, lambda: there.path == "direct tcp")
            moved = seen[-1]
            assert moved["path"] == "direct tcp"
            assert moved["before"] == "relay"
            assert moved["peer"] == here.id
            assert "peer_down" not in [event["type"] for event in seen]
            assert here.whisper(b"still here")
            async for message in bob.messages():
                assert message.body == b"still here"
                break
            answer = why(ada, bob.name)
            assert answer.path == "direct tcp"
            assert any("it worked" in fact for fact in why(ada, here.id).facts) or any(
                "it worked" in fact for fact in why(bob, there.id).facts
            )

    run(test)


async def _until_moved(feed: Any) -> AsyncIterator[dict[str, Any]]:
    async for event in feed:
        yield event
        if event["type"] == "path_changed":
            return


def test_ten_thousand_whispers_each_way_survive_twenty_moves() -> None:
    async def test() -> None:
        async with carried(nat={"upgrade": False}) as (ada, bob):
            here, there = other(ada, bob), other(bob, ada)

            async def echo(request: Any) -> bytes:
                await asyncio.sleep(0.01)
                return bytes(request.body)

            bob.on_request("echo", echo)
            heard: dict[str, list[int]] = {"ada": [], "bob": []}

            async def say(peer: Peer) -> None:
                receipts = []
                for n in range(WHISPERS):
                    receipts.append(peer.whisper(b"%d" % n))
                    if n % 50 == 0:
                        await asyncio.sleep(0.005)
                    if n >= 500:  # so many are on their way
                        await receipts[n - 500].received()
                for receipt in receipts:
                    await receipt.received()

            async def hear(node: whispurrnet.Node, name: str) -> None:
                async for message in node.messages():
                    heard[name].append(int(message.body))
                    if len(heard[name]) == WHISPERS:
                        return

            async def ask() -> int:
                count = 0
                while len(heard["bob"]) < WHISPERS:
                    bodies = [b"%d" % n for n in range(20)]
                    answers = await asyncio.gather(*(here.request("echo", b) for b in bodies))
                    assert answers == bodies
                    count += len(answers)
                return count

            moves = 0

            async def move() -> None:
                nonlocal moves
                for n in range(MOVES):
                    node, peer = (ada, here) if n % 2 else (bob, there)
                    node.submit(events.TryPath(peer.handle))
                    await until(node, lambda: here.path == there.path == "direct tcp")
                    moves += 1
                    await asyncio.sleep(0.02)
                    if n < MOVES - 1:
                        again(ada, here)
                        again(bob, there)

            with contextlib.closing(ada.events()) as feed:
                async with asyncio.TaskGroup() as tasks:
                    for work in (
                        say(here),
                        say(there),
                        hear(ada, "ada"),
                        hear(bob, "bob"),
                        move(),
                    ):
                        tasks.create_task(work)
                    asked = tasks.create_task(ask())
                told = [event["type"] for event in feed.take_all()]
            assert heard["ada"] == heard["bob"] == list(range(WHISPERS))
            assert moves == MOVES
            assert asked.result() > 100
            assert "peer_down" not in told
            assert ada.stack.shared.meter.snapshot()["moves_broken"] == 0

    run(test)


def test_why_a_relay_carries_a_peer() -> None:
    async def test() -> None:
        async with carried(nat={"upgrade": False, "webrtc": "off"}) as (ada, bob):
            here = other(ada, bob)
            answer = why(ada, here.name)
            text = "\n".join((answer.verdict, *answer.facts, *answer.cures))
            assert answer.path.startswith("relay (via ")
            assert "no better path is tried: nat.upgrade is false here" in text
            assert "set nat.upgrade = true" in answer.cures
            assert "no WebRTC here: WebRTC is switched off" in text
            assert [one.method for one in answer.attempts] == ["relay"]
            # nobody listens at the addresses it told
            ada.stack.paths._direct = lambda record, now: ("/ip4/127.0.0.1/tcp/9",)  # type: ignore[method-assign]
            ada.submit(events.TryPath(here.handle))
            await until(ada, lambda: len(why(ada, here.name).attempts) > 1)
            answer = why(ada, here.name)
            (last,) = (one for one in answer.attempts if one.method == "direct")
            assert not last.ok
            assert "/ip4/127.0.0.1/tcp/9" in last.place
            assert "nothing listens there" in last.reason
            assert answer.place == "the peer"
            assert any("forward a TCP port" in cure for cure in answer.cures)
            (row,) = [one for one in ada.status().peers if one.name == here.name]
            assert row.path == answer.path
            assert "nothing listens there" in row.reason
            assert row.cure == f"whispurr why {here.name}"

    run(test)
