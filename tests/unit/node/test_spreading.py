"""What a node spreads, and what it listens to: the words of the API become events of the stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf, nan
from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.base.errors import LimitError, NetworkError, UsageError
from whispurrnet.gossip import membership
from whispurrnet.gossip.standing import Standing
from whispurrnet.node.latency import Figures, Latency
from whispurrnet.node.settings import Settings
from whispurrnet.node.spreading import (
    PRESENCES_BURST,
    PRESENCES_PER_S,
    SLEEP_TOKENS,
    Sent,
    Spreading,
)
from whispurrnet.stack import events, protocols, roster
from whispurrnet.testing.virtual_loop import run

KEY = b"k" * 32


class Driver:
    """Takes events; answers what is spread at once if told to."""

    def __init__(self, node: Rig) -> None:
        self.node = node
        self.seen: list[Any] = []
        self.answers = True
        self.error: Exception | None = None

    def submit(self, event: Any) -> None:
        if self.error is not None:
            raise self.error
        self.seen.append(event)
        ref = getattr(event, "ref", None)
        if self.answers and ref in self.node._news.spread:
            self.node._news.spread[ref].set_result(Sent("ab" * 16, 3))


class Rig(Spreading):
    """A node without a stack."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: Any = SimpleNamespace(roster=())
        self.settings = Settings()
        self.counters = {"sent": 0, "received": 0, "dropped": 0}
        self.loop = asyncio.get_running_loop()
        self._news: Any = SimpleNamespace(spread={}, topics={}, peers={}, finds={})
        self._driver: Any = Driver(self)
        self.released = 0

    def release_all(self) -> None:
        self.released += 1

    def now(self) -> float:
        return 100.0

    @property
    def seen(self) -> list[Any]:
        return self._driver.seen


def playing(test: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Rig())

    run(main())


def test_a_resonance_becomes_its_event_and_comes_back_as_sent() -> None:
    async def test(rig: Rig) -> None:
        sent = await rig.resonate("moon", b"full")
        assert sent == Sent("ab" * 16, 3)
        await rig.resonate(
            "moon", b"x", strength=0.5, priority=9, key=KEY, signed=True, one_of=True, ttl_s=7.0
        )
        plain, rich = rig.seen
        ttl_s = rig.settings.message_ttl
        assert plain == events.Resonate(plain.ref, "moon", b"full", 1.0, 5, ttl_s, None, False)
        assert rich == events.Resonate(rich.ref, "moon", b"x", 0.5, 9, 7.0, KEY, True, True)
        assert plain.ref != rich.ref
        assert rig.counters["sent"] == 2
        assert not rig._news.spread

    playing(test)


@pytest.mark.parametrize("urgent", [False, True])
def test_a_broadcast_and_an_emergency_differ_in_one_word(urgent: bool) -> None:
    async def test(rig: Rig) -> None:
        say = rig.emergency if urgent else rig.broadcast
        await say(b"hear")
        await say(b"hear", signed=True, ttl_s=9.0)
        plain, signed = rig.seen
        ttl_s = rig.settings.message_ttl
        assert plain == events.Broadcast(plain.ref, b"hear", urgent, ttl_s, False)
        assert signed == events.Broadcast(signed.ref, b"hear", urgent, 9.0, True)

    playing(test)


def test_what_is_refused_leaves_nothing_behind() -> None:
    async def test(rig: Rig) -> None:
        rig._driver.error = UsageError("too long")
        for work in (rig.resonate("moon", b"x"), rig.broadcast(b"x"), rig.emergency(b"x")):
            with pytest.raises(UsageError, match="too long"):
                await work
        assert (rig._news.spread, rig.counters["sent"]) == ({}, 0)

    playing(test)


def test_a_wait_may_be_cancelled_or_end_with_the_node() -> None:
    async def test(rig: Rig) -> None:
        rig._driver.answers = False
        one, other = (asyncio.ensure_future(rig.broadcast(b"x")) for _ in range(2))
        await asyncio.sleep(1)
        one.cancel()
        (waiting,) = [w for w in rig._news.spread.values() if w is not None][1:]
        waiting.set_exception(NetworkError("the node was closed"))
        await asyncio.sleep(1)
        assert one.cancelled()
        with pytest.raises(NetworkError, match="closed"):
            await other
        assert (rig._news.spread, rig.counters["sent"]) == ({}, 0)

    playing(test)


def test_joining_listens_once_and_the_last_to_leave_listens_no_more() -> None:
    async def test(rig: Rig) -> None:
        one, other = rig.join("Moon//Phase"), rig.join("moon/phase", threshold=0.9)
        private = rig.join("moon/phase", key=KEY)
        assert rig.seen == [
            events.Listen("moon/phase", None, 0.5),
            events.Listen("moon/phase", None, 0.9),
            events.Listen("moon/phase", KEY, 0.5),
        ]
        assert {where: len(feeds) for where, feeds in rig._news.topics.items()} == {
            ("moon/phase", None): 2,
            ("moon/phase", KEY): 1,
        }
        rig.seen.clear()
        one.close()
        assert rig.seen == []
        other.close()
        other.close()
        private.close()
        assert rig.seen == [
            events.Unlisten("moon/phase", None),
            events.Unlisten("moon/phase", KEY),
        ]
        assert not rig._news.topics

    playing(test)


