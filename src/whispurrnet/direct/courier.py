"""Direct messages: whispers once and in order, requests with a deadline.

The courier is between the application, which posts and asks, and the sessions, which come and go.
A session is a *sink*: when it has room it asks for the priority of what waits and pulls one frame
at a time, so what is urgent overtakes what is not until the moment it is sealed.

Order holds within one lane (one priority) of one peer. An acknowledged whisper is delivered once
and in order while both processes live, through any number of sessions and identities; after a
restart of either side, whatever was not acknowledged is sent again. The other kind, without a
number, is sent once and costs next to nothing.

Source: FEATURES.md A9, A10, B12, B17, D16, E6; go-back-N and cumulative acknowledgements are
those of RFC 9293, section 3.8, without its timers: a session loses nothing while it lives.

Invariants:
    - only a peer's own frames change its record, and a frame that breaks the protocol nothing;
    - every table and queue is bounded by `Config`;
    - a whisper that has expired is never sent.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from msgspec.structs import replace

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.direct.events import (
    Abandon,
    Abandoned,
    Answer,
    Answered,
    Arrived,
    Ask,
    Asked,
    Config,
    Delivered,
    Down,
    Effect,
    Event,
    Forget,
    MarkRead,
    Merge,
    Post,
    Progress,
    State,
    Up,
)
from whispurrnet.direct.messages import BODY_BYTES_MAX, Whisper, codec
from whispurrnet.direct.peer import Peer

__all__ = [
    "Abandon",
    "Abandoned",
    "Answer",
    "Answered",
    "Arrived",
    "Ask",
    "Asked",
    "Config",
    "Courier",
    "Delivered",
    "Down",
    "Effect",
    "Event",
    "Forget",
    "MarkRead",
    "Merge",
    "Post",
    "Progress",
    "State",
    "Tick",
    "Up",
    "Whisper",
]

ARRIVED_BYTES_MAX = BODY_BYTES_MAX + 4096
"""The longest frame that is read: one message of full length and what describes it."""


class Courier:
    """The direct messages of one node.

    Args:
        config: Settings.
        entropy: Gives that many random bytes.
    """

    def __init__(self, config: Config | None = None, *, entropy: Callable[[int], bytes]) -> None:
        self.config = config or Config()
        self._entropy = entropy
        self._codec = codec()
        self._peers: dict[int, Peer] = {}
        self._news: list[Effect] = []
        """What came of pulling; it waits for `drain` or the next `Tick`."""
        self._due = inf
        self._pulled_at = 0.0

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        if self._news:
            return self._pulled_at
        return None if self._due == inf else self._due

    @property
    def unknown(self) -> int:
        """How many messages of an unknown type were left out."""
        return self._codec.unknown

    def has_room(self, peer: int, count_max: int, bytes_max: int) -> bool:
        """Whether fewer messages than this wait for a peer, and fewer bytes."""
        record = self._peers.get(peer)
        return record is None or (record.load.count < count_max and record.load.bytes < bytes_max)

    def queued(self, peer: int) -> int:
        """How many messages wait for a peer, those not yet acknowledged included."""
        record = self._peers.get(peer)
        return 0 if record is None else record.load.count

    def queued_bytes(self, peer: int) -> int:
        """How many bytes of messages wait for a peer."""
        record = self._peers.get(peer)
        return 0 if record is None else record.load.bytes

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            UsageError: The application asked for what cannot be.
            LimitError: A queue is full, or too many peers are known; nothing has changed.
            ProtocolError: The peer broke the protocol; nothing has changed.
        """
        effects: list[Effect] = []
        match event:
            case Arrived():
                self._arrived(event, now, effects)
            case Post():
                record = self._open(event.peer)
                record.post(event, now, effects)
                self._watch(record)
            case Ask():
                record = self._open(event.peer)
                record.ask(event, now, effects)
                self._watch(record)
            case Tick():
                self._tick(now, effects)
            case Up():
                record = self._open(event.peer)
                record.begin(effects)
                self._watch(record)
            case Merge():
                self._merge(event, effects)
            case _:
                known = self._peers.get(event.peer)
                if known is not None:
                    self._on_known(known, event, now, effects)
                    self._watch(known)
        return effects

    def post_unacknowledged(self, peer: int, kind: int, body: bytes, lane: int = 5) -> bool:
        """Send a whisper without a receipt: the short way of a `Post`, for the hot path.

        Args:
            peer: The handle of the peer.
            kind: A 16-bit number.
            body: At most `Config.body_max` bytes.
            lane: The priority, 0 to 10.

        Returns:
            False if the peer is not connected: then the whisper is dropped.

        Raises:
            LimitError: The queue is full; nothing has changed.
        """
        record = self._peers.get(peer)
        if record is None or not record.up:
            return False
        record.post_bare(kind, body, lane)
        return True

    # The source of a session

    def priority(self, peer: int) -> int | None:
        """The priority of the most urgent thing that waits for a peer, or None.

        Now and then it turns out to have expired, and `pull` gives something else, or None.
        """
        record = self._peers.get(peer)
        if record is None or not (record.ready | record.owed):
            return None
        return record.urgent

    def pull(self, peer: int, room: int, now: float) -> bytes | None:
        """The body of the next frame to a peer, or None.

        Args:
            peer: The handle of the peer.
            room: How long it should be, in bytes. Several messages never exceed it, nor 32 KiB; a
                longer one comes alone, and has to be fragmented.
            now: Monotonic time in seconds.

        What came of it, such as `Progress` to `sent`, is waiting for `drain`.
        """
        record = self._peers.get(peer)
        if record is None or not (record.ready | record.owed):
            return None
        messages = record.pull(room, now, self._news)
        self._pulled_at = now
        self._watch(record)
        return self._codec.encode_all(messages) if messages else None

    def drain(self) -> list[Effect]:
        """The effects of pulling, since the last time."""
        news, self._news = self._news, []
        return news

    # Events

    def _arrived(self, event: Arrived, now: float, effects: list[Effect]) -> None:
        record = self._peers.get(event.peer)
        if record is None or not record.up:
            return
        if len(event.body) > ARRIVED_BYTES_MAX:
            raise ProtocolError(f"a peer sent a frame of more than {ARRIVED_BYTES_MAX} bytes")
        record.arrived(self._codec.decode_all(event.body), now, effects)
        self._watch(record)

    def _on_known(
        self,
        record: Peer,
        event: Answer | MarkRead | Abandon | Down | Forget,
        now: float,
        effects: list[Effect],
    ) -> None:
        match event:
            case Answer():
                record.answer(event)
            case MarkRead():
                record.mark_read(event)
            case Abandon():
                record.abandon(event.id)
            case Down():
                record.end(now, effects)
                self._peers[record.handle] = self._peers.pop(record.handle)  # idle ones go first
            case Forget():
                record.fail(effects)
                del self._peers[record.handle]

    def _tick(self, now: float, effects: list[Effect]) -> None:
        effects += self.drain()
        if self._due > now:
            return
        self._due = inf
        for record in self._peers.values():
            if record.due <= now:
                record.tick(now, effects)
            self._watch(record)

    def _merge(self, event: Merge, effects: list[Effect]) -> None:
        other = self._peers.get(event.old)
        if other is None or event.old == event.new:
            return
        record = self._peers.get(event.new)
        del self._peers[event.old]
        if record is None:
            record = self._open(event.new)
        record.adopt(other, effects)
        self._news = [
            replace(news, peer=event.new) if news.peer == event.old else news for news in self._news
        ]
        self._watch(record)

    def _open(self, peer: int) -> Peer:
        """The record of a peer, made if there is none."""
        record = self._peers.get(peer)
        if record is not None:
            return record
        if len(self._peers) >= self.config.peers_max:
            idle = next((known for known in self._peers.values() if known.idle), None)
            if idle is None:
                raise LimitError(
                    f"messages wait for {len(self._peers)} peers, the most that are remembered; "
                    "forget some, or raise `peers_max`"
                )
            del self._peers[idle.handle]
        record = Peer(peer, self.config, self._entropy)
        self._peers[peer] = record
        return record

    def _watch(self, record: Peer) -> None:
        if record.due < self._due:
            self._due = record.due

    def check_invariants(self) -> None:
        """Assert what must be true.

        It looks at everything that waits, so tests call it after each event and nothing else does:
        on the way of half a million whispers a second there is no time for that.
        """
        assert len(self._peers) <= self.config.peers_max
        for record in self._peers.values():
            record.check_invariants()
            assert self._due <= record.due
