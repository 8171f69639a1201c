"""Key exchange: X25519 (RFC 7748) and ML-KEM (FIPS 203) at three levels.

The handshake uses both, so that a session is secret while either of them holds. What a peer
sends is checked by the library: a point of low order gives an all-zero secret, and an ML-KEM key
whose coefficients are not reduced fails the modulus check; both become `AuthError`. A ciphertext
that was tampered with is *not* an error here: ML-KEM answers with an unrelated secret ("implicit
rejection"), and the first seal that is opened under it fails.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from whispurrnet.base.errors import AuthError, LevelUnavailable, UsageError
from whispurrnet.crypto.keys import Secret

Entropy: TypeAlias = Callable[[int], bytes]
"""Gives that many unpredictable bytes; `os.urandom` in a running node."""

X25519_BYTES = 32
SEED_BYTES = 64
SECRET_BYTES = 32

_CIPHERTEXT = "the peer's ML-KEM ciphertext is unusable; the link is closed"


class Level(IntEnum):
    """The security level of a session: which ML-KEM stands beside X25519."""

    L1 = 1
    L3 = 3
    L5 = 5


class X25519Key:
    """A private X25519 key and its public half.

    Source: RFC 7748, sections 5 and 6.1.
    """

    __slots__ = ("_private", "public")
    public_bytes = X25519_BYTES

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def from_bytes(cls, private: bytes) -> X25519Key:
        """The key of 32 private bytes.

        Raises:
            UsageError: Not 32 bytes.
        """
        if len(private) != X25519_BYTES:
            raise UsageError(f"a private X25519 key has 32 bytes, not {len(private)}")
        return cls(X25519PrivateKey.from_private_bytes(private))

    @classmethod
    def generate(cls, entropy: Entropy) -> X25519Key:
        """A fresh key."""
        return cls.from_bytes(entropy(X25519_BYTES))

    def exchange(self, public: bytes) -> Secret:
        """The 32-byte secret shared with the owner of `public`.

        Raises:
            AuthError: The public key has not 32 bytes or is of low order.
        """
        try:
            return Secret(self._private.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError as error:
            raise AuthError("the peer's X25519 key is unusable; the link is closed") from error


class X448Key:
    """A private X448 key and its public half; only the published Noise vectors need it.

    Source: RFC 7748, sections 5 and 6.2.
    """

    __slots__ = ("_private", "public")
    public_bytes = 56

    def __init__(self, private: X448PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def from_bytes(cls, private: bytes) -> X448Key:
        """The key of 56 private bytes.

        Raises:
            UsageError: Not 56 bytes.
        """
        if len(private) != cls.public_bytes:
            raise UsageError(f"a private X448 key has 56 bytes, not {len(private)}")
        return cls(X448PrivateKey.from_private_bytes(private))

    @classmethod
    def generate(cls, entropy: Entropy) -> X448Key:
        """A fresh key."""
        return cls.from_bytes(entropy(cls.public_bytes))

    def exchange(self, public: bytes) -> Secret:
        """The 56-byte secret shared with the owner of `public`.

        Raises:
            AuthError: The public key has not 56 bytes or is of low order.
        """
        try:
            return Secret(self._private.exchange(X448PublicKey.from_public_bytes(public)))
        except ValueError as error:
            raise AuthError("the peer's X448 key is unusable; the link is closed") from error


class KemKey(Protocol):
    """A private ML-KEM key."""

    @property
    def public(self) -> bytes:
        """The encapsulation key to send."""
        ...

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """The 32-byte secret inside `ciphertext`, or an unrelated one if it was tampered with.

        Raises:
            AuthError: The ciphertext has the wrong length.
        """
        ...


class Kem(Protocol):
    """One parameter set of ML-KEM; `kem(level)` gives it."""

    @property
    def level(self) -> Level:
        """The security level it stands for."""
        ...

    @property
    def name(self) -> str:
        """The name in a Noise protocol name, such as `MLKEM768`."""
        ...

    @property
    def public_bytes(self) -> int:
        """The length of an encapsulation key."""
        ...

    @property
    def ciphertext_bytes(self) -> int:
        """The length of a ciphertext."""
        ...

    def generate(self, entropy: Entropy) -> KemKey:
        """A fresh key."""
        ...

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        """A ciphertext for the owner of `public`, and the 32-byte secret inside.

        The randomness is the library's own, which takes none from outside.

        Raises:
            AuthError: The key has the wrong length or fails the modulus check of FIPS 203.
        """
        ...


class _PycaKey:
    """A key of ML-KEM-768 or -1024."""

    __slots__ = ("_private", "public")

    def __init__(self, private: MLKEM768PrivateKey | MLKEM1024PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> Secret:
        try:
            return Secret(self._private.decapsulate(ciphertext))
        except ValueError as error:
            raise AuthError(_CIPHERTEXT) from error


class _PycaKem:
    """ML-KEM-768 or -1024 of `cryptography`."""

    def __init__(
        self,
        level: Level,
        name: str,
        sizes: tuple[int, int],
        private: type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey],
        public: type[MLKEM768PublicKey] | type[MLKEM1024PublicKey],
    ) -> None:
        self.level = level
        self.name = name
        self.public_bytes, self.ciphertext_bytes = sizes
        self._private = private
        self._public = public

    def generate(self, entropy: Entropy) -> _PycaKey:
        return _PycaKey(self._private.from_seed_bytes(entropy(SEED_BYTES)))

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        try:
            secret, ciphertext = self._public.from_public_bytes(public).encapsulate()
        except ValueError as error:
            raise AuthError("the peer's ML-KEM key is unusable; the link is closed") from error
        return ciphertext, Secret(secret)


class _ExtraKey:
    """A key of ML-KEM-512 in its expanded form of 1632 bytes."""

    __slots__ = ("_library", "_private", "public")

    def __init__(self, library: Any, public: bytes, private: bytes) -> None:
        self._library = library
        self._private = Secret(private)
        self.public = public

    def decapsulate(self, ciphertext: bytes) -> Secret:
        try:
            return Secret(self._library.decaps(self._private, ciphertext))
        except ValueError as error:
            raise AuthError(_CIPHERTEXT) from error


class _ExtraKem:
    """ML-KEM-512 of `pqcrypto`, which draws the key's randomness itself as well."""

    level = Level.L1
    name = "MLKEM512"
    public_bytes = 800
    ciphertext_bytes = 768

    def __init__(self, library: Any) -> None:
        self._library = library

    def generate(self, entropy: Entropy) -> _ExtraKey:
        public, private = self._library.keygen()
        return _ExtraKey(self._library, public, private)

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        try:
            ciphertext, secret = self._library.encaps(public)
        except ValueError as error:
            raise AuthError("the peer's ML-KEM key is unusable; the link is closed") from error
        return ciphertext, Secret(secret)


