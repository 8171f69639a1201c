"""News: requests, streams, messages, receipts and peers, from the stack to the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from whispurrnet.base.errors import HostError, LimitError, NetworkError, UsageError
from whispurrnet.direct.messages import Whisper
from whispurrnet.node import news as module
from whispurrnet.node.feed import Feed
from whispurrnet.node.news import News, shown
from whispurrnet.node.peer import Message, Peer, Receipt, Request
from whispurrnet.node.stream import Stream
from whispurrnet.stack import events, object_events, relay_events, rtc_events
from whispurrnet.testing.virtual_loop import run

ID = bytes(range(32))


class FakeNode:
    """What news needs of a node; remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.refuse: Callable[[Any], None] = lambda _: None
        self.tasks: list[asyncio.Task[Any]] = []
        self.counters = {"sent": 0, "received": 0}
        self.warnings: dict[str, None] = {}
        self.failures: dict[str, str] = {}
        self.done: list[Any] = []
        self.error: HostError | None = None
        self.records: dict[int, Any] = {}
        self.stack = SimpleNamespace(roster=self.records)
        self.objects = SimpleNamespace(perform=lambda effect: self.done.append(("object", effect)))
        self.bootstrap = SimpleNamespace(reached=lambda ref: self.done.append(("reached", ref)))
        self.relays = SimpleNamespace(reached=lambda ref: None)

    def submit(self, event: Any) -> None:
        self.refuse(event)
        self.told.append(event)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    def now(self) -> float:
        return 42.0

    def hold(self, peer: Peer) -> None:
        self.done.append(("hold", peer.handle))

    def release(self, peer: Peer) -> None:
        self.done.append(("release", peer.handle))

    def look_for_room(self) -> None:
        self.done.append("room")

    def keep(self) -> None:
        if self.error is not None:
            raise self.error
        self.done.append("keep")

    def rotated(self) -> None:
        if self.error is not None:
            raise self.error
        self.done.append("rotated")

    def unsent(self, stream: Stream) -> int:
        return 0


class Rig:
    def __init__(self) -> None:
        self.node: Any = FakeNode()
        self.news = News(self.node)
        for handle in (1, 2):
            self.node.records[handle] = record(handle)
            self.news(events.PeerUp(handle))

    @property
    def told(self) -> list[Any]:
        return self.node.told

    def ask(self, name: str = "echo", body: bytes = b"hi", id: int = 5, peer: int = 1) -> None:
        self.news(events.Asked(peer=peer, id=id, name=name, body=body, priority=5, timeout_s=30.0))


def record(handle: int) -> Any:
    return SimpleNamespace(
        id=bytes([handle]) * 32, persona=None, handle=handle, live=None, profile="", trust=0
    )


def playing(test: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Rig())

    run(main())


def whispers(*bodies: bytes, kind: int = 1, peer: int = 1) -> events.Delivered:
    return events.Delivered(
        peer, [Whisper(kind, seq, 0, 5, body) for seq, body in enumerate(bodies, 1)]
    )


# Requests


@pytest.mark.parametrize("slow", [False, True])
def test_a_handler_answers(slow: bool) -> None:
    async def test(rig: Rig) -> None:
        asked: list[Request] = []

        def quick(request: Request) -> bytes:
            asked.append(request)
            return request.body * 2

        async def later(request: Request) -> bytes:
            await asyncio.sleep(3)
            return quick(request)

        rig.news.handlers["echo"] = later if slow else quick
        rig.ask()
        assert bool(rig.told) is not slow
        await asyncio.sleep(4)
        assert rig.told == [events.Answer(1, 5, b"hihi", "")]
        (request,) = asked
        assert (request.name, request.timeout_s) == ("echo", 30.0)
        assert request.sender is rig.news.peers[1]
        assert not rig.news.handling
        assert not rig.news.handled_bytes

    playing(test)


