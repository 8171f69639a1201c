"""Dandelion++: a message walks a line of nodes first, so that who spreads it is not who wrote it.

For each epoch a node chooses two successors among the peers that it called itself, and tosses a
coin. What a peer hands on goes to one of the two, the same one for that peer until the epoch ends;
our own messages go to one of them like those of a peer. If the coin says so, what a peer hands on
is spread in the open instead; our own messages are handed on even then.

    ours ──> A ──> B ──> C (its coin says so) ──> everybody

Whoever hands a message on keeps it until it is seen in the open, under an embargo: if it is not
seen by then, the line is broken somewhere, and the holder spreads it. All holders do, for a timer
that only the first one had would say who that is; and what comes round in a loop is spread by
whoever meets it again, its writer no differently, for the same reason.

This makes the writer harder to find; it does not make anybody anonymous: `tests/sim/test_first_spy`
says how hard.

Source: Fanti and others, "Dandelion++", arXiv 1805.11060; MESH.md 1.4 "Stem", whose numbers
were measured.

Invariants:
    - what is handed on is held under an embargo until it is seen in the open, or has expired;
    - one message of one id is held at a time, and is spread once for each time it is held;
    - successors and routes are peers that are there, and never where the message came from;
    - what is held is bounded in number and in bytes; what has to go early is spread, not lost, and
      our own messages go last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import inf, log

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.gossip.stem_events import (
    Add,
    Arrived,
    Config,
    Effect,
    Event,
    Fluff,
    Fluffed,
    Own,
    Relay,
    Remove,
    Rng,
    Why,
)

__all__ = [
    "Add",
    "Arrived",
    "Config",
    "Effect",
    "Event",
    "Fluff",
    "Fluffed",
    "Own",
    "Relay",
    "Remove",
    "Rng",
    "Stem",
    "Tick",
    "Why",
]


class _Held:
    """A message under embargo."""

    __slots__ = ("body", "expires_at", "own")

    def __init__(self, body: bytes, expires_at: float, *, own: bool) -> None:
        self.body = body
        self.expires_at = expires_at
        self.own = own


class Stem:
    """The stem core of one overlay of one node.

    Args:
        config: Settings.
        rng: Chance, which must not be guessable: whoever guesses it knows the routes.
    """

    def __init__(self, config: Config, rng: Rng) -> None:
        self.config = config
        self._rng = rng
        self._peers: dict[int, bool] = {}
        """Who is there, and whether we called it."""
        self._successors: dict[int, None] = {}
        self._routes: dict[int | None, int] = {}
        """To whom goes what came from whom; None is ourselves."""
        self._coin = False
        self._epoch_ends_at = -inf
        self._held: dict[bytes, _Held] = {}
        """Under embargo, oldest first."""
        self._held_bytes = 0
        self._pace: dict[int, TokenBucket] = {}
        """How much each successor may still be handed."""
        self._queue: deque[tuple[bytes, _Held]] = deque()
        """Our own that wait for their turn."""
        self._turn_at: float | None = None
        self._embargoes: Timers[bytes] = Timers()

    def __len__(self) -> int:
        """How many messages are held."""
        return len(self._held)

    def __contains__(self, id: object) -> bool:
        """Whether this message is held."""
        return id in self._held

    @property
    def deadline(self) -> float | None:
        """When an embargo ends or one of our own may go, in seconds."""
        dues = (self._embargoes.deadline, self._turn_at if self._queue else None)
        return min((due for due in dues if due is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`). It raises nothing."""
        effects = list(self._react(event, now))
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        assert len(self._held) == len(self._embargoes) <= self.config.held_max
        assert self._held_bytes <= self.config.held_bytes_max or len(self._held) == 1
        assert len(self._successors) <= self.config.successors
        assert all(self._peers[peer] for peer in self._successors), "we called them, and they live"
        assert len(self._routes) <= len(self._peers) + 1

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        if now >= self._epoch_ends_at:
            self._begin_epoch(now)
        match event:
            case Add(peer, outbound):
                self._add(peer, outbound)
            case Remove(peer):
                self._pace.pop(peer, None)
                if self._peers.pop(peer, None) is not None:
                    self._forget_routes(peer)
            case Own(id, body, expires_at):
                if expires_at > now and id not in self._held:
                    if len(self._queue) < self.config.held_max:
                        self._queue.append((id, _Held(body, expires_at, own=True)))
                        yield from self._send_own(now)
                    else:
                        yield Fluff(body, "full")
            case Arrived(peer, id, body, expires_at):
                if expires_at > now:
                    held = _Held(body, expires_at, own=False)
                    yield from self._on_arrived(peer, id, held, now)
            case Fluffed(id):
                self._release(id)
            case Tick():
                yield from self._on_tick(now)

    # Routes

    def _begin_epoch(self, now: float) -> None:
        jitter_s = self._rng.random() * self.config.epoch_jitter_s
        self._epoch_ends_at = now + self.config.epoch_s + jitter_s
        self._coin = self._rng.random() < self.config.fluff
        self._successors.clear()
        self._routes.clear()

    def _add(self, peer: int, outbound: bool) -> None:
        was = self._peers.get(peer)
        self._peers[peer] = outbound
        if was and not outbound:
            self._forget_routes(peer)
        elif outbound and not was:  # routes to peers that called us end: there is a better one now
            called = self._peers
            self._routes = {source: to for source, to in self._routes.items() if called[to]}

    def _forget_routes(self, peer: int) -> None:
        """Forget a peer's own route, and those to it: they are drawn again when next needed."""
        self._successors.pop(peer, None)
        self._routes = {
            source: to for source, to in self._routes.items() if peer not in (source, to)
        }

    def _route(self, source: int | None) -> int | None:
        """Where to what comes from `source` goes until the epoch ends; None: there is nobody.

        Successors are chosen when first needed, so that those who connect first after the start
        are not preferred. If there is none but where it came from, another peer that we called
        takes its place, or else any other.
        """
        route = self._routes.get(source)
        if route is not None:
            return route
        called = [peer for peer, outbound in self._peers.items() if outbound]
        fresh = [peer for peer in called if peer not in self._successors]
        while fresh and len(self._successors) < self.config.successors:
            self._successors[fresh.pop(self._draw(len(fresh)))] = None
        for peers in (list(self._successors), called, list(self._peers)):
            others = [peer for peer in peers if peer != source]
            if others:
                self._routes[source] = others[self._draw(len(others))]
                return self._routes[source]
        return None

    def _draw(self, count: int) -> int:
        return int(self._rng.random() * count)

    # Messages

    def _on_arrived(self, peer: int, id: bytes, held: _Held, now: float) -> Iterator[Effect]:
        met = self._release(id)
        if met is not None:
            yield Fluff(met.body, "loop")  # not theirs: a stamp, outside the id, may be a mark
        elif not self.config.on:
            yield Fluff(held.body, "off")
        elif peer not in self._peers:
            yield Fluff(held.body, "stranger")
        elif self._coin:
            yield Fluff(held.body, "coin")
        else:
            yield from self._send(id, held, peer, now)

    def _send_own(self, now: float) -> Iterator[Effect]:
        """Hand on what may go of our own."""
        while self._queue:
            pace = self._pace_of(self._route(None) if self.config.on else None)
            if pace is not None and not pace.take(1, now):
                self._turn_at = now + (pace.wait_s(1, now) or 0.0)
                return
            id, held = self._queue.popleft()
            if held.expires_at > now:
                yield from self._send(id, held, None, now)

    def _pace_of(self, route: int | None) -> TokenBucket | None:
        """What a successor may still be handed; without one nothing is held back."""
        if route is None:
            return None
        config = self.config
        return self._pace.setdefault(route, TokenBucket(config.relayed_per_s, config.relayed_burst))

    def _send(self, id: bytes, held: _Held, source: int | None, now: float) -> Iterator[Effect]:
        """Hand a message on, and hold it until it is seen in the open."""
        if not self.config.on:
            yield Fluff(held.body, "off")
            return
        route = self._route(source)
        if route is None:
            yield Fluff(held.body, "alone")
            return
        pace = self._pace_of(route)
        if not held.own and pace is not None and not pace.take(1, now):
            yield Fluff(held.body, "full")
            return
        yield from self._make_room(len(held.body))
        self._held[id] = held
        self._held_bytes += len(held.body)
        self._embargoes.set(id, self._embargo_ends_at(held, now))
        yield Relay(route, held.body)

    def _make_room(self, size: int) -> Iterator[Fluff]:
        """Spread what was held longest, that of others first: theirs says less about us."""
        config = self.config
        while self._held and (
            len(self._held) >= config.held_max or self._held_bytes + size > config.held_bytes_max
        ):
            theirs = (id for id, held in self._held.items() if not held.own)
            held = self._release(next(theirs, None) or next(iter(self._held)))
            assert held is not None
            yield Fluff(held.body, "full")

    def _embargo_ends_at(self, held: _Held, now: float) -> float:
        """When to spread it ourselves; in time for others to get it, if it expires soon."""
        if not self.config.embargo:
            return held.expires_at
        chance, left_s = self._rng.random(), held.expires_at - now
        embargo_s = self.config.embargo_min_s - self.config.embargo_mean_s * log(1.0 - chance)
        if embargo_s > left_s / 2:
            embargo_s = left_s * (1.0 + chance) / 4
        return now + embargo_s

    def _on_tick(self, now: float) -> Iterator[Effect]:
        yield from self._send_own(now)
        for id in list(self._embargoes.expire(now)):
            held = self._release(id)
            assert held is not None
            if self.config.embargo and held.expires_at > now:
                yield Fluff(held.body, "embargo")

    def _release(self, id: bytes) -> _Held | None:
        """Hold a message no longer; returns it if it was held."""
        held = self._held.pop(id, None)
        if held is not None:
            self._held_bytes -= len(held.body)
            self._embargoes.cancel(id)
        return held
