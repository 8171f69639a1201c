"""Meeting under a name: leave a contact at a rendezvous point, ask there who else has.

Each node is both: a point for others, if it wants to, and a guest at the points it is told. The
messages, and what a point can learn of them, are in `notices`; what a point keeps, in `registry`.

Source: libp2p, `specs/rendezvous/README.md`.

Invariants:
    - what we registered is renewed before it expires, as long as the point is connected;
    - who asks us for a name under which we are registered ourselves is told of us too;
    - a `Find` ends: when every point has answered or gone, and after `answer_s` at the latest;
    - every table is bounded, and so is how often a peer is answered;
    - what a peer sends unasked, or sealed by nobody who knows the name, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.discovery import notices
from whispurrnet.discovery.notices import Name, NoticeCodec
from whispurrnet.discovery.registry import Bounds, Registry, refusal
from whispurrnet.discovery.search import Search


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the rendezvous."""

    point: bool = True
    """Whether to keep registrations for others."""

    bounds: Bounds = Bounds()
    """How many of them."""

    requests_per_s: float = 2.0
    """How many requests of one peer are answered a second; eight times as many at once."""

    answer_s: float = 10.0
    """How long to wait for the answers of all points, in seconds."""

    retry_s: float = 300.0
    """After this time a registration that was refused is tried again, in seconds."""

    names_max: int = 64
    """How many names we may have registered, and look for, at the same time."""

    points_max: int = 16
    """At how many points a name may be registered or looked for."""

    contacts_max: int = 256
    """How many contacts one `Find` finds at most."""

    pages_max: int = 8
    """How often a point is asked for more in one `Find`."""


# Events and effects


class Up(msgspec.Struct, frozen=True):
    """A session with a peer stands; `key` is its static key, by which it is known again."""

    peer: int
    key: bytes


class Down(msgspec.Struct, frozen=True):
    """The session has ended. What the peer registered stays until it expires."""

    peer: int


class Arrived(msgspec.Struct, frozen=True):
    """The body of a RENDEZVOUS frame came."""

    peer: int
    body: bytes


class Register(msgspec.Struct, frozen=True):
    """Leave a contact under a name; replaces what was left under it before."""

    name: str
    contact: bytes
    """At most 982 bytes."""
    ttl_s: int
    """How long a point keeps it if we vanish, 60 to 7200 s; it is renewed before."""
    peers: tuple[int, ...]
    """The points; each gets it as soon as it is up."""


class Withdraw(msgspec.Struct, frozen=True):
    """Take back what was left under a name."""

    name: str


class Find(msgspec.Struct, frozen=True):
    """Ask these points who is there under a name; those that are not up are passed over."""

    name: str
    peers: tuple[int, ...]


class Send(msgspec.Struct, frozen=True):
    """Send this in a RENDEZVOUS frame."""

    peer: int
    body: bytes


class Found(msgspec.Struct, frozen=True):
    """Contacts under a name, each once for a `Find`; `done` with the last of them."""

    name: str
    contacts: tuple[bytes, ...]
    done: bool


class Rejected(msgspec.Struct, frozen=True):
    """A point did not take a registration; `reason` as in `notices`. It is tried again later."""

    name: str
    peer: int
    reason: int


Event: TypeAlias = Up | Down | Arrived | Register | Withdraw | Find | Tick
Effect: TypeAlias = Send | Found | Rejected


class _Guest:
    """A peer that is up."""

    __slots__ = ("key", "requests")

    def __init__(self, key: bytes, requests: TokenBucket) -> None:
        self.key = key
        self.requests = requests


class _Own:
    """What we left under a name."""

    __slots__ = ("event", "name", "peers", "refused")

    def __init__(self, name: Name, event: Register) -> None:
        self.name = name
        self.event = event
        self.peers = tuple(dict.fromkeys(event.peers))
        self.refused: dict[int, None] = {}
        """The points that have refused what we sent last."""


