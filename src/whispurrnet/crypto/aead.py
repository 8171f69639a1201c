"""Sealing: XChaCha20-Poly1305 for single packets, and the two suites of records and handshakes.

A single packet takes a random nonce of 24 bytes. Records and handshake messages count instead:
whoever holds a suite object never uses a nonce twice with one key.

Sources: draft-irtf-cfrg-xchacha-03; RFC 8439, section 2.8; NIST SP 800-38D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl import bindings
from nacl.exceptions import CryptoError

from whispurrnet.base.errors import AuthError, UsageError

__all__ = [
    "AESGCM_NAME",
    "CHACHA_NAME",
    "KEY_BYTES",
    "TAG_BYTES",
    "XNONCE_BYTES",
    "Cipher",
    "InvalidTag",
    "Suite",
    "cipher",
    "xopen",
    "xseal",
]

KEY_BYTES = 32
TAG_BYTES = 16
XNONCE_BYTES = 24


class Cipher(Protocol):
    """A suite of records: 12-byte nonces, 16-byte tags; `cipher(name, key)` gives it."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """The ciphertext and its tag."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """The plaintext.

        Raises:
            InvalidTag: Not authentic; the caller turns it into an `AuthError`.
        """
        ...


Suite: TypeAlias = Literal["ChaChaPoly", "AESGCM"]
"""A cipher by its name in the Noise framework."""

CHACHA_NAME: Suite = "ChaChaPoly"
AESGCM_NAME: Suite = "AESGCM"

_SUITES: dict[str, Callable[[bytes], Cipher]] = {
    CHACHA_NAME: ChaCha20Poly1305,
    AESGCM_NAME: AESGCM,
}


def cipher(name: str, key: bytes) -> Cipher:
    """The suite `ChaChaPoly` (RFC 8439) or `AESGCM` (AES-256) under a 32-byte key.

    Raises:
        UsageError: No such suite, or not 32 bytes.
    """
    suite = _SUITES.get(name)
    if suite is None or len(key) != KEY_BYTES:
        raise UsageError(
            f"no suite {name!r} with a key of {len(key)} bytes; take ChaChaPoly or AESGCM with 32"
        )
    return suite(key)


def xseal(key: bytes, nonce: bytes, plaintext: bytes, context: bytes = b"") -> bytes:
    """Encrypt and authenticate one packet.

    Args:
        key: 32 bytes.
        nonce: 24 bytes, random or otherwise never used twice with one key.
        plaintext: Any length; the result is 16 bytes longer.
        context: Authenticated but not encrypted; any length.

    Source: draft-irtf-cfrg-xchacha-03, section 2; RFC 8439, section 2.8.
    """
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, context, nonce, key)


def xopen(key: bytes, nonce: bytes, sealed: bytes, context: bytes = b"") -> bytes:
    """Authenticate and decrypt one packet.

    Args:
        key: 32 bytes.
        nonce: The 24 bytes it was sealed with.
        sealed: The ciphertext and its 16-byte tag.
        context: As it was sealed with.

    Raises:
        AuthError: The tag is wrong. Says no more than that.
    """
    if len(sealed) < TAG_BYTES:
        raise AuthError("the packet is not authentic")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, context, nonce, key)
    except CryptoError as error:
        raise AuthError("the packet is not authentic") from error
