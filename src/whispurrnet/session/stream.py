"""One stream of a mux: what waits to be sent, what may be sent, what may come.

Credit is counted from the beginning: the receiver names the byte up to which the sender may send,
as QUIC does, and moves it on as the application consumes. So a grant can be repeated, and both
ends check the same number.

Source: RFC 9000, section 4 (flow control).

Invariants:
    - consumed <= received <= limit: what is received and not consumed never exceeds the window;
    - sent <= limit, of the stream and of the session.
"""

from __future__ import annotations

from collections import deque

from whispurrnet.base.errors import ProtocolError, UsageError

INITIAL_STREAM = 256 * 1024
"""Credit of a new stream, in bytes; less where the window itself is less (both must agree then)."""

INITIAL_SESSION = 1024 * 1024
"""Credit of a new session, in bytes, as above."""


class Inflow:
    """What the peer may send us: on one stream, or on all of them together."""

    __slots__ = ("consumed", "limit", "received", "window")

    def __init__(self, window: int, initial: int) -> None:
        self.window = window
        """How many bytes may be received and not yet consumed."""
        self.received = 0
        self.consumed = 0
        self.limit = min(window, initial)
        """Up to which byte the peer may send."""

    def receive(self, n: int) -> None:
        """Bytes came.

        Raises:
            ProtocolError: More than we gave credit for.
        """
        if self.received + n > self.limit:
            raise ProtocolError("more data came on a stream than there was credit for")
        self.received += n

    def consume(self, n: int) -> bool:
        """The application took bytes; whether it is time to tell the peer.

        Raises:
            UsageError: More than were received.
        """
        if n < 0 or self.consumed + n > self.received:
            raise UsageError(
                f"{n} bytes consumed; only {self.received - self.consumed} are waiting to be"
            )
        self.consumed += n
        return self.limit - self.consumed <= self.window // 2

    def check(self) -> None:
        """Assert what must be true."""
        assert self.consumed <= self.received <= self.limit
        assert self.received - self.consumed <= self.window

    def grant(self) -> int:
        """Open the window again; the new limit."""
        self.limit = max(self.limit, self.consumed + self.window)
        return self.limit


class Stream:
    """One stream, from this end."""

    __slots__ = ("buffered", "chunks", "finish", "finished", "gone", "id", "inflow", "limit",
                 "ours", "peer_finished", "priority", "ready", "sent")  # fmt: skip

    def __init__(self, id: int, priority: int, inflow: Inflow, limit: int, *, ours: bool) -> None:
        self.id = id
        self.priority = priority
        self.ours = ours
        """Whether we opened it."""
        self.inflow = inflow
        self.chunks: deque[bytes | memoryview] = deque()
        self.buffered = 0
        """How many bytes `chunks` hold together."""
        self.sent = 0
        self.limit = limit
        """Up to which byte we may send."""
        self.finish = False
        """Whether the end follows the last of `chunks`."""
        self.finished = False
        """Whether the end was sent."""
        self.peer_finished = False
        self.ready = False
        """Whether it stands in a queue of the mux."""
        self.gone = False
        """Whether the mux knows it no longer."""

    @property
    def closed(self) -> bool:
        """Whether both directions have ended."""
        return self.finished and self.peer_finished

    @property
    def sendable(self) -> bool:
        """Whether it has something to send that its own credit allows."""
        if self.gone or self.finished:
            return False
        return self.sent < self.limit if self.buffered else self.finish

    def append(self, data: bytes) -> None:
        """More is to be sent.

        Raises:
            UsageError: The stream was finished.
        """
        if self.finish:
            raise UsageError(f"stream {self.id} was finished; open another to write more")
        self.chunks.append(data)
        self.buffered += len(data)

    def take(self, n: int) -> list[bytes | memoryview]:
        """The next `n` of the `buffered` bytes, as parts; nothing is copied."""
        assert n <= self.buffered
        self.buffered -= n
        self.sent += n
        parts: list[bytes | memoryview] = []
        chunks = self.chunks
        while n:
            chunk = chunks.popleft()
            if len(chunk) > n:
                view = memoryview(chunk)
                chunks.appendleft(view[n:])
                chunk = view[:n]
            n -= len(chunk)
            parts.append(chunk)
        return parts
