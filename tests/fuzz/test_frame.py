"""Frames and fragments against any bytes: a result or a `ProtocolError`, and bounded memory."""

from __future__ import annotations

import os
import struct
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.wire.frame import FRAGMENT_HEADER_BYTES, Limits, Reassembler, encode, parse, split

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 40
LIMITS = Limits(messages_max=3, bytes_max=100, message_max=60, timeout_s=5.0)


def damage(rng: Random, data: bytes) -> bytes:
    """The bytes with something done to them."""
    match rng.randrange(5):
        case 0:
            return data
        case 1:
            return data[: rng.randrange(len(data) + 1)]
        case 2:
            return data + rng.randbytes(rng.randrange(4))
        case 3:
            return rng.randbytes(rng.randrange(40))
    forged = bytearray(data)
    for _ in range(min(len(forged), rng.randint(1, 3))):
        forged[rng.randrange(len(forged))] ^= 1 << rng.randrange(8)
    return bytes(forged)


def walk_frames(seed: int) -> None:
    rng = Random(seed)
    plaintext = b"".join(
        encode(rng.randrange(1, 256), rng.randbytes(rng.randrange(30)))
        for _ in range(rng.randrange(6))
    )
    try:
        frames = parse(damage(rng, plaintext))
    except ProtocolError:
        return
    assert all(type for type, _ in frames)
    assert parse(b"".join(encode(type, body) for type, body in frames)) == frames


def walk_fragments(seed: int) -> None:
    rng = Random(seed)
    reassembler = Reassembler(LIMITS)
    odds = rng.random() ** 3
    now = 0.0
    sent: dict[tuple[int, bytes], None] = {}
    waiting: list[list[bytes]] = []
    harmed = False
    for _ in range(STEPS):
        now += rng.random()
        reassembler.expire(now)
        if not waiting or rng.random() < 0.2:
            message = rng.randrange(3, 7), rng.randbytes(rng.randrange(60))
            sent[message] = None
            number = len(sent) if rng.random() < 0.9 else rng.randrange(3)
            harmed |= number != len(sent)
            size = FRAGMENT_HEADER_BYTES + rng.randint(1, 30)
            waiting.append(split(*message, size, number=number))
        queue = rng.choice(waiting)
        body = queue.pop(0)
        waiting = [queue for queue in waiting if queue]
        if rng.random() < odds:
            body, harmed = damage(rng, body), True
        try:
            message_in = reassembler.add(body, now)
        except ProtocolError:
            continue
        assert message_in is None or harmed or message_in in sent
        assert len(reassembler) <= LIMITS.messages_max
        assert reassembler._bytes == sum(len(p.body) for p in reassembler._partials.values())
        assert reassembler._bytes <= LIMITS.bytes_max
    reassembler.expire(now + LIMITS.timeout_s)
    assert len(reassembler) == reassembler._bytes == 0


def test_a_fragment_that_claims_much_holds_little() -> None:
    reassembler = Reassembler()
    for number in range(16):
        reassembler.add(struct.pack(">BIII", 4, number, 0, 2**20) + b"x", 0.0)
    assert reassembler._bytes == 16


@pytest.mark.parametrize("walk", [walk_frames, walk_fragments])
def test_walks(walk: object) -> None:
    assert callable(walk)
    for seed in range(RUNS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"{walk.__name__}({seed})")
            raise
