"""All that a courier keeps about one peer: its lanes in both directions and its requests.

What one frame brings is taken as a whole or, if any of it breaks the protocol, not at all. One
frame carries the messages of one lane, the most urgent that has some, and all acknowledgements
that are owed; so nothing of a less urgent lane ever overtakes the rest of its own lane.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.direct.events import (
    Answer,
    Answered,
    Ask,
    Config,
    Delivered,
    Effect,
    MarkRead,
    Post,
    Progress,
)
from whispurrnet.direct.flight import Load, Parcel
from whispurrnet.direct.messages import (
    KIND_MAX,
    LANES,
    Ack,
    Bundle,
    Cancel,
    Message,
    Request,
    Response,
    Resume,
    Skip,
    Whisper,
)
from whispurrnet.direct.receiver import ReceiverLane
from whispurrnet.direct.requests import NOT_CONNECTED, Requests
from whispurrnet.direct.sender import SenderLane


class Peer:
    """The record of one peer."""

    __slots__ = (
        "_config",
        "_entropy",
        "due",
        "handle",
        "load",
        "owed",
        "ready",
        "receivers",
        "requests",
        "senders",
        "up",
    )

    def __init__(self, handle: int, config: Config, entropy: Callable[[int], bytes]) -> None:
        self.handle = handle
        self._config = config
        self._entropy = entropy
        self.up = False
        self.load = Load()
        self.senders: list[SenderLane | None] = [None] * LANES
        self.receivers: dict[int, ReceiverLane] = {}
        self.requests = Requests(handle, config, self.load)
        self.ready = 0
        """A bit for each lane in which something can be sent."""
        self.owed = 0
        """A bit for each lane whose acknowledgement is owed."""
        self.due = inf
        """When `tick` is wanted, in seconds: perhaps too early, never too late."""

    @property
    def idle(self) -> bool:
        """Whether it can be forgotten without anyone missing a message."""
        return not self.up and self.load.count == 0

    @property
    def urgent(self) -> int:
        """The lane of the most urgent thing to send, or -1."""
        return (self.ready | self.owed).bit_length() - 1

    # From the application

    def post(self, event: Post, now: float, effects: list[Effect]) -> None:
        """Queue a whisper."""
        ttl_s = event.ttl_s
        if ttl_s is not None and not ttl_s > 0:
            raise UsageError(f"a whisper cannot be of use for {ttl_s} s; give it some time")
        self.check(event.kind, event.body, event.priority)
        if not event.acknowledged and not self.up:
            effects.append(Progress(self.handle, event.id, "failed"))
            return
        if not event.acknowledged and ttl_s is None:
            self.post_bare(event.kind, event.body, event.priority)
            return
        lane = self.senders[event.priority] or self.open_lane(event.priority)
        expires_at = now + (self._config.ttl_s if ttl_s is None else ttl_s)
        parcel = Parcel(event.id, event.kind, event.body, expires_at, event.acknowledged)
        lane.post(parcel)
        self._refresh(lane)

    def post_bare(self, kind: int, body: bytes, priority: int) -> None:
        """Queue a whisper about which nothing is kept: the hot path."""
        load, config, size = self.load, self._config, len(body)
        if not (
            0 <= kind <= KIND_MAX
            and 0 <= priority < LANES
            and size <= config.body_max
            and load.count < config.queue_max
            and load.bytes + size <= config.queue_bytes_max
        ):
            self.check(kind, body, priority)
        lane = self.senders[priority] or self.open_lane(priority)
        lane.fresh.append(Whisper(kind, 0, 0, priority, body))
        load.count += 1
        load.bytes += size
        if not self.ready >> priority & 1:
            self._refresh(lane)

    def open_lane(self, number: int) -> SenderLane:
        """Begin to send in a lane."""
        lane = SenderLane(number, self.handle, self._config, self.load, self._entropy)
        self.senders[number] = lane
        return lane

    def ask(self, event: Ask, now: float, effects: list[Effect]) -> None:
        """Queue a request, or answer at once that there is nobody to ask."""
        self.check_room(event.body, event.priority)
        if not self.up:
            effects.append(Answered(self.handle, event.id, b"", NOT_CONNECTED))
            return
        self.requests.ask(event, now)
        self._requests_changed()

    def answer(self, event: Answer) -> None:
        """Queue an answer; one without a body is never refused, so that none need wait."""
        if event.body:
            self.check_room(event.body, 0)
        if self.requests.answer(event):
            self._requests_changed()

    def abandon(self, id: int) -> None:
        """Wait no longer for an answer."""
        self.requests.abandon(id)
        self._requests_changed()

    def mark_read(self, event: MarkRead) -> None:
        """Tell the peer how far the application has read."""
        lane = self.receivers.get(event.lane)
        if lane is not None and lane.mark_read(event.seq) and lane.live:
            self.owed |= 1 << event.lane

    def check(self, kind: int, body: bytes, priority: int) -> None:
        """See whether this can be a whisper, and wait (see `check_room`)."""
        if not 0 <= kind <= KIND_MAX:
            raise UsageError(f"the kind of a whisper is a number from 0 to {KIND_MAX}, not {kind}")
        self.check_room(body, priority)

    def check_room(self, body: bytes, priority: int) -> None:
        """See whether a message can wait.

        Raises:
            UsageError: There is no such priority, or the message is too long.
            LimitError: Too much waits already.
        """
        config, load = self._config, self.load
        if not 0 <= priority < LANES:
            raise UsageError(f"priorities go from 0 to {LANES - 1}, {priority} is none")
        if len(body) > config.body_max:
            raise UsageError(
                f"a message of {len(body)} bytes; the most is {config.body_max}: "
                "open a stream for more"
            )
        if load.count >= config.queue_max or load.bytes + len(body) > config.queue_bytes_max:
            raise LimitError(
                f"{load.count} messages of {load.bytes} bytes wait for this peer already; "
                "wait until some were received, or raise `queue_max`"
            )

    # Sessions

    def begin(self, effects: list[Effect]) -> None:
        """A session began; if there was one already, it is over."""
        if self.up:
            self.requests.fail(effects)
        self.up = True
        self.owed = 0
        for receiver in self.receivers.values():
            receiver.live = False
        for lane in self.senders:
            if lane is not None:
                lane.restart()
        self.refresh()

    def end(self, now: float, effects: list[Effect]) -> None:
        """The session ended."""
        self.up = False
        self.owed = self.ready = 0
        for receiver in self.receivers.values():
            receiver.live = False
        for lane in self.senders:
            if lane is not None:
                lane.down(now)
        self.requests.fail(effects)
        self.refresh()

    def fail(self, effects: list[Effect]) -> None:
        """The peer is forgotten: everything fails."""
        self.requests.fail(effects)
        for lane in self.senders:
            if lane is not None:
                lane.fail(effects)

    def adopt(self, other: Peer, effects: list[Effect]) -> None:
        """Take over the record `other`, which turned out to be of this same peer."""
        self.requests.adopt(other.requests, effects)
        for number, theirs in enumerate(other.senders):
            if theirs is not None:
                ours = self.senders[number] or self.open_lane(number)
                ours.adopt(theirs)
                for item in theirs.waiting():
                    self.load.add(len(item.body))
        for number, heard in other.receivers.items():
            known = self.receivers.get(number, ReceiverLane())
            self.receivers[number] = heard.merged(known) if other.up else known.merged(heard)
        if other.up:
            self.owed |= other.owed
        self.up = self.up or other.up
        for lane in self.senders:
            if lane is not None:
                lane.restart()
        self.refresh()

    # Frames

    def arrived(self, messages: list[Message], now: float, effects: list[Effect]) -> None:
        """Take the messages of one frame.

        Raises:
            ProtocolError: One of them is impossible; nothing has changed.
        """
        for message in messages:
            if type(message) is not Whisper or message.seq:
                self._arrived_mixed(messages, now, effects)
                return
        if messages:
            effects.append(Delivered(self.handle, cast("list[Whisper]", messages)))

    def _arrived_mixed(
        self, messages: Sequence[Message], now: float, effects: list[Effect]
    ) -> None:
        drafts: dict[int, ReceiverLane] = {}
        whispers: list[Whisper] = []
        acks: list[tuple[SenderLane, Ack]] = []
        calls: list[Request | Response | Cancel] = []
        for message in messages:
            match message:
                case Whisper():
                    if not message.seq or self._draft(drafts, message.lane).take(message):
                        whispers.append(message)
                case Resume() | Skip():
                    self._draft(drafts, message.lane).advance(message)
                case Ack():
                    sender = self.senders[message.lane]
                    if sender is not None:
                        sender.check(message)
                        acks.append((sender, message))
                case _:
                    calls.append(message)
        if calls:
            self.requests.check(calls)
        for number, draft in drafts.items():
            if draft.live:
                self.receivers[number] = draft
                self.owed |= 1 << number
        if whispers:
            effects.append(Delivered(self.handle, whispers))
        for sender, ack in acks:
            sender.acknowledge(ack, now, effects)
            self._refresh(sender)
        for call in calls:
            self.requests.arrived(call, now, effects)
        if calls:
            self._requests_changed()

    def _draft(self, drafts: dict[int, ReceiverLane], lane: int) -> ReceiverLane:
        """A copy of a lane, to put back once the whole frame is known to be good."""
        draft = drafts.get(lane)
        if draft is None:
            known = self.receivers.get(lane)
            drafts[lane] = draft = ReceiverLane() if known is None else copy.copy(known)
        return draft

    def pull(self, room: int, now: float, news: list[Effect]) -> list[Message]:
        """The messages of the next frame; empty only if there is nothing to send."""
        bundle = Bundle(room)
        while (lane := self.urgent) >= 0 and not bundle.messages:
            if self.owed:
                for number, receiver in self.receivers.items():
                    if self.owed >> number & 1 and bundle.add(receiver.ack(number), 0):
                        self.owed &= ~(1 << number)
            if self.ready >> lane & 1:
                sender = self.senders[lane]
                whole = not self.requests.ready >> lane & 1 or self.requests.fill(lane, bundle)
                if sender is None:
                    self.ready = self.ready if not whole else self.ready & ~(1 << lane)
                else:
                    if whole:
                        sender.fill(bundle, now, news)
                    self._refresh(sender)
        return bundle.messages

    # Time

    def tick(self, now: float, effects: list[Effect]) -> None:
        """Do what is due."""
        self.requests.tick(now, effects)
        for lane in self.senders:
            if lane is not None and lane.due <= now:
                lane.tick(now, up=self.up, effects=effects)
        self.refresh()

    def refresh(self) -> None:
        """Find anew what can be sent and when something is due."""
        self.due = inf
        self.ready = 0
        for lane in self.senders:
            if lane is not None:
                self._refresh(lane)
        self._requests_changed()

    def _refresh(self, lane: SenderLane) -> None:
        bit = 1 << lane.number
        if self.up and (lane.ready or self.requests.ready & bit):
            self.ready |= bit
        else:
            self.ready &= ~bit
        self.due = min(self.due, lane.due)

    def _requests_changed(self) -> None:
        if self.up:
            self.ready |= self.requests.ready
        self.due = min(self.due, self.requests.due)

    def check_invariants(self) -> None:
        """Assert what must be true; for tests, because it looks at everything that waits."""
        lanes = [lane for lane in self.senders if lane is not None]
        for lane in lanes:
            lane.check_invariants()
            assert self.due <= lane.due
            assert bool(self.ready >> lane.number & 1) >= (self.up and lane.ready)
        self.requests.check_invariants()
        assert self.due <= self.requests.due
        sizes = [len(item.body) for lane in lanes for item in lane.waiting()]
        sizes += self.requests.sizes()
        assert (self.load.count, self.load.bytes) == (len(sizes), sum(sizes))
        assert self.load.count <= self._config.queue_max + 4 * self._config.requests_max
        assert self.up or not (self.ready or self.owed)
        assert not self.up or self.owed >> LANES == 0
