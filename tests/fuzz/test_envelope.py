"""Whatever bytes come, from strangers or from members, only a ProtocolError is ever raised.

A stranger changes bytes; a member besides computes the realm's mac over them; and one who knows the
topic seals what it likes.
"""

from __future__ import annotations

import os
from random import Random

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.aead import CHACHA_NAME, cipher
from whispurrnet.gossip import envelope as module
from whispurrnet.gossip.envelope import BUCKETS, Inside, Realm, author, parse, seal, unseal, verify
from whispurrnet.gossip.keyring import Keyring
from whispurrnet.gossip.ladder import feature_key, slots
from whispurrnet.gossip.resonance import normalise
from whispurrnet.identity.ephemeral import Ephemeral

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
WALL_MS = 1_760_000_000_000
EXPIRY_S = 1_760_000_100
REALM = Realm(b"r" * 32)
ROOT = feature_key(REALM.base, "health")
ALICE = Ephemeral.generate(Random(0).randbytes, WALL_MS)
LISTENER = Keyring(REALM)
for interest in ("health", "health/sensor", "health/sensor/lung#eu"):
    LISTENER.listen(interest, threshold=0.1)
INTENTS = ["", "health", "health/sensor/heart#urgent#eu", "music"]


def honest(rng: Random) -> bytes:
    inside = Inside(
        kind=rng.randrange(2**16),
        strength=rng.random(),
        priority=rng.randrange(11),
        intent=rng.choice(INTENTS),
        payload=rng.randbytes(rng.choice([0, 10, 300, 900])),
    )
    return seal(
        REALM,
        inside,
        topic_key=None,
        expiry_s=EXPIRY_S,
        urgent=rng.random() < 0.1,
        shard=rng.randrange(256),
        entropy=rng.randbytes,
        signer=rng.choice([None, ALICE]),
    )


def mangled(data: bytes, rng: Random) -> bytes:
    body = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        match rng.randrange(5):
            case 0 | 1 if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
            case 2:
                del body[rng.randrange(len(body) + 1) :]
            case 3:
                body += rng.randbytes(rng.randrange(1, 40))
            case _:
                at = rng.randrange(len(body) + 1)
                body[at:at] = rng.randbytes(rng.randrange(1, 3))
    return bytes(body)


def noise(rng: Random) -> bytes:
    return rng.randbytes(rng.choice([*BUCKETS[:2], rng.randrange(2000)]))


def by_stranger(rng: Random) -> bytes:
    whole = honest(rng)
    raw = mangled(whole, rng)
    if rng.random() < 0.5:
        raw = raw[: len(whole)].ljust(len(whole), b"\0")
    return raw if raw != whole else b""


def by_member(rng: Random) -> bytes:
    raw = bytearray(honest(rng))
    for _ in range(rng.randrange(3)):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    raw[1:5] = REALM.hint(int.from_bytes(raw[6:10], "big"))
    return bytes(raw[:-16]) + REALM.mac(bytes(raw[:-16]))


def by_listener(rng: Random) -> bytes:
    """A right envelope around a wrong inside."""
    fields = [7, 0.75, 5, "health/sensor", b"72 bpm", ALICE.proof.encode(), bytes(64)]
    if rng.random() < 0.3:
        strange = [None, -1, 2.5, "a\nb", "#", b"x" * 300, [[]], {}, True, "HEALTH", 2**70 % 2**64]
        fields[rng.randrange(7)] = rng.choice(strange)
    content = msgspec.msgpack.encode(fields)
    plain = len(content).to_bytes(2, "big") + content
    if rng.random() < 0.7:
        plain = mangled(plain, rng)
    plain = plain[: 1024 - 151].ljust(1024 - 151, b"\0")
    nonce = rng.randbytes(12)
    marks = slots(REALM.base, rng.choice(INTENTS[1:3]), nonce, rng.randbytes)
    header = module._HEADER.pack(1, REALM.hint(EXPIRY_S), 0, EXPIRY_S, nonce, *marks, 0)
    sealed = cipher(CHACHA_NAME, module._content_key(ROOT, nonce)).encrypt(bytes(12), plain, header)
    return header + sealed + REALM.mac(header + sealed)


def receive(raw: bytes) -> str:
    """How far a message gets."""
    step = "none"
    try:
        envelope = parse(raw)
        step = "parsed"
        said = LISTENER.open(envelope)  # unverified as well: it must hold by itself
        verify(REALM, envelope)
        step = "verified"
        for heard in said:
            step = "heard"
            inside = heard.inside
            assert inside.intent == "" or normalise(inside.intent) == inside.intent
            assert 0 <= heard.strength <= inside.strength <= 1
            assert author(envelope, inside, WALL_MS) in (None, ALICE.id)
            step = "believed"
        unseal(ROOT, envelope)
    except ProtocolError:
        pass
    return step


def test_only_protocol_errors_are_raised() -> None:
    reached: dict[str, int] = {}
    for seed in range(RUNS):
        rng = Random(seed)
        make = rng.choice([noise, by_stranger, by_member, by_listener])
        step = receive(make(rng))
        reached[f"{make.__name__} {step}"] = reached.get(f"{make.__name__} {step}", 0) + 1
    assert {"noise none", "by_stranger none", "by_stranger parsed"} <= reached.keys()
    assert {"by_member verified", "by_member believed", "by_listener heard"} <= reached.keys()
    assert not {"noise verified", "by_stranger verified", "by_stranger believed"} & reached.keys()
    assert "by_listener believed" not in reached


def test_what_was_not_changed_is_believed() -> None:
    for seed in range(RUNS // 10):
        raw = honest(Random(seed))
        said = LISTENER.open(parse(raw))
        wanted = "believed" if said else "verified"
        assert receive(raw) == wanted, f"seed {seed}"
