"""The driver: effects in order, one flush a turn, the timer, links, dials and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from whispurrnet.base import errors
from whispurrnet.base.errors import LimitError, NetworkError, UsageError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.node.driver import CLOSING_S, OURS, Driver, Port
from whispurrnet.node.latency import EVERY, Figures
from whispurrnet.stack import events
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.link import NO_BINDING, NOBODY
from whispurrnet.wire.address import Address, parse

PLACE = parse("/ip4/192.0.2.7/tcp/9000")
PLACES = (str(PLACE),)
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, WhispurrError)
]


class Shared:
    """As much of what the parts of the stack share as is looked at."""

    direct: tuple[str, ...] = ()


class Core:
    """A stack that does what the test says, and remembers what it was told."""

    def __init__(self) -> None:
        self.shared = Shared()
        self.seen: list[Any] = []
        self.times: list[float] = []
        self.effects: dict[type, list[Any]] = {}
        self.deadline: float | None = None
        self.wants_flush = False

    def handle(self, event: Any, now: float) -> list[Any]:
        self.seen.append(event)
        self.times.append(now)
        if isinstance(event, events.Flush):
            self.wants_flush = False
        if isinstance(event, Tick):
            self.deadline = None
        if isinstance(event, events.Invite):
            raise UsageError("no")
        return self.effects.get(type(event), [])

    def all(self, kind: type) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


class FakeLink:
    path = "tcp"
    binding = NO_BINDING
    remote = PLACE
    inbound = True
    handler = NOBODY

    def __init__(self, did: list[Any] | None = None) -> None:
        self.did: list[Any] = [] if did is None else did

    def write(self, data: bytes) -> None:
        self.did.append(data)

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")


class FakeDialer:
    def __init__(self) -> None:
        self.error: WhispurrError | None = None
        self.early: tuple[bytes, ...] = ()
        self.lost = ""
        self.slow = False
        self.asked: list[list[Address]] = []
        self.cancelled = False
        self.link = FakeLink()

    async def dial(self, addresses: Iterable[Address], handler: Port) -> FakeLink:
        self.asked.append(list(addresses))
        if self.slow:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if self.error is not None:
            raise self.error
        for data in self.early:
            handler.link_data(self.link, data)
        if self.lost:
            handler.link_lost(self.link, self.lost)
        return self.link


class Rig:
    """A driver between fakes, running."""

    def __init__(self) -> None:
        self.core = Core()
        self.dialer = FakeDialer()
        self.news: list[Any] = []
        self.on_news: Callable[[Any], None] = lambda _: None
        self.flushed = 0
        self.driver = Driver(
            self.core,  # type: ignore[arg-type]
            self.dialer,  # type: ignore[arg-type]
            self._hear,
            self._count,
            asyncio.get_running_loop().time,
        )
        self.runner: asyncio.Task[None]

    def _hear(self, effect: Any) -> None:
        self.news.append(effect)
        self.on_news(effect)

    def _count(self) -> None:
        self.flushed += 1

    def accept(self, link: FakeLink) -> Port:
        return self.driver.accept(link)


def running(test: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        rig = Rig()
        started = asyncio.Event()
        rig.runner = asyncio.create_task(rig.driver.run(started))
        await started.wait()
        try:
            await test(rig)
        finally:
            rig.driver.stop()
            await rig.runner

    run(main())


# Effects


def test_effects_keep_their_order_also_when_news_leads_to_a_further_event() -> None:
    async def test(rig: Rig) -> None:
        rig.accept(FakeLink(rig.news))
        rig.core.effects = {
            events.Listening: [events.PeerUp(1), events.Write(1, b"first"), events.PeerUp(2)],
            events.Disconnect: [events.Write(1, b"second"), events.PeerDown(1, "gone")],
        }

        def on_news(effect: Any) -> None:
            if effect == events.PeerUp(1):
                rig.driver.submit(events.Disconnect(1))
                assert rig.news == [events.PeerUp(1)]  # one effect is over before the next

        rig.on_news = on_news
        rig.driver.submit(events.Listening(()))
        assert rig.news == [
            events.PeerUp(1),
            b"first",
            events.PeerUp(2),
            b"second",
            events.PeerDown(1, "gone"),
        ]

    running(test)


def test_an_answer_comes_at_once_and_the_rest_is_performed() -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.OpenStream] = [
            events.PeerUp(1),
            events.StreamReady(1, 7, 3),
            events.PeerUp(2),
        ]
        asked = rig.driver.ask(events.OpenStream(1, 7, "x", 5), events.StreamReady)
        assert asked == events.StreamReady(1, 7, 3)
        assert rig.news == [events.PeerUp(1), events.PeerUp(2)]

    running(test)


def test_a_refusal_reaches_who_asked_and_changes_nothing() -> None:
    async def test(rig: Rig) -> None:
        with pytest.raises(UsageError):
            rig.driver.submit(events.Invite(1))
        with pytest.raises(UsageError):
            rig.driver.ask(events.Invite(1), events.Invited)
        assert not rig.news

    running(test)


def test_after_news_that_raised_the_next_effects_are_performed() -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.Listening] = [events.PeerUp(1)]

        def fail(effect: Any) -> None:
            raise KeyError(effect)

        rig.on_news = fail
        with pytest.raises(KeyError):
            rig.driver.submit(events.Listening(()))
        rig.on_news = lambda _: None
        rig.driver.submit(events.Listening(()))
        assert rig.news == [events.PeerUp(1)] * 2

    running(test)


def test_announcements_go_to_the_local_network_if_there_is_one() -> None:
    class Net:
        sent: list[bytes] = []  # noqa: RUF012

        def send(self, data: bytes) -> None:
            self.sent.append(data)

    async def test(rig: Rig) -> None:
        rig.core.effects[events.Listening] = [events.Announce(b"here")]
        rig.driver.submit(events.Listening(()))
        rig.driver.lan = Net()  # type: ignore[assignment]
        rig.driver.submit(events.Listening(()))
        assert Net.sent == [b"here"]

    running(test)


# Flushing


def test_one_flush_a_turn_however_many_posts() -> None:
    async def test(rig: Rig) -> None:
        for turn in (1, 2):
            for _ in range(100):
                rig.core.wants_flush = True
                rig.driver.submit(events.Farewell())
            assert len(rig.core.all(events.Flush)) == turn - 1
            await asyncio.sleep(1)
            assert len(rig.core.all(events.Flush)) == turn
            assert rig.flushed == turn

    running(test)


def test_no_flush_when_nothing_waits() -> None:
    async def test(rig: Rig) -> None:
        rig.driver.submit(events.Farewell())
        rig.driver.soon()
        await asyncio.sleep(1)
        assert rig.core.seen == [events.Farewell()]
        assert rig.flushed == 0

    running(test)


def test_a_flush_that_leaves_more_is_followed_by_another() -> None:
    async def test(rig: Rig) -> None:
        more = [True, False]
        rig.core.effects[events.Flush] = [events.PeerUp(1)]

        def on_news(_: Any) -> None:
            rig.core.wants_flush = more.pop(0)

        rig.on_news = on_news
        rig.core.wants_flush = True
        rig.driver.soon()
        await asyncio.sleep(1)
        assert len(rig.core.all(events.Flush)) == 2

    running(test)


# The timer


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize(("first", "then"), [(100.0, 5.0), (5.0, 100.0), (5.0, 5.0)])
def test_the_tick_comes_at_the_deadline_also_when_that_moves(
    first: float, then: float, flush: bool
) -> None:
    async def test(rig: Rig) -> None:
        for deadline in (first, then):
            rig.core.deadline = deadline
            rig.core.wants_flush = flush
            rig.driver.submit(events.Farewell())
            await asyncio.sleep(1)
        await asyncio.sleep(200)
        (at,) = [
            now
            for event, now in zip(rig.core.seen, rig.core.times, strict=True)
            if isinstance(event, Tick)
        ]
        assert at == pytest.approx(then)

    running(test)


def test_a_tick_is_followed_by_the_next() -> None:
    async def test(rig: Rig) -> None:
        for deadline in (10.0, 20.0, 30.0):
            rig.core.deadline = deadline
            rig.driver.settle()
            await asyncio.sleep(10)
        assert len(rig.core.all(Tick)) == 3

    running(test)


def test_a_deadline_that_has_passed_ticks_at_once() -> None:
    async def test(rig: Rig) -> None:
        await asyncio.sleep(50)
        rig.core.deadline = 7.0
        rig.driver.settle()
        await asyncio.sleep(0.001)
        assert rig.core.times == [50.0]

    running(test)


# Links


def test_links_are_numbered_in_the_order_they_open() -> None:
    async def test(rig: Rig) -> None:
        first, second = FakeLink(), FakeLink()
        ports = [rig.accept(first), rig.accept(second)]
        assert [port.number for port in ports] == [1, 2]
        assert rig.core.seen == [
            events.LinkUp(n, str(PLACE), "tcp", None, NO_BINDING) for n in (1, 2)
        ]
        ports[1].link_data(second, b"hello")
        ports[0].link_paused(first)
        ports[0].link_resumed(first)
        assert rig.core.seen[2:] == [
            events.LinkData(2, b"hello"),
            events.LinkPaused(1),
            events.LinkResumed(1),
        ]

    running(test)


def test_a_number_is_never_used_again() -> None:
    async def test(rig: Rig) -> None:
        link = FakeLink()
        rig.accept(link).link_lost(link, "gone")
        assert rig.accept(FakeLink()).number == 2

    running(test)


def test_a_link_is_lost_once_and_nothing_is_done_to_it_after() -> None:
    async def test(rig: Rig) -> None:
        link = FakeLink()
        port = rig.accept(link)
        rig.core.effects[events.Farewell] = [
            events.Write(1, b"late"),
            events.Close(1),
            events.Close(1, abort=True),
            events.Hold(1, 1.0),
            events.Write(99, b"nobody"),
        ]
        port.link_lost(link, "gone")
        port.link_lost(link, "gone again")
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(5)
        rig.driver.hold(1)
        rig.driver.read_on(1)
        assert rig.core.all(events.LinkDown) == [events.LinkDown(1, "gone")]
        assert not link.did

    running(test)


def test_writing_and_both_ways_to_close() -> None:
    async def test(rig: Rig) -> None:
        link = FakeLink()
        rig.accept(link)
        rig.core.effects[events.Farewell] = [
            events.Write(1, b"bye"),
            events.Close(1),
            events.Close(1, abort=True),
        ]
        rig.driver.submit(events.Farewell())
        assert link.did == [b"bye", "close", "abort"]

    running(test)


def test_a_hold_pauses_a_link_for_its_seconds() -> None:
    async def test(rig: Rig) -> None:
        link = FakeLink()
        rig.accept(link)
        rig.core.effects[events.Farewell] = [events.Hold(1, 3.0)]
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(2.9)
        assert link.did == ["pause"]
        await asyncio.sleep(0.2)
        assert link.did == ["pause", "resume"]

    running(test)


def test_a_link_is_read_again_when_no_reason_is_left() -> None:
    async def test(rig: Rig) -> None:
        link = FakeLink()
        rig.accept(link)
        rig.core.effects[events.Farewell] = [events.Hold(1, 3.0)]
        rig.driver.submit(events.Farewell())
        rig.driver.hold(1)
        await asyncio.sleep(5)
        assert "resume" not in link.did
        rig.driver.read_on(1)
        assert link.did.count("resume") == 1

    running(test)


# Dialling


def test_a_dial_becomes_a_link_with_its_number() -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.Farewell] = [events.Dial(7, PLACES)]
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        assert rig.dialer.asked == [[PLACE]]
        assert rig.core.all(events.LinkUp) == [
            events.LinkUp(1, str(PLACE), "tcp", 7, NO_BINDING),
        ]
        assert not rig.core.all(events.DialFailed)

    running(test)


def test_what_a_link_says_before_the_dial_returns_comes_after_its_number() -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.Farewell] = [events.Dial(7, PLACES)]
        rig.dialer.early, rig.dialer.lost = (b"one", b"two"), "hung up"
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        assert rig.core.seen[1:] == [
            events.LinkUp(1, str(PLACE), "tcp", 7, NO_BINDING),
            events.LinkData(1, b"one"),
            events.LinkData(1, b"two"),
            events.LinkDown(1, "hung up"),
        ]

    running(test)


def test_a_link_that_is_lost_at_once_was_there() -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.Farewell] = [events.Dial(7, PLACES)]
        rig.dialer.lost = "hung up"
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        assert [type(event) for event in rig.core.seen[1:]] == [events.LinkUp, events.LinkDown]

    running(test)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(("text", "reason"), [("why", "why"), ("", NetworkError.__name__)])
def test_every_error_of_ours_is_a_failed_dial(
    kind: type[WhispurrError], text: str, reason: str
) -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.Farewell] = [events.Dial(7, PLACES)]
        rig.dialer.error = kind(text)
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        assert rig.core.seen[1:] == [events.DialFailed(7, reason)]

    running(test)


def test_an_address_that_is_none_is_a_failed_dial() -> None:
    async def test(rig: Rig) -> None:
        rig.core.effects[events.Farewell] = [events.Dial(7, (*PLACES, "/nonsense"))]
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        (failed,) = rig.core.all(events.DialFailed)
        assert failed.dial == 7
        assert not rig.dialer.asked

    running(test)


def test_we_do_not_call_ourselves() -> None:
    """In a home like ours the peer has our very address: we would answer, with silence."""
    ours = "/ip4/192.168.1.2/tcp/9000"

    async def test(rig: Rig) -> None:
        rig.core.shared.direct = (ours,)
        rig.core.effects[events.Farewell] = [events.Dial(7, (ours, *PLACES))]
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        assert [[str(one) for one in asked] for asked in rig.dialer.asked] == [[*PLACES]]
        rig.core.effects[events.Farewell] = [events.Dial(8, (ours,))]
        rig.driver.submit(events.Farewell())
        await asyncio.sleep(1)
        (failed,) = rig.core.all(events.DialFailed)
        assert (failed.dial, failed.reason) == (8, OURS)

    running(test)


# The end


def test_stopping_ends_tasks_dials_links_and_ticks() -> None:
    async def test(rig: Rig) -> None:
        link = FakeLink()
        rig.accept(link)
        rig.dialer.slow = True
        rig.core.effects[events.Farewell] = [events.Dial(7, PLACES)]
        rig.core.deadline = 50.0
        rig.driver.submit(events.Farewell())
        task = rig.driver.spawn(asyncio.Event().wait())
        await asyncio.sleep(1)
        rig.driver.stop()
        await rig.runner
        assert task.cancelled()
        assert rig.dialer.cancelled
        assert link.did == ["close", "abort"], "it did not go by itself"
        rig.driver.submit(events.Farewell())  # as a link that is lost now does
        await asyncio.sleep(100)
        assert len(rig.dialer.asked) == 1
        assert not rig.core.all(Tick)

    running(test)


def test_stopping_waits_for_links_that_close_by_themselves_and_takes_no_more() -> None:
    async def test(rig: Rig) -> None:
        links = [FakeLink(), FakeLink()]
        ports = [rig.accept(link) for link in links]
        rig.driver.stop()
        for link, port in zip(links, ports, strict=True):
            await asyncio.sleep(CLOSING_S / 3)
            assert not rig.runner.done()
            port.link_lost(link, "closed here")  # type: ignore[arg-type]
        await rig.runner
        assert all(link.did == ["close"] for link in links)
        with pytest.raises(LimitError):
            rig.accept(FakeLink())

    running(test)


def test_a_task_that_ends_does_not_end_the_others() -> None:
    async def test(rig: Rig) -> None:
        async def nothing() -> None:
            """Ends at once."""

        rig.driver.spawn(nothing())
        await asyncio.sleep(10)
        assert not rig.runner.done()

    running(test)


def test_a_few_readings_are_timed_with_all_that_they_lead_to() -> None:
    async def test(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        core, clock = rig.core, [100.0]
        rig.driver._clock = lambda: clock[0]
        heard = events.Warned("something")
        core.effects[events.LinkData] = [heard]

        def work(effect: Any) -> None:
            clock[0] += 0.25 if effect is heard else 0.0

        rig.on_news = work
        link = FakeLink()
        port = rig.accept(link)
        assert rig.driver.latency.figures() is None
        for _ in range(EVERY + 1):
            port.link_data(link, b"data")  # type: ignore[arg-type]
        assert len(core.all(events.LinkData)) == EVERY + 1
        assert rig.driver.latency.figures() == Figures(p50_ms=250.0, p99_ms=250.0, samples=2)
        rig.driver._clock = loop.time

    running(test)
