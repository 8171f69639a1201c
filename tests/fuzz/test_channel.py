"""Random walks of two channels facing each other: honest, under attack, and with a hostile peer.

Whatever is done to the bytes between them, what an end receives is the beginning of what the other
sent, and nothing but `ProtocolError` and its children comes out.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.session.channel import (
    Arrived,
    Channel,
    Config,
    Dead,
    FrameIn,
    Leave,
    Left,
    Ping,
    Suspended,
)
from whispurrnet.session.control import Control
from whispurrnet.session.record import RECORD_BYTES_MAX
from whispurrnet.wire.frame import CONTROL, encode

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 40
KINDS = ["seal", "deliver", "wait", "ping", "suspend", "leave", "forge"]
KEYS = [Secret(bytes([n]) * 32) for n in range(4)]


class End:
    """One channel, what was sent on it and what came."""

    def __init__(self, config: Config, rng: Random, *, initiator: bool) -> None:
        send, receive = KEYS[:2] if initiator else KEYS[1::-1]
        keys = TransportKeys(send=send, receive=receive, hash=bytes(KEYS[2]), exporter=KEYS[3])
        self.channel = Channel(
            config, keys, initiator=initiator, level=Level.L3, entropy=rng.randbytes, now=0.0
        )
        self.sent: list[tuple[int, bytes]] = []
        self.received: list[tuple[int, bytes]] = []
        self.out = bytearray()
        self.over = False
        self.left = False

    def seal(self, frames: list[tuple[int, bytes]], now: float) -> None:
        channel = self.channel
        if channel.over:
            return
        parts = [encode(type, body) for type, body in frames]
        self.out += channel.seal(parts, sum(map(len, parts)), now)
        if not self.left:
            self.sent += frames
        self.left |= channel._leaving

    def handle(self, event: Arrived | Tick | Ping | Suspended | Leave, now: float) -> None:
        for effect in self.channel.handle(event, now):
            assert not self.over
            match effect:
                case FrameIn(type, body):
                    self.received.append((type, body))
                case Left() | Dead():
                    self.over = True
        assert self.over == self.channel.over
        assert len(self.channel._reader) < RECORD_BYTES_MAX
        assert self.channel.deadline is None or not self.over


def frames(rng: Random) -> list[tuple[int, bytes]]:
    return [
        (rng.randrange(2, 256), rng.randbytes(rng.choice([0, 3, 300, 3000])))
        for _ in range(rng.randrange(4))
    ]


def forge(rng: Random, wire: bytearray) -> None:
    """What somebody between the two may do."""
    if not wire:
        wire += rng.randbytes(rng.randrange(600))
        return
    at = rng.randrange(len(wire))
    match rng.randrange(5):
        case 0:
            wire[at] ^= 1 << rng.randrange(8)
        case 1:
            del wire[at:]
        case 2:
            del wire[at : at + rng.randrange(1, 300)]
        case 3:
            wire[at:at] = rng.randbytes(rng.randrange(1, 300))
        case 4:
            wire += wire[at:]


def hostile(rng: Random) -> list[tuple[int, bytes]]:
    """What a peer may say that holds the keys and keeps no rule."""
    kind = rng.choice([*Control, Control.PING, Control.SWITCH, 0, 77])
    size = rng.choice([0, 1, 8, 9, 1152, 1248])
    return [*frames(rng), (CONTROL, (bytes((kind,)) + rng.randbytes(size))[: rng.randrange(1300)])]


def walk(seed: int, *, forged: bool = False, hostility: bool = False) -> None:
    rng = Random(seed)
    config = Config(
        rekey_records=rng.choice([5, 20, 1000]),
        next_key_records=rng.choice([1, 3, 4096]),
        heartbeat_s=rng.choice([1.0, 30.0]),
        rekey_after_s=rng.choice([10.0, 3600.0]),
        stale_after_s=rng.choice([40.0, 7200.0]),
    )
    ends = [End(config, rng, initiator=True), End(config, rng, initiator=False)]
    odds = [rng.random() ** 3 for _ in KINDS]
    odds[4:6] = [odd / 10 for odd in odds[4:6]]
    odds[6] *= forged or hostility
    now = 0.0
    try:
        for kind in rng.choices(KINDS, odds, k=STEPS):
            n = rng.randrange(2)
            now += rng.random()
            step(ends[n], ends[1 - n], kind, rng, now, hostility=hostility)
        for _ in range(8):
            for one, other in (ends, ends[::-1]):
                if one.channel.control_pending:
                    one.seal([], now)
                wire, one.out = bytes(one.out), bytearray()
                other.handle(Arrived(wire), now)
    finally:
        if not hostility:
            for one, other in (ends, ends[::-1]):
                assert one.received == other.sent[: len(one.received)]
    if not forged and not hostility:
        for one, other in (ends, ends[::-1]):
            assert one.over or one.received == other.sent


def step(one: End, other: End, kind: str, rng: Random, now: float, *, hostility: bool) -> None:
    match kind:
        case "seal":
            one.seal(frames(rng), now)
        case "deliver":
            cut = rng.choice([1, 2, 200, 10**6])
            wire = bytes(other.out[:cut])
            del other.out[:cut]
            one.handle(Arrived(wire), now)
        case "wait":
            one.handle(Tick(), now)
        case "ping":
            one.handle(Ping(), now)
        case "suspend":
            one.handle(Suspended(rng.random() < 0.5), now)
        case "leave":
            one.handle(Leave(rng.randrange(9)), now)
        case "forge" if hostility:
            one.seal(hostile(rng), now)
        case "forge":
            forge(rng, one.out)


@pytest.mark.parametrize("seed", [0])
def test_honest_walks(seed: int) -> None:
    for n in range(RUNS):
        try:
            walk(seed + n)
        except BaseException as error:
            error.add_note(f"walk({seed + n})")
            raise


@pytest.mark.parametrize("attack", ["forged", "hostility"])
def test_walks_under_attack(attack: str) -> None:
    for seed in range(RUNS):
        try:
            walk(seed, forged=attack == "forged", hostility=attack == "hostility")
        except ProtocolError:
            continue
        except BaseException as error:
            error.add_note(f"walk({seed}, {attack}=True)")
            raise
