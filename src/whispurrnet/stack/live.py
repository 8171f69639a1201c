"""One live session: its channel, its streams, and what goes into its next record.

Sources are pulled, not pushed (decision 0002): whispers wait in the courier and bytes of streams
in the mux until a record has room for them. So a message of priority 10 overtakes everything of
priority 5 that is not yet sealed, and nothing piles up in front of a slow link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.direct.courier import Courier
from whispurrnet.session.channel import Channel
from whispurrnet.session.mux import Mux
from whispurrnet.stack.outbox import Outbox
from whispurrnet.wire import frame

FRAGMENT_BYTES = 16 * 1024
"""Long messages travel in parts of this size, so that urgent ones pass between them."""

ROOM_MIN = 64
"""With less room than this left, a record is sealed."""


class Source(Protocol):
    """What is sent when there is nothing else to send."""

    def waits(self) -> bool:
        """Whether there is something."""
        ...

    def pull(self, room: int) -> Sequence[bytes | memoryview]:
        """One frame in parts, if one fits."""
        ...


class Tail:
    """The path that a session leaves: what is on its way there arrives first (`stack.moving`)."""

    __slots__ = ("channel", "ended", "full", "go", "link", "live")

    def __init__(self, live: Live) -> None:
        self.live = live
        self.link = live.link
        self.channel = live.channel
        self.ended = False
        """Whether all that the peer sent there has arrived."""
        self.go = False
        """Whether the peer has all that we sent there: the rest may follow on the new path."""
        self.full = False
        """Whether the buffer of the new link is full."""


class Live:
    """The state of one session."""

    __slots__ = (
        "address",
        "applied",
        "channel",
        "fragments",
        "free_at",
        "friend",
        "gossip",
        "hold_s",
        "initiator",
        "invited",
        "joiner",
        "kept",
        "keys",
        "level",
        "link",
        "moved_s",
        "mux",
        "notes",
        "objects",
        "opener",
        "ours",
        "parted",
        "path",
        "pattern",
        "paused",
        "peer",
        "ration",
        "since_s",
        "sleeps_s",
        "spread_turn",
        "suite",
        "tail",
        "turn",
    )

    def __init__(self, *, link: int, peer: int, initiator: bool, keys: TransportKeys) -> None:
        self.link, self.peer = link, peer
        self.initiator, self.keys = initiator, keys
        self.channel: Channel
        self.mux: Mux
        self.joiner = frame.Reassembler()
        self.gossip = Outbox()
        self.objects: Source | None = None
        """Bytes of objects, which come after everything else; None: the peer speaks of none."""
        self.invited = False
        """Whether an invite of ours opened it that no membership was given for yet."""
        self.applied = False
        """Whether we have asked the peer for a membership, and it has not answered."""
        self.friend = False
        """Whether we want this very peer, not only somebody in the mesh."""
        self.kept = False
        """Whether the peer wants us in this way: then it is not sent off."""
        self.notes: deque[bytes] = deque()
        """Frames that go before everything else: greetings."""
        self.fragments: dict[int, deque[bytes]] = {}
        self.paused = self.turn = self.spread_turn = False
        self.tail: Tail | None = None
        """The path that the session leaves, while it does."""
        self.parted = 0
        """How many messages were cut into parts."""
        self.address = self.path = ""
        self.level = 0
        self.pattern = self.suite = ""
        self.opener = b""
        """The static key of the side that opened the connection."""
        self.ours = b""
        """The identity by which the peer knows us, as far as we have told it."""
        self.since_s = 0.0
        self.moved_s: float | None = None
        """When it came to the path that it has, if it began on another one."""
        self.sleeps_s = 0.0
        """How long the peer, which sleeps, may be silent; 0: it is awake."""
        self.hold_s = self.free_at = 0.0
        """How long what can wait does so, since an end sleeps; and until when (`stack.resting`)."""
        self.ration: TokenBucket | None = None
        """How much of it is read, if the policy slows it down."""

    def idle(self, courier: Courier) -> bool:
        """Whether there is nothing to send."""
        return not (
            self.notes
            or self.fragments
            or self.channel.control_pending
            or self.gossip.priority() is not None
            or courier.priority(self.peer) is not None
            or self.mux.priority() is not None
            or (self.objects is not None and self.objects.waits())
        )

    def next_record(self, courier: Courier, now: float) -> bytes | None:
        """Seal the next record, or None when there is nothing to send."""
        room = self.channel.room
        frames: list[bytes | memoryview] = []
        size = 0
        while self.notes and size + len(self.notes[0]) <= room:
            frames.append(self.notes.popleft())
            size += len(frames[-1])
        while room - size >= ROOM_MIN:
            taken = self._take(courier, room - size, now)
            if not taken:
                break
            frames += taken
            size += sum(map(len, taken))
        if not frames and not self.channel.control_pending:
            return None
        return self.channel.seal(frames, size, now)

    def _take(self, courier: Courier, room: int, now: float) -> Sequence[bytes | memoryview]:
        """The most urgent frame that fits, in parts that need not be copied together; or none.

        Of gossip it is all that fits, if nothing else waits.
        """
        post = courier.priority(self.peer)
        stream = self.mux.priority()
        spread = self.gossip.priority()
        if spread is not None:
            other = max(-1 if p is None else p for p in (post, stream, *self.fragments))
            if other < 0:
                self.spread_turn = True
                return self.gossip.pull_all(room)
            self.spread_turn = spread > other or (spread == other and not self.spread_turn)
            if self.spread_turn:
                return self.gossip.pull(room)
        if self.fragments:
            part = max(self.fragments)
            if part >= max(-1 if post is None else post, -1 if stream is None else stream):
                return self._take_fragment(part, room)
        if post is not None and (stream is None or post > stream or (post == stream and self.turn)):
            self.turn = False
            return self._take_post(courier, post, room, now)
        if stream is not None:
            self.turn = True
            body = self.mux.pull(room - frame.HEADER_BYTES)
            return (frame.header(frame.STREAM, len(body)), body) if body else ()
        return self.objects.pull(room) if self.objects is not None else ()

    def _take_post(
        self, courier: Courier, priority: int, room: int, now: float
    ) -> tuple[bytes, ...]:
        body = courier.pull(self.peer, room - frame.HEADER_BYTES, now)
        if not body:
            return ()
        if len(body) <= room - frame.HEADER_BYTES:
            return frame.header(frame.DIRECT, len(body)), body
        parts = frame.split(frame.DIRECT, body, FRAGMENT_BYTES, number=self._number())
        queue = self.fragments.setdefault(priority, deque())
        queue.extend(frame.encode(frame.FRAGMENT, part) for part in parts)
        return self._take_fragment(priority, room)

    def _number(self) -> int:
        self.parted = (self.parted + 1) % (1 << 32)
        return self.parted

    def _take_fragment(self, priority: int, room: int) -> tuple[bytes, ...]:
        queue = self.fragments[priority]
        if len(queue[0]) > room:
            return ()
        taken = queue.popleft()
        if not queue:
            del self.fragments[priority]
        return (taken,)
