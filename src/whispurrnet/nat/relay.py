"""The relay's side: who has a place here, and which two links belong together.

It never opens a link: it gives each of two peers a token, and joins the two links that begin with
them (`Splice`). So nobody can make it connect to a place of their choice. A node that is no relay
may still introduce its own peers to each other: the same, for little and not for long.

Source: libp2p, `specs/relay/circuit-v2.md` (reservations, limits, codes).

Invariants:
    - a token leads to one side of one circuit, is good for one link, and for `token_s`;
    - places, circuits and tokens are bounded in all, for one peer and for one network;
    - a circuit that was spliced ends when the shell says so, and after its `life_s` it is cut;
    - a place is held by a session and ends with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.nat import relay_messages as messages
from whispurrnet.nat.relay_events import (
    Arrived,
    Close,
    Config,
    Cut,
    Down,
    Effect,
    Ended,
    Event,
    Gone,
    Joined,
    Renamed,
    Send,
    Splice,
    Up,
    Welcomed,
)

IDS_MAX = 4
"""By so many ids a peer is found that takes new ones; each for `overlap_s` after the next."""


class _Guest:
    """A peer that is connected."""

    __slots__ = ("asks", "connects", "ids", "network", "welcome")

    def __init__(self, up: Up, config: Config) -> None:
        self.ids = [up.id]
        self.network = up.network
        self.welcome = up.welcome
        self.asks = _per_minute(config.reserves_per_minute)
        self.connects = _per_minute(config.connects_per_minute)


class _Circuit:
    """Two peers to be joined, or joined."""

    __slots__ = ("introduces", "links", "network", "peers", "spliced", "tokens")

    def __init__(
        self, peers: tuple[int, int], network: str, tokens: tuple[bytes, bytes], *, introduces: bool
    ) -> None:
        self.peers = peers
        self.network = network
        self.tokens = tokens
        self.introduces = introduces
        self.links: list[int | None] = [None, None]
        self.spliced = False


class Relay:
    """The relay core of one node.

    Args:
        config: Its settings.
        entropy: Gives random bytes.
    """

    def __init__(self, config: Config, *, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self._entropy = entropy
        self._guests: dict[int, _Guest] = {}
        self._by_id: dict[bytes, int] = {}
        self._places: dict[int, str] = {}
        """Who has a place, and of which network."""
        self._circuits: dict[int, _Circuit] = {}
        self._tokens: dict[bytes, tuple[int, int]] = {}
        self._links: dict[int, int] = {}
        """Links that wait for the other one of their circuit."""
        self._of_peer: Counter[int] = Counter()
        self._of_network: Counter[str] = Counter()
        self._introductions = 0
        self._networks: LruDict[str, TokenBucket] = LruDict(config.networks_max)
        self._next = 1
        self._expiry: Timers[int] = Timers()
        self._old_ids: Timers[bytes] = Timers()
        self._ends: Timers[int] = Timers()

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        due = (self._expiry.deadline, self._old_ids.deadline, self._ends.deadline)
        return min((at for at in due if at is not None), default=None)

    @property
    def places(self) -> int:
        """How many peers have a place here."""
        return len(self._places)

    @property
    def circuits(self) -> int:
        """How many circuits there are, those included that wait for a link."""
        return len(self._circuits)

    def expects(self, head: bytes) -> bool:
        """Whether a token that may come now begins with these bytes, or is them."""
        if not self._tokens or len(head) >= messages.TOKEN_BYTES:
            return head in self._tokens
        return any(token.startswith(head) for token in self._tokens)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`)."""
        effects: list[Effect] = []
        match event:
            case Arrived(peer, message):
                if peer in self._guests:
                    self._asked(peer, message, now, effects)
            case Joined(link, token):
                self._joined(link, token, now, effects)
            case Gone(link) if link in self._links:
                self._forget(self._links[link], effects, but=link)
            case Gone():
                pass
            case Ended(number):
                if number in self._circuits:
                    self._forget(number, effects)
            case Up():
                self._up(event)
            case Renamed(peer, id):
                self._renamed(peer, id, now)
            case Welcomed(peer, welcome):
                self._welcomed(peer, welcome=welcome)
            case Down(peer):
                self._down(peer)
            case Tick():
                self._tick(now, effects)
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        config = self.config
        assert len(self._places) <= config.places_max
        assert len(self._circuits) <= config.circuits_max
        assert set(self._places) <= set(self._guests)
        assert len(self._expiry) == len(self._places)
        assert len(self._ends) == len(self._circuits)
        assert self._by_id.keys() == {id for guest in self._guests.values() for id in guest.ids}
        waiting = [c for c in self._circuits.values() if not c.spliced]
        assert len(self._tokens) == sum(c.links.count(None) for c in waiting)
        assert len(self._links) == sum(2 - c.links.count(None) for c in waiting)
        assert self._introductions == sum(c.introduces for c in self._circuits.values())
        assert self._introductions <= config.introductions_max
        assert self._of_peer == Counter(p for c in self._circuits.values() for p in c.peers)
        assert all(n <= config.circuits_per_peer_max for n in self._of_peer.values())
        assert self._of_network == Counter(c.network for c in self._circuits.values())

    def _tick(self, now: float, effects: list[Effect]) -> None:
        for peer in self._expiry.expire(now):
            del self._places[peer]
        for id in self._old_ids.expire(now):
            guest = self._guests.get(self._by_id.pop(id, 0))
            if guest is not None:
                guest.ids.remove(id)
        for number in list(self._ends.expire(now)):
            if self._circuits[number].spliced:
                self._ends.set(number, now + self.config.token_s)  # until the shell says so
                effects.append(Cut(number))
            else:
                self._forget(number, effects)

    # Sessions

    def _up(self, up: Up) -> None:
        self._down(up.peer)
        if up.id in self._by_id:  # whoever had it has lost it
            self._lose_id(up.id)
        self._guests[up.peer] = _Guest(up, self.config)
        self._by_id[up.id] = up.peer

    def _renamed(self, peer: int, id: bytes, now: float) -> None:
        guest = self._guests.get(peer)
        if guest is None or id == guest.ids[-1]:
            return
        if id in self._by_id:
            self._lose_id(id)
        self._old_ids.set(guest.ids[-1], now + self.config.overlap_s)
        guest.ids.append(id)
        self._by_id[id] = peer
        if len(guest.ids) > IDS_MAX:
            self._lose_id(guest.ids[0])

    def _welcomed(self, peer: int, *, welcome: bool) -> None:
        guest = self._guests.get(peer)
        if guest is not None:
            guest.welcome = welcome
        if not welcome:
            self._release(peer)

    def _lose_id(self, id: bytes) -> None:
        self._old_ids.cancel(id)
        guest = self._guests[self._by_id.pop(id)]
        guest.ids.remove(id)

    def _down(self, peer: int) -> None:
        guest = self._guests.pop(peer, None)
        for id in guest.ids if guest is not None else ():
            self._old_ids.cancel(id)
            del self._by_id[id]
        self._release(peer)

    # Places

    def _asked(
        self, peer: int, message: messages.Asking, now: float, effects: list[Effect]
    ) -> None:
        match message:
            case messages.Reserve():
                answer = self._reserve(peer, now)
                effects.append(Send(peer, answer))
            case messages.Connect():
                no = self._connect(peer, message, now, effects)
                if no is not None:
                    code, text = no
                    effects.append(Send(peer, messages.Refused(message.nonce, code, text)))
            case messages.Release():
                self._release(peer)

    def _reserve(self, peer: int, now: float) -> messages.Answering:
        config, guest = self.config, self._guests[peer]
        if not config.on:
            return messages.Refused(0, messages.NO_RELAY, "this node is no relay")
        if not guest.welcome:
            return messages.Refused(0, messages.POLICY, "this relay is for members only")
        wait_s = guest.asks.wait_s(1, now)
        if not guest.asks.take(1, now):
            text = f"you ask too often; again in {wait_s or 60:.0f} s"
            return messages.Refused(0, messages.TOO_MANY, text)
        if peer not in self._places:
            alike = sum(network == guest.network for network in self._places.values())
            full = len(self._places) >= config.places_max
            if full or (guest.network and alike >= config.places_per_network_max):
                whose = "all places are taken" if full else "your network has enough places here"
                text = f"{whose}; again in {self._frees_in_s(now):.0f} s"
                return messages.Refused(0, messages.TOO_MANY, text)
        self._places[peer] = guest.network
        self._expiry.set(peer, now + config.expires_s)
        allowed = config.circuit
        return messages.Reserved(config.expires_s, allowed.bytes_per_s, allowed.bytes_max)

    def _frees_in_s(self, now: float) -> float:
        due = self._expiry.deadline
        return 60.0 if due is None else max(1.0, due - now)

    def _release(self, peer: int) -> None:
        self._places.pop(peer, None)
        self._expiry.cancel(peer)

    # Circuits

    def _connect(
        self, caller: int, message: messages.Connect, now: float, effects: list[Effect]
    ) -> tuple[int, str] | None:
        """Join two peers, or say why not."""
        config, guest = self.config, self._guests[caller]
        network = self._network(guest.network)
        if not guest.connects.take(1, now) or not network.take(1, now):
            return messages.TOO_MANY, "you ask for circuits too often; again in a minute"
        target = self._by_id.get(message.id)
        placed = target is not None and target in self._places
        if not placed and not config.introduce:
            if not config.on:
                return messages.NO_RELAY, "this node is no relay"
            target = None
        if target is None or target == caller:
            return messages.NOBODY, "nobody with that id has a place here"
        if not guest.welcome or not self._guests[target].welcome:
            return messages.POLICY, "this relay is for members only"
        full = self._is_full(caller, target, guest.network, introduces=not placed)
        if full:
            return messages.TOO_MANY, full
        number, self._next = self._next, self._next + 1
        tokens = self._entropy(messages.TOKEN_BYTES), self._entropy(messages.TOKEN_BYTES)
        circuit = _Circuit((caller, target), guest.network, tokens, introduces=not placed)
        self._circuits[number] = circuit
        self._of_peer.update(circuit.peers)
        self._of_network[circuit.network] += 1
        self._introductions += circuit.introduces
        for side, token in enumerate(tokens):
            self._tokens[token] = (number, side)
        self._ends.set(number, now + config.token_s)
        effects.append(Send(caller, messages.Granted(message.nonce, tokens[0])))
        effects.append(Send(target, messages.Incoming(tokens[1], guest.ids[-1])))
        return None

    def _is_full(self, caller: int, target: int, network: str, *, introduces: bool) -> str:
        """Which bound one more circuit would pass; empty: none."""
        config = self.config
        if len(self._circuits) >= config.circuits_max:
            return "this relay carries as much as it can; again in a minute"
        if introduces and self._introductions >= config.introductions_max:
            return "this node introduces as many as it does at a time; again in a minute"
        if self._of_peer[caller] >= config.circuits_per_peer_max:
            return "you have as many circuits here as one peer may; close one"
        if self._of_peer[target] >= config.circuits_per_peer_max:
            return "that peer has as many circuits here as one may; again in a minute"
        if network and self._of_network[network] >= config.circuits_per_network_max:
            return "your network has as many circuits here as one may; again in a minute"
        return ""

    def _network(self, name: str) -> TokenBucket:
        bucket = self._networks.get(name) if name else None
        if bucket is None:
            bucket = _per_minute(self.config.connects_per_network_per_minute)
            if name:
                self._networks.put(name, bucket)
        return bucket

    def _joined(self, link: int, token: bytes, now: float, effects: list[Effect]) -> None:
        found = self._tokens.pop(token, None)
        if found is None:
            raise ProtocolError("a link begins with a token that was never given out")
        number, side = found
        circuit = self._circuits[number]
        circuit.links[side] = link
        self._links[link] = number
        caller, target = circuit.links
        if caller is None or target is None:
            return
        del self._links[caller], self._links[target]
        circuit.spliced = True
        allowed = self.config.introduction if circuit.introduces else self.config.circuit
        self._ends.set(number, now + allowed.life_s)
        effects.append(Splice(number, caller, target, allowed))

    def _forget(self, number: int, effects: list[Effect], *, but: int | None = None) -> None:
        """A circuit is over; links that wait for it are closed, `but` one that is gone."""
        circuit = self._circuits.pop(number)
        self._ends.cancel(number)
        for peer in circuit.peers:
            self._of_peer[peer] -= 1
            if not self._of_peer[peer]:
                del self._of_peer[peer]
        self._of_network[circuit.network] -= 1
        if not self._of_network[circuit.network]:
            del self._of_network[circuit.network]
        self._introductions -= circuit.introduces
        for token in circuit.tokens:
            self._tokens.pop(token, None)
        for link in circuit.links if not circuit.spliced else ():
            if link is not None:
                del self._links[link]
                if link != but:
                    effects.append(Close(link))


def _per_minute(count: float) -> TokenBucket:
    return TokenBucket(count / 60, max(1.0, count))
