"""A person's or an agent's identity that lasts, shown only inside an encrypted channel.

A persona is an Ed25519 key, with an ML-DSA-65 key beside it where post-quantum proof is asked for.
Its id binds both, so nobody can drop the second one. A proof is bound to one channel and one of its
two ends: who receives it cannot show it to somebody else.

Two people who compare the safety number of their ids know that nobody stands between them.
Source of the number: Signal's fingerprint, version 0 (libsignal, rust/protocol/src/fingerprint.rs).
"""

from __future__ import annotations

import hashlib
from typing import Annotated, NewType

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto.hash import hkdf, sha256
from whispurrnet.crypto.sign import (
    MLDSA_PUBLIC_BYTES,
    MLDSA_SIGNATURE_BYTES,
    MlDsaKey,
    SigningKey,
    mldsa_verify,
    verify,
)

PersonaId = NewType("PersonaId", bytes)
"""32 bytes: the hash of the persona's public keys."""

SEED_BYTES = 32
SAFETY_ROUNDS = 5200

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
MlDsaPublic = Annotated[bytes, Meta(max_length=MLDSA_PUBLIC_BYTES)]
MlDsaSignature = Annotated[bytes, Meta(max_length=MLDSA_SIGNATURE_BYTES)]


class PersonaProof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a persona shows inside a channel; the ML-DSA fields are empty without such a key."""

    signing_key: Bytes32
    signature: Bytes64
    mldsa_key: MlDsaPublic = b""
    mldsa_signature: MlDsaSignature = b""


class Persona:
    """A long-term identity with its private keys, all made from one seed.

    Args:
        seed: 32 secret bytes; the same seed gives the same persona.
        post_quantum: Whether it has an ML-DSA-65 key as well; that makes it another persona.

    Raises:
        UsageError: Not 32 bytes.
    """

    __slots__ = ("_mldsa", "_signing", "id")

    def __init__(self, seed: bytes, *, post_quantum: bool = False) -> None:
        if len(seed) != SEED_BYTES:
            raise UsageError(f"the seed of a persona has 32 bytes, not {len(seed)}")
        self._signing = SigningKey.from_bytes(hkdf(seed, info=b"WN1 persona ed25519"))
        self._mldsa = (
            MlDsaKey.from_seed(hkdf(seed, info=b"WN1 persona mldsa65")) if post_quantum else None
        )
        self.id = _persona_id(self._signing.public, self._mldsa.public if self._mldsa else b"")

    def __repr__(self) -> str:
        return "Persona(...)"

    def prove(self, binding: bytes, role: int) -> PersonaProof:
        """Show this persona to the other end of one channel.

        Args:
            binding: `keys.export("channel-binding")` of the channel.
            role: 0 at the end that opened the connection, 1 at the other, so that no proof can be
                sent back.
        """
        text = _proof_text(self.id, binding, role)
        return PersonaProof(
            signing_key=self._signing.public,
            signature=self._signing.sign(text),
            mldsa_key=self._mldsa.public if self._mldsa else b"",
            mldsa_signature=self._mldsa.sign(text) if self._mldsa else b"",
        )


def verify_persona(proof: PersonaProof, binding: bytes, role: int) -> PersonaId:
    """The id of the persona at the other end.

    Args:
        proof: What it showed.
        binding: `keys.export("channel-binding")` of the channel it came through.
        role: The role of the end that showed it.

    Raises:
        AuthError: Forged, or made for another channel or end.
    """
    if bool(proof.mldsa_key) != bool(proof.mldsa_signature):
        raise AuthError("the persona's proof is malformed")
    persona_id = _persona_id(proof.signing_key, proof.mldsa_key)
    text = _proof_text(persona_id, binding, role)
    verify(proof.signing_key, text, proof.signature)
    if proof.mldsa_key:
        mldsa_verify(proof.mldsa_key, text, proof.mldsa_signature)
    return persona_id


def _persona_id(signing_key: bytes, mldsa_key: bytes) -> PersonaId:
    return PersonaId(sha256(b"WN1 persona", signing_key, mldsa_key))


def _proof_text(persona_id: PersonaId, binding: bytes, role: int) -> bytes:
    return b"WN1 persona proof" + role.to_bytes(1, "big") + sha256(binding) + persona_id


def safety_number(a: bytes, b: bytes) -> str:
    """Sixty digits in twelve groups of five, the same for both sides whoever asks.

    Args:
        a: The id of one persona (or of a node that shows none); 32 bytes.
        b: The id of the other.
    """
    digits = "".join(sorted((_half(a, b"WN1"), _half(b, b"WN1"))))
    return " ".join(digits[i : i + 5] for i in range(0, len(digits), 5))


def _half(key: bytes, identifier: bytes) -> str:
    """Thirty digits of one side.

    SHA-512 over version | key | identifier, then 5199 times over digest | key; each five of the
    first thirty bytes, big-endian, modulo 100000.
    """
    digest = hashlib.sha512(b"\0\0" + key + identifier + key).digest()
    for _ in range(SAFETY_ROUNDS - 1):
        digest = hashlib.sha512(digest + key).digest()
    return "".join(f"{int.from_bytes(digest[i : i + 5]) % 100000:05d}" for i in range(0, 30, 5))
