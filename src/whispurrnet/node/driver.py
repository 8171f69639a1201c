"""The driver: the only place where the stack meets the loop, the clock and the links.

It hands events to the stack one at a time and performs their effects without waiting. What the
stack wants sent is sealed at the end of each turn of the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from whispurrnet.base.errors import LimitError, NetworkError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.base.machine import Tick
from whispurrnet.lan.lan import Lan
from whispurrnet.node.circuits import Circuits
from whispurrnet.node.latency import Latency
from whispurrnet.stack import events
from whispurrnet.stack.stack import Stack
from whispurrnet.transport.dialer import Dialer
from whispurrnet.transport.link import Link
from whispurrnet.wire.address import Address, parse

log = get(__name__)
Answer = TypeVar("Answer", bound=events.Effect)
_FLUSH = events.Flush()
_MESSAGES = (events.Ask, events.Post)

EAGER_AFTER = 32
"""After so many messages in one turn of the loop these are sealed at once: so the peer works on
the first while we still make the last, instead of both waiting for each other. The rest waits for
the end of the turn, so that what is urgent overtakes it."""


OURS = (
    "all its addresses are those of this node itself: it is in another network with the same "
    "addresses; let it set nat.relays, and take a fresh ticket of it"
)
"""What is said instead of dialling ourselves."""

CLOSING_S = 1.0
"""How long the other sides have to close their ends of our links when the node is closed, in
seconds; then the links are cut."""


class _Stopped(Exception):  # noqa: N818 - not an error: the way to end a task group
    """The node is closed: its tasks end."""


class Port:
    """The handler of one link: its number in the stack."""

    __slots__ = ("_driver", "dial", "holds", "link", "number")

    def __init__(self, driver: Driver, dial: int | None) -> None:
        self._driver = driver
        self.dial = dial
        self.number = 0
        self.link: Link | None = None
        self.holds = 0
        """How many reasons there are not to read."""

    def attach(self, link: Link) -> None:
        """The link is open."""
        if self.link is None:
            self.link = link
            self._driver.opened(self, link)

    def link_data(self, link: Link, data: bytes) -> None:
        """Bytes arrived."""
        if self.link is None:
            self.attach(link)
        self._driver.arrived(events.LinkData(self.number, data))

    def link_lost(self, link: Link, reason: str) -> None:
        """The link is gone."""
        self.attach(link)
        self._driver.lost(self, reason)

    def link_paused(self, link: Link) -> None:
        """Its buffer is full."""
        self._driver.submit(events.LinkPaused(self.number))

    def link_resumed(self, link: Link) -> None:
        """Its buffer has room."""
        self._driver.submit(events.LinkResumed(self.number))


class Driver:
    """Runs one stack under asyncio.

    Args:
        stack: The node's core.
        dialer: Opens links.
        news: Takes every effect that is news for the application.
        flushed: Called after records were sealed.
        clock: Monotonic seconds; the loop's own clock may be coarser.
    """

    def __init__(
        self,
        stack: Stack,
        dialer: Dialer,
        news: Callable[[events.Effect], None],
        flushed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stack = stack
        self.lan: Lan | None = None
        self.latency = Latency()
        self._dialer = dialer
        self._news = news
        self._flushed = flushed
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._ports: dict[int, Port] = {}
        self._empty = asyncio.Event()
        """No link is left."""
        self._empty.set()
        self._next_link = 1
        self._flush_due = False
        self._unsealed = 0  # messages in this turn of the loop
        self._pending: deque[events.Effect] = deque()
        self._performing = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._performers: dict[type, Callable[[Any], None]] = {
            events.Write: self._write,
            events.Dial: self._dial,
            events.Close: self._close,
            events.Hold: self._hold,
            events.Announce: self._announce,
        }
        self.circuits = Circuits(self, dialer)
        self._performers |= self.circuits.performers

    # Running

    async def run(self, started: asyncio.Event) -> None:
        """Keep the tasks of the node until `stop`, and then until no link is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                started.set()
                await self._stop.wait()
                raise _Stopped
        except* _Stopped:
            pass
        finally:
            await self._see_off()

    async def _see_off(self) -> None:
        """Wait until every link is gone, and cut those that take too long.

        A loop that ends before them would leave their sockets open.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._empty.wait()
            return
        for port in list(self._ports.values()):
            if port.link is not None:
                port.link.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._empty.wait()

    def stop(self) -> None:
        """End `run`, every task it keeps, and every link."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        self.circuits.close()
        for port in list(self._ports.values()):
            if port.link is not None:
                port.link.close()

    @property
    def is_running(self) -> bool:
        """Whether tasks can be kept."""
        return self._tasks is not None and not self._stop.is_set()

    def serve(self, performers: dict[type, Callable[[Any], None]]) -> None:
        """Let somebody else perform some effects."""
        self._performers |= performers

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine that handles its own errors, for as long as the node runs."""
        assert self._tasks is not None, "the node runs"
        return self._tasks.create_task(work)

    # Events in, effects out

    def submit(self, event: events.Event) -> None:
        """Hand an event to the stack and perform what it wants.

        Effects are performed in the order in which the stack gave them, also when one of them
        leads to a further event.

        Raises:
            WhispurrError: The application asked for what cannot be; nothing has changed.
        """
        effects = self.stack.handle(event, self._clock())
        if effects:
            self._perform(effects)
        if type(event) in _MESSAGES:
            self._unsealed += 1
            if self._unsealed == EAGER_AFTER:
                self.submit(_FLUSH)
        self.settle()

    def arrived(self, event: events.LinkData) -> None:
        """Bytes were read from a link; see now and then how long it takes to deal with them."""
        if self.latency.due():
            began = self._clock()
            self.submit(event)
            self.latency.add(self._clock() - began)
        else:
            self.submit(event)

    def ask(self, event: events.Event, answer: type[Answer]) -> Answer:
        """Hand over an event whose answer comes at once.

        Raises:
            WhispurrError: The application asked for what cannot be; nothing has changed.
        """
        effects = self.stack.handle(event, self._clock())
        found = next(effect for effect in effects if isinstance(effect, answer))
        self._perform([effect for effect in effects if effect is not found])
        self.settle()
        return found

    def _perform(self, effects: list[events.Effect]) -> None:
        pending = self._pending
        pending.extend(effects)
        if self._performing:
            return
        self._performing = True
        performers, news = self._performers, self._news
        try:
            while pending:
                effect = pending.popleft()
                perform = performers.get(type(effect))
                if perform is not None:
                    perform(effect)
                else:
                    news(effect)
        finally:
            self._performing = False

    def settle(self) -> None:
        """See to it that the stack is called again when it wants to be.

        If something is to be sealed, that is soon enough to look for its deadline.
        """
        self.soon()
        if not self._flush_due:
            self._arm()

    def _arm(self) -> None:
        due = self.stack.deadline
        if due is not None and due < self._due and not self._stop.is_set():
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_later(max(0.0, due - self._clock()), self._tick)

    def soon(self) -> None:
        """Seal what waits at the end of this turn of the loop."""
        if not self._flush_due and self.stack.wants_flush:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._unsealed = 0
        self._perform(self.stack.handle(_FLUSH, self._clock()))
        self.soon()
        self._arm()
        self._flushed()

    def _tick(self) -> None:
        self._timer, self._due = None, inf
        due = self.stack.deadline
        if due is not None and due <= self._clock():
            self.submit(Tick())
        else:
            self._arm()

    # Links

    def accept(self, link: Link) -> Port:
        """Take an inbound link in.

        Raises:
            LimitError: The node is closed.
        """
        return self.take(link, None)

    def take(self, link: Link, dial: int | None) -> Port:
        """Take in a link that nobody listened for; `dial` is set if it is the answer to one.

        Raises:
            LimitError: The node is closed.
        """
        if self._stop.is_set():
            raise LimitError("this node is closed")
        port = Port(self, dial)
        port.attach(link)
        return port

    def opened(self, port: Port, link: Link) -> None:
        """A link is open: give it a number and tell the stack."""
        port.number = self._next_link
        self._next_link += 1
        self._ports[port.number] = port
        self._empty.clear()
        self.submit(
            events.LinkUp(port.number, str(link.remote), link.path, port.dial, link.binding)
        )

    def lost(self, port: Port, reason: str) -> None:
        """A link is gone."""
        if self._ports.pop(port.number, None) is not None:
            if not self._ports:
                self._empty.set()
            self.submit(events.LinkDown(port.number, reason))

    def link(self, number: int) -> Link | None:
        """A link by its number; None if it is gone."""
        port = self._ports.get(number)
        return port.link if port is not None else None

    def forget(self, number: int) -> None:
        """A link that was given another handler is gone: the stack knows nothing of it."""
        self._ports.pop(number, None)
        if not self._ports:
            self._empty.set()

    def hold(self, number: int) -> None:
        """Read no more from a link, until `read_on` was called as often as this."""
        port = self._ports.get(number)
        if port is not None and port.link is not None:
            port.holds += 1
            port.link.pause_reading()

    def read_on(self, number: int) -> None:
        """One reason less not to read from a link."""
        port = self._ports.get(number)
        if port is not None and port.link is not None:
            port.holds -= 1
            if not port.holds:
                port.link.resume_reading()

    def _write(self, effect: events.Write) -> None:
        port = self._ports.get(effect.link)
        if port is not None and port.link is not None:
            port.link.write(effect.data)

    def _close(self, effect: events.Close) -> None:
        port = self._ports.get(effect.link)
        if port is not None and port.link is not None:
            if effect.abort:
                port.link.abort()
            else:
                port.link.close()

    def _hold(self, effect: events.Hold) -> None:
        self.hold(effect.link)
        self._loop.call_later(effect.seconds, self.read_on, effect.link)

    def _dial(self, effect: events.Dial) -> None:
        if self._tasks is not None and not self._stop.is_set():
            self.spawn(self._call(effect))

    async def _call(self, effect: events.Dial) -> None:
        addresses: list[Address] = []
        try:
            own = self.stack.shared.direct
            addresses += (parse(text) for text in effect.addresses if text not in own)
            port = Port(self, effect.dial)
            if not addresses:
                raise NetworkError(OURS)
            link = await self._dialer.dial(addresses, port)
        except WhispurrError as error:
            reason = str(error) or NetworkError.__name__
            self.submit(events.DialFailed(effect.dial, reason))
            return
        port.attach(link)

    def _announce(self, effect: events.Announce) -> None:
        if self.lan is not None:
            self.lan.send(effect.data)
