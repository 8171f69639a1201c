"""Handing over: who gives hears how far the other is, and is found again by who takes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import whispurrnet
from whispurrnet.base.errors import NetworkError
from whispurrnet.crypto.keys import Secret
from whispurrnet.node import handover
from whispurrnet.node.handover import REQUEST, Handover, State
from whispurrnet.node.node import Node
from whispurrnet.wire.ids import parse_object_id
from whispurrnet.wire.object_ticket import Offered

ALONE = {
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
}


@asynccontextmanager
async def opened(folder: Path | None = None) -> AsyncIterator[Node]:
    objects = {"objects": {"folder": str(folder)}} if folder else {}
    async with whispurrnet.open(**ALONE, **objects) as node:
        yield node


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(40):
            await story()

    asyncio.run(timed())


async def offer(node: Node, data: bytes, cap: Secret | None = None) -> Offered:
    info = await node.objects.add(data)
    if cap is None:
        cap = node.objects.share(info.oid)
    else:
        node.objects.adopt(info.oid, cap)
    return Offered(parse_object_id(info.oid), cap, "film", len(data), collection=False)


def test_who_gives_hears_how_far_it_is_and_when_it_is_there() -> None:
    async def story() -> None:
        async with opened() as anna, opened() as ben:
            data = os.urandom(2_000_000)
            offered = await offer(anna, data)
            giving = Handover(anna).give(offered)
            news = giving.news()
            peer = await ben.connect(anna.ticket)
            states: list[State] = []
            taking = await Handover(ben).take(offered, [peer], told=states.append)
            assert await ben.objects.get(offered.root.hex()) == data
            assert states[-1].verified == states[-1].total == len(data)
            assert await taking.arrived()
            heard = [got async for got in until_arrived(news)]
            assert heard[-1].arrived
            assert heard[-1].verified == len(data)
            assert heard[-1].peer.id == ben.id
            assert [got.arrived for got in giving.takers] == [True]
            giving.close()
            assert anna.names == ()
            handover_ben = Handover(ben)
            assert handover_ben.give(offered).offered == offered

    play(story)


async def until_arrived(news: Any) -> AsyncIterator[Any]:
    async for got in news:
        yield got
        if got.arrived:
            return


def test_who_takes_finds_who_gives_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """First nobody has it; then one comes who does, with another identity than anybody knew."""
    monkeypatch.setattr(handover, "SEEK_S", 0.1)

    async def story() -> None:
        data, cap = os.urandom(700_000), Secret(b"c" * 32)
        async with opened() as ben, opened() as place:
            await ben.connect(place.ticket)
            waits: list[str] = []
            waiting = asyncio.Event()

            def told(state: State) -> None:
                if state.waits:
                    waits.append(state.waits)
                    waiting.set()

            async with opened() as before:
                offered = await offer(before, data, cap)
            taking = asyncio.create_task(Handover(ben).take(offered, told=told))
            await waiting.wait()
            assert "not connected" in waits[0]
            async with opened() as anna:
                await anna.connect(place.ticket)
                Handover(anna).give(await offer(anna, data, cap))
                done = await taking
                assert await done.arrived()
            assert await ben.objects.get(offered.root.hex()) == data

    play(story)


def test_who_does_not_hold_the_capability_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "SEEK_S", 0.05)

    async def story() -> None:
        async with opened() as anna, opened() as eve:
            offered = await offer(anna, b"x" * 100_000)
            Handover(anna).give(offered)
            wrong = msgspec.structs.replace(offered, cap=Secret(b"w" * 32))
            assert wrong.meeting != offered.meeting
            peer = await eve.connect(anna.ticket)
            taking = asyncio.create_task(Handover(eve).take(wrong, [peer]))
            done, _ = await asyncio.wait([taking], timeout=1.0)
            assert not done
            assert not (await eve.objects.list())
            taking.cancel()
            assert await eve.request(peer, REQUEST, report(wrong, 5)) == b"0"

    play(story)


def report(offered: Offered, verified: int) -> bytes:
    return msgspec.msgpack.encode([offered.tag, verified, 100, False])


def test_what_is_said_is_checked_and_bounded() -> None:
    async def story() -> None:
        async with opened() as anna, opened() as eve:
            offered = await offer(anna, b"x")
            giving = Handover(anna).give(offered)
            peer = await eve.connect(anna.ticket)
            for bad in (b"", b"\xc1", msgspec.msgpack.encode([b"short", 1, 1, False])):
                with pytest.raises(NetworkError, match="malformed"):
                    await eve.request(peer, REQUEST, bad)
            with pytest.raises(NetworkError, match="malformed"):
                await eve.request(peer, REQUEST, report(offered, -1))
            assert giving.takers == []
            for count in range(10):
                assert await eve.request(peer, REQUEST, report(offered, count)) == b"1"
            assert [got.verified for got in giving.takers] == [9]

    play(story)