class Rendezvous:
    """The rendezvous core of one node.

    Args:
        config: Its settings.
        realm_key: 32 bytes that all nodes of a realm share.
        entropy: Gives random bytes.
    """

    def __init__(
        self, config: Config, realm_key: bytes, *, entropy: Callable[[int], bytes]
    ) -> None:
        self.config = config
        self._realm_key = realm_key
        self._entropy = entropy
        self._codec = NoticeCodec()
        self._point = Registry(config.bounds, entropy)
        self._guests: dict[int, _Guest] = {}
        self._own: dict[bytes, _Own] = {}
        self._searches: dict[bytes, Search] = {}
        self._renewals: Timers[tuple[bytes, int]] = Timers()
        self._ends: Timers[bytes] = Timers()

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        due = (self._point.deadline, self._renewals.deadline, self._ends.deadline)
        return min((at for at in due if at is not None), default=None)

    @property
    def kept(self) -> int:
        """How many registrations are kept for others."""
        return len(self._point)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            UsageError: A name, a contact or a time is out of range; nothing has changed.
            LimitError: Too many names at once; nothing has changed.
            ProtocolError: The peer broke the protocol; nothing has changed.
        """
        effects: list[Effect] = []
        match event:
            case Arrived(peer, body):
                if peer in self._guests:
                    for message in self._codec.decode(body):
                        self._on_message(peer, message, now, effects)
            case Up(peer, key):
                self._up(peer, key, now, effects)
            case Down(peer):
                self._down(peer, effects)
            case Register():
                self._register(event, now, effects)
            case Withdraw(name):
                own = self._own.pop(Name(self._realm_key, name).key, None)
                if own is not None:
                    self._leave(own, own.peers, effects)
            case Find(name, peers):
                self._find(Name(self._realm_key, name), peers, now, effects)
            case Tick():
                self._tick(now, effects)
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        self._point.check_invariants()
        assert len(self._own) <= self.config.names_max
        assert len(self._searches) <= self.config.names_max
        assert len(self._ends) == len(self._searches)
        for search in self._searches.values():
            search.check_invariants()
            assert not search.done
        renewed = [(key, peer) for key, own in self._own.items() for peer in own.peers]
        renewed = [pair for pair in renewed if pair[1] in self._guests]
        assert len(self._renewals) == len(renewed)
        assert all(pair in self._renewals for pair in renewed)

    def _tick(self, now: float, effects: list[Effect]) -> None:
        self._point.expire(now)
        for key, peer in list(self._renewals.expire(now)):
            self._send_own(self._own[key], peer, now, effects)
        for key in list(self._ends.expire(now)):
            search = self._searches.pop(key)
            effects.append(Found(search.name.text, (), done=True))

    # Sessions

    def _up(self, peer: int, key: bytes, now: float, effects: list[Effect]) -> None:
        rate = self.config.requests_per_s
        self._guests[peer] = _Guest(key, TokenBucket(rate, 8 * rate))
        for own in self._own.values():
            if peer in own.peers:
                self._send_own(own, peer, now, effects)

    def _down(self, peer: int, effects: list[Effect]) -> None:
        self._guests.pop(peer, None)
        for key in self._own:
            self._renewals.cancel((key, peer))
        for search in list(self._searches.values()):
            if search.drop(peer):
                self._tell(search, (), effects)

    def _on_message(
        self, peer: int, message: notices.Message, now: float, effects: list[Effect]
    ) -> None:
        match message:
            case notices.Register() | notices.Discover():
                self._asked(peer, message, now, effects)
            case notices.Unregister(name_key):
                self._point.unregister(self._guests[peer].key, name_key)
            case notices.Registrations():
                self._registrations(peer, message, effects)
            case notices.Refused():
                self._refused(peer, message, now, effects)

    # The point

    def _asked(
        self,
        peer: int,
        message: notices.Register | notices.Discover,
        now: float,
        effects: list[Effect],
    ) -> None:
        guest, own = self._guests[peer], None
        if isinstance(message, notices.Discover):
            own = self._own.get(message.name_key)
        answer: notices.Message | None
        if not self.config.point and own is None:
            answer = refusal(message, notices.NO_POINT)
        elif not guest.requests.take(1, now):
            answer = refusal(message, notices.BUSY)
        else:
            ours = own.name.seal(own.event.contact, self._entropy) if own else None
            answer = self._point.answer(guest.key, message, now, ours)
        if answer is not None:
            self._send(peer, answer, effects)

    # The guest: what we left

    def _register(self, event: Register, now: float, effects: list[Effect]) -> None:
        name = Name(self._realm_key, event.name)
        if not notices.TTL_S_MIN <= event.ttl_s <= notices.TTL_S_MAX:
            raise UsageError(
                f"a registration holds for {notices.TTL_S_MIN} to {notices.TTL_S_MAX} s, "
                f"not {event.ttl_s}; it is renewed by itself"
            )
        if len(event.peers) > self.config.points_max:
            raise UsageError(f"a name can be left at {self.config.points_max} points at most")
        name.seal(event.contact, bytes)  # raises if it is too long
        old = self._own.get(name.key)
        if old is None and len(self._own) >= self.config.names_max:
            raise LimitError(f"{len(self._own)} names are registered; withdraw one, or wait")
        own = self._own[name.key] = _Own(name, event)
        if old is not None:
            gone = tuple(peer for peer in old.peers if peer not in own.peers)
            self._leave(old, gone, effects)
        for peer in own.peers:
            if peer in self._guests:
                self._send_own(own, peer, now, effects)

    def _send_own(self, own: _Own, peer: int, now: float, effects: list[Effect]) -> None:
        event = own.event
        sealed = own.name.seal(event.contact, self._entropy)
        self._send(peer, notices.Register(own.name.key, sealed, event.ttl_s), effects)
        own.refused.pop(peer, None)
        due_at = now + event.ttl_s * (0.7 + 0.15 * self._chance())
        self._renewals.set((own.name.key, peer), due_at)

    def _leave(self, own: _Own, peers: tuple[int, ...], effects: list[Effect]) -> None:
        for peer in peers:
            self._renewals.cancel((own.name.key, peer))
            if peer in self._guests:
                self._send(peer, notices.Unregister(own.name.key), effects)

    def _refused(
        self, peer: int, message: notices.Refused, now: float, effects: list[Effect]
    ) -> None:
        if message.asked != 1:
            search = self._searches.get(message.name_key)
            if search is not None and search.drop(peer):
                self._tell(search, (), effects)
            return
        own = self._own.get(message.name_key)
        if own is None or peer not in own.peers or peer in own.refused:
            return
        own.refused[peer] = None
        lasting = message.reason in (notices.FULL, notices.TOO_MANY, notices.NO_POINT)
        pause_s = self.config.retry_s if lasting else self.config.answer_s
        self._renewals.set((message.name_key, peer), now + pause_s * (1 + self._chance() / 4))
        effects.append(Rejected(own.name.text, peer, message.reason))

    # The guest: what we look for

    def _find(self, name: Name, peers: tuple[int, ...], now: float, effects: list[Effect]) -> None:
        config = self.config
        points = [peer for peer in dict.fromkeys(peers) if peer in self._guests]
        if len(points) > config.points_max:
            raise UsageError(f"a name can be looked for at {config.points_max} points at most")
        search = self._searches.get(name.key)
        if search is None:
            if not points:
                effects.append(Found(name.text, (), done=True))
                return
            if len(self._searches) >= config.names_max:
                raise LimitError(f"{len(self._searches)} names are being looked for; wait a moment")
            search = Search(name, config.points_max, config.contacts_max, config.pages_max)
            self._searches[name.key] = search
            self._ends.set(name.key, now + config.answer_s)
        for peer in points:
            question = search.ask(peer)
            if question is not None:
                self._send(peer, question, effects)

    def _registrations(
        self, peer: int, message: notices.Registrations, effects: list[Effect]
    ) -> None:
        search = self._searches.get(message.name_key)
        page = None if search is None else search.read(peer, message)
        if search is None or page is None:
            return
        if page.more is not None:
            self._send(peer, page.more, effects)
        self._tell(search, page.contacts, effects)

    def _tell(self, search: Search, contacts: tuple[bytes, ...], effects: list[Effect]) -> None:
        if search.done:
            del self._searches[search.name.key]
            self._ends.cancel(search.name.key)
        if contacts or search.done:
            effects.append(Found(search.name.text, contacts, done=search.done))

    def _chance(self) -> float:
        return int.from_bytes(self._entropy(4), "big") / 2**32

    def _send(self, peer: int, message: notices.Message, effects: list[Effect]) -> None:
        effects.append(Send(peer, self._codec.encode(message)))
