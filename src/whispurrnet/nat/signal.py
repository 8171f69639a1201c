"""Signalling: how two peers that have a session agree on a WebRTC link between them.

    A (offerer)                                B
    Begin -> Start(offer none)
    Described -> Offer(attempt, sdp)   ----->  Start(offer sdp)
                                       <-----  Answer(attempt, sdp) <- Described
    Accept(sdp)
    Found -> Candidate  <------------------->  Candidate <- Found        as they are found
    Opened                                     Opened                    the data channel is open
    Joined -> Ended(ok)                        Joined -> Ended(ok)       the new session stands

One attempt per peer at a time. If both have offered, the lower number stays and its offerer is
the offerer: both sides see both numbers, so both decide the same; of equal numbers neither stays.
What belongs to no attempt of now is late: it is counted and ignored, never answered.

Invariants: at most `attempts_max` attempts, of which at most `answers_max` are others' wishes; an
attempt ends within `timeout_s` before its channel is open and `join_s` after; each `Start` is
followed by exactly one `Ended`, and by a `Stop` before it unless the link was handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.nat import signal_messages as wire
from whispurrnet.nat.signal_events import (
    Accept,
    Arrived,
    Begin,
    Candidate,
    Config,
    Described,
    Down,
    Effect,
    Ended,
    Event,
    Failed,
    Found,
    Joined,
    Opened,
    Send,
    Start,
    Stop,
    Up,
)

__all__ = [
    "Accept",
    "Arrived",
    "Begin",
    "Candidate",
    "Config",
    "Described",
    "Down",
    "Effect",
    "Ended",
    "Event",
    "Failed",
    "Found",
    "Joined",
    "Opened",
    "Send",
    "Signal",
    "Start",
    "Stop",
    "Up",
]


class _Attempt:
    """One attempt."""

    __slots__ = ("described", "met", "number", "offerer", "opened", "taken", "told")

    def __init__(self, number: int, *, offerer: bool) -> None:
        self.number = number
        self.offerer = offerer
        self.described = False
        """Whether the peer has our description."""
        self.met = not offerer
        """Whether we have the peer's."""
        self.opened = False
        self.taken = 0
        """Candidates of the peer."""
        self.told = 0
        """Candidates of ours."""


class _Peer:
    """A peer that is up."""

    __slots__ = ("able", "attempt", "offers", "up")

    def __init__(self, config: Config) -> None:
        self.able = False
        self.up = False
        self.attempt: _Attempt | None = None
        self.offers = TokenBucket(config.offers_per_s, config.offers_burst)


