"""Random walks over handshakes, with the network in the hands of an adversary.

A few initiators call one node. The adversary carries the bytes: in pieces, late, twice, changed,
swapped between links, or not at all, and adds bytes of its own. Whatever it does:

- nothing is raised;
- a responder that establishes a session shares its handshake hash with an initiator, and an
  initiator with the bytes that one responder really wrote;
- a link over which no good first message came stays without a byte;
- what is buffered, and the number of half-open handshakes, stay within bounds.
"""

from __future__ import annotations

import os
from random import Random

import msgspec
from tests.unit.session.handshakes import (
    ALICE,
    BOB,
    MALLORY,
    OPEN,
    PSK,
    initiator,
    responder,
)

from whispurrnet.base.machine import Tick
from whispurrnet.session.gate import Gate
from whispurrnet.session.handshake import (
    Arrived,
    Begin,
    Closed,
    Established,
    Initiator,
    Refused,
    Responder,
    Write,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 24
LINKS = 3
ACTIONS = ("carry", "piece", "change", "twice", "swap", "lose", "garbage", "tick", "close")


class Link:
    """One initiator, one responder, and the bytes under way in both directions."""

    def __init__(self, rng: Random, gate: Gate) -> None:
        config = msgspec.structs.replace(OPEN, accept_first_contact=rng.random() < 0.8)
        psk = rng.choice([None, PSK])
        self.initiator: Initiator = initiator(
            config,
            to=rng.choice([BOB, BOB, None, MALLORY]),
            psk=psk,
            seed=rng.random(),
            identity=rng.choice([ALICE, ALICE, BOB]),
        )
        self.responder: Responder = responder(
            config,
            gate=gate,
            psks=rng.choice([[], [PSK]]),
            seed=rng.random(),
            remote=rng.choice([b"a", b"b"]),
        )
        self.ends: list[Established | Refused | None] = [None, None]
        self.waiting = [bytearray(), bytearray()]
        """What is under way to the initiator, and to the responder."""
        self.written = [b"", b""]
        self.read = [b"", b""]
        self.heard = b""
        """What the initiator had read when it established its session."""

    def machine(self, side: int) -> Initiator | Responder:
        return self.responder if side else self.initiator

    def handle(self, side: int, event: Begin | Arrived | Closed | Tick, now: float) -> None:
        if isinstance(event, Arrived):
            self.read[side] += event.data
        for effect in self.machine(side).handle(event, now):
            match effect:
                case Write(data):
                    self.written[side] += data
                    self.waiting[1 - side] += data
                case Established():
                    assert not isinstance(self.ends[side], Established | Refused)
                    self.ends[side] = effect
                    self.heard = self.heard if side else self.read[0]
                case Refused(error, silent):
                    assert not isinstance(self.ends[side], Established)
                    assert not (silent and error)
                    assert side or not silent
                    self.ends[side] = effect
        assert len(self.machine(side)._buffer) <= 2128


def act(rng: Random, links: list[Link], now: float, odds: list[float]) -> None:
    link = rng.choice(links)
    side = rng.randrange(2)
    waiting = link.waiting[side]
    data = bytes(waiting)
    match rng.choices(ACTIONS, odds)[0]:
        case "carry":
            waiting.clear()
            link.handle(side, Arrived(data), now)
        case "piece":
            n = rng.randrange(len(data) + 1)
            del waiting[:n]
            link.handle(side, Arrived(data[:n]), now)
        case "change" if waiting:
            waiting[rng.randrange(len(waiting))] ^= 1 << rng.randrange(8)
        case "twice":
            waiting += data
        case "swap":
            other = rng.choice(links)
            link.waiting[side], other.waiting[side] = other.waiting[side], waiting
        case "lose":
            del waiting[: rng.randrange(len(data) + 1)]
        case "garbage":
            waiting += rng.choice([b"\x01\x03\x01\0", b"\x02\0\0\0", b""]) + rng.randbytes(
                rng.choice([1, 60, 512, 1312, 1600, 5000])
            )
        case "tick":
            link.handle(side, Tick(), now)
        case "close":
            link.handle(side, Closed(), now)


def check(links: list[Link]) -> None:
    hashes = {x.ends[0].keys.hash for x in links if isinstance(x.ends[0], Established)}
    for link in links:
        ours, theirs = link.ends
        if isinstance(theirs, Established):
            assert theirs.keys.hash in hashes
            assert theirs.proof.id == ALICE.id
        if isinstance(ours, Established):
            assert ours.proof.id == BOB.id
            m2 = link.heard[-(1600 if ours.pattern == "XK" else 1648) :]
            assert any(other.written[1].endswith(m2) for other in links)
        if link.written[1]:
            assert any(other.written[0][:1284] in link.read[1] for other in links)
            assert len(link.written[1]) <= 60 + 1648


def walk(seed: int) -> None:
    rng = Random(seed)
    gate = Gate(
        rng.randbytes,
        half_open_max=rng.choice([1, 2, 100]),
        handshakes_per_s_max=rng.choice([0.5, 2, 1000]),
    )
    links = [Link(rng, gate) for _ in range(rng.randint(1, LINKS))]
    odds = [rng.random() ** 3 for _ in ACTIONS]
    odds[0] = max(odds[0], 0.3)
    now = 0.0
    for link in links:
        link.handle(0, Begin(), now)
        link.handle(1, Begin(), now)
    for _ in range(STEPS):
        now += rng.choice([0.0, 0.01, 1.0])
        act(rng, links, now, odds)
        assert gate.half_open <= 2 * gate.half_open_max
    for link in links:
        for side in (0, 1):
            link.handle(side, Tick(), now + 11.0)
            assert link.ends[side] is not None
            assert link.machine(side).deadline is None
    assert gate.half_open == 0
    check(links)


def garbage(seed: int) -> None:
    """Bytes without any sense, at machines in any state."""
    rng = Random(seed)
    link = Link(rng, Gate(rng.randbytes))
    link.handle(0, Begin(), 0.0)
    if rng.random() < 0.3:
        link.handle(1, Arrived(bytes(link.waiting[1])), 0.0)
    before = list(link.written)
    for _ in range(rng.randrange(8)):
        side = rng.randrange(2)
        head = rng.choice([b"", b"\x01\x03\x01\0", b"\x01\x05\x02\0", b"\x02\0\0\0"])
        size = rng.choice([0, 1, 60, 512, 1312, 1540, 1696])
        link.handle(side, Arrived(head + rng.randbytes(size)), 0.0)
    assert link.written == before


def test_walks() -> None:
    for seed in range(RUNS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"walk({seed})")
            raise


def test_garbage() -> None:
    for seed in range(RUNS):
        try:
            garbage(seed)
        except BaseException as error:
            error.add_note(f"garbage({seed})")
            raise


def test_walks_are_not_idle() -> None:
    """Often enough the adversary lets a handshake through: the walks prove something."""
    done = 0
    for seed in range(50):
        rng = Random(seed)
        links = [Link(rng, Gate(rng.randbytes)) for _ in range(2)]
        for link in links:
            link.handle(0, Begin(), 0.0)
        for _ in range(STEPS):
            act(rng, links, 0.0, [1.0] + [0.02] * (len(ACTIONS) - 1))
        check(links)
        done += sum(isinstance(link.ends[1], Established) for link in links)
    assert done > 10
