"""Random walks: two nodes, their shells, sessions that come and go, and a liar between nobody.

What must hold: each `Start` has exactly one `Ended`; nothing stays for ever; who both are in one
attempt agree on its number and on who offered.
"""

from __future__ import annotations

import os
from collections import deque
from random import Random

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import signal
from whispurrnet.nat import signal_messages as wire
from whispurrnet.nat.signal import Config, Signal

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 60
LIAR = 9
KINDS = [
    "begin",
    "describe",
    "find",
    "open",
    "fail",
    "deliver",
    "join",
    "down",
    "up",
    "later",
    "lie",
]


class World:
    """Nodes 0 and 1, and a liar who has a session with each."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 0.0
        config = Config(
            attempts_max=rng.choice([1, 32]),
            answers_max=1,
            offers_per_s=rng.choice([0.1, 10.0]),
            candidates_max=rng.choice([1, 64]),
        )
        small = rng.random() < 0.5  # so that numbers are equal now and then
        entropy = (lambda n: bytes(n - 1) + bytes([rng.randrange(3)])) if small else rng.randbytes
        self.nodes = [Signal(config, on=rng.random() < 0.95, entropy=entropy) for _ in range(2)]
        self.wire: list[deque[bytes]] = [deque(), deque()]  # to node n
        self.is_up = False
        self.running: list[dict[tuple[int, int], bool]] = [{}, {}]  # is the offerer
        self.open: list[set[tuple[int, int]]] = [set(), set()]
        self.heard = [b"\x90"]
        for node in self.nodes:
            node.handle(signal.Up(LIAR, True), 0)
        self.session(True)

    def session(self, up: bool) -> None:
        self.is_up = up
        self.wire[0].clear()
        self.wire[1].clear()
        for who in range(2):
            peer = 1 - who
            self.give(who, signal.Up(peer, True) if up else signal.Down(peer))

    def give(self, who: int, event: signal.Event) -> None:
        try:
            effects = self.nodes[who].handle(event, self.now)
        except ProtocolError:
            assert isinstance(event, signal.Arrived)
            assert event.peer == LIAR, "an honest peer was found to break the protocol"
            return
        running = self.running[who]
        for effect in effects:
            match effect:
                case signal.Send(peer, body):
                    self.heard.append(body)
                    if peer != LIAR:
                        assert self.is_up
                        self.wire[1 - who].append(body)
                case signal.Start(peer, attempt, offer):
                    assert all(one != peer for one, _ in running)
                    running[peer, attempt] = not offer
                case signal.Accept(peer, attempt) | signal.Stop(peer, attempt):
                    assert (peer, attempt) in running
                case signal.Candidate(peer, attempt):
                    assert (peer, attempt) in running
                case signal.Ended(peer, _, reason, offerer):
                    key = next(key for key in running if key[0] == peer)
                    assert running.pop(key) == offerer
                    assert bool(reason) != effect.ok
                    self.open[who].discard(key)

    def step(self, kind: str) -> None:
        rng, who = self.rng, self.rng.randrange(2)
        key = rng.choice([*self.running[who], (1 - who, 77)])
        match kind:
            case "begin":
                self.give(who, signal.Begin(rng.choice([1 - who, 1 - who, LIAR])))
            case "describe":
                size = rng.choice([3, 3, 3, wire.SDP_CHARS_MAX + 1])
                self.give(who, signal.Described(*key, "v" * size))
            case "find":
                self.give(who, signal.Found(*key, rng.choice(["", "candidate:1"]), "0"))
            case "open":
                self.give(who, signal.Opened(*key))
                if key in self.running[who]:
                    self.open[who].add(key)
            case "fail":
                self.give(who, signal.Failed(*key, "broken"))
            case "join":
                self.give(who, signal.Joined(key[0]))
            case "deliver":
                for _ in range(rng.choice([1, 4])):
                    if self.wire[who]:
                        self.give(who, signal.Arrived(1 - who, self.wire[who].popleft()))
            case "down":
                if rng.random() < 0.2 and self.is_up:
                    self.session(False)
            case "up":
                if not self.is_up:
                    self.session(True)
            case "later":
                self.now += rng.choice([0.1, 1.0, 16.0])
                for node in range(2):
                    due = self.nodes[node].deadline
                    if due is not None and due <= self.now:
                        self.give(node, Tick())
            case "lie":
                body = bytearray(rng.choice(self.heard))
                for _ in range(rng.randrange(3)):
                    if body:
                        body[rng.randrange(len(body))] = rng.randrange(256)
                self.give(who, signal.Arrived(LIAR, bytes(body)))

    def check(self) -> None:
        for who, node in enumerate(self.nodes):
            assert node.attempts == len(self.running[who])

    def end(self) -> None:
        """Everything that is under way ends, whatever happened."""
        for _ in range(3):
            self.now += 30
            for who in range(2):
                self.give(who, Tick())
        assert self.running == [{}, {}]
        assert all(node.deadline is None for node in self.nodes)


def test_random_walks() -> None:
    for seed in range(RUNS):
        world = World(Random(seed))
        odds = [world.rng.random() for _ in KINDS]
        for _ in range(STEPS):
            world.step(world.rng.choices(KINDS, odds)[0])
            world.check()
        world.end()


def test_two_who_offer_at_once_agree() -> None:
    """Nothing is lost: whatever the order, one attempt comes about, and both know who offered."""
    agreed = 0
    for seed in range(RUNS):
        rng = Random(seed)
        world = World(rng)
        if not all(node.on for node in world.nodes):
            continue
        for who in range(2):
            world.give(who, signal.Begin(1 - who))
        for n in range(40):
            who = rng.randrange(2) if n < 20 else n % 2
            if rng.random() < 0.5 if n < 20 else n % 4 < 2:
                for key in list(world.running[who]):
                    world.give(who, signal.Described(*key, "v=0"))
            elif world.wire[who]:
                world.give(who, signal.Arrived(1 - who, world.wire[who].popleft()))
        one, other = (next(iter(running.items()), None) for running in world.running)
        if one is not None and other is not None:
            assert one[0][1] == other[0][1]
            assert one[1] != other[1]
            agreed += 1
    assert agreed > RUNS // 2
