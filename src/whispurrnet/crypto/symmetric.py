"""The two lower layers of Noise: one key with its nonce, and what both sides have seen so far.

Source: The Noise Protocol Framework, revision 34, sections 4.2, 4.3, 5.1 and 5.2.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from struct import Struct

from whispurrnet.base.errors import AuthError, LimitError
from whispurrnet.crypto.aead import KEY_BYTES, Cipher, InvalidTag, cipher
from whispurrnet.crypto.keys import Secret

NONCE_MAX = 2**64 - 1
"""Reserved for `next_key`; no message is sealed with it."""
REFUSED = "the handshake message is not authentic; the link is closed"

_NONCES = {"ChaChaPoly": Struct("<4xQ"), "AESGCM": Struct(">4xQ")}
_HASHES = {"SHA256": "sha256", "SHA512": "sha512", "BLAKE2s": "blake2s", "BLAKE2b": "blake2b"}


class CipherState:
    """A key and the number of messages sealed or opened with it (section 5.1)."""

    __slots__ = ("_aead", "_nonce", "n")

    def __init__(self, name: str, key: bytes) -> None:
        self._aead: Cipher = cipher(name, key[:KEY_BYTES])
        self._nonce = _NONCES[name].pack
        self.n = 0

    def encrypt(self, context: bytes, plaintext: bytes) -> bytes:
        """Seal the next message.

        Raises:
            LimitError: The nonces are used up.
        """
        return self._aead.encrypt(self._next(), plaintext, context)

    def decrypt(self, context: bytes, ciphertext: bytes) -> bytes:
        """Open the next message.

        Raises:
            AuthError: Not authentic, or not the next one; the nonce has not moved.
            LimitError: The nonces are used up.
        """
        nonce = self._next()
        try:
            return self._aead.decrypt(nonce, ciphertext, context)
        except InvalidTag as error:
            self.n -= 1
            raise AuthError(REFUSED) from error

    def _next(self) -> bytes:
        if self.n >= NONCE_MAX:
            raise LimitError("every nonce of this key is used up; open a new session")
        self.n += 1
        return self._nonce(self.n - 1)


class SymmetricState:
    """The chaining key and the running hash (section 5.2)."""

    __slots__ = ("_cipher_name", "_digest", "_hash", "chaining_key", "cipher", "h")

    def __init__(self, name: str, cipher_name: str, hash_name: str) -> None:
        self._cipher_name = cipher_name
        self._digest = _HASHES[hash_name]
        self._hash = getattr(hashlib, self._digest)
        size: int = self._hash().digest_size
        encoded = name.encode()
        self.h: bytes = encoded.ljust(size, b"\0") if len(encoded) <= size else self._of(encoded)
        self.chaining_key = self.h
        self.cipher: CipherState | None = None

    def _of(self, data: bytes) -> bytes:
        digest: bytes = self._hash(data).digest()
        return digest

    def _hkdf(self, material: bytes, count: int) -> list[bytes]:
        """The HKDF of section 4.3: `count` outputs of one hash length each."""
        prk = hmac.digest(self.chaining_key, material, self._digest)
        outputs = [hmac.digest(prk, b"\x01", self._digest)]
        for number in range(2, count + 1):
            outputs.append(hmac.digest(prk, outputs[-1] + bytes((number,)), self._digest))
        return outputs

    def copy(self) -> SymmetricState:
        """A state that goes its own way from here."""
        twin = copy.copy(self)
        twin.cipher = copy.copy(self.cipher)
        return twin

    def mix_hash(self, data: bytes) -> None:
        """Make everything that follows depend on `data`."""
        self.h = self._of(self.h + data)

    def mix_key(self, material: bytes) -> None:
        """Make the keys depend on a shared secret, and start a new one."""
        self.chaining_key, key = self._hkdf(material, 2)
        self.cipher = CipherState(self._cipher_name, key)

    def mix_key_and_hash(self, psk: bytes) -> None:
        """Make keys and hash depend on a pre-shared key."""
        self.chaining_key, mixed, key = self._hkdf(psk, 3)
        self.mix_hash(mixed)
        self.cipher = CipherState(self._cipher_name, key)

    def seal(self, plaintext: bytes) -> bytes:
        """`EncryptAndHash`: in the clear as long as there is no key."""
        sealed = self.cipher.encrypt(self.h, plaintext) if self.cipher else plaintext
        self.h = self._of(self.h + sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """`DecryptAndHash`.

        Raises:
            AuthError: Not authentic.
        """
        plaintext = self.cipher.decrypt(self.h, sealed) if self.cipher else sealed
        self.h = self._of(self.h + sealed)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The keys of the two directions, the initiator's first."""
        first, second = self._hkdf(b"", 2)
        return first[:KEY_BYTES], second[:KEY_BYTES]


def next_key(key: bytes, name: str = "ChaChaPoly") -> Secret:
    """The key that follows `key`; the old one cannot be computed from it.

    "Returns the first 32 bytes from ENCRYPT(k, maxnonce, zerolen, zeros)" (section 4.2)
    """
    nonce = _NONCES[name].pack(NONCE_MAX)
    return Secret(cipher(name, key).encrypt(nonce, bytes(KEY_BYTES), b"")[:KEY_BYTES])
