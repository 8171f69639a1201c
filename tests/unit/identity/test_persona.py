"""A persona proves itself to one end of one channel; safety numbers are Signal's."""

from __future__ import annotations

import os

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.identity import persona
from whispurrnet.identity.persona import (
    Persona,
    PersonaProof,
    safety_number,
    verify_persona,
)

BINDING, OTHER = bytes(32), b"\1" * 32
BOTH = pytest.mark.parametrize("post_quantum", [False, True])


@BOTH
def test_proof(post_quantum):
    one = Persona(os.urandom(32), post_quantum=post_quantum)
    proof = one.prove(BINDING, 1)
    assert verify_persona(proof, BINDING, 1) == one.id
    assert len(one.id) == 32
    packed = msgspec.msgpack.encode(proof)
    assert msgspec.msgpack.decode(packed, type=PersonaProof) == proof


@BOTH
def test_a_proof_is_for_one_channel_and_one_end(post_quantum):
    proof = Persona(os.urandom(32), post_quantum=post_quantum).prove(BINDING, 1)
    for binding, role in ((OTHER, 1), (BINDING, 0), (b"", 1), (BINDING + b"\0", 1)):
        with pytest.raises(AuthError):
            verify_persona(proof, binding, role)


def test_the_same_seed_is_the_same_persona():
    assert Persona(bytes(32)).id == Persona(bytes(32)).id
    ids = {Persona(bytes(32)).id, Persona(bytes(32), post_quantum=True).id, Persona(OTHER).id}
    assert len(ids) == 3


def test_another_signature_is_refused():
    one, two = Persona(os.urandom(32)), Persona(os.urandom(32))
    mixed = msgspec.structs.replace(
        one.prove(BINDING, 0), signature=two.prove(BINDING, 0).signature
    )
    with pytest.raises(AuthError):
        verify_persona(mixed, BINDING, 0)


def test_the_second_key_cannot_be_dropped_or_exchanged():
    seed = os.urandom(32)
    strong = Persona(seed, post_quantum=True)
    proof = strong.prove(BINDING, 0)
    other = Persona(os.urandom(32), post_quantum=True).prove(BINDING, 0)
    for changes in (
        {"mldsa_signature": b""},
        {"mldsa_key": b""},
        {"mldsa_signature": other.mldsa_signature},
        {"mldsa_key": other.mldsa_key},
        {"mldsa_signature": proof.mldsa_signature[:-1]},
        {"mldsa_key": b"", "mldsa_signature": b""},
    ):
        with pytest.raises(AuthError):
            verify_persona(msgspec.structs.replace(proof, **changes), BINDING, 0)
    assert verify_persona(Persona(seed).prove(BINDING, 0), BINDING, 0) != strong.id


def test_a_proof_from_the_wire_is_bounded():
    for wrong in (
        [b"x" * 31, b"x" * 64],
        [b"x" * 32, b"x" * 65],
        [bytes(32), bytes(64), bytes(1953)],
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=PersonaProof)


def test_wrong_seeds():
    for size in (0, 31, 33):
        with pytest.raises(UsageError):
            Persona(bytes(size))


def test_keys_are_not_shown():
    assert repr(Persona(b"s" * 32)) == "Persona(...)"


def test_the_half_is_signals():
    """The values of libsignal, rust/protocol/src/fingerprint.rs, version 1."""
    alice = bytes.fromhex("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868")
    bob = bytes.fromhex("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b")
    halves = sorted((persona._half(alice, b"+14152222222"), persona._half(bob, b"+14153333333")))
    assert "".join(halves) == "300354477692869396892869876765458257569162576843440918079131"


def test_safety_number():
    a, b = os.urandom(32), os.urandom(32)
    text = safety_number(a, b)
    assert text == safety_number(b, a)
    assert [len(group) for group in text.split(" ")] == [5] * 12
    assert text.replace(" ", "").isdecimal()
    assert text != safety_number(a, os.urandom(32))
    assert safety_number(a, a) != text
