"""The sending half of a lane: what waits, what is on its way, and when to ask again.

A whisper gets its number when it is first sent, so one that expires in the queue leaves no gap.
Sent ones stay in the *flight* until they are acknowledged. A new session opens the lane with a
`Resume` and waits for the answer, which tells what the receiver has; only the rest is sent again.
The same question is asked in a live session when no acknowledgement comes for `retry_s`. One that
expires in flight while there is no session leaves a hole, which travels as a `Skip`.

Invariants:
    - the flight of a stream holds exactly the numbers from `base` to `next_seq` - 1;
    - `base` <= `cursor` <= `next_seq`: what is before the cursor was sent in this session, or in
      the one before while the answer to a `Resume` is awaited;
    - a number never stands for two whispers of one stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from whispurrnet.base.errors import ProtocolError
from whispurrnet.direct.events import Config, Effect, Progress
from whispurrnet.direct.flight import Load, Parcel, Stream
from whispurrnet.direct.messages import (
    OVERHEAD_BYTES,
    Ack,
    Bundle,
    Resume,
    Skip,
    Whisper,
)

BACKOFF_MAX = 8
"""By how much the wait for an acknowledgement grows at most."""

SWEEP_S = 1e-6
"""Looking for expired whispers is put off by this much a whisper that waits, in seconds."""


class SenderLane:
    """One lane to one peer."""

    __slots__ = (
        "_backoff",
        "_config",
        "_load",
        "_peer",
        "_probing",
        "announced",
        "awaiting",
        "cursor",
        "expires_at",
        "fresh",
        "number",
        "parked",
        "retry_at",
        "stream",
    )

    def __init__(
        self,
        number: int,
        peer: int,
        config: Config,
        load: Load,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.number = number
        self._peer = peer
        self._config = config
        self._load = load
        self.stream = Stream(entropy, config.unread_max)
        self.parked: deque[Stream] = deque()
        """Streams of merged records, to be finished after this one and before anything new."""
        self.fresh: deque[Whisper | Parcel] = deque()
        """Not sent yet. A bare whisper is one about which nothing has to be kept."""
        self.cursor = self.stream.base
        self.announced = False
        """Whether this session has opened the lane."""
        self.awaiting = False
        """Whether a `Resume` waits for its answer; nothing else is sent meanwhile."""
        self._probing = False
        """Whether that `Resume` only asks if the flight still arrives."""
        self._backoff = 1
        self.retry_at = inf
        self.expires_at = inf
        """When to look for expired whispers; perhaps too early, never too late."""

    @property
    def due(self) -> float:
        """When `tick` is wanted, in seconds."""
        return min(self.retry_at, self.expires_at)

    @property
    def ready(self) -> bool:
        """Whether `fill` would add something now."""
        if self.awaiting:
            return False
        if (self.stream.flight and not self.announced) or self.cursor < self.stream.next_seq:
            return True
        if not self.fresh or self.parked:
            return False
        head = self.fresh[0]
        return isinstance(head, Whisper) or not head.acknowledged or self._open(head)

    def post(self, parcel: Parcel) -> None:
        """Queue a whisper."""
        self._load.add(len(parcel.body))
        self.fresh.append(parcel)
        self.expires_at = min(self.expires_at, parcel.expires_at)

    def restart(self) -> None:
        """The session ended, or another one begins: nothing sent is known to have arrived."""
        self.announced = self.awaiting = self._probing = False
        self.cursor = self.stream.base
        self._backoff = 1
        self.retry_at = inf

    def down(self, now: float) -> None:
        """The session ended: drop what was to be sent in it alone."""
        self.restart()
        kept: deque[Whisper | Parcel] = deque()
        for item in self.fresh:
            if isinstance(item, Parcel) and item.acknowledged:
                kept.append(item)
            else:
                self._load.drop(len(item.body))
        self.fresh = kept
        if self.stream.flight:
            self.expires_at = now  # what is in flight may expire from now on

    # Sending

    def fill(self, bundle: Bundle, now: float, news: list[Effect]) -> None:
        """Add as many messages as fit."""
        if self.stream.flight and not self.announced and not self._reopen(bundle, now, news):
            return
        if self.awaiting:
            return
        if self.cursor < self.stream.next_seq and not self._resend(bundle, now, news):
            return
        if self.fresh and not self.parked:
            self._send_fresh(bundle, now, news)

    def _reopen(self, bundle: Bundle, now: float, news: list[Effect]) -> bool:
        """Ask what the receiver has of the flight; False if there was no room for it."""
        stream = self.stream
        if not self._probing:
            stream = self._trim(now, news)
            if not stream.flight:
                return True
        if not bundle.add(Resume(self.number, stream.id, stream.base), 0):
            return False
        self.announced = self.awaiting = True
        self._arm(now)
        return True

    def _trim(self, now: float, news: list[Effect]) -> Stream:
        """Let go of what expired at the start of the flight; the stream to go on with."""
        while True:
            stream = self.stream
            while stream.flight:
                parcel = stream.flight[stream.base]
                if parcel is not None and parcel.expires_at > now:
                    break
                if parcel is not None:
                    self._bury(stream, stream.base, news)
                stream.trim()
            self.cursor = stream.base
            if stream.flight or not self.parked:
                return stream
            self._next_stream()

    def _resend(self, bundle: Bundle, now: float, news: list[Effect]) -> bool:
        """Send the flight again from the cursor on; False if there was not enough room."""
        stream = self.stream
        while (seq := self.cursor) < stream.next_seq:
            parcel = stream.flight[seq]
            if parcel is not None and parcel.expires_at <= now:
                self._bury(stream, seq, news)
                parcel = None
            if parcel is None:
                last = stream.hole_end(seq)
                if not bundle.add(Skip(self.number, seq, last), 0):
                    return False
                self.cursor = last + 1
            else:
                if not bundle.add(parcel.whisper(self.number, seq, now), len(parcel.body)):
                    return False
                self.cursor = seq + 1
        self._arm(now)
        return True

    def _send_fresh(self, bundle: Bundle, now: float, news: list[Effect]) -> None:
        """Send what waits; the hot path, on which bare whispers cost next to nothing."""
        fresh, append, left = self.fresh, bundle.messages.append, bundle.left
        count = total = 0
        while fresh:
            item = fresh[0]
            if type(item) is Whisper:
                size = len(item.body)
                if size + OVERHEAD_BYTES > left and bundle.messages:
                    break
                append(item)
                left -= size + OVERHEAD_BYTES
                count += 1
                total += size
            else:
                bundle.left = left
                if not self._send_parcel(item, bundle, now, news):
                    break
                left = bundle.left
            fresh.popleft()
        bundle.left = left
        self._load.count -= count
        self._load.bytes -= total

    def _send_parcel(self, parcel: Parcel, bundle: Bundle, now: float, news: list[Effect]) -> bool:
        """Send a whisper or drop it, if it has expired; False if it has to wait."""
        size = len(parcel.body)
        if parcel.expires_at <= now:
            self._load.drop(size)
            if parcel.acknowledged:
                news.append(Progress(self._peer, parcel.id, "expired"))
            return True
        if not parcel.acknowledged:
            if not bundle.add(parcel.whisper(self.number, 0, now), size):
                return False
            self._load.drop(size)
            return True
        if not self._open(parcel):
            return False
        if not self.announced:
            if not bundle.add(Resume(self.number, self.stream.id, self.stream.base), 0):
                return False
            self.announced = True
        if not bundle.fits(size):
            return False
        bundle.add(self._take_off(parcel, now, news), size)
        return True

    def _take_off(self, parcel: Parcel, now: float, news: list[Effect]) -> Whisper:
        """Give a whisper its number; it is in flight from now on."""
        stream = self.stream
        seq = stream.next_seq
        stream.flight[seq] = parcel
        stream.next_seq = self.cursor = seq + 1
        stream.bytes += len(parcel.body)
        if self.retry_at == inf:
            self._arm(now)
        news.append(Progress(self._peer, parcel.id, "sent"))
        return parcel.whisper(self.number, seq, now)

    def _open(self, parcel: Parcel) -> bool:
        """Whether the window has room for one more."""
        stream = self.stream
        if not stream.flight:
            return True
        return (
            stream.next_seq - stream.base < self._config.window
            and stream.bytes + len(parcel.body) <= self._config.window_bytes
        )

    # What the receiver says

    def check(self, ack: Ack) -> None:
        """See whether an acknowledgement is possible.

        Raises:
            ProtocolError: It is about what was never sent.
        """
        for stream in (self.stream, *self.parked):
            beyond = ack.received >= stream.next_seq or ack.read > ack.received
            if ack.stream == stream.id and beyond:
                raise ProtocolError("a peer acknowledged a whisper that it was never sent")

    def acknowledge(self, ack: Ack, now: float, effects: list[Effect]) -> None:
        """Let go of what was received; if a `Resume` is answered, send the rest again."""
        stream = self.stream
        if ack.stream != stream.id:
            return
        progress = ack.received >= stream.base
        for parcel in stream.land(ack.received):
            self._load.drop(len(parcel.body))
            effects.append(Progress(self._peer, parcel.id, "received"))
        while stream.unread and stream.unread[0][0] <= ack.read:
            effects.append(Progress(self._peer, stream.unread.popleft()[1], "read"))
        if self._probing and progress:
            self.announced = True  # the flight arrives after all: there is nothing to ask
            self.awaiting = self._probing = False
        elif self.awaiting:
            self.cursor = stream.base
            self.awaiting = self._probing = False
        self.cursor = max(self.cursor, stream.base)
        if progress:
            self._backoff = 1
            self.retry_at = inf
            if stream.flight and self.announced:
                self._arm(now)
        self._next_stream()

    # Time

    def tick(self, now: float, *, up: bool, effects: list[Effect]) -> None:
        """Ask again what should have been acknowledged, and find what has expired."""
        if not self.stream.flight:
            self.retry_at = inf
        elif self.retry_at <= now:
            self._probing = self._probing or not self.awaiting
            self.announced = self.awaiting = False
            self._backoff = min(self._backoff * 2, BACKOFF_MAX)
            self._arm(now, again=True)
            self.expires_at = now
        if self.expires_at <= now:
            self._sweep(now, up=up, effects=effects)

    def _arm(self, now: float, *, again: bool = False) -> None:
        if again or self.retry_at == inf:
            self.retry_at = now + self._config.retry_s * self._backoff

    def _sweep(self, now: float, *, up: bool, effects: list[Effect]) -> None:
        """Drop what has expired: from the queue, and from flights of which nothing is heard."""
        next_due = inf
        kept: deque[Whisper | Parcel] = deque()
        for item in self.fresh:
            if isinstance(item, Parcel) and item.expires_at <= now:
                self._load.drop(len(item.body))
                if item.acknowledged:
                    effects.append(Progress(self._peer, item.id, "expired"))
                continue
            kept.append(item)
            if isinstance(item, Parcel):
                next_due = min(next_due, item.expires_at)
        looked_at = len(self.fresh)
        self.fresh = kept
        silent = not up or self._backoff > 1
        for stream in (self.stream, *self.parked) if silent else self.parked:
            for seq, parcel in stream.flight.items():
                if parcel is None:
                    continue
                if parcel.expires_at <= now:
                    self._bury(stream, seq, effects)
                else:
                    next_due = min(next_due, parcel.expires_at)
            looked_at += len(stream.flight)
        self.expires_at = max(next_due, now + SWEEP_S * looked_at)

    def _bury(self, stream: Stream, seq: int, effects: list[Effect]) -> None:
        parcel = stream.bury(seq)
        assert parcel is not None, "buried once"
        self._load.drop(len(parcel.body))
        effects.append(Progress(self._peer, parcel.id, "expired"))

    # Records that become one, or none

    def adopt(self, other: SenderLane) -> None:
        """Take over what the lane of another record of this peer still has to send.

        The record's load is taken over by the caller. The streams stay apart, for the receiver
        knows how far it has each; this lane's come first.
        """
        if other.stream.flight:
            self.parked += (other.stream, *other.parked)
        self.fresh += other.fresh
        for item in other.waiting():
            if isinstance(item, Parcel):
                self.expires_at = min(self.expires_at, item.expires_at)
        self.restart()
        self._next_stream()

    def waiting(self) -> Iterator[Whisper | Parcel]:
        """Everything that counts as waiting, what is in flight included."""
        for stream in (self.stream, *self.parked):
            yield from filter(None, stream.flight.values())
        yield from self.fresh

    def fail(self, effects: list[Effect]) -> None:
        """Give up everything, because the peer is forgotten."""
        effects += (
            Progress(self._peer, item.id, "failed")
            for item in self.waiting()
            if isinstance(item, Parcel) and item.acknowledged
        )

    def _next_stream(self) -> None:
        """Go on with the next parked stream once the flight of this one has landed."""
        while self.parked and not self.stream.flight:
            self.stream = self.parked.popleft()
            self.restart()

    def check_invariants(self) -> None:
        """Assert what must be true; for tests, because it looks at everything that waits."""
        stream = self.stream
        for each in (stream, *self.parked):
            each.check_invariants()
        assert stream.base <= self.cursor <= stream.next_seq
        assert len(stream.flight) <= self._config.window
        assert not self.awaiting or self.announced
        assert stream.flight or not self.parked
