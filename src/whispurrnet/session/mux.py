"""Streams inside one session: each in order, each with its own credit, urgent ones first.

What they send one another are segments (see `segment`), one in each STREAM frame.

Who opened the session numbers its streams 1, 3, 5...; the other 2, 4, 6.... Both ends begin with
credit for `INITIAL_STREAM` bytes on each stream and `INITIAL_SESSION` on all, so that the first
bytes need no question; a larger window is granted as the first of them are consumed.

Source: RFC 9000, sections 2 to 4 (streams, limits), which this follows where it can.

Invariants:
    - the peer never has more than `streams_max` streams of its own open, nor more than
      `session_window` bytes with us that were not consumed;
    - what opens a stream is sent before its data, and the end after it.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import msgspec

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.session import segment
from whispurrnet.session.scheduler import Scheduler
from whispurrnet.session.segment import HEADER_BYTES, PRIORITY_MAX, Kind
from whispurrnet.session.stream import INITIAL_SESSION, INITIAL_STREAM, Inflow, Stream


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the streams of one session."""

    streams_max: int = 256
    """How many streams each side may have opened at once; both sides must agree."""

    stream_window: int = 4 * 1024 * 1024
    """How much of one stream may wait for the application, in bytes."""

    session_window: int = 16 * 1024 * 1024
    """How much of all streams may wait for the application, in bytes."""

    buffer_low: int = 256 * 1024
    """`Writable` says that no more than this waits to be sent on a stream, in bytes."""


# Events and effects


class Open(msgspec.Struct, frozen=True):
    """Open a stream under a number from `next_id`."""

    stream: int
    name: str
    priority: int


class Write(msgspec.Struct, frozen=True, gc=False):
    """Send bytes on a stream; they wait here until `pull` takes them."""

    stream: int
    data: bytes


class Finish(msgspec.Struct, frozen=True):
    """Nothing more will be written."""

    stream: int


class Reset(msgspec.Struct, frozen=True):
    """Drop a stream: what waits is not sent, what comes is not wanted."""

    stream: int
    code: int


class Consumed(msgspec.Struct, frozen=True):
    """The application took bytes of `Data`; the peer may send as many again."""

    stream: int
    n: int


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """The body of a STREAM frame came."""

    body: bytes


class Opened(msgspec.Struct, frozen=True):
    """The peer opened a stream."""

    stream: int
    name: str
    priority: int


class Data(msgspec.Struct, frozen=True, gc=False):
    """Bytes of a stream, in order; answer with `Consumed` when they are taken."""

    stream: int
    data: bytes


class Finished(msgspec.Struct, frozen=True):
    """The peer will send nothing more on this stream."""

    stream: int


class ResetBy(msgspec.Struct, frozen=True):
    """The peer dropped the stream; drop what was not consumed."""

    stream: int
    code: int


class Writable(msgspec.Struct, frozen=True):
    """Little enough waits on this stream to write again."""

    stream: int


class Closed(msgspec.Struct, frozen=True):
    """Both directions have ended; what was not consumed may still be."""

    stream: int


Event: TypeAlias = Open | Write | Finish | Reset | Consumed | Arrived
Effect: TypeAlias = Opened | Data | Finished | ResetBy | Writable | Closed