class Signal:
    """The signalling of one node.

    Args:
        config: Settings.
        on: Whether this node has WebRTC; if not, every offer is declined.
        entropy: Gives that many random bytes.
    """

    def __init__(self, config: Config, *, on: bool, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self.on = on
        self.late = 0
        """How many messages belonged to no attempt, or were too many."""
        self._entropy = entropy
        self._peers: dict[int, _Peer] = {}
        self._timers: Timers[int] = Timers()

    @property
    def deadline(self) -> float | None:
        """When an attempt has taken too long."""
        return self._timers.deadline

    @property
    def attempts(self) -> int:
        """How many attempts there are."""
        return sum(peer.attempt is not None for peer in self._peers.values())

    def attempt(self, peer: int) -> int | None:
        """The number of the attempt with a peer, if there is one."""
        known = self._peers.get(peer)
        return known.attempt.number if known is not None and known.attempt is not None else None

    def can_begin(self, peer: int) -> bool:
        """Whether a `Begin` for this peer would start an attempt."""
        known = self._peers.get(peer)
        return (
            self.on
            and known is not None
            and known.up
            and known.able
            and known.attempt is None
            and self.attempts < self.config.attempts_max
        )

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            ProtocolError: The peer sent what is malformed; nothing has changed.
        """
        effects = list(self._react(event, now))
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        assert self.attempts <= self.config.attempts_max
        answers = sum(
            peer.attempt is not None and not peer.attempt.offerer for peer in self._peers.values()
        )
        assert answers <= self.config.answers_max
        for number, peer in self._peers.items():
            assert peer.up or (peer.attempt is not None and peer.attempt.opened)
            assert (number in self._timers) == (peer.attempt is not None)

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Up(number, able):
                fresh = self._peers.setdefault(number, _Peer(self.config))
                fresh.up, fresh.able = True, able
            case Down(number):
                yield from self._on_down(number)
            case Begin(number):
                if self.can_begin(number):
                    yield from self._begin(number, now)
            case Arrived(number, body):
                message = wire.decode(body)
                peer = self._peers.get(number)
                if peer is None or message is None:
                    self.late += 1
                else:
                    yield from self._on_message(number, peer, message, now)
            case Tick():
                for number in self._timers.expire(now):
                    yield from self._on_timeout(number)
            case Joined(number):
                peer = self._peers.get(number)
                if peer is not None and peer.attempt is not None and peer.attempt.opened:
                    yield from self._end(number, peer, "", ok=True)
            case Described() | Found() | Opened() | Failed():
                peer = self._peers.get(event.peer)
                attempt = peer.attempt if peer is not None else None
                if peer is not None and attempt is not None and attempt.number == event.attempt:
                    yield from self._on_shell(event, peer, attempt, now)

    # What the shell says

    def _begin(self, number: int, now: float) -> Iterator[Effect]:
        attempt = int.from_bytes(self._entropy(4), "big")
        self._peers[number].attempt = _Attempt(attempt, offerer=True)
        self._timers.set(number, now + self.config.timeout_s)
        yield Start(number, attempt, "")

    def _on_shell(
        self,
        event: Described | Found | Opened | Failed,
        peer: _Peer,
        attempt: _Attempt,
        now: float,
    ) -> Iterator[Effect]:
        match event:
            case Described(number, id, sdp):
                if attempt.described or attempt.opened:
                    return
                if len(sdp) > wire.SDP_CHARS_MAX:
                    yield from self._give_up(
                        number, peer, wire.FAILED, "our description is too long"
                    )
                    return
                attempt.described = True
                message = wire.Offer(id, sdp) if attempt.offerer else wire.Answer(id, sdp)
                yield Send(number, wire.encode(message))
            case Found(number, id, candidate, mid):
                if not attempt.opened and attempt.told < self.config.candidates_max:
                    attempt.told += 1
                    yield Send(number, wire.encode(wire.Candidate(id, candidate, mid)))
            case Opened(number):
                if not attempt.opened:
                    attempt.opened = True
                    self._timers.set(number, now + self.config.join_s)
            case Failed(number, _, reason):
                yield from self._give_up(number, peer, wire.FAILED, reason)

    def _on_timeout(self, number: int) -> Iterator[Effect]:
        peer = self._peers[number]
        assert peer.attempt is not None
        if peer.attempt.opened:
            reason = "the WebRTC link opened, but no session came about in it"
        elif not peer.attempt.met:
            reason = "the peer did not answer the offer of a WebRTC link"
        else:
            reason = (
                f"no WebRTC link came about in {self.config.timeout_s:g} s: no path between the "
                "two machines' addresses; set nat.ice_servers on both, or stay with the relay"
            )
        yield from self._give_up(number, peer, wire.TIMED_OUT, reason)

    def _give_up(self, number: int, peer: _Peer, code: int, reason: str) -> Iterator[Effect]:
        """End an attempt, and tell the peer, if it knows of it."""
        attempt = peer.attempt
        assert attempt is not None
        if peer.up and (attempt.described or not attempt.offerer):
            yield Send(number, wire.encode(wire.End(attempt.number, code, "")))
        yield Stop(number, attempt.number)
        yield from self._end(number, peer, reason, ok=False)

    def _end(self, number: int, peer: _Peer, reason: str, *, ok: bool) -> Iterator[Effect]:
        attempt, peer.attempt = peer.attempt, None
        assert attempt is not None
        self._timers.cancel(number)
        if not peer.up:
            del self._peers[number]
        yield Ended(number, ok, reason, attempt.offerer)

    def _on_down(self, number: int) -> Iterator[Effect]:
        peer = self._peers.get(number)
        if peer is None:
            return
        peer.up = False
        if peer.attempt is None:
            del self._peers[number]
        elif not peer.attempt.opened:  # else the new link is taking over
            yield from self._give_up(number, peer, wire.GIVEN_UP, "the session ended meanwhile")

    # What the peer says

    def _on_message(
        self, number: int, peer: _Peer, message: wire.Message, now: float
    ) -> Iterator[Effect]:
        if isinstance(message, wire.Offer):
            yield from self._on_offer(number, peer, message, now)
            return
        attempt = peer.attempt
        if attempt is None or attempt.number != message.attempt or attempt.opened:
            self.late += 1
            return
        match message:
            case wire.Answer(id, sdp):
                if not attempt.offerer or not attempt.described or attempt.met:
                    self.late += 1
                    return
                attempt.met = True
                yield Accept(number, id, sdp)
            case wire.Candidate(id, candidate, mid):
                if not attempt.met or attempt.taken >= self.config.candidates_max:
                    self.late += 1
                    return
                attempt.taken += 1
                yield Candidate(number, id, candidate, mid)
            case wire.End(id, code):
                yield Stop(number, id)
                reason = wire.REASONS.get(code, wire.REASONS[wire.GIVEN_UP])
                yield from self._end(number, peer, reason, ok=False)

    def _on_offer(
        self, number: int, peer: _Peer, offer: wire.Offer, now: float
    ) -> Iterator[Effect]:
        id, ours = offer.attempt, peer.attempt
        if not peer.offers.take(1, now):
            yield from self._decline(number, id, wire.TOO_MANY)
            return
        if not self.on:
            yield from self._decline(number, id, wire.CANNOT)
            return
        if ours is not None:
            if ours.opened or not ours.offerer or ours.met:
                self.late += 1  # a second one while the first is under way
                return
            if ours.number < id:
                self.late += 1  # ours stays, and the peer sees it the same way
                return
            yield Stop(number, ours.number)
            yield from self._end(
                number, peer, "both sides offered; the peer's offer stays", ok=False
            )
            if ours.number == id:
                return
        answers = sum(
            one.attempt is not None and not one.attempt.offerer for one in self._peers.values()
        )
        if answers >= self.config.answers_max or self.attempts >= self.config.attempts_max:
            yield from self._decline(number, id, wire.TOO_MANY)
            return
        peer.attempt = _Attempt(id, offerer=False)
        self._timers.set(number, now + self.config.timeout_s)
        yield Start(number, id, offer.sdp)

    def _decline(self, number: int, id: int, code: int) -> Iterator[Effect]:
        self.late += 1
        yield Send(number, wire.encode(wire.End(id, code, "")))
