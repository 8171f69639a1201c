"""Random walks: points, guests and a liar; what is found was left there, and not long ago."""

from __future__ import annotations

import os
from random import Random

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.discovery import notices
from whispurrnet.discovery.notices import Name, NoticeCodec
from whispurrnet.discovery.registry import Bounds
from whispurrnet.discovery.rendezvous import (
    Arrived,
    Config,
    Down,
    Event,
    Find,
    Found,
    Register,
    Rendezvous,
    Send,
    Up,
    Withdraw,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 40
REALM = b"r" * 32
NAMES = ["roof", "cellar"]
KINDS = ["register", "withdraw", "find", "up", "down", "tick", "later", "deliver", "lose", "lie"]
LIAR = 3
CODEC = NoticeCodec()


class World:
    """Three nodes and a liar, peer 3 to each; what is on its way may be lost."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 0.0
        bounds = Bounds(per_owner=rng.choice([1, 16]), per_name=rng.choice([1, 9]), total=3)
        config = Config(
            point=rng.random() < 0.9,
            bounds=bounds,
            requests_per_s=rng.choice([0.1, 100.0]),
            names_max=rng.choice([1, 9]),
        )
        self.nodes = [Rendezvous(config, REALM, entropy=rng.randbytes) for _ in range(LIAR)]
        self.wire: list[tuple[int, int, bytes]] = []
        self.left: dict[tuple[str, bytes], float] = {}
        self.searching: list[dict[str, float]] = [{} for _ in self.nodes]
        self.heard: list[bytes] = [b""]

    def give(self, who: int, event: Event) -> None:
        node = self.nodes[who]
        try:
            effects = node.handle(event, self.now)
        except LimitError:
            assert isinstance(event, Register | Find)
            effects = []
        except ProtocolError:
            assert isinstance(event, Arrived) and event.peer == LIAR
            effects = []
        else:
            if isinstance(event, Find):
                self.searching[who].setdefault(event.name, self.now)
        node.check_invariants()
        for effect in effects:
            match effect:
                case Send(peer, body):
                    self.heard.append(body)
                    if peer != LIAR:
                        self.wire.append((who, peer, body))
                case Found(name, contacts, done):
                    assert name in self.searching[who]
                    for contact in contacts:
                        # Withdrawn it may be, or a replay by the liar; never made up.
                        assert (name, contact) in self.left
                    if done:
                        del self.searching[who][name]
                case _:
                    pass

    def lie(self) -> bytes:
        rng = self.rng
        name = Name(REALM, rng.choice(NAMES)).key
        match rng.randrange(6):
            case 0:
                body = bytearray(rng.choice(self.heard))
                for _ in range(min(len(body), 2)):
                    body[rng.randrange(len(body))] = rng.randrange(256)
                return bytes(body)
            case 1:
                return rng.choice(self.heard)
            case 2:
                return CODEC.encode(notices.Register(name, rng.randbytes(50), 60))
            case 3:
                entries = tuple(rng.randbytes(60) for _ in range(rng.choice([0, 1, 32])))
                return CODEC.encode(notices.Registrations(name, entries, rng.randbytes(4)))
            case 4:
                return CODEC.encode(notices.Refused(name, rng.choice([1, 3]), rng.randrange(6)))
            case _:
                return CODEC.encode(notices.Discover(name, 32, rng.randbytes(16)))

    def step(self, kind: str) -> None:
        rng, who = self.rng, self.rng.randrange(LIAR)
        others = [peer for peer in range(LIAR + 1) if peer != who]
        name, peer = rng.choice(NAMES), rng.choice(others)
        match kind:
            case "register":
                contact = rng.randbytes(8)
                self.left[name, contact] = self.now
                peers = tuple(rng.sample(others, rng.randrange(4)))
                self.give(who, Register(name, contact, rng.choice([60, 7200]), peers))
            case "withdraw":
                self.give(who, Withdraw(name))
            case "find":
                self.give(who, Find(name, tuple(rng.sample(others, rng.randrange(4)))))
            case "up":
                self.give(who, Up(peer, bytes([peer]) * 32))
            case "down":
                self.give(who, Down(peer))
            case "tick":
                self.give(who, Tick())
            case "later":
                self.now += rng.choice([0.1, 5, 40, 4000])
            case "deliver" if self.wire:
                sender, receiver, body = self.wire.pop(rng.randrange(len(self.wire)))
                self.give(receiver, Arrived(sender, body))
            case "lose" if self.wire:
                self.wire.pop()
            case "lie":
                self.give(who, Arrived(LIAR, self.lie()))
            case _:
                pass


def walk(seed: int) -> None:
    rng = Random(seed)
    world = World(rng)
    for who, node in enumerate(world.nodes):
        for peer in range(LIAR + 1):
            if peer != who and rng.random() < 0.9:
                node.handle(Up(peer, bytes([peer]) * 32), 0.0)
    odds = [rng.random() ** 2 for _ in KINDS]
    for kind in rng.choices(KINDS, odds, k=STEPS):
        world.step(kind)
    world.now += 11
    for who, node in enumerate(world.nodes):
        world.give(who, Tick())
        assert not world.searching[who], "a search ends in time"
        assert node.deadline is None or node.deadline > world.now


def test_walks() -> None:
    for seed in range(RUNS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"walk({seed})")
            raise
