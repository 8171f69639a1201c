"""When to try which better path to peers that a relay carries, and what came of it.

For each such peer there are rounds: first its direct addresses, then WebRTC, as far as each is
possible. A round that brought nothing is followed by a wait, longer each time, with jitter; news
of addresses, ours or the peer's, end it early. Peers for whom nothing can be tried wait for news.

Both sides may try at the same time; which of two links stays is no matter of this core. The side
that did not open the session begins later, so that seldom happens.

Invariants:
    - at most `at_once` attempts run, and one for each peer;
    - an attempt ends: by its outcome, by `attempt_s`, or with the need for it;
    - of each peer `history` attempts are kept, of `peers_max` peers;
    - news that a peer causes shorten no more than `NEWS_BURST` waits at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers

Method: TypeAlias = Literal["direct", "webrtc", "relay"]

ADDRESSES_MAX: Final = 8
"""So many addresses of a peer are tried."""

TEXT_MAX: Final = 200
"""What is kept of a reason, in characters."""

NEWS_PER_S, NEWS_BURST = 1 / 60, 3
"""How often new addresses of a peer end a wait."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of this core."""

    on: bool = True
    """Whether better paths are tried at all; when off, only `Try` does."""

    waits_s: tuple[float, ...] = (1.0, 5.0, 15.0, 60.0, 300.0)
    """The waits before the first round and after each; the last repeats. In seconds."""

    jitter: float = 0.25
    """By which share a wait is longer or shorter, at most."""

    soon_s: float = 0.5
    """The wait after news, in seconds."""

    attempt_s: float = 45.0
    """An attempt without outcome after so long has failed, in seconds."""

    at_once: int = 4
    """Attempts that run at a time."""

    history: int = 16
    """Attempts kept for each peer."""

    peers_max: int = 1_000
    """Peers of whom attempts are kept."""


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


class Attempt(msgspec.Struct, frozen=True):
    """One thing that was tried."""

    method: Method
    place: str
    """Where, as text; empty where there is no place."""
    ok: bool
    reason: str
    """Why not; empty when it went well."""
    seconds: float
    """How long it took."""
    at: float
    """When it began, in seconds of the monotonic clock."""


# Events


class Relayed(msgspec.Struct, frozen=True):
    """A peer is reached through a relay; or what is known of it has changed."""

    peer: int
    addresses: tuple[str, ...]
    """Where it can be called directly, as far as is known; the best first."""
    webrtc: bool
    """Whether both sides can make links over WebRTC."""
    opened: bool
    """Whether we opened the session."""


class Settled(msgspec.Struct, frozen=True):
    """A peer is reached directly, or not at all: there is nothing to try."""

    peer: int


class Changed(msgspec.Struct, frozen=True):
    """Our own addresses are others: what failed may work now."""


class Try(msgspec.Struct, frozen=True):
    """Somebody wants a round for this peer now."""

    peer: int


class Ended(msgspec.Struct, frozen=True):
    """The attempt with this peer is over."""

    peer: int
    ok: bool
    reason: str = ""


class Noted(msgspec.Struct, frozen=True):
    """Something was tried by others; it is kept with the rest."""

    peer: int
    attempt: Attempt


# Effects


class Direct(msgspec.Struct, frozen=True):
    """Dial these addresses of the peer; `Ended` follows."""

    peer: int
    addresses: tuple[str, ...]


class Webrtc(msgspec.Struct, frozen=True):
    """Offer the peer a link over WebRTC; `Ended` follows."""

    peer: int


Event: TypeAlias = Relayed | Settled | Changed | Try | Ended | Noted | Tick
Effect: TypeAlias = Direct | Webrtc


class _Peer:
    """One peer that a relay carries, or did."""

    __slots__ = ("addresses", "began", "due", "left", "news", "opened", "running", "step", "webrtc")

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.webrtc = self.opened = False
        self.step = 0
        """How many rounds brought nothing."""
        self.left: deque[Method] = deque()
        """What is still to be tried in this round."""
        self.running: Method | None = None
        self.began = 0.0
        self.due: float | None = None
        """When the next round begins, if one waits for its time."""
        self.news = TokenBucket(NEWS_PER_S, NEWS_BURST)

    @property
    def methods(self) -> deque[Method]:
        """What a round consists of."""
        methods: deque[Method] = deque()
        if self.addresses:
            methods.append("direct")
        if self.webrtc:
            methods.append("webrtc")
        return methods


