"""Random walks over three beacons and a liar in one room: what is heard was said, once.

Mallory is a member: she has the network's key, so her datagrams open. She replays, changes bytes
inside the seal, swaps parts of two beacons, and sends noise.
"""

from __future__ import annotations

import os
from random import Random

from whispurrnet.base.machine import Tick
from whispurrnet.crypto.aead import xopen, xseal
from whispurrnet.discovery.beacon import (
    BEACON_BYTES,
    Announce,
    Beacon,
    Config,
    Datagram,
    Found,
    Update,
)
from whispurrnet.identity.ephemeral import Ephemeral

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 25
WALL_MS = 1_760_000_000_000
POOL = Random(0)
IDENTITIES = [Ephemeral.generate(POOL.randbytes, WALL_MS) for _ in range(5)]
PLACES = [(), ("/ip4/192.0.2.7/tcp/9000",), ("/ip6/::1/tcp/1/ws", "/ip4/10.0.0.1/tcp/2/tls")]
KINDS = ["update", "tick", "deliver", "replay", "change", "splice", "noise", "jump"]


def tamper(rng: Random, kind: str, key: bytes, sent: list[bytes]) -> bytes:
    if kind == "noise" or not sent:
        return rng.randbytes(rng.choice([0, 10, 40, BEACON_BYTES, BEACON_BYTES, 600]))
    one, other = rng.choice(sent), rng.choice(sent)
    if kind == "replay":
        return one
    body = bytearray(xopen(key, one[:24], one[24:]))
    if kind == "change":
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    else:
        at = rng.choice([32, 64, 240, 248, 252, 408, rng.randrange(len(body))])
        body[at:] = xopen(key, other[:24], other[24:])[at:]
    nonce = rng.randbytes(24)
    return nonce + xseal(key, nonce, bytes(body))


def walk(seed: int) -> None:
    rng = Random(seed)
    clock = {"now": 0.0, "skew": 0}

    def wall() -> int:
        return WALL_MS + int(clock["now"] * 1000) + clock["skew"]

    config = Config(neighbours_max=rng.choice([1, 2, 8]), checks_per_s=rng.choice([1.0, 1000.0]))
    nodes = [Beacon(config, b"n" * 32, rng.randbytes, wall) for _ in range(2)]
    said: set[tuple[bytes, tuple[str, ...]]] = set()
    current: dict[int, tuple[Ephemeral, tuple[str, ...]]] = {}
    sent: list[bytes] = []
    bodies: set[bytes] = set()
    heard: set[tuple[int, bytes]] = set()
    odds = [rng.random() ** 2 for _ in KINDS]
    for kind in rng.choices(KINDS, odds, k=STEPS):
        clock["now"] += rng.random() * 3
        who = rng.randrange(len(nodes))
        node, now = nodes[who], clock["now"]
        effects = []
        data = b""
        match kind:
            case "update":
                current[who] = (rng.choice(IDENTITIES), rng.choice(PLACES))
                effects = node.handle(Update(*current[who]), now)
            case "tick":
                effects = node.handle(Tick(), now)
            case "jump":
                clock["skew"] = rng.choice([0, 0, -5000, 300_000])
            case _:
                data = rng.choice(sent) if kind == "deliver" and sent else b""
                data = data or tamper(rng, kind, node._key, sent)
                effects = node.handle(Datagram(data), now)
        for effect in effects:
            match effect:
                case Announce(announced):
                    identity, addresses = current[who]
                    said.add((identity.id, addresses))
                    assert len(announced) == BEACON_BYTES
                    assert announced not in sent
                    sent.append(announced)
                    bodies.add(xopen(node._key, announced[:24], announced[24:]))
                case Found(proof, addresses):
                    assert (proof.id, addresses) in said
                    body = xopen(node._key, data[:24], data[24:])
                    assert body in bodies, "sealed anew perhaps, but said by its owner"
                    assert config.neighbours_max < 3 or (who, body) not in heard
                    heard.add((who, body))


def test_walks() -> None:
    for seed in range(RUNS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"walk({seed})")
            raise