class Mux:
    """The streams of one session, from one end.

    It is also a source of frames: `priority` tells how urgent the most urgent one is, `pull` gives
    its body. Pulling can make a stream `Writable` or `Closed`: `drain` returns that afterwards.
    """

    deadline: float | None = None

    def __init__(self, config: Config | None = None, *, initiator: bool) -> None:
        self.config = config = config or Config()
        self._parity = 1 if initiator else 0
        self._next_id = 1 if initiator else 2
        self._opened_id = 0  # the highest number we have opened
        self._seen_id = 0  # the highest number the peer has opened
        self._streams: dict[int, Stream] = {}
        self._open = {True: 0, False: 0}  # ours, the peer's: how many are not closed
        self._inflow = Inflow(config.session_window, INITIAL_SESSION)
        self._out = Scheduler(self._inflow.limit)
        self._control: deque[bytes] = deque()  # OPEN and RESET
        self._control_max = 32 * config.streams_max
        self._credits: dict[int, None] = {}  # streams whose limit the peer shall learn
        self._news: list[Effect] = []

    def next_id(self) -> int:
        """A number for a new stream.

        Raises:
            LimitError: They are used up.
        """
        id = self._next_id
        if id > segment.STREAM_ID_MAX:
            raise LimitError("this session has used all numbers of streams; open a new session")
        self._next_id = id + 2
        return id

    @property
    def streams(self) -> int:
        """How many are open, or not yet read to their end."""
        return len(self._streams)

    def buffered(self, stream: int) -> int:
        """How many bytes of a stream wait to be sent."""
        state = self._streams.get(stream)
        return state.buffered if state else 0

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            ProtocolError: The peer broke the protocol; close the session.
            UsageError: The event does not fit the stream.
            LimitError: Too many streams are open.
        """
        effects: list[Effect] = []
        self._react(event, effects)
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        self._inflow.check()
        assert self._out.sent <= self._out.limit
        assert 0 <= self._open[True] <= self.config.streams_max >= self._open[False] >= 0
        assert len(self._credits) <= len(self._streams) + 1

    # The source of frames

    def priority(self) -> int | None:
        """How urgent the most urgent frame is, or None if there is none."""
        if self._control or self._credits:
            return PRIORITY_MAX
        stream = self._out.front()
        return None if stream is None else stream.priority

    def pull(self, room: int) -> bytes | None:
        """The body of the most urgent STREAM frame, or None if there is none that fits.

        Args:
            room: The longest body wanted, in bytes.
        """
        if self._control or self._credits:
            return self._pull_control(room)
        stream = self._out.front()
        if stream is None or room <= HEADER_BYTES:
            return None
        before, kind = stream.buffered, Kind.DATA
        parts = self._out.take(stream, room - HEADER_BYTES)
        if stream.finished:
            kind = Kind.END
            self._close_if_ended(stream, self._news)
        elif before > self.config.buffer_low >= stream.buffered and not stream.finish:
            self._news.append(Writable(stream.id))
        return b"".join((segment.header(kind, stream.id), *parts))

    def drain(self) -> list[Effect]:
        """What pulling brought about since the last call: `Writable` and `Closed`."""
        news, self._news = self._news, []
        return news

    def _pull_control(self, room: int) -> bytes | None:
        if self._control:
            return self._control.popleft() if len(self._control[0]) <= room else None
        if room < segment.CREDIT_BYTES:
            return None
        id = next(iter(self._credits))
        del self._credits[id]
        inflow = self._streams[id].inflow if id else self._inflow
        return segment.credit(id, inflow.grant())

    # What the application does

    def _react(self, event: Event, effects: list[Effect]) -> None:
        match event:
            case Arrived(body):
                self._on_frame(body, effects)
            case Write(id, data):
                stream = self._streams.get(id)
                if stream is not None and data:  # the peer may have reset it a moment ago
                    stream.append(data)
                    self._out.wake(stream)
            case Consumed(id, n):
                self._on_consumed(id, n)
            case Open():
                self._on_open(event)
            case Finish(id):
                if (stream := self._streams.get(id)) is not None:
                    stream.finish = True
                    self._out.wake(stream)
            case Reset(id, code):
                if (stream := self._streams.get(id)) is not None:
                    if not stream.closed:
                        self._control.append(segment.reset(id, code))
                    self._forget(stream)

    def _on_open(self, event: Open) -> None:
        free = self._opened_id < event.stream < self._next_id
        if event.stream % 2 != self._parity or not free:
            raise UsageError(f"{event.stream} is no free number of ours; open with `next_id()`")
        opening = segment.open_(event.stream, event.priority, event.name)
        if self._open[True] >= self.config.streams_max:
            raise LimitError(f"{self._open[True]} streams are open; close one first")
        if len(self._control) >= self._control_max:
            raise LimitError("the peer does not read what we open; wait until it does")
        self._opened_id = event.stream
        self._add(event.stream, event.priority, ours=True)
        self._control.append(opening)

    def _on_consumed(self, id: int, n: int) -> None:
        stream = self._streams.get(id)
        if stream is None:
            return  # it was reset, and its bytes were given back then
        if stream.inflow.consume(n) and not stream.peer_finished:
            self._credits[id] = None
        self._give_back(n)
        if stream.closed and stream.inflow.consumed == stream.inflow.received:
            self._forget(stream)

    def _give_back(self, n: int) -> None:
        if self._inflow.consume(n):
            self._credits[0] = None

    # What the peer does

    def _on_frame(self, body: bytes, effects: list[Effect]) -> None:
        kind, id = segment.parse(body)
        stream = self._streams.get(id)
        if stream is None and kind is not Kind.OPEN and (kind is not Kind.CREDIT or id):
            self._check_known(id)
        match kind:
            case Kind.DATA | Kind.END:
                self._on_data(stream, id, body[HEADER_BYTES:], effects)
                if kind is Kind.END and stream is not None:
                    self._on_end(stream, effects)
            case Kind.CREDIT:
                self._on_credit(stream, id, segment.parse_credit(body))
            case Kind.OPEN:
                self._on_peer_open(id, body, effects)
            case Kind.RESET:
                if stream is not None and not stream.closed:
                    self._forget(stream)
                    effects.append(ResetBy(id, segment.parse_reset(body)))

    def _check_known(self, id: int) -> None:
        """A stream that is gone may still be spoken of; one that never was may not."""
        ours = id % 2 == self._parity
        if id == 0 or (id >= self._next_id if ours else id > self._seen_id):
            raise ProtocolError("a frame for a stream that was never opened")

    def _on_peer_open(self, id: int, body: bytes, effects: list[Effect]) -> None:
        if id % 2 == self._parity or id <= self._seen_id:
            raise ProtocolError("a stream was opened under a number that was not free")
        priority, name = segment.parse_open(body)
        if self._open[False] >= self.config.streams_max:
            raise ProtocolError(f"more than {self.config.streams_max} streams were opened at once")
        if len(self._control) > self._control_max and self._answers() > self._control_max // 2:
            raise ProtocolError("streams are opened but our answers are not read")
        self._seen_id = id
        if len(self._streams) >= 4 * self.config.streams_max:
            # Closed ones whose data nobody consumes fill the table: our fault, not the peer's.
            self._control.append(segment.reset(id, segment.REFUSED))
            return
        self._add(id, priority, ours=False)
        effects.append(Opened(id, name, priority))

    def _answers(self) -> int:
        """How many of our RESETs wait for streams the peer opened."""
        heads = map(segment.parse, self._control)
        return sum(kind is Kind.RESET and id % 2 != self._parity for kind, id in heads)

    def _on_data(self, stream: Stream | None, id: int, data: bytes, effects: list[Effect]) -> None:
        n = len(data)
        if stream is not None and stream.peer_finished:
            raise ProtocolError("data came after the end of a stream")
        if stream is not None:
            stream.inflow.receive(n)
        self._inflow.receive(n)
        if stream is None:
            self._give_back(n)  # it was reset while this was on its way
            return
        if n:
            effects.append(Data(id, data))

    def _on_end(self, stream: Stream, effects: list[Effect]) -> None:
        stream.peer_finished = True
        self._credits.pop(stream.id, None)
        effects.append(Finished(stream.id))
        self._close_if_ended(stream, effects)

    def _on_credit(self, stream: Stream | None, id: int, limit: int) -> None:
        if id == 0:
            self._out.allow(limit)
        elif stream is not None:
            stream.limit = max(stream.limit, limit)
            self._out.wake(stream)

    # The table of streams

    def _add(self, id: int, priority: int, *, ours: bool) -> None:
        inflow = Inflow(self.config.stream_window, INITIAL_STREAM)
        self._streams[id] = Stream(id, priority, inflow, inflow.limit, ours=ours)
        self._open[ours] += 1

    def _close_if_ended(self, stream: Stream, effects: list[Effect]) -> None:
        """Both ends are through; the entry stays until its last byte is consumed."""
        if stream.closed:
            self._open[stream.ours] -= 1
            self._credits.pop(stream.id, None)
            if stream.inflow.consumed == stream.inflow.received:
                self._remove(stream)
            effects.append(Closed(stream.id))

    def _forget(self, stream: Stream) -> None:
        """Drop a stream; what the application did not consume counts as consumed."""
        if not stream.closed:
            self._open[stream.ours] -= 1
        self._remove(stream)
        self._give_back(stream.inflow.received - stream.inflow.consumed)

    def _remove(self, stream: Stream) -> None:
        self._out.drop(stream)
        stream.gone = True
        stream.chunks.clear()
        stream.buffered = 0
        self._credits.pop(stream.id, None)
        del self._streams[stream.id]
