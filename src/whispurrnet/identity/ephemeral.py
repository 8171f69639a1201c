"""A node's identity: made from entropy, time and salt, bound to two keys, gone after an hour.

The id of a node is the hash of its public keys with the entropy, the time and the salt it was made
from, so nobody can claim an id whose keys it does not hold. A `Proof` says this, signed, together
with the time it is good for; the handshake carries it inside the encryption, and who receives it
must compare its static key with the one the handshake proved.

Before an identity expires the node makes the next one, and the old one signs it (`sign_successor`),
so that sessions, and mail in flight during the overlap, carry on. Nothing of it is ever stored.
"""

from __future__ import annotations

import functools
import re
from struct import Struct
from typing import Annotated

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.kex import Entropy, X25519Key
from whispurrnet.crypto.sign import SigningKey, verify
from whispurrnet.wire.ids import PeerId

PROOF_BYTES = 240
ENTROPY_BYTES = 32
SALT_BYTES = 32
LIFETIME_S = 3600
OVERLAP_S = 600
SKEW_S = 600
LIFE_S_MAX = 8 * 86400

_PROOF = Struct(">32s32s32sQ32sII32x64s")
_SIGNED_BYTES = PROOF_BYTES - 64
_RESERVED = slice(_SIGNED_BYTES - 32, _SIGNED_BYTES)
_SIZES = (32, 32, 32, 32, 64)
_EXPIRED = "the peer's identity is not valid at this time; check the clocks of both machines"

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Uint32 = Annotated[int, Meta(ge=0, lt=2**32)]


class Proof(msgspec.Struct, frozen=True):
    """What a node shows of its identity: public keys, what the id is made of, and a signature."""

    static_key: Bytes32
    """X25519, 32 bytes: the key of the handshake."""
    signing_key: Bytes32
    """Ed25519, 32 bytes."""
    entropy: Bytes32
    timestamp_ms: Annotated[int, Meta(ge=0)]
    """When it was made; unix time."""
    salt: Bytes32
    not_before_s: Uint32
    not_after_s: Uint32
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @property
    def id(self) -> PeerId:
        """The id of the node: computed, never believed."""
        return PeerId(
            sha256(
                b"WN1 node",
                self.static_key,
                self.signing_key,
                self.entropy,
                self.timestamp_ms.to_bytes(8, "big"),
                self.salt,
            )
        )

    def encode(self) -> bytes:
        """The 240 bytes of the wire: the fields, big-endian, 32 reserved zeros, the signature."""
        return _PROOF.pack(
            self.static_key,
            self.signing_key,
            self.entropy,
            self.timestamp_ms,
            self.salt,
            self.not_before_s,
            self.not_after_s,
            self.signature,
        )

    @classmethod
    def decode(cls, data: bytes) -> Proof:
        """Read the 240 bytes; nothing is checked but their shape: call `verify`.

        Raises:
            AuthError: Not 240 bytes, or the reserved ones are not zero.
        """
        if len(data) != PROOF_BYTES or any(data[_RESERVED]):
            raise AuthError("the identity proof is malformed")
        return cls(*_PROOF.unpack(data))

    def verify(self, wall_ms: int, *, skew_s: int = SKEW_S, life_s_max: int = LIFE_S_MAX) -> None:
        """Check the signature and the time.

        The caller checks besides that `static_key` is the key which the handshake proved: without
        that, somebody could show the proof of another.

        Args:
            wall_ms: Now, in unix milliseconds.
            skew_s: How far the clocks of two nodes may be apart.
            life_s_max: The longest life an identity may claim.

        Raises:
            AuthError: Forged, not valid yet, expired, or claiming to live too long.
        """
        fields = (self.static_key, self.signing_key, self.entropy, self.salt, self.signature)
        if tuple(map(len, fields)) != _SIZES:
            raise AuthError("the identity proof is malformed")
        if not 0 < self.not_after_s - self.not_before_s <= life_s_max:
            raise AuthError("the peer's identity claims a lifetime that is not allowed")
        if not (self.not_before_s - skew_s) * 1000 <= wall_ms <= (self.not_after_s + skew_s) * 1000:
            raise AuthError(_EXPIRED)
        _verify_signature(self.encode())


@functools.lru_cache(maxsize=1024)
def _verify_signature(proof: bytes) -> None:
    """Check what a proof says of itself; one seen before, as at a reconnection, costs nothing.

    Raises:
        AuthError: It is forged; that is not remembered.
    """
    signing_key = Proof.decode(proof).signing_key
    verify(signing_key, b"WN1 proof" + proof[:_SIGNED_BYTES], proof[_SIGNED_BYTES:])


