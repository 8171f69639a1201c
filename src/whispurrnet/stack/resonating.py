"""Resonances: whispers that go to whoever listens to an intent.

A resonance travels as a whisper, sealed to a peer that announced the intent; so the intent is
named only to those who hold it already. Until there is gossip it goes no further.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated

import msgspec

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.direct import courier
from whispurrnet.gossip import resonance
from whispurrnet.stack import events, protocols
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.shared import Shared

WAITING_MAX = 256
"""Resonances that wait for listeners; the oldest makes room."""


class _Resonant(msgspec.Struct, frozen=True, array_like=True):
    """What the body of a RESONANCE whisper holds; readable by its listener alone."""

    intent: str
    strength: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    payload: bytes


class _Waiting:
    """A resonance that still waits for listeners."""

    __slots__ = ("event", "intent", "reached", "until")

    def __init__(self, intent: str, event: events.Resonate, until: float) -> None:
        self.intent = intent
        self.event = event
        self.until = until
        self.reached: set[int] = set()


def _body(waiting: _Waiting) -> bytes:
    event = waiting.event
    return _ENCODER.encode(_Resonant(waiting.intent, event.strength, event.payload))


_RESONANT = msgspec.msgpack.Decoder(_Resonant)
_ENCODER = msgspec.msgpack.Encoder()


class Resonating:
    """What this node listens to, and what it sends to those who listen.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
        post: Hands a whisper to the courier.
    """

    def __init__(
        self, shared: Shared, links: Links, post: Callable[[courier.Post, float], None]
    ) -> None:
        self._shared = shared
        self._links = links
        self._post = post
        self._waiting: deque[_Waiting] = deque(maxlen=WAITING_MAX)

    def listen(self, event: events.Listen, now: float) -> None:
        """Listen to an intent, and tell the peers."""
        intent = resonance.normalise(event.intent)
        if intent not in self._shared.intents:
            if len(self._shared.intents) >= resonance.INTERESTS_MAX:
                raise LimitError(
                    f"a node listens to at most {resonance.INTERESTS_MAX} intents; leave one first"
                )
            self._shared.intents[intent] = None
            self._announce_interests()

    def unlisten(self, event: events.Unlisten, now: float) -> None:
        """Listen to it no longer."""
        intent = resonance.normalise(event.intent)
        if intent in self._shared.intents:
            del self._shared.intents[intent]
            self._announce_interests()

    def _announce_interests(self) -> None:
        for record in self._shared.roster:
            if record.live is not None:
                self._links.announce_interests(record.live)

    def resonate(self, event: events.Resonate, now: float) -> None:
        """Send to the direct peers that listen, and for a while to those who begin to."""
        until = now + self._shared.config.resonance_timeout_s
        waiting = _Waiting(resonance.normalise(event.intent), event, until)
        longest = self._shared.config.courier.body_max
        if len(_body(waiting)) > longest:
            raise UsageError(
                f"a resonance of {len(event.payload)} bytes is too long: with its intent it may "
                f"have {longest}; send less, or raise direct.body_max"
            )
        for record in self._shared.roster:
            if record.live is not None:
                self._offer(waiting, record.live, now)
        self._waiting.append(waiting)
        self._shared.out.append(events.Resonated(event.ref, tuple(sorted(waiting.reached))))

    def learn(self, live: Live, body: bytes, now: float) -> None:
        """A peer tells what it listens to.

        Raises:
            ProtocolError: It is malformed.
        """
        live.interests.learn(live.keys, body)
        while self._waiting and self._waiting[0].until <= now:
            self._waiting.popleft()
        for waiting in self._waiting:
            self._offer(waiting, live, now)

    def _offer(self, waiting: _Waiting, live: Live, now: float) -> None:
        """Send a resonance to a peer that listens to it and has not got it yet."""
        if live.peer in waiting.reached or not live.interests.wants(live.keys, waiting.intent):
            return
        event = waiting.event
        post = courier.Post(
            peer=live.peer,
            id=event.ref,
            kind=protocols.RESONANCE,
            body=_body(waiting),
            priority=event.priority,
            ttl_s=event.ttl_s,
            acknowledged=True,
        )
        try:
            self._post(post, now)
        except LimitError:
            self._shared.count("resonances_not_queued")
        else:
            waiting.reached.add(live.peer)

    def deliver(self, delivered: courier.Delivered) -> None:
        """Whispers go to the application; resonances only if their intent is listened to."""
        resonant = [w for w in delivered.whispers if w.kind == protocols.RESONANCE]
        if not resonant:
            self._shared.out.append(delivered)
            return
        plain = [w for w in delivered.whispers if w.kind != protocols.RESONANCE]
        if plain:
            self._shared.out.append(courier.Delivered(delivered.peer, plain))
        for whisper in resonant:
            try:
                inner = _RESONANT.decode(whisper.body)
            except msgspec.MsgspecError:
                self._shared.count("malformed_resonances")
                continue
            if inner.intent in self._shared.intents:
                self._shared.out.append(
                    events.Resonance(
                        delivered.peer,
                        inner.intent,
                        inner.strength,
                        inner.payload,
                        whisper.lane,
                        whisper.seq,
                    )
                )
