"""Signatures: Ed25519 (RFC 8032), and ML-DSA-65 (FIPS 204) where post-quantum proof is asked for.

What is signed starts with a label of its own ("WN1 proof" and so on), so that a signature made for
one purpose never serves another.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto.kex import Entropy

PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
SEED_BYTES = 32
MLDSA_PUBLIC_BYTES = 1952
MLDSA_SIGNATURE_BYTES = 3309

_P = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_LOW_ORDER = frozenset(
    (y | sign << 255).to_bytes(32, "little")
    for y in (0, 1, _ORDER_8, _P - _ORDER_8, _P - 1, _P, _P + 1)
    for sign in (0, 1)
)
"""Every encoding of a point of order 1, 2, 4 or 8: a signature under one can fit any message."""


class SigningKey:
    """A private Ed25519 key and its public half."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def from_bytes(cls, seed: bytes) -> SigningKey:
        """The key of a 32-byte seed.

        Raises:
            UsageError: Not 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise UsageError(f"the seed of an Ed25519 key has 32 bytes, not {len(seed)}")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def generate(cls, entropy: Entropy) -> SigningKey:
        """A fresh key."""
        return cls.from_bytes(entropy(SEED_BYTES))

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes."""
        return self._private.sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        AuthError: It does not fit, or the key is of low order. Says no more than that.
    """
    if public in _LOW_ORDER:
        raise AuthError("the signature is not authentic")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise AuthError("the signature is not authentic") from error


class MlDsaKey:
    """A private ML-DSA-65 key and its public half of 1952 bytes."""

    __slots__ = ("_private", "public")

    def __init__(self, private: MLDSA65PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: bytes) -> MlDsaKey:
        """The key of a 32-byte seed.

        Raises:
            UsageError: Not 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise UsageError(f"the seed of an ML-DSA key has 32 bytes, not {len(seed)}")
        return cls(MLDSA65PrivateKey.from_seed_bytes(seed))

    def sign(self, message: bytes, context: bytes = b"") -> bytes:
        """A signature of 3309 bytes, another one each time; the context has at most 255 bytes."""
        return self._private.sign(message, context)


def mldsa_verify(public: bytes, message: bytes, signature: bytes, context: bytes = b"") -> None:
    """Check an ML-DSA-65 signature made with the same context.

    Raises:
        AuthError: It does not fit. Says no more than that.
    """
    try:
        MLDSA65PublicKey.from_public_bytes(public).verify(signature, message, context)
    except (InvalidSignature, ValueError) as error:
        raise AuthError("the signature is not authentic") from error
