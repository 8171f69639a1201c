"""Hashes, message authentication codes and key derivation.

Sources: SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF with SHA-256 (RFC 5869), BLAKE2s (RFC 7693),
BLAKE3 (the paper of 2021, section 2.6 for the context of a derived key).
Every key is derived under a label of its own (`info`), so that no two uses ever share one.
"""

from __future__ import annotations

import hashlib
import hmac

from blake3 import blake3 as _blake3

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret

SHA256_BYTES = 32
HKDF_BYTES_MAX = 255 * SHA256_BYTES
BLAKE2S_BYTES_MAX = 32


def sha256(*parts: bytes) -> bytes:
    """The SHA-256 of the parts, one after the other; 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def hmac_sha256(key: bytes, *parts: bytes) -> bytes:
    """The HMAC-SHA-256 of the parts, one after the other; 32 bytes."""
    return hmac.digest(key, b"".join(parts), "sha256")


def hkdf(ikm: bytes, *, salt: bytes = b"", info: bytes = b"", n: int = 32) -> Secret:
    """Derive `n` bytes from key material by HKDF-SHA-256, extract and expand.

    Args:
        ikm: The input keying material; any length, it need not be uniform.
        salt: Not secret; any length.
        info: The label and the context that make this key differ from others.
        n: How many bytes, at most 8160.

    Raises:
        UsageError: More bytes than HKDF can give.

    Source: RFC 5869, section 2.
    """
    return hkdf_expand(hmac.digest(salt or bytes(SHA256_BYTES), ikm, "sha256"), info, n)


def hkdf_expand(prk: bytes, info: bytes, n: int = 32) -> Secret:
    """Derive `n` bytes from a uniform key of 32 bytes: only the second step of HKDF.

    Raises:
        UsageError: More bytes than HKDF can give.

    Source: RFC 5869, section 2.3.
    """
    if not 0 < n <= HKDF_BYTES_MAX:
        raise UsageError(f"HKDF-SHA-256 gives 1 to {HKDF_BYTES_MAX} bytes, not {n}; ask for fewer")
    block = okm = b""
    for counter in range(1, -(-n // SHA256_BYTES) + 1):
        block = hmac.digest(prk, block + info + bytes((counter,)), "sha256")
        okm += block
    return Secret(okm[:n])


def blake2s(data: bytes, *, key: bytes = b"", n: int = 32) -> bytes:
    """The BLAKE2s of `data`: `n` bytes (1 to 32), keyed if `key` (at most 32 bytes) is given."""
    return hashlib.blake2s(data, digest_size=n, key=key).digest()


def blake3(data: bytes | bytearray | memoryview, *, context: str) -> bytes:
    """The BLAKE3 of `data` under a context of its own, in the mode that derives keys; 32 bytes."""
    return _blake3(data, derive_key_context=context).digest()


def equal(a: bytes, b: bytes) -> bool:
    """Whether two byte strings are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(a, b)