KEM_LEVELS = {"MLKEM512": Level.L1, "MLKEM768": Level.L3, "MLKEM1024": Level.L5}
"""The level of each KEM name in a Noise protocol name."""


@functools.cache
def kem(level: Level) -> Kem:
    """The ML-KEM of a level; never that of another.

    Raises:
        LevelUnavailable: Level 1 without the extra, or a `cryptography` built without ML-KEM.
    """
    if level is Level.L1:
        try:
            library = importlib.import_module("pqcrypto.kem")
        except ImportError as error:
            raise LevelUnavailable(
                "security level 1 (ML-KEM-512) needs an extra that is not installed; "
                "pip install 'whispurrnet[l1]', or use level 3"
            ) from error
        return _ExtraKem(library.ml_kem_512)
    found = (
        _PycaKem(level, "MLKEM768", (1184, 1088), MLKEM768PrivateKey, MLKEM768PublicKey)
        if level is Level.L3
        else _PycaKem(level, "MLKEM1024", (1568, 1568), MLKEM1024PrivateKey, MLKEM1024PublicKey)
    )
    try:
        found.generate(bytes)
    except UnsupportedAlgorithm as error:
        raise LevelUnavailable(
            f"security level {level:d} needs ML-KEM, which this build of `cryptography` lacks; "
            "install the wheel of version 48 or newer from PyPI"
        ) from error
    return found
