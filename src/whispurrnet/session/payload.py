"""What the three handshake messages say, byte by byte.

    m1 = hello 4 | Noise (e 32, KEM key, `Offer` 32, two tags) | mac1 16 | mac2 16
    m2 = Noise (e 32, KEM ciphertext, in XX the static key, `Credentials` 448, tags)
    m3 = Noise (static key 32, `Credentials` 448, two tags)

Every message has one length per level and pattern, so that a length tells nothing and nothing has
to be guessed. The hello travels in clear and enters the prologue of Noise; the rest of m1 is
protected by the responder's static key only, so an `Offer` holds nothing that identifies anybody.

Source: CRYPTO section 1.3.
"""

from __future__ import annotations

import functools
import struct
from typing import Literal, TypeAlias

import msgspec

from whispurrnet.base.errors import LevelUnavailable, ProtocolError
from whispurrnet.crypto.aead import TAG_BYTES
from whispurrnet.crypto.hash import blake2s
from whispurrnet.crypto.kex import X25519_BYTES, Entropy, Level, kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.ephemeral import PROOF_BYTES, Proof

VERSION = 1
HELLO_BYTES = 4
OFFER_BYTES = 32
CREDENTIALS_BYTES = 448
MAC_BYTES = 16
MACS_BYTES = 2 * MAC_BYTES
HINT_BYTES = 8
BINDING_BYTES = 33
CLOCK_BUCKET_S = 60

NO_BINDING = bytes(BINDING_BYTES)
"""The outer binding of a link without TLS."""

WEBRTC_BINDING = 2
"""The first byte of the binding of a WebRTC link: the rest is made of both DTLS certificates."""

Pattern: TypeAlias = Literal["XK", "XX"]

_PATTERNS: dict[int, Pattern] = {1: "XK", 2: "XX"}
_PATTERN_BYTE: dict[Pattern, int] = {"XK": 1, "XX": 2}

_KEM_BYTES = {Level.L1: (800, 768), Level.L3: (1184, 1088), Level.L5: (1568, 1568)}
"""Encapsulation key and ciphertext; held here so that a length needs no extra installed."""

_OFFER = struct.Struct(">HBI")
_CREDENTIALS = struct.Struct(f">HBII{BINDING_BYTES}s{PROOF_BYTES}s")


class Hello(msgspec.Struct, frozen=True):
    """The four bytes in clear: which level and which pattern this handshake has."""

    level: Level
    pattern: Pattern

    def encode(self) -> bytes:
        """Version, suite, pattern, flags."""
        return bytes((VERSION, self.level, _PATTERN_BYTE[self.pattern], 0))

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Read four bytes.

        Raises:
            ProtocolError: A version, suite, pattern or flag that this node does not speak.
        """
        version, suite, pattern, flags = data
        if version != VERSION or flags or pattern not in _PATTERNS or suite not in _KEM_BYTES:
            raise ProtocolError("the peer speaks another version of the handshake")
        return cls(Level(suite), _PATTERNS[pattern])

    @property
    def m1_bytes(self) -> int:
        """The length of the first message, hello and macs included."""
        key_bytes, _ = _KEM_BYTES[self.level]
        noise_bytes = X25519_BYTES + key_bytes + TAG_BYTES + OFFER_BYTES + TAG_BYTES
        return HELLO_BYTES + noise_bytes + MACS_BYTES

    @property
    def m2_bytes(self) -> int:
        """The length of the second message."""
        _, ciphertext_bytes = _KEM_BYTES[self.level]
        static_bytes = X25519_BYTES + TAG_BYTES if self.pattern == "XX" else 0
        kem_bytes = ciphertext_bytes + TAG_BYTES
        return X25519_BYTES + kem_bytes + static_bytes + CREDENTIALS_BYTES + TAG_BYTES

    @property
    def noise_name(self) -> str:
        """The Noise protocol this handshake runs."""
        return f"Noise_{self.pattern}hfs+psk3_25519+{kem(self.level).name}_ChaChaPoly_SHA256"

    def prologue(self, network_tag: bytes) -> bytes:
        """What both sides must agree on before the first byte."""
        return b"WN1" + self.encode() + network_tag


M1_BYTES_MAX = max(Hello(level, "XX").m1_bytes for level in Level)
M3_BYTES = X25519_BYTES + TAG_BYTES + CREDENTIALS_BYTES + TAG_BYTES


class Offer(msgspec.Struct, frozen=True):
    """What the initiator can do, in m1; told to nobody but the owner of the responder's key."""

    suites: int
    """A bit per level: bit 3 is level 3."""
    min_level: int
    features: int
    psk_hint: bytes
    """8 bytes that only a holder of the pre-shared key recognises; otherwise random."""

    def encode(self, entropy: Entropy) -> bytes:
        """32 bytes, the last of them random."""
        head = _OFFER.pack(self.suites, self.min_level, self.features) + self.psk_hint
        return head + entropy(OFFER_BYTES - len(head))

    @classmethod
    def decode(cls, data: bytes) -> Offer:
        """Read 32 bytes.

        Raises:
            ProtocolError: Not 32 bytes.
        """
        if len(data) != OFFER_BYTES:
            raise ProtocolError("an offer of the wrong length in a handshake")
        hint = data[_OFFER.size : _OFFER.size + HINT_BYTES]
        suites, min_level, features = _OFFER.unpack_from(data)
        return cls(suites, min_level, features, hint)


class Credentials(msgspec.Struct, frozen=True):
    """Who one side is and what it can do, in m2 and m3; nothing of it is verified yet."""

    suites: int
    min_level: int
    features: int
    clock_bucket: int
    """Unix time in minutes."""
    outer_binding: bytes
    """33 bytes: what the sender sees of the TLS or DTLS around the link, or zeros."""
    proof: Proof
    """Decoded, not verified."""

    def encode(self) -> bytes:
        """448 bytes, padded with zeros."""
        return _CREDENTIALS.pack(
            self.suites,
            self.min_level,
            self.features,
            self.clock_bucket,
            self.outer_binding,
            self.proof.encode(),
        ).ljust(CREDENTIALS_BYTES, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> Credentials:
        """Read 448 bytes.

        Raises:
            ProtocolError: Not 448 bytes, padding that is not zero, or no proof in them.
        """
        if len(data) != CREDENTIALS_BYTES or any(data[_CREDENTIALS.size :]):
            raise ProtocolError("malformed credentials in a handshake")
        suites, min_level, features, clock, binding, proof = _CREDENTIALS.unpack_from(data)
        return cls(suites, min_level, features, clock, binding, Proof.decode(proof))


# Levels


@functools.cache
def available(level: Level) -> bool:
    """Whether this installation can do a level."""
    try:
        kem(level)
    except LevelUnavailable:
        return False
    return True


def suite_mask(lowest: Level, highest: Level) -> int:
    """The levels from `lowest` to `highest` that this installation can do, a bit each."""
    return sum(1 << level for level in Level if lowest <= level <= highest and available(level))


def best_common(a: int, b: int) -> int:
    """The highest level in both masks, 0 if there is none."""
    return max((a & b).bit_length() - 1, 0)


# Derived from the network secret and the pre-shared key


def network_tag(network_secret: Secret | None) -> bytes:
    """16 bytes that stand for the network in the prologue; zeros for the open mesh."""
    return bytes(16) if network_secret is None else blake2s(b"WN1 net" + network_secret, n=16)


def psk_hint(psk: Secret, ephemeral: bytes) -> bytes:
    """What the initiator puts in its `Offer` so that the responder finds the pre-shared key."""
    return blake2s(ephemeral, key=psk, n=HINT_BYTES)
