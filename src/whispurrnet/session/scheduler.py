"""Which stream sends next: the most urgent that can, in turns among equals.

Invariants:
    - a stream that can send stands in exactly one queue, once, or waits for credit of the session;
    - a queue's bit in `_filled` is set exactly while it is not empty.
"""

from __future__ import annotations

from collections import deque

from whispurrnet.session.segment import PRIORITY_MAX
from whispurrnet.session.stream import Stream


class Scheduler:
    """The streams of a session that have something to send, and the credit they share."""

    __slots__ = ("_blocked", "_filled", "_queues", "limit", "sent")

    def __init__(self, limit: int) -> None:
        self.sent = 0
        """How many bytes were sent on all streams together."""
        self.limit = limit
        """Up to which byte of all streams together we may send."""
        self._queues: list[deque[Stream]] = [deque() for _ in range(PRIORITY_MAX + 1)]
        self._filled = 0  # bit n: queue n is not empty
        self._blocked: dict[int, Stream] = {}  # wait for credit of the session

    def wake(self, stream: Stream) -> None:
        """Something about a stream changed: let it take its turn if it can send now."""
        if stream.sendable and not stream.ready:
            stream.ready = True
            self._queues[stream.priority].append(stream)
            self._filled |= 1 << stream.priority

    def allow(self, limit: int) -> None:
        """The peer gave credit to the session."""
        self.limit = max(self.limit, limit)
        blocked, self._blocked = self._blocked, {}
        for stream in blocked.values():
            stream.ready = False
            self.wake(stream)

    def drop(self, stream: Stream) -> None:
        """A stream is gone; it takes no turn any more."""
        if stream.ready and self._blocked.pop(stream.id, None) is None:
            queue = self._queues[stream.priority]
            queue.remove(stream)
            if not queue:
                self._filled &= ~(1 << stream.priority)
        stream.ready = False

    def front(self) -> Stream | None:
        """The stream to send from next; those that cannot send leave their queue here."""
        while self._filled:
            queue = self._queues[self._filled.bit_length() - 1]
            stream = queue[0]
            if not stream.sendable:
                self._leave(stream, queue)
            elif not stream.buffered or self.sent < self.limit:
                return stream
            else:
                self._leave(stream, queue)
                stream.ready = True
                self._blocked[stream.id] = stream
        return None

    def take(self, stream: Stream, room: int) -> list[bytes | memoryview]:
        """What the `front` stream sends in at most `room` bytes; then it is another's turn.

        When that is all, and the stream is to finish, it has `finished`.
        """
        n = min(room, stream.buffered, stream.limit - stream.sent, self.limit - self.sent)
        parts = stream.take(max(n, 0))
        self.sent += n
        stream.finished = stream.finish and not stream.buffered
        queue = self._queues[stream.priority]
        if stream.sendable:
            queue.rotate(-1)
        else:
            self._leave(stream, queue)
        return parts

    def _leave(self, stream: Stream, queue: deque[Stream]) -> None:
        assert queue[0] is stream
        queue.popleft()
        stream.ready = False
        if not queue:
            self._filled &= ~(1 << stream.priority)