class Punch:
    """The attempts of one node to reach peers directly.

    Args:
        config: Settings.
        rng: Chance that needs no secrecy: jitter.
    """

    def __init__(self, config: Config, rng: Rng) -> None:
        self.config = config
        self._rng = rng
        self._wanted: dict[int, _Peer] = {}
        """Peers that a relay carries."""
        self._past: LruDict[int, deque[Attempt]] = LruDict(config.peers_max)
        """The attempts of all peers."""
        self._timers: Timers[int] = Timers()
        self._line: dict[int, None] = {}
        """Peers whose turn has come, while too many attempts run."""
        self._running = 0

    @property
    def deadline(self) -> float | None:
        """When something is due, in seconds."""
        return self._timers.deadline

    @property
    def running(self) -> int:
        """How many attempts run."""
        return self._running

    def attempts(self, peer: int) -> tuple[Attempt, ...]:
        """What was tried for a peer, the oldest first."""
        return tuple(self._past.peek(peer) or ())

    def tries(self, peer: int) -> Method | None:
        """What is being tried for a peer now."""
        known = self._wanted.get(peer)
        return None if known is None else known.running

    def next_at(self, peer: int) -> float | None:
        """When the next round of a peer begins; None: none does, or one is under way."""
        known = self._wanted.get(peer)
        return None if known is None else known.due

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`)."""
        effects = list(self._react(event, now))
        effects += self._serve(now)
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        assert 0 <= self._running <= self.config.at_once
        assert self._running == sum(one.running is not None for one in self._wanted.values())
        for peer, known in self._wanted.items():
            assert known.running is None or peer in self._timers, "an attempt ends"
            assert not (peer in self._line and known.running), "one attempt for each peer"
            assert known.due is None or (known.running is None and peer in self._timers)
        assert all(peer in self._wanted for peer in self._line)

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Relayed():
                self._on_relayed(event, now)
            case Settled(peer):
                self._settle(peer)
            case Changed():
                for peer, known in self._wanted.items():
                    self._soon(peer, known, now)
            case Try(peer):
                wanted = self._wanted.get(peer)
                if wanted is not None and wanted.running is None:
                    self._begin(peer, wanted)
            case Ended(peer, ok, reason):
                self._on_ended(peer, now, ok=ok, reason=reason)
            case Noted(peer, attempt):
                self._note(peer, attempt)
            case Tick():
                self._on_tick(now)
        yield from ()

    def _on_relayed(self, event: Relayed, now: float) -> None:
        known = self._wanted.get(event.peer)
        addresses = tuple(dict.fromkeys(event.addresses))[:ADDRESSES_MAX]
        if known is None:
            if len(self._wanted) >= self.config.peers_max:
                return  # it stays with the relay; there are enough to try
            known = self._wanted[event.peer] = _Peer()
            known.addresses, known.webrtc, known.opened = addresses, event.webrtc, event.opened
            self._wait(event.peer, known, now)
            return
        fresh = [address for address in addresses if address not in known.addresses]
        known.addresses, known.opened = addresses, event.opened
        is_news = bool(fresh) or (event.webrtc and not known.webrtc)
        known.webrtc = event.webrtc
        if is_news and known.news.take(1, now):
            self._soon(event.peer, known, now)

    def _settle(self, peer: int) -> None:
        known = self._wanted.pop(peer, None)
        if known is not None:
            self._running -= known.running is not None
            self._timers.cancel(peer)
            self._line.pop(peer, None)

    # Rounds

    def _wait(self, peer: int, known: _Peer, now: float) -> None:
        """Wait for the next round, if there can be one."""
        known.left.clear()
        self._timers.cancel(peer)
        known.due = None
        if not self.config.on or not known.methods:
            return
        waits = self.config.waits_s
        wait_s = waits[min(known.step, len(waits) - 1)]
        if not known.step and not known.opened:
            wait_s *= 2
        self._arm(peer, known, now + self._jittered(wait_s))

    def _arm(self, peer: int, known: _Peer, due: float) -> None:
        known.due = due
        self._timers.set(peer, due)

    def _soon(self, peer: int, known: _Peer, now: float) -> None:
        """Something has changed: what failed may work now."""
        known.step = 0
        if known.running is not None or peer in self._line or not self.config.on:
            return
        if known.methods:
            soon = now + self._jittered(self.config.soon_s)
            self._arm(peer, known, soon if known.due is None else min(known.due, soon))

    def _jittered(self, wait_s: float) -> float:
        return wait_s * (1 + self.config.jitter * (2 * self._rng.random() - 1))

    def _begin(self, peer: int, known: _Peer) -> None:
        """The turn of a peer has come."""
        known.left, known.due = known.methods, None
        self._timers.cancel(peer)
        if known.left:
            self._line[peer] = None

    def _serve(self, now: float) -> Iterator[Effect]:
        """Start what stands in line, as far as there is room."""
        while self._line and self._running < self.config.at_once:
            peer = next(iter(self._line))
            del self._line[peer]
            known = self._wanted[peer]
            while known.left and known.left[0] not in known.methods:
                known.left.popleft()  # it was possible when the turn came
            if not known.left:
                self._wait(peer, known, now)
                continue
            known.running, known.began = known.left.popleft(), now
            self._running += 1
            self._timers.set(peer, now + self.config.attempt_s)
            if known.running == "direct":
                yield Direct(peer, known.addresses)
            else:
                yield Webrtc(peer)

    def _on_ended(self, peer: int, now: float, *, ok: bool, reason: str) -> None:
        known = self._wanted.get(peer)
        if known is None or known.running is None:
            return
        place = ", ".join(known.addresses) if known.running == "direct" else ""
        reason = "" if ok else reason[:TEXT_MAX]
        self._note(peer, Attempt(known.running, place, ok, reason, now - known.began, known.began))
        known.running = None
        self._running -= 1
        self._timers.cancel(peer)
        if ok:
            known.step = 0
        if known.left and not ok:
            self._line[peer] = None
            return
        known.step += 1
        self._wait(peer, known, now)

    def _note(self, peer: int, attempt: Attempt) -> None:
        past = self._past.get(peer)
        if past is None:
            past = deque[Attempt](maxlen=self.config.history)
            self._past.put(peer, past)
        past.append(attempt)

    def _on_tick(self, now: float) -> None:
        for peer in self._timers.expire(now):
            known = self._wanted[peer]
            if known.running is not None:
                took_s = self.config.attempt_s
                self._on_ended(peer, now, ok=False, reason=f"no outcome within {took_s:g} s")
            else:
                self._begin(peer, known)