@pytest.mark.parametrize("error", [LimitError("too many"), UsageError("no key")])
def test_a_refused_join_leaves_nothing_behind(error: Exception) -> None:
    async def test(rig: Rig) -> None:
        rig._driver.error = error
        with pytest.raises(type(error)):
            rig.join("moon")
        with pytest.raises(UsageError):
            rig.join("")
        assert not rig._news.topics

    playing(test)


def test_a_topic_speaks_under_its_key() -> None:
    async def test(rig: Rig) -> None:
        topic = rig.join("moon", key=KEY)
        await topic.send(b"full", strength=0.7)
        event = rig.seen[-1]
        assert (event.intent, event.key, event.strength) == ("moon", KEY, 0.7)
        assert event.priority == protocols.PRIORITY_DEFAULT

    playing(test)


def test_neighbours_are_shown_those_we_called_first() -> None:
    async def test(rig: Rig) -> None:
        core = membership.Membership(None, SimpleNamespace(random=lambda: 0.5), lambda: 0)
        standing = Standing()
        for handle, outbound in ((1, False), (2, True), (3, True)):
            live = SimpleNamespace(initiator=outbound, friend=handle == 1)
            record = SimpleNamespace(live=live if handle != 3 else None)
            rig._news.peers[handle] = SimpleNamespace(record=record)
            core.handle(membership.Up(handle, bytes([handle]) * 32, None, outbound, "", True), 40.0)
            standing.add(handle, bytes([handle]) * 32, "", 40.0)
        standing.fault(2, "invalid", 100.0)
        overlay = SimpleNamespace(neighbours=(1, 2, 3, 99), membership=core)
        gossiping = SimpleNamespace(overlays={0: overlay, 1: overlay}, standing=standing)
        rig.stack = SimpleNamespace(gossiping=gossiping)  # type: ignore[assignment]
        called, caller = rig.neighbours()
        assert (called.peer, caller.peer) == (rig._news.peers[2], rig._news.peers[1])
        assert (called.outbound, called.friend, called.score) == (True, False, -10.0)
        assert (caller.outbound, caller.friend, caller.since_s) == (False, True, 60.0)

    playing(test)


def test_a_feed_of_messages_makes_room_for_those_who_wait() -> None:
    async def test(rig: Rig) -> None:
        closed: list[Any] = []
        feed = rig.inbox(1, on_close=closed.append)
        feed.put([SimpleNamespace(body=b"x")] * 5)  # type: ignore[list-item]
        assert feed.full
        feed.take_all()
        feed.close()
        assert rig.released > 0
        assert closed == [feed]

    playing(test)


def test_a_search_that_is_refused_leaves_nothing() -> None:
    async def test(rig: Rig) -> None:
        rig._driver.error = UsageError("a name has 1 to 256 characters")
        with pytest.raises(UsageError):
            rig.find("")
        assert rig._news.finds == {}

    playing(test)


def test_what_is_told_and_taken_can_be_looked_up() -> None:
    async def test(rig: Rig) -> None:
        rig.stack.meeting = SimpleNamespace(names=("our garden",), places=2)
        rig.stack.shared = SimpleNamespace(presence=("busy", "digging"))
        rig._driver.latency = Latency()
        assert (rig.names, rig.meeting_places) == (("our garden",), 2)
        assert rig.presence == ("busy", "digging")
        assert rig.processing is None
        rig._driver.latency.add(0.001)
        assert rig.processing == Figures(p50_ms=1.0, p99_ms=1.0, samples=1)

    playing(test)


def test_a_presence_changes_no_more_often_than_peers_put_up_with() -> None:
    async def test(rig: Rig) -> None:
        rig.stack.shared = SimpleNamespace(presence=("online", ""))
        rig.set_presence("online")
        assert rig.seen == []
        for n in range(PRESENCES_BURST):
            rig.set_presence("busy", str(n))
        with pytest.raises(LimitError):
            rig.set_presence("away")
        assert len(rig.seen) == PRESENCES_BURST < roster.PRESENCES_BURST
        assert PRESENCES_PER_S < roster.PRESENCES_PER_S

    playing(test)


def test_sleep_costs_of_how_often_the_presence_may_change() -> None:
    async def test(rig: Rig) -> None:
        rig.stack.resting = SimpleNamespace(asleep=False)
        for _ in range(PRESENCES_BURST // SLEEP_TOKENS):
            rig.sleep(60.0, "good night")
        assert rig.seen == [events.Sleep(60.0, "good night")] * (PRESENCES_BURST // SLEEP_TOKENS)
        with pytest.raises(LimitError):
            rig.sleep()
        rig.stack.resting.asleep = True
        assert rig.asleep
        rig.sleep()
        rig.wake()
        assert rig.seen[-2:] == [events.Sleep(), events.Wake()]
        for wrong in (0.0, -1.0, inf, nan):
            with pytest.raises(UsageError):
                rig.sleep(wrong)
        with pytest.raises(UsageError):
            rig.sleep(note="x" * 121)

    playing(test)
