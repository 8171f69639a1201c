"""The user's side of relays: places at the nearest few, and circuits through any.

A relay that is to be used (`Want`) is asked for a place as soon as it is connected, as long as
fewer than `places_max` are held; later those with the shortest round trip are preferred. Whoever
is connected may be asked for a circuit, and may say that somebody asks for one to us.

Source: libp2p, `specs/relay/circuit-v2.md`.

Invariants:
    - a place is renewed before it ends, and another relay is asked when one is lost;
    - a `Dial` ends: by `Circuit`, by `NoCircuit`, or by `Forget`;
    - every table is bounded, and so is how often one peer can make us open a link to it;
    - what a relay says unasked changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

import msgspec

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import LimitError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.nat import relay_messages as messages

LOST, SILENT = -1, 0
"""Why there is no circuit, besides what a relay says: its session ended; it did not answer."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a user of relays."""

    places_max: int = 2
    """At how many relays to have a place: one more than needed, should one be lost."""

    answer_s: float = 10.0
    """How long to wait for the answer of a relay, in seconds."""

    retry_s: float = 30.0
    """After this time a relay that had no place for us is asked again, in seconds."""

    refused_s: float = 600.0
    """The same of one that does not want us, or is none."""

    look_s: float = 60.0
    """How often to look whether a nearer relay is there, in seconds."""

    nearer: float = 0.7
    """A relay is nearer if its round trip is less than so much of the farthest one's."""

    dials_max: int = 256
    """Circuits asked for at a time."""

    incoming_per_s: float = 2.0
    """How often one relay may say that somebody calls."""

    incoming_burst: float = 64.0


# Events and effects


class Up(msgspec.Struct, frozen=True):
    """A session with a peer stands."""

    peer: int


class Want(msgspec.Struct, frozen=True):
    """A connected peer is a relay that we want a place at."""

    peer: int


class Down(msgspec.Struct, frozen=True):
    """Its session has ended."""

    peer: int


class Measured(msgspec.Struct, frozen=True):
    """How long a round trip to a peer takes."""

    peer: int
    rtt_s: float


class Arrived(msgspec.Struct, frozen=True):
    """A message came."""

    peer: int
    message: messages.Answering


class Dial(msgspec.Struct, frozen=True):
    """Ask a connected peer for a circuit to who has this id; `ref` is free to use."""

    ref: int
    peer: int
    id: bytes


class Forget(msgspec.Struct, frozen=True):
    """Nobody waits for a circuit any more."""

    ref: int


class Send(msgspec.Struct, frozen=True):
    """Send this in a RELAY frame."""

    peer: int
    message: messages.Asking


class Placed(msgspec.Struct, frozen=True):
    """These are the relays at which we have a place from now on, the nearest first."""

    peers: tuple[int, ...]


class Circuit(msgspec.Struct, frozen=True):
    """Open a link to the relay and begin it with this token."""

    ref: int
    peer: int
    token: bytes


class NoCircuit(msgspec.Struct, frozen=True):
    """There will be none."""

    ref: int
    code: int
    """As in `relay_messages`, or `LOST`, or `SILENT`."""
    text: str


class Accept(msgspec.Struct, frozen=True):
    """Somebody calls: open a link to the relay and begin it with this token."""

    peer: int
    token: bytes
    id: bytes
    """Who calls, as the relay says."""


Event: TypeAlias = Up | Want | Down | Measured | Arrived | Dial | Forget | Tick
Effect: TypeAlias = Send | Placed | Circuit | NoCircuit | Accept


class _Place:
    """A relay that we want a place at."""

    __slots__ = ("asked", "held", "not_before", "rtt_s")

    def __init__(self) -> None:
        self.held = False
        self.asked = False
        self.not_before = 0.0
        self.rtt_s = inf

    def is_free(self, now: float) -> bool:
        return not (self.held or self.asked or self.not_before > now)


