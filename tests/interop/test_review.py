"""What a careful reader found wrong between real nodes, and must not come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.interop.test_node import alone, pair, run

from whispurrnet.base.errors import HostError
from whispurrnet.errors import NetworkError, UsageError
from whispurrnet.node import conversation
from whispurrnet.node.peer import Message, Request
from whispurrnet.stack import events


async def until(holds: Callable[[], object]) -> None:
    """Let the loop run until something holds that no event tells of."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def turns(count: int = 3) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_who_waits_for_room_hears_that_the_peer_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with pair() as (alice, _, to_bob, _to_alice):
            monkeypatch.setattr(conversation, "BACKLOG_MAX", 0)
            sending = asyncio.create_task(to_bob.send(b"when there is room" * 100))
            await turns()
            assert not sending.done()
            live = to_bob.record.live
            assert live is not None
            alice.submit(events.LinkDown(live.link, "cut"))
            await turns()
            assert sending.done()
            assert isinstance(sending.exception(), NetworkError)

    run(test)


def test_streams_that_ended_are_forgotten_on_both_sides() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, _):
            incoming = bob.streams()
            for n in range(5):
                stream = await to_bob.open_stream("s")
                await stream.write(b"%d" % n)
                stream.finish()
                theirs = await anext(incoming)
                theirs.finish()
                assert await theirs.read_all() == b"%d" % n
                assert await stream.read_all() == b""
            await to_bob.whisper(b"and what was under way is there")
            assert not alice._news.streams
            assert not bob._news.streams

    run(test)


def test_two_tasks_may_write_one_stream() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _to_alice):
            incoming = bob.streams()
            stream = await to_bob.open_stream("s")
            part = bytes(3 << 20)
            both = asyncio.gather(stream.write(part), stream.write(part), stream.write(part))
            theirs = await anext(incoming)
            reading = asyncio.create_task(theirs.read_all())
            await both
            stream.finish()
            assert len(await reading) == 3 * len(part)

    run(test)


def test_a_request_given_up_before_its_handler_began_leaves_nothing() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, to_alice):
            began: list[bytes] = []

            async def handler(request: Request) -> bytes:
                began.append(request.body)
                return b""

            bob.on_request("slow", handler)
            handle = to_alice.handle
            asked = events.Asked(handle, 1000, "slow", b"x" * 100, 5, 30.0)
            bob._news(asked)
            assert bob._news.handled_bytes[handle] == 100
            bob._news(events.Abandoned(handle, 1000))
            await turns()
            assert not began
            assert not bob._news.handled_bytes
            assert not bob._news.handling
            assert await to_bob.request("slow", b"y") == b""
            await turns()
            assert not bob._news.handled_bytes

    run(test)


def test_a_full_feed_that_is_closed_makes_nobody_wait() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, to_alice):
            feed = bob.messages(limit=2)
            for n in range(10):
                to_bob.send_nowait(b"%d" % n)
            await until(lambda: bob._held)
            assert feed.full
            feed.close()
            assert not bob._held
            heard = bob.messages()
            await to_bob.whisper(b"again").received()
            assert to_alice.connected
            assert (await anext(feed)).body == b"0"
            del heard

    run(test)


def test_two_reasons_to_read_no_more_are_two() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, to_alice):
            live = to_alice.record.live
            assert live is not None
            bob.hold(to_alice)
            bob._driver._perform([events.Hold(live.link, 0.0)])
            await asyncio.sleep(0.01)
            receipt = to_bob.whisper(b"not read yet")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await receipt.received()
            bob.release(to_alice)
            await receipt.received()

    run(test)


def test_who_waits_for_a_read_receipt_hears_that_the_node_closed() -> None:
    async def test() -> None:
        async with pair() as (alice, _, to_bob, _to_alice):
            receipt = to_bob.whisper(b"nobody reads this")
            await receipt.received()
            reading = asyncio.create_task(receipt.read())
            await turns()
            await alice.close()
            with pytest.raises(NetworkError, match="closed"):
                await reading
            assert receipt.state == "received"

    run(test)