def test_a_name_that_nobody_handles_is_an_error() -> None:
    async def test(rig: Rig) -> None:
        rig.ask("nothing")
        assert rig.told == [events.Answer(1, 5, b"", "no handler is called 'nothing' there")]

    playing(test)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("the password is hunter2"), "the handler failed"),
        (OSError("/home/alice is full"), "the handler failed"),
        (UsageError("ask for a cat"), "ask for a cat"),
        (NetworkError("the shop is closed"), "the shop is closed"),
    ],
)
def test_an_error_is_told_only_if_it_is_ours(
    error: Exception, text: str, slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(rig: Rig) -> None:
        def quick(request: Request) -> bytes:
            raise error

        async def later(request: Request) -> bytes:
            await asyncio.sleep(1)
            raise error

        rig.news.handlers["echo"] = later if slow else quick
        rig.ask()
        await asyncio.sleep(2)
        assert rig.told == [events.Answer(1, 5, b"", text)]
        assert not rig.news.handling
        assert all(task.exception() is None for task in rig.node.tasks)

    with caplog.at_level(logging.ERROR, "whispurrnet"):
        playing(test)
    assert len(caplog.records) == (text == "the handler failed")


@pytest.mark.parametrize("answer", [None, "text", bytearray(b"x")])
def test_what_is_not_bytes_is_no_answer(answer: Any) -> None:
    async def test(rig: Rig) -> None:
        async def later(request: Request) -> Any:
            return answer

        rig.news.handlers["echo"] = later
        rig.ask()
        await asyncio.sleep(1)
        assert rig.told == [events.Answer(1, 5, b"", "the handler did not answer with bytes")]
        rig.news.handlers["echo"] = lambda _: answer
        rig.ask()
        await asyncio.sleep(1)
        assert rig.told[1].error
        assert not rig.told[1].body

    playing(test)


def test_a_handler_has_as_long_as_the_peer_waits() -> None:
    async def test(rig: Rig) -> None:
        async def never(request: Request) -> bytes:
            return await asyncio.get_running_loop().create_future()

        rig.news.handlers["echo"] = never
        rig.ask()
        await asyncio.sleep(29)
        assert not rig.told
        await asyncio.sleep(2)
        assert rig.told == [events.Answer(1, 5, b"", "the handler took too long")]

    playing(test)


@pytest.mark.parametrize("begun", [False, True])
def test_an_abandoned_request_cancels_its_handler(begun: bool) -> None:
    async def test(rig: Rig) -> None:
        seen: list[str] = []

        async def never(request: Request) -> bytes:
            seen.append("begun")
            try:
                return await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        rig.news.handlers["echo"] = never
        rig.ask(id=5)
        rig.ask(id=6)
        if begun:
            await asyncio.sleep(1)
        rig.news(events.Abandoned(1, 5))
        rig.news(events.Abandoned(1, 99))
        await asyncio.sleep(1)
        assert seen.count("cancelled") == begun
        assert [task.cancelled() for task in rig.node.tasks] == [True, False]
        assert set(rig.news.handling) == {(1, 6)}
        assert rig.news.handled_bytes[1] == 2
        assert not rig.told
        rig.node.tasks[1].cancel()

    playing(test)


def test_who_holds_too_much_is_turned_away_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HANDLED_BYTES_MAX", 100)

    async def test(rig: Rig) -> None:
        gate = asyncio.Event()

        async def later(request: Request) -> bytes:
            await gate.wait()
            return b"done"

        rig.news.handlers["echo"] = later
        for id in (1, 2):
            rig.ask(body=b"x" * 60, id=id)
        assert not rig.told
        rig.ask(id=3)
        (refused,) = rig.told
        assert (refused.id, refused.body) == (3, b"")
        assert "too many requests" in refused.error
        rig.ask(id=4, peer=2)
        assert len(rig.told) == 1
        gate.set()
        await asyncio.sleep(1)
        rig.ask(id=5)
        await asyncio.sleep(1)
        assert {(a.peer, a.id) for a in rig.told if a.body} == {(1, 1), (1, 2), (2, 4), (1, 5)}
        assert not rig.news.handled_bytes

    playing(test)


def test_an_answer_that_is_refused_becomes_an_error() -> None:
    async def test(rig: Rig) -> None:
        def refuse(event: Any) -> None:
            if event.body:
                raise LimitError("the answer is too long")

        rig.node.refuse = refuse
        rig.news.handlers["echo"] = lambda request: request.body
        rig.ask()
        assert rig.told == [events.Answer(1, 5, b"", "the answer is too long")]

    playing(test)


def test_our_own_requests_are_answered() -> None:
    async def test(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        good, bad, gone = (loop.create_future() for _ in range(3))
        rig.news.answers.update({1: good, 2: bad, 3: gone})
        gone.cancel()
        rig.news(events.Answered(1, 1, b"yes", ""))
        rig.news(events.Answered(1, 2, b"", "the handler failed"))
        rig.news(events.Answered(1, 3, b"late", ""))
        rig.news(events.Answered(1, 99, b"unknown", ""))
        assert await good == b"yes"
        with pytest.raises(NetworkError, match="the handler failed"):
            await bad
        assert not rig.news.answers

    playing(test)


# Streams


def test_streams_are_refused_until_somebody_takes_them() -> None:
    async def test(rig: Rig) -> None:
        rig.news(events.StreamOpened(1, 3, "files", 5))
        assert rig.told == [events.ResetStream(1, 3)]
        assert not rig.news.streams
        rig.news.incoming = Feed(1)
        for number in (4, 5, 6):
            rig.news(events.StreamOpened(1, number, "files", 5))
        assert rig.told[1:] == [events.ResetStream(1, 6)]
        stream = await anext(rig.news.incoming)
        assert (stream.number, stream.name, stream.peer) == (4, "files", rig.news.peers[1])

    playing(test)


def test_what_happens_to_a_stream_reaches_that_one() -> None:
    async def test(rig: Rig) -> None:
        rig.node.consumed = lambda *_: None
        rig.news.incoming = Feed(9)
        for peer in (1, 2):
            rig.news(events.StreamOpened(peer, 3, "files", 5))
        first, second = rig.news.streams[1, 3], rig.news.streams[2, 3]
        rig.news(events.StreamData(1, 3, b"one"))
        rig.news(events.StreamData(2, 3, b"two"))
        rig.news(events.StreamFinished(1, 3))
        rig.news(events.StreamReset(2, 3, "no more"))
        assert await first.read_all() == b"one"
        assert await second.read() == b"two"
        with pytest.raises(NetworkError, match="no more"):
            await second.read()
        rig.news(events.StreamClosed(1, 3))
        assert not rig.news.streams

    playing(test)


@pytest.mark.parametrize(
    "late",
    [
        events.StreamData(1, 9, b"late"),
        events.StreamWritable(1, 9),
        events.StreamFinished(1, 9),
        events.StreamClosed(1, 9),
        events.StreamReset(1, 9, "late"),
    ],
)
def test_late_news_of_a_stream_is_nothing(late: Any) -> None:
    async def test(rig: Rig) -> None:
        rig.news(late)
        assert not rig.told
        assert not rig.news.streams

    playing(test)


@pytest.mark.parametrize("news", [events.StreamWritable(1, 3), events.StreamClosed(1, 3)])
def test_a_writer_is_woken(news: Any) -> None:
    async def test(rig: Rig) -> None:
        rig.news.incoming = Feed(9)
        rig.news(events.StreamOpened(1, 3, "files", 5))
        rig.node.unsent = lambda _: 1 << 30
        rig.node.write_stream = lambda *_: None
        task = asyncio.ensure_future(rig.news.streams[1, 3].write(b"x"))
        await asyncio.sleep(1)
        rig.node.unsent = lambda _: 0
        assert not task.done()
        rig.news(news)
        await task

    playing(test)


# Messages


def test_messages_wait_for_whoever_comes_and_go_to_all_who_are_there() -> None:
    async def test(rig: Rig) -> None:
        rig.news(whispers(b"early"))
        assert [message.body for message in rig.news.early.take_all()] == [b"early"]
        feeds: list[Feed[Message]] = [Feed(9), Feed(9)]
        rig.news.inbox += feeds
        rig.news(whispers(b"one", b"two", peer=2))
        for feed in feeds:
            first, second = feed.take_all()
            assert (first.body, second.body) == (b"one", b"two")
            assert first.sender is rig.news.peers[2]
            assert (first.seq, first.kind, first.priority, first.topic) == (1, "WHISPER", 5, None)
        assert not len(rig.news.early)
        assert rig.node.counters["received"] == 3

    playing(test)


def test_a_full_inbox_holds_who_fills_it() -> None:
    async def test(rig: Rig) -> None:
        rig.news.inbox.append(Feed(1))
        rig.node.done.clear()
        rig.news(whispers(b"one", peer=2))
        assert not rig.node.done
        rig.news(whispers(b"two", peer=2))
        assert rig.node.done == [("hold", 2)]

    playing(test)


def test_a_kind_goes_to_its_extension_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(rig: Rig) -> None:
        taken: list[bytes] = []

        async def take(message: Message) -> None:
            taken.append(message.body)
            if message.body == b"bad":
                raise KeyError("the password is hunter2")

        feed = rig.news.kinds[16] = Feed(1)
        inbox: Feed[Message] = Feed(9)
        rig.news.inbox.append(inbox)
        rig.node.done.clear()
        for kind, body in ((16, b"bad"), (1, b"whisper"), (17, b"other")):
            rig.news(whispers(body, kind=kind))
        assert not rig.node.done
        rig.news(whispers(b"good", kind=16, peer=2))
        assert rig.node.done == [("hold", 2)]
        assert [message.body for message in inbox.take_all()] == [b"whisper", b"other"]
        work = rig.node.spawn(rig.news.work_through(feed, take))
        await asyncio.sleep(1)
        assert taken == [b"bad", b"good"]
        feed.close()
        await work

    with caplog.at_level(logging.ERROR, "whispurrnet"):
        playing(test)
    assert [entry.getMessage() for entry in caplog.records] == ["an extension failed"]


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [(b"caf\xc3\xa9", "text", "caf\u00e9"), (b"\xff\x00", "hex", "ff00"), (b"", "text", "")],
)
def test_watchers_see_messages(body: bytes, encoding: str, text: str) -> None:
    async def test(rig: Rig) -> None:
        watcher: Feed[dict[str, Any]] = Feed(9)
        rig.news.watchers.append(watcher)
        rig.news(whispers(body))
        (event,) = watcher.take_all()
        assert (event["type"], event["body"], event["encoding"]) == ("message", text, encoding)
        assert event["sender"] == "01" * 32
        assert shown(rig.news.early.take_all()[0]).items() <= event.items()

    playing(test)


# Receipts


def test_progress_reaches_the_receipt_until_it_is_final() -> None:
    async def test(rig: Rig) -> None:
        receipts = {id: Receipt(id) for id in (1, 2, 3)}
        rig.news.receipts.update(receipts)
        for id, state in ((1, "sent"), (1, "received"), (2, "expired"), (3, "failed"), (9, "sent")):
            rig.news(events.Progress(1, id, state))  # type: ignore[arg-type]
        assert [receipt.state for receipt in receipts.values()] == ["received", "expired", "failed"]
        assert not rig.news.receipts
        assert 1 in rig.news.received
        rig.news(events.Progress(1, 1, "read"))
        assert receipts[1].state == "read"

    playing(test)


# Peers


def test_a_peer_stays_the_same_when_it_comes_back() -> None:
    async def test(rig: Rig) -> None:
        peer = rig.news.peers[1]
        rig.news(events.PeerDown(1, "it left"))
        assert rig.news.away[1] == ("it left", 42.0)
        rig.news(events.PeerUp(1))
        assert rig.news.peers[1] is peer
        assert 1 not in rig.news.away
        rig.news(events.PeerDown(1, "it left"))
        rig.news(events.PeerForgotten(1))
        assert set(rig.news.peers) == {2}
        assert not rig.news.away

    playing(test)


def test_a_lost_peer_fails_its_pings_and_streams_only() -> None:
    async def test(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        pings = {1: loop.create_future(), 2: loop.create_future()}
        cancelled = loop.create_future()
        cancelled.cancel()
        rig.news.pings.update({1: [cancelled, pings[1]], 2: [pings[2]]})
        rig.news.incoming = Feed(9)
        for handle in (1, 2):
            rig.news(events.StreamOpened(handle, 3, "files", 5))
        lost = rig.news.streams[1, 3]
        rig.node.done.clear()
        rig.news(events.PeerDown(1, "its cable"))
        with pytest.raises(NetworkError, match="its cable"):
            await pings[1]
        with pytest.raises(NetworkError, match="its cable"):
            await lost.read()
        assert set(rig.news.streams) == {(2, 3)}
        assert rig.node.done == [("release", 1), "room"]
        rig.news(events.RoundTrip(2, 0.25))
        assert await pings[2] == 0.25
        assert rig.news.peers[2].rtt_ms == 250.0

    playing(test)


def test_a_connect_succeeds_or_fails() -> None:
    async def test(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        good, bad, gone = (loop.create_future() for _ in range(3))
        gone.cancel()
        rig.news.connects.update({1: good, 2: bad, 3: gone})
        rig.node.done.clear()
        rig.news(events.Connected(1, 2))
        rig.news(events.ConnectFailed(2, NetworkError("nobody there")))
        rig.news(events.ConnectFailed(3, NetworkError("nobody there")))
        rig.news(events.ConnectFailed(99, NetworkError("nobody there")))
        assert await good is rig.news.peers[2]
        with pytest.raises(NetworkError, match="nobody there"):
            await bad
        assert rig.node.done == [("reached", 1)]

    playing(test)


def test_watchers_see_peers_come_go_and_change() -> None:
    async def test(rig: Rig) -> None:
        watcher: Feed[dict[str, Any]] = Feed(9)
        rig.news.watchers.append(watcher)
        rig.news(events.PeerDown(1, "it left"))
        rig.news(events.PeerUp(1))
        rig.news(events.PeerRenamed(1, b"o" * 32, b"n" * 32))  # type: ignore[arg-type]
        rig.news(events.Rotated(b"o" * 32, b"n" * 32))  # type: ignore[arg-type]
        seen = watcher.take_all()
        assert [event["type"] for event in seen] == [
            "peer_down",
            "peer_up",
            "peer_rotated",
            "rotated",
        ]
        assert seen[0]["reason"] == "it left"
        assert (seen[2]["old"], seen[2]["peer"]) == ("6f" * 32, "6e" * 32)

    playing(test)


# The machine


@pytest.mark.parametrize(
    ("news", "work", "what"),
    [
        (events.PinsChanged(), "keep", "pins"),
        (events.Rotated(b"o" * 32, b"n" * 32), "rotated", "certificate"),  # type: ignore[arg-type]
    ],
)
def test_what_the_disk_refuses_is_a_problem_until_it_is_done(
    news: Any, work: str, what: str
) -> None:
    async def test(rig: Rig) -> None:
        rig.node.error = HostError("the disk is full; make room")
        rig.news(news)
        ((problem, reason),) = rig.node.failures.items()
        assert what in problem
        assert reason == "the disk is full; make room"
        rig.node.error = None
        rig.news(news)
        assert not rig.node.failures
        assert rig.node.done[-1] == work

    playing(test)


def test_a_warning_is_kept_once() -> None:
    async def test(rig: Rig) -> None:
        for _ in range(3):
            rig.news(events.Warned("somebody stands between"))
        assert list(rig.node.warnings) == ["somebody stands between"]

    playing(test)


# The end


def test_closing_ends_every_wait() -> None:
    async def test(rig: Rig) -> None:
        news = rig.news
        loop = asyncio.get_running_loop()
        connect = news.connects[1] = loop.create_future()
        queued, received = Receipt(1), Receipt(2)
        news.receipts[1] = queued
        received.advance("received")
        news.received.put(2, received)
        news.incoming = Feed(9)
        feeds: list[Feed[Any]] = [Feed(9, on_close=news.inbox.remove), Feed(9), Feed(9)]
        news.inbox.append(feeds[0])
        news.watchers.append(feeds[1])
        news.topics["cats", None] = [feeds[2]]
        spreading = news.spread[7] = loop.create_future()
        ends = [asyncio.ensure_future(anext(feed, None)) for feed in (*feeds, news.incoming)]
        waits = [asyncio.ensure_future(wait) for wait in (queued.received(), received.read())]
        await asyncio.sleep(1)
        news.close()
        assert await asyncio.gather(*ends) == [None] * 4
        for outcome in await asyncio.gather(connect, spreading, *waits, return_exceptions=True):
            assert isinstance(outcome, NetworkError)
        assert (queued.state, received.state) == ("failed", "received")

    playing(test)


def test_every_effect_that_is_news_has_its_route() -> None:
    async def test(rig: Rig) -> None:
        performed = {events.Write, events.Dial, events.Close, events.Hold, events.Announce}
        performed |= {*get_args(relay_events.Effect), *get_args(rtc_events.Effect)}  # `Circuits`
        performed -= {relay_events.Placed, rtc_events.RtcEnded}
        asked = {events.StreamReady, events.Invited, object_events.SharedBy}  # by `Driver.ask`
        known = set(events.Effect.__args__)  # type: ignore[attr-defined]
        assert set(rig.news._routes) == known - performed - asked

    playing(test)
