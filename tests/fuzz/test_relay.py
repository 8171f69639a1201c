"""Random walks: a relay, users and a liar; every invariant after every step."""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import client, relay_events
from whispurrnet.nat import relay_messages as messages
from whispurrnet.nat.client import Client
from whispurrnet.nat.relay import Relay

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 60
USERS = 3
LIAR = 3
KINDS = ["up", "down", "rename", "dial", "forget", "deliver", "lose", "tick", "later", "link"]
KINDS += ["gone", "ended", "lie", "welcome"] + 6 * ["deliver"] + 4 * ["link"] + 2 * ["dial"]


class World:
    """One relay, to whom peer n is user n; to each user the relay is peer 7."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 0.0
        config = relay_events.Config(
            on=rng.random() < 0.9,
            introduce=rng.random() < 0.5,
            places_max=rng.choice([1, 9]),
            circuits_max=rng.choice([1, 2, 9]),
            circuits_per_peer_max=rng.choice([1, 9]),
            circuits_per_network_max=rng.choice([1, 9]),
            introductions_max=rng.choice([1, 9]),
            connects_per_minute=rng.choice([2.0, 1000.0]),
            networks_max=2,
        )
        self.relay = Relay(config, entropy=rng.randbytes)
        self.users = [Client(client.Config(dials_max=2), entropy=rng.randbytes) for _ in range(3)]
        self.up: set[int] = set()
        self.ids: dict[int, list[bytes]] = {}
        self.wire: list[tuple[int, int, messages.Message]] = []
        self.tokens: list[bytes] = []
        self.waiting: list[int] = []
        self.splices: list[int] = []
        self.links = 100
        self.given: set[bytes] = set()
        self.spliced = 0
        for user in range(USERS):
            self.rise(user, bytes([user]) * 32)

    def rise(self, user: int, id: bytes) -> None:
        """A session with the relay begins."""
        self.ids[user] = [id]
        self.up.add(user)
        self.serve(relay_events.Up(user, id, self.rng.choice(["", "a", "b", "c"])))
        if user != LIAR:
            self.use(user, client.Down(7))
            self.use(user, client.Up(7))
            self.use(user, client.Want(7))

    def serve(self, event: relay_events.Event) -> None:
        for effect in self.relay.handle(event, self.now):
            match effect:
                case relay_events.Send(peer, message):
                    assert peer in self.up
                    if isinstance(message, messages.Granted | messages.Incoming):
                        assert message.token not in self.given  # each is new
                        self.given.add(message.token)
                    if peer != LIAR:
                        self.wire.append((LIAR + 1, peer, message))
                    elif isinstance(message, messages.Granted | messages.Incoming):
                        self.tokens.append(message.token)
                case relay_events.Splice(circuit, one, two):
                    assert one in self.waiting
                    assert two in self.waiting
                    assert one != two
                    self.waiting = [n for n in self.waiting if n not in (one, two)]
                    self.splices.append(circuit)
                    self.spliced += 1
                case relay_events.Cut(circuit):
                    assert circuit in self.splices
                case relay_events.Close(link):
                    self.waiting.remove(link)
        self.relay.check_invariants()

    def use(self, user: int, event: client.Event) -> None:
        core = self.users[user]
        try:
            effects = core.handle(event, self.now)
        except LimitError:
            assert isinstance(event, client.Dial)
            effects = []
        for effect in effects:
            match effect:
                case client.Send(_, message):
                    self.wire.append((user, LIAR + 1, message))
                case client.Circuit(_, _, token) | client.Accept(_, token, _):
                    self.tokens.append(token)
                case _:
                    pass
        core.check_invariants()

    def step(self) -> None:
        rng = self.rng
        user = rng.randrange(USERS + 1)
        match rng.choice(KINDS):
            case "up":
                self.rise(user, rng.choice([bytes([user]) * 32, rng.randbytes(32)]))
            case "down" if user in self.up:
                self.up.discard(user)
                self.serve(relay_events.Down(user))
                if user != LIAR:
                    self.use(user, client.Down(7))
            case "rename" if user in self.up:
                self.ids[user].append(rng.randbytes(32))
                self.serve(relay_events.Renamed(user, self.ids[user][-1]))
            case "welcome":
                self.serve(relay_events.Welcomed(user, rng.random() < 0.8))
            case "dial" if user != LIAR:
                known = [id for ids in self.ids.values() for id in ids] or [bytes(32)]
                self.use(user, client.Dial(rng.randrange(5), 7, rng.choice(known)))
            case "forget" if user != LIAR:
                self.use(user, client.Forget(rng.randrange(5)))
            case "deliver" | "lose" as what if self.wire:
                source, target, message = self.wire.pop(0)
                if what == "lose":
                    return
                if target <= LIAR:
                    self.use(target, client.Arrived(7, message))  # type: ignore[arg-type]
                elif source in self.up:
                    self.serve(relay_events.Arrived(source, message))  # type: ignore[arg-type]
            case "lie":
                self.lie()
            case "link" if self.tokens:
                self.join(self.tokens.pop(rng.randrange(len(self.tokens))))
            case "gone" if self.waiting:
                link = rng.choice(self.waiting)
                self.waiting.remove(link)
                self.serve(relay_events.Gone(link))
            case "ended" if self.splices:
                number = rng.choice(self.splices)
                self.splices.remove(number)
                self.serve(relay_events.Ended(number))
            case "tick" | "later" as what:
                self.now += rng.choice([0.1, 1.0, 11.0, 700.0]) if what == "later" else 0.0
                self.serve(Tick())
                for n in range(USERS):
                    self.use(n, Tick())

    def join(self, token: bytes) -> None:
        """A link begins with a token, as the stack would hand it over."""
        self.links += 1
        if not self.relay.expects(token):
            return
        self.waiting.append(self.links)
        self.serve(relay_events.Joined(self.links, token))

    def lie(self) -> None:
        """Somebody says anything to anybody."""
        rng = self.rng
        token, id = rng.choice([*self.given, bytes(32)]), rng.randbytes(32)
        user = rng.randrange(USERS)
        said = rng.choice(
            [
                messages.Reserved(rng.randrange(9), 0, 0),
                messages.Refused(rng.randrange(3), rng.randrange(6), ""),
                messages.Granted(rng.randrange(9), token),
                messages.Incoming(token, id),
            ]
        )
        self.use(user, client.Arrived(7, said))
        if LIAR in self.up:
            known = rng.choice([id, *(ids[-1] for ids in self.ids.values())])
            asked = rng.choice([messages.Reserve(), messages.Release(), messages.Connect(1, known)])
            self.serve(relay_events.Arrived(LIAR, asked))
        with pytest.raises(ProtocolError):
            self.relay.handle(relay_events.Joined(1, rng.randbytes(32)), self.now)


def test_random_walks() -> None:
    spliced = 0
    for seed in range(RUNS):
        world = World(Random(seed))
        for _ in range(STEPS):
            world.step()
        spliced += world.spliced
    assert spliced > RUNS // 12, "the walks get somewhere"


def test_everything_ends_when_all_are_gone() -> None:
    for seed in range(RUNS // 10):
        world = World(Random(seed))
        for _ in range(STEPS):
            world.step()
        for user in list(world.up):
            world.serve(relay_events.Down(user))
        for number in world.splices:
            world.serve(relay_events.Ended(number))
        world.now += 100_000.0
        world.serve(Tick())
        assert world.relay.circuits == world.relay.places == 0
        assert world.relay.deadline is None
