"""Whatever bytes come, a handshake gives a payload or `AuthError`, and never a session by chance.

Each run draws its own odds, a real handshake up to some message, and damages that message: random
bytes, a piece of another session, a repeated or cut or longer one, flipped bits.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.errors import AuthError
from whispurrnet.crypto.kex import X448Key, X25519Key
from whispurrnet.crypto.noise import HandshakeState

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
SEEDS = 20
SUITES = [
    "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256",
    "Noise_XXhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256",
    "Noise_NNhfs+psk0_25519+MLKEM1024_ChaChaPoly_SHA256",
    "Noise_XX_25519_AESGCM_BLAKE2b",
    "Noise_IK_448_ChaChaPoly_SHA512",
]
DAMAGE = {
    "nothing": lambda _, message, __: message,
    "random": lambda rng, _, __: rng.randbytes(rng.randrange(0, 3000)),
    "same size": lambda rng, message, __: rng.randbytes(len(message)),
    "empty": lambda _, __, ___: b"",
    "cut": lambda rng, message, __: message[: rng.randrange(0, len(message))],
    "longer": lambda rng, message, __: message + rng.randbytes(rng.randrange(1, 200)),
    "flip": lambda rng, message, __: flip(message, rng.randrange(0, len(message) * 8)),
    "other session": lambda rng, _, others: rng.choice(others),
    "spliced": lambda rng, message, others: splice(rng, message, rng.choice(others)),
    "zeros": lambda _, message, __: bytes(len(message)),
    "ones": lambda _, message, __: b"\xff" * len(message),
    "too long": lambda rng, _, __: rng.randbytes(65536),
}


def flip(message: bytes, bit: int) -> bytes:
    at, rest = divmod(bit, 8)
    return message[:at] + bytes((message[at] ^ 1 << rest,)) + message[at + 1 :]


def splice(rng: Random, message: bytes, other: bytes) -> bytes:
    at = rng.randrange(0, len(message))
    return message[:at] + other[at:]


def pair(rng: Random, name: str) -> tuple[HandshakeState, HandshakeState]:
    key = X448Key if "_448_" in name else X25519Key
    alice, bob = key.generate(rng.randbytes), key.generate(rng.randbytes)
    statics = "_NN" not in name
    psks = [bytes(32)] if "psk" in name else []
    return (
        HandshakeState(
            name,
            initiator=True,
            s=alice if statics else None,
            rs=bob.public if "K" in name.split("_")[1] else None,
            psks=psks,
            entropy=rng.randbytes,
        ),
        HandshakeState(
            name, initiator=False, s=bob if statics else None, psks=psks, entropy=rng.randbytes
        ),
    )


def recorded(rng: Random, name: str) -> list[bytes]:
    """The messages of a session between others."""
    alice, bob = pair(rng, name)
    messages: list[bytes] = []
    while not (alice.done and bob.done):
        writer, reader = (alice, bob) if alice.next_is_write else (bob, alice)
        messages.append(writer.write(rng.randbytes(20)))
        reader.read(messages[-1])
    return messages


def walk(rng: Random, name: str, odds: list[float], others: list[bytes]) -> str:
    """One handshake, damaged at some point; what came of it."""
    alice, bob = pair(rng, name)
    while not (alice.done and bob.done):
        writer, reader = (alice, bob) if alice.next_is_write else (bob, alice)
        payload = rng.randbytes(rng.choice([0, 0, 32, 448]))
        try:
            message = writer.write(payload)
        except AuthError:
            return "refused"  # an unauthenticated key that the peer sent is unusable
        [kind] = rng.choices(list(DAMAGE), odds)
        damaged = DAMAGE[kind](rng, message, others)
        try:
            found = reader.read(damaged)
        except AuthError:
            with pytest.raises(AuthError):
                reader.read(message)
            assert not reader.done
            return "refused"
        if damaged == message:
            assert found == payload
    ours, theirs = alice.finish(), bob.finish()
    if ours.hash == theirs.hash:
        assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
        return "agreed"
    assert ours.send != theirs.receive
    return "disagreed"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_bytes(seed):
    rng = Random(seed)
    name = SUITES[seed % len(SUITES)]
    others = recorded(rng, name) + recorded(rng, name)
    odds = [rng.random() ** 3 for _ in DAMAGE]
    odds[0] = sum(odds)
    results = [walk(rng, name, odds, others) for _ in range(RUNS // SEEDS)]
    assert set(results) <= {"agreed", "refused", "disagreed"}
    assert "refused" in results
    if RUNS >= 200:
        assert "agreed" in results
    if "psk" in name:
        assert "disagreed" not in results, "with a psk every message is authenticated"
