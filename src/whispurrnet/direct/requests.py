"""Requests and answers of one peer, both ways: deadlines, cancellation, bounds.

A request belongs to its session: when that ends, ours are answered with an error at once and the
peer's are abandoned. Requests are not sent again; who wants that asks again.

Invariants:
    - each request of ours is answered exactly once, or abandoned by us;
    - at most `requests_max` requests are open each way, those included whose answer has not left;
    - a peer that asks without reading the answers is refused, then stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf

import msgspec

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.direct.events import Abandoned, Answer, Answered, Ask, Asked, Config, Effect
from whispurrnet.direct.flight import Load
from whispurrnet.direct.messages import (
    ERROR_CHARS_MAX,
    LANES,
    NAME_CHARS_MAX,
    TTL_MS_MAX,
    Bundle,
    Cancel,
    Message,
    Request,
    Response,
)

BUSY = "the peer has too many requests open; try again later"
LOST = "connection lost"
NOT_CONNECTED = "the peer is not connected"


class Outgoing(msgspec.Struct, gc=False):
    """A request of ours."""

    id: int
    priority: int
    due: float
    sent: bool = False


class Incoming(msgspec.Struct, gc=False):
    """A request of the peer."""

    priority: int
    due: float
    answered: bool = False


class Requests:
    """The open requests of one peer."""

    __slots__ = (
        "_asked",
        "_config",
        "_load",
        "_next",
        "_open",
        "_out",
        "_peer",
        "_refused",
        "_wire",
        "due",
        "ready",
    )

    def __init__(self, peer: int, config: Config, load: Load) -> None:
        self._peer = peer
        self._config = config
        self._load = load
        self._next = 1
        """The number of the next request on the wire; the caller's own never travels."""
        self._asked: dict[int, Outgoing] = {}
        self._wire: dict[int, int] = {}
        self._open: dict[int, Incoming] = {}
        self._refused = 0
        self._out: list[deque[Request | Response | Cancel]] = []
        self.ready = 0
        """A bit for each lane in which something waits to be sent."""
        self.due = inf
        """When `tick` is wanted: perhaps too early, never too late."""

    @property
    def idle(self) -> bool:
        """Whether no request is open."""
        return not self._asked and not self._open

    # From the application

    def ask(self, event: Ask, now: float) -> None:
        """Send a request.

        Raises:
            UsageError: The name is too long, the time is not positive, or the id is in use.
            LimitError: Too many are open.
        """
        if not 0 < len(event.name) <= NAME_CHARS_MAX or _clean(event.name) != event.name:
            raise UsageError(f"the name of a request has 1 to {NAME_CHARS_MAX} characters of text")
        if not event.timeout_s > 0:
            raise UsageError(f"a request cannot wait {event.timeout_s} s; give it some time")
        if event.id in self._wire:
            raise UsageError(f"request {event.id} is open already; number each one anew")
        if len(self._asked) >= self._config.requests_max:
            raise LimitError(
                f"{self._config.requests_max} requests to this peer wait for an answer; "
                "wait for some of them"
            )
        number = self._next
        self._next += 1
        timeout_ms = max(1, min(int(event.timeout_s * 1000), TTL_MS_MAX))
        due = now + event.timeout_s
        self._asked[number] = Outgoing(event.id, event.priority, due)
        self._wire[event.id] = number
        self.due = min(self.due, due)
        self._queue(
            event.priority, Request(number, event.name, timeout_ms, event.priority, event.body)
        )

    def abandon(self, id: int) -> None:
        """Wait no longer for an answer; the peer is told."""
        number = self._wire.get(id)
        if number is not None:
            self._give_up(number)

    def answer(self, event: Answer) -> bool:
        """Send an answer; whether the peer still waits for it."""
        request = self._open.get(event.id)
        if request is None or request.answered:
            return False
        request.answered = True
        response = Response(event.id, _clean(event.error), event.body)
        self._queue(request.priority, response)
        return True

    # From the peer

    def check(self, messages: Iterable[Message]) -> None:
        """See whether these are possible.

        Raises:
            ProtocolError: A request uses the number of an open one, or the peer does not read.
        """
        new: set[int] = set()
        for message in messages:
            if isinstance(message, Request):
                if message.id in self._open or message.id in new:
                    raise ProtocolError("a peer used the number of an open request again")
                new.add(message.id)
        if len(self._open) + self._refused + len(new) > 2 * self._config.requests_max:
            raise ProtocolError("a peer asks and asks, and does not read the answers")

    def arrived(
        self, message: Request | Response | Cancel, now: float, effects: list[Effect]
    ) -> None:
        """Take a checked message."""
        match message:
            case Request():
                self._on_request(message, now, effects)
            case Response(number, error, body):
                request = self._asked.pop(number, None)
                if request is not None:
                    del self._wire[request.id]
                    effects.append(Answered(self._peer, request.id, body, error))
            case Cancel(number):
                incoming = self._open.get(number)
                if incoming is not None and not incoming.answered:
                    del self._open[number]
                    effects.append(Abandoned(self._peer, number))

    def _on_request(self, request: Request, now: float, effects: list[Effect]) -> None:
        if len(self._open) >= self._config.requests_max:
            self._refused += 1
            self._queue(request.priority, Response(request.id, BUSY, b""))
            return
        timeout_s = request.timeout_ms / 1000
        due = now + timeout_s
        self._open[request.id] = Incoming(request.priority, due)
        self.due = min(self.due, due)
        effects.append(
            Asked(self._peer, request.id, request.name, request.body, request.priority, timeout_s)
        )

    # Sending

    def fill(self, lane: int, bundle: Bundle) -> bool:
        """Add what waits in a lane, as much as fits; whether all of it did."""
        queue = self._out[lane]
        while queue:
            message = queue[0]
            size = _size(message)
            kind = type(message)
            if kind is Request and message.id not in self._asked:
                pass  # given up before it was sent
            elif not bundle.add(message, size):
                return False
            elif kind is Request:
                self._asked[message.id].sent = True
            elif kind is Response and self._open.pop(message.id, None) is None:
                self._refused -= 1
            self._load.drop(size)
            queue.popleft()
        self.ready &= ~(1 << lane)
        return True

    def _queue(self, lane: int, message: Request | Response | Cancel) -> None:
        if not self._out:
            self._out = [deque() for _ in range(LANES)]
        self._out[lane].append(message)
        self.ready |= 1 << lane
        self._load.add(_size(message))

    # Time and ends

    def tick(self, now: float, effects: list[Effect]) -> None:
        """Give up what has waited too long, ours and theirs."""
        if now < self.due:
            return
        due = inf
        for number, request in list(self._asked.items()):
            if request.due <= now:
                self._give_up(number)
                text = "no answer came in time"
                effects.append(Answered(self._peer, request.id, b"", text))
            else:
                due = min(due, request.due)
        for number, incoming in list(self._open.items()):
            if incoming.answered:
                continue
            if incoming.due <= now:
                del self._open[number]
                effects.append(Abandoned(self._peer, number))
            else:
                due = min(due, incoming.due)
        self.due = due

    def fail(self, effects: list[Effect]) -> None:
        """The session ended: nothing of it will be answered."""
        effects += (Answered(self._peer, r.id, b"", LOST) for r in self._asked.values())
        effects += (
            Abandoned(self._peer, number)
            for number, request in self._open.items()
            if not request.answered
        )
        for queue in self._out:
            for message in queue:
                self._load.drop(_size(message))
        self._asked, self._wire, self._open, self._out = {}, {}, {}, []
        self._refused = self.ready = 0
        self.due = inf

    def adopt(self, other: Requests, effects: list[Effect]) -> None:
        """Take over the open requests of another record of this peer.

        If both records have some, the numbers of the two sessions may collide: then those of the
        other record fail. The record's load is taken over by the caller.
        """
        other._peer = self._peer
        if not self.idle:
            other.fail(effects)
            return
        for lane, queue in enumerate(other._out):
            for message in queue:
                self._queue(lane, message)
        self._asked, self._wire, self._open = other._asked, other._wire, other._open
        self._refused += other._refused
        self._next = max(self._next, other._next)
        self.due = min(self.due, other.due)

    def _give_up(self, number: int) -> None:
        request = self._asked.pop(number)
        del self._wire[request.id]
        if request.sent:
            self._queue(request.priority, Cancel(number))

    def sizes(self) -> list[int]:
        """The bytes of each message that counts as waiting."""
        return [_size(message) for queue in self._out for message in queue]

    def check_invariants(self) -> None:
        """Assert what must be true; for tests."""
        assert len(self._asked) == len(self._wire) <= self._config.requests_max
        assert len(self._open) <= self._config.requests_max
        assert 0 <= self._refused <= 2 * self._config.requests_max
        for lane, queue in enumerate(self._out):
            assert not queue or self.ready >> lane & 1


def _size(message: Request | Response | Cancel) -> int:
    """The bytes of a body and of its text, which UTF-8 may make four times as long."""
    if type(message) is Request:
        return len(message.body) + 4 * len(message.name)
    if type(message) is Response:
        return len(message.body) + 4 * len(message.error)
    return 0


def _clean(text: str) -> str:
    """A text that can travel: not too long, and without what UTF-8 has no bytes for."""
    if len(text) <= ERROR_CHARS_MAX and text.isascii():
        return text
    return text[:ERROR_CHARS_MAX].encode(errors="replace").decode()