class Ephemeral:
    """Our own identity for an hour or a day, with its private keys."""

    __slots__ = ("_lifetime_s", "id", "proof", "signing", "static")

    def __init__(
        self, static: X25519Key, signing: SigningKey, proof: Proof, lifetime_s: int
    ) -> None:
        self.static = static
        self.signing = signing
        self.proof = proof
        self.id = proof.id
        self._lifetime_s = lifetime_s

    @classmethod
    def generate(
        cls,
        entropy: Entropy,
        wall_ms: int,
        *,
        lifetime_s: int = LIFETIME_S,
        overlap_s: int = OVERLAP_S,
    ) -> Ephemeral:
        """Make a new identity.

        Args:
            entropy: Where its keys come from.
            wall_ms: Now, in unix milliseconds.
            lifetime_s: How long it is the one we show.
            overlap_s: How long it still answers after its successor took over.

        Raises:
            UsageError: Lifetime and overlap together pass 8 days, or are not positive.
        """
        if lifetime_s <= 0 or overlap_s < 0 or lifetime_s + overlap_s > LIFE_S_MAX:
            raise UsageError(
                f"an identity lives 1 s to {LIFE_S_MAX} s with its overlap, not "
                f"{lifetime_s} + {overlap_s}; choose a shorter lifetime"
            )
        static = X25519Key.generate(entropy)
        signing = SigningKey.generate(entropy)
        unsigned = Proof(
            static_key=static.public,
            signing_key=signing.public,
            entropy=entropy(ENTROPY_BYTES),
            timestamp_ms=wall_ms,
            salt=entropy(SALT_BYTES),
            not_before_s=wall_ms // 1000,
            not_after_s=wall_ms // 1000 + lifetime_s + overlap_s,
            signature=bytes(64),
        )
        signature = signing.sign(b"WN1 proof" + unsigned.encode()[:_SIGNED_BYTES])
        proof = msgspec.structs.replace(unsigned, signature=signature)
        return cls(static, signing, proof, lifetime_s)

    def __repr__(self) -> str:
        return "Ephemeral(...)"

    def expires_ms(self) -> int:
        """When its successor takes over, in unix milliseconds; the overlap comes after."""
        return self.proof.timestamp_ms + self._lifetime_s * 1000

    def ends_ms(self) -> int:
        """When the overlap is over and peers refuse it, in unix milliseconds."""
        return self.proof.not_after_s * 1000

    def sign_successor(self, new: Proof) -> bytes:
        """Say that `new` is us as well, from now on; 64 bytes."""
        return self.signing.sign(_successor_text(self.proof, new))

    def sign_predecessor(self, old: Proof) -> bytes:
        """Say that we have been `old`; 64 bytes."""
        return self.signing.sign(_predecessor_text(old, self.proof))


def verify_successor(old: Proof, new: Proof, signature: bytes) -> None:
    """Check that the owner of `old` named `new` as its successor.

    The caller calls `new.verify` besides: this says who follows, not whether it is valid now.

    Raises:
        AuthError: The owner of `old` did not say so.
    """
    verify(old.signing_key, _successor_text(old, new), signature)


def verify_predecessor(old: Proof, new: Proof, signature: bytes) -> None:
    """Check that the owner of `new` says that it has been `old`.

    A proof is shown to many: without this, any of them could name it as its successor.

    Raises:
        AuthError: The owner of `new` did not say so.
    """
    verify(new.signing_key, _predecessor_text(old, new), signature)


def _successor_text(old: Proof, new: Proof) -> bytes:
    return b"WN1 successor" + old.id + new.encode()


def _predecessor_text(old: Proof, new: Proof) -> bytes:
    return b"WN1 predecessor" + old.id + new.id


_SEED_ID = re.compile(r"([0-9a-f]{64}):([0-9a-f]{1,16})")


def seed_id(entropy: bytes, timestamp_ms: int) -> str:
    """The id form `<entropy_hex>:<timestamp_hex>`; it tells when it was made, so never send it.

    Raises:
        UsageError: Not 32 bytes of entropy, or a time that does not fit into 64 bits.
    """
    if len(entropy) != ENTROPY_BYTES or not 0 <= timestamp_ms < 2**64:
        raise UsageError("a seed id is made of 32 bytes of entropy and a time of 64 bits")
    return f"{entropy.hex()}:{timestamp_ms:016x}"


def validate_seed_id(text: str) -> bool:
    """Whether `text` is an id of the form `<entropy_hex>:<timestamp_hex>`."""
    return _SEED_ID.fullmatch(text.lower()) is not None


def timestamp_of(text: str) -> int:
    """The unix time in milliseconds inside an id of the form `<entropy_hex>:<timestamp_hex>`.

    Raises:
        UsageError: It is not of that form.
    """
    found = _SEED_ID.fullmatch(text.lower())
    if found is None:
        raise UsageError(
            f"not an id of the form <entropy_hex>:<timestamp_hex>: {text[:90]!r}; "
            "the first part has 64 hexadecimal digits, the second at most 16"
        )
    return int(found[2], 16)