def test_a_disk_that_is_full_ends_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with pair() as (alice, _, to_bob, _to_alice):

            def full() -> None:
                raise HostError("the disk is full; make room")

            monkeypatch.setattr(alice, "keep", full)
            alice._news(events.PinsChanged())
            await to_bob.whisper(b"still there").received()
            (problem,) = [p for p in alice.problems if "pins" in p.what]
            assert (problem.why, problem.cure) == ("the disk is full", "make room")
            monkeypatch.undo()
            alice._news(events.PinsChanged())
            assert not [p for p in alice.problems if "pins" in p.what]

    run(test)


def test_credit_of_a_stream_that_is_gone_is_not_given_to_another() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _to_alice):
            incoming = bob.streams()
            stream = await to_bob.open_stream("s")
            await stream.write(b"x" * 1000)
            theirs = await anext(incoming)
            await until(lambda: theirs._chunks)
            given: list[Any] = []
            await to_bob.close()
            await alone(bob)
            bob.consumed = lambda *what: given.append(what)  # type: ignore[method-assign]
            assert await theirs.read() == b"x" * 1000
            assert not given
            with pytest.raises(NetworkError):
                await theirs.read()

    run(test)


def test_a_resonance_that_is_too_long_for_anybody_is_refused_at_once() -> None:
    async def test() -> None:
        async with pair() as (alice, _, _to_bob, _to_alice):
            with pytest.raises(UsageError, match="at most 15360"):
                await alice.resonate("moon", bytes(1 << 20))

    run(test)


def test_a_slow_handler_of_a_kind_makes_the_sender_wait() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _to_alice):
            go, taken = asyncio.Event(), []

            async def handler(message: Message) -> None:
                await go.wait()
                taken.append(message.body)

            bob.on_kind("FILE_SYNC", handler)
            bob._news.kinds[16].limit = 5
            receipts = [to_bob.whisper(b"%d" % n, kind="FILE_SYNC") for n in range(500)]
            await receipts[0].received()
            await until(lambda: bob._held)
            assert len(asyncio.all_tasks()) < 50
            go.set()
            await receipts[-1].received()
            await until(lambda: len(taken) == 500)
            assert taken == [b"%d" % n for n in range(500)]
            bob.off_kind("FILE_SYNC")
            feed = bob.messages()
            to_bob.whisper(b"to all", kind="FILE_SYNC")
            assert (await anext(feed)).body == b"to all"

    run(test)


def test_who_takes_streams_no_more_refuses_them() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _to_alice):
            feed = bob.streams()
            first = await to_bob.open_stream("waits")
            await until(lambda: len(feed))
            feed.close()
            second = await to_bob.open_stream("comes later")
            for stream in (first, second):
                with pytest.raises(NetworkError):
                    await stream.read()

    run(test)


def test_an_extension_hears_nothing_before_it_is_ready_nor_after_it_left() -> None:
    """What waits when it leaves is handled first; what comes while it prepares waits."""
    import whispurrnet
    from whispurrnet import Extension

    class Slow(Extension):
        name = "slow"
        kinds = ("DREAMSPACE",)

        def __init__(self) -> None:
            self.life: list[str] = []

        async def initialize(self) -> None:
            await self.node.peers[0].request("whisper now")
            self.life.append("ready")

        async def on_message(self, message: Message) -> None:
            await asyncio.sleep(0.01)
            self.life.append(message.body.decode())

        async def cleanup(self) -> None:
            self.life.append("left")

    async def main() -> list[str]:
        here = {"listen": ("/ip4/127.0.0.1/tcp/0",), "lan": {"enabled": False}}
        async with whispurrnet.open(**here) as ada, whispurrnet.open(**here) as bob:
            peer = await ada.connect(bob.ticket)

            async def whisper_now(_: object) -> bytes:
                await peer.whisper(b"early", kind="DREAMSPACE")
                return b""

            ada.on_request("whisper now", whisper_now)
            slow = Slow()
            async with slow.on(bob):
                for n in range(4):
                    await peer.whisper(b"%d" % n, kind="DREAMSPACE")
            return slow.life

    assert asyncio.run(main()) == ["ready", "early", "0", "1", "2", "3", "left"]