class Client:
    """The user of relays in one node.

    Args:
        config: Its settings.
        entropy: Gives random bytes.
    """

    def __init__(self, config: Config, *, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self._entropy = entropy
        self._peers: dict[int, TokenBucket] = {}
        self._places: dict[int, _Place] = {}
        self._told: tuple[int, ...] = ()
        self._dials: dict[int, tuple[int, int]] = {}
        """By nonce: the reference and the relay."""
        self._nonce = int.from_bytes(entropy(3), "big")
        self._timers: Timers[tuple[str, int]] = Timers()

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        return self._timers.deadline

    @property
    def placed(self) -> tuple[int, ...]:
        """At which peers we have a place, the nearest first."""
        return self._told

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            LimitError: Too many circuits are asked for at once; nothing has changed.
        """
        effects: list[Effect] = []
        match event:
            case Arrived(peer, message):
                if peer in self._peers:
                    self._arrived(peer, message, now, effects)
            case Up(peer):
                config = self.config
                self._peers[peer] = TokenBucket(config.incoming_per_s, config.incoming_burst)
            case Want(peer):
                if peer in self._peers and peer not in self._places:
                    self._places[peer] = _Place()
                    self._choose(now, effects)
            case Measured(peer, rtt_s):
                if peer in self._places:
                    self._places[peer].rtt_s = rtt_s
            case Down(peer):
                self._down(peer, now, effects)
            case Dial():
                self._dial(event, now, effects)
            case Forget(ref):
                self._end({nonce for nonce, (own, _) in self._dials.items() if own == ref})
            case Tick():
                self._tick(now, effects)
        self._tell(effects)
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        assert self._places.keys() <= self._peers.keys()
        assert len(self._dials) <= self.config.dials_max
        assert all(("dial", nonce) in self._timers for nonce in self._dials)
        assert all(peer in self._peers for _, peer in self._dials.values())
        for peer, place in self._places.items():
            assert not place.held or ("end", peer) in self._timers
            assert not place.asked or ("ask", peer) in self._timers
        assert set(self._told) == {peer for peer, place in self._places.items() if place.held}

    # Places

    def _choose(self, now: float, effects: list[Effect]) -> None:
        """Ask the nearest relays, until enough places are held or asked for."""
        busy = sum(place.held or place.asked for place in self._places.values())
        free = [peer for peer, place in self._places.items() if place.is_free(now)]
        for peer in sorted(free, key=self._distance)[: max(0, self.config.places_max - busy)]:
            self._ask(peer, now, effects)
        if len(self._places) > self.config.places_max and ("look", 0) not in self._timers:
            self._timers.set(("look", 0), now + self.config.look_s)

    def _distance(self, peer: int) -> float:
        return self._places[peer].rtt_s

    def _ask(self, peer: int, now: float, effects: list[Effect]) -> None:
        self._places[peer].asked = True
        self._timers.set(("ask", peer), now + self.config.answer_s)
        effects.append(Send(peer, messages.Reserve()))

    def _look(self, now: float, effects: list[Effect]) -> None:
        """Is there a relay that is nearer than the farthest we have a place at?"""
        held = [peer for peer, place in self._places.items() if place.held]
        free = [peer for peer, place in self._places.items() if place.is_free(now)]
        if held and free and len(held) >= self.config.places_max:
            farthest, nearest = max(map(self._distance, held)), min(free, key=self._distance)
            if self._distance(nearest) < farthest * self.config.nearer:
                self._ask(nearest, now, effects)
        self._choose(now, effects)

    def _reserved(self, peer: int, answer: messages.Reserved, now: float) -> None:
        place = self._places.get(peer)
        if place is None or not place.asked:
            return
        place.held, place.asked = True, False
        span_s = max(60.0, float(answer.expires_in_s))
        self._timers.cancel(("ask", peer))
        self._timers.set(("end", peer), now + span_s)
        self._timers.set(("renew", peer), now + span_s * (0.5 + 0.2 * self._chance()))

    def _spare(self, effects: list[Effect]) -> None:
        """With more places than wanted, give up the farthest."""
        held = [peer for peer, place in self._places.items() if place.held]
        for peer in sorted(held, key=self._distance)[self.config.places_max :]:
            self._lose(peer)
            effects.append(Send(peer, messages.Release()))

    def _lose(self, peer: int) -> None:
        place = self._places[peer]
        place.held = place.asked = False
        for name in ("ask", "renew", "end"):
            self._timers.cancel((name, peer))

    def _not_before(self, peer: int, at: float) -> None:
        self._places[peer].not_before = at
        self._timers.set(("again", peer), at)

    def _down(self, peer: int, now: float, effects: list[Effect]) -> None:
        if self._peers.pop(peer, None) is None:
            return
        if peer in self._places:
            self._lose(peer)
            self._timers.cancel(("again", peer))
            del self._places[peer]
            self._choose(now, effects)
        lost = {nonce for nonce, (_, relay) in self._dials.items() if relay == peer}
        refs = [self._dials[nonce][0] for nonce in sorted(lost)]
        self._end(lost)
        effects += [NoCircuit(ref, LOST, "it was lost") for ref in refs]

    def _tell(self, effects: list[Effect]) -> None:
        held = [peer for peer, place in self._places.items() if place.held]
        if set(held) != set(self._told):
            self._told = tuple(sorted(held, key=self._distance))
            effects.append(Placed(self._told))

    # What relays say

    def _arrived(
        self, peer: int, message: messages.Answering, now: float, effects: list[Effect]
    ) -> None:
        match message:
            case messages.Reserved():
                self._reserved(peer, message, now)
                self._spare(effects)
            case messages.Refused(0, code, _):
                place = self._places.get(peer)
                if place is not None and place.asked:
                    config = self.config
                    later = code == messages.TOO_MANY
                    if not (later and place.held):  # who is held may be asked again before the end
                        self._lose(peer)
                    place.asked = False
                    self._timers.cancel(("ask", peer))
                    pause_s = config.retry_s if later else config.refused_s
                    self._not_before(peer, now + pause_s * (1 + self._chance() / 4))
                    self._choose(now, effects)
            case messages.Refused(nonce, code, text):
                ref = self._answered(peer, nonce)
                if ref is not None:
                    effects.append(NoCircuit(ref, code, text))
            case messages.Granted(nonce, token):
                ref = self._answered(peer, nonce)
                if ref is not None:
                    effects.append(Circuit(ref, peer, token))
            case messages.Incoming(token, id):
                if self._peers[peer].take(1, now):
                    effects.append(Accept(peer, token, id))

    def _answered(self, peer: int, nonce: int) -> int | None:
        """The reference of a circuit that this very relay was asked for."""
        ref, relay = self._dials.get(nonce, (0, -1))
        if relay != peer:
            return None
        self._end({nonce})
        return ref

    # Circuits

    def _dial(self, event: Dial, now: float, effects: list[Effect]) -> None:
        if len(self._dials) >= self.config.dials_max:
            raise LimitError(f"{self.config.dials_max} circuits are asked for already; wait a bit")
        if event.peer not in self._peers:
            effects.append(NoCircuit(event.ref, LOST, "it is not connected"))
            return
        self._nonce = self._nonce % (2**32 - 1) + 1
        self._dials[self._nonce] = (event.ref, event.peer)
        self._timers.set(("dial", self._nonce), now + self.config.answer_s)
        effects.append(Send(event.peer, messages.Connect(self._nonce, event.id)))

    def _end(self, nonces: set[int]) -> None:
        for nonce in nonces:
            del self._dials[nonce]
            self._timers.cancel(("dial", nonce))

    # Time

    def _tick(self, now: float, effects: list[Effect]) -> None:
        for name, number in list(self._timers.expire(now)):
            match name:
                case "dial":
                    ref, _ = self._dials.pop(number)
                    effects.append(NoCircuit(ref, SILENT, "it did not answer"))
                case "ask":
                    self._places[number].asked = False
                    self._not_before(number, now + self.config.retry_s)
                case "renew":
                    self._ask(number, now, effects)
                case "end":
                    self._lose(number)
                case "again":
                    if self._places[number].held:
                        self._ask(number, now, effects)
                case _:
                    self._look(now, effects)
        self._choose(now, effects)

    def _chance(self) -> float:
        return int.from_bytes(self._entropy(4), "big") / 2**32
