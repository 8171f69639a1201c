"""Envelopes: what every message of the mesh travels in, telling nothing but that it is one.

To whoever relays it an envelope is a realm (by a hint that changes hourly), a shard, a time at
which it is over, and random bytes in one of four sizes. Who sent it, what it is about and what it
says is sealed; only who knows the first part of its intent, and the topic key of a private one,
can open it. Every member of the realm can check that a member made it; nobody else can make one.

    ver u8 = 1 | realm hint 4 | shard u8 | expiry u32 | nonce 12 | 16 slots x 6 | class u8
    | sealed | realm mac 16
    sealed = ChaCha20-Poly1305( length u16 | MessagePack of `Inside` | zeros )

All numbers are big-endian. The whole has 512, 1024, 4096 or 16384 bytes. The class is 1 if urgent.
The MessagePack is in its shortest form, the strength always a float of 64 bits.
The key of the seal is made of the nonce and the key of the first feature (`gossip.ladder`), so it
is used once, with a nonce of zeros; all fields before are authenticated with it.

Source: MESH.md section 1.4, "Envelope"; RFC 8439, section 2.8; HMAC-SHA-256 (RFC 2104).

Invariants:
    - the id is computed, never believed; a single changed byte fails `parse` or `verify`;
    - within a bucket the length of what is sealed does not show;
    - `seal` makes nothing that `parse`, `verify` and `unseal` would refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Annotated

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.aead import CHACHA_NAME, TAG_BYTES, InvalidTag, cipher
from whispurrnet.crypto.hash import equal, hkdf, hkdf_expand, hmac_sha256, sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SIGNATURE_BYTES
from whispurrnet.crypto.sign import verify as verify_signature
from whispurrnet.gossip.ladder import (
    EVERYONE,
    SLOT_BYTES,
    SLOTS,
    feature_key,
    features,
    slots,
)
from whispurrnet.gossip.resonance import INTENT_BYTES_MAX, normalise
from whispurrnet.identity.ephemeral import PROOF_BYTES, Ephemeral, Proof
from whispurrnet.wire.ids import PeerId

VERSION = 1
BUCKETS = (512, 1024, 4096, 16384)
"""The sizes of an envelope, in bytes."""

ID_BYTES = 16
KEY_BYTES = 32
"""The size of a realm key and of a topic key."""

EXPIRY_GRID_S = 10
"""The expiry is a multiple of this, so that it tells less about when a message was made."""

TTL_S_MAX = 300
"""How long a message may live, in seconds."""

PAYLOAD_MAX = 15_360
"""The longest payload, in bytes; it fits with the longest intent, a proof and a signature."""

_HINT_S = 3600
_NONCE_BYTES = 12
_MAC_BYTES = 16
_HEADER = Struct(f">B4sBI{_NONCE_BYTES}s{f'{SLOT_BYTES}s' * SLOTS}B")
_LENGTH = Struct(">H")
_ZERO_NONCE = bytes(12)
_AUTHOR = b"WN1 gossip author"


class ForeignRealm(ProtocolError):  # noqa: N818 - the protocol's own word
    """An envelope is of another realm, so we cannot judge it."""


class Realm:
    """The nodes that share a realm key, and what they can do with it.

    Args:
        key: 32 bytes (see `realm_key`).

    Raises:
        UsageError: Not 32 bytes.
    """

    __slots__ = ("_hint", "_hint_key", "_hour", "_mac_key", "base")

    def __init__(self, key: bytes) -> None:
        _check_key(key)
        self.base = hkdf_expand(key, b"WN1 realm intents")
        """The base key of the intents that the whole realm may guess; 32 bytes."""
        self._hint_key = hkdf_expand(key, b"WN1 realm hint")
        self._mac_key = hkdf_expand(key, b"WN1 realm mac")
        self._hour, self._hint = -1, b""

    def hint(self, expiry_s: int) -> bytes:
        """What members know an envelope of theirs by, another one for each hour; 4 bytes."""
        hour = expiry_s // _HINT_S
        if hour != self._hour:
            self._hint = hmac_sha256(self._hint_key, hour.to_bytes(4, "big"))[:4]
            self._hour = hour
        return self._hint

    def mac(self, data: bytes) -> bytes:
        """What shows members that one of them made this; 16 bytes."""
        return hmac_sha256(self._mac_key, data)[:_MAC_BYTES]


def realm_key(network_secret: Secret | None) -> Secret:
    """The realm key of a private network, or of the open mesh, which all know; 32 bytes."""
    if network_secret is None:
        return Secret(sha256(b"WN1 open mesh realm"))
    return hkdf(network_secret, info=b"WN1 realm")


class Envelope(msgspec.Struct, frozen=True):
    """The outside of a message: well-formed, and nothing more until `verify`."""

    id: bytes
    """16 bytes, of every byte of `raw`."""
    hint: bytes
    shard: int
    expiry_s: int
    """When it is over, in unix seconds."""
    nonce: bytes
    slots: tuple[bytes, ...]
    urgent: bool
    sealed: bytes
    raw: bytes

    @property
    def header(self) -> bytes:
        """Everything before what is sealed."""
        return self.raw[: _HEADER.size]


class Inside(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What only who listens can read."""

    kind: Annotated[int, Meta(ge=0, lt=2**16)]
    strength: Annotated[float, Meta(ge=0, le=1)]
    """How much the sender means it, 0 to 1."""
    priority: Annotated[int, Meta(ge=0, le=10)]
    intent: Annotated[str, Meta(max_length=INTENT_BYTES_MAX)]
    """In its normal form, or `EVERYONE`."""
    payload: Annotated[bytes, Meta(max_length=PAYLOAD_MAX)]
    proof: Annotated[bytes, Meta(max_length=PROOF_BYTES)] = b""
    """Who says so: 240 bytes if signed, else none; see `author`."""
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)] = b""
    """64 bytes if signed, else none."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Inside).decode
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)


# The outside


def parse(raw: bytes) -> Envelope:
    """Read the outside of an envelope; only its shape is checked: call `verify`.

    Raises:
        ProtocolError: It has another size or version, or a field with a value there is not.
    """
    if len(raw) not in BUCKETS:
        raise ProtocolError(f"an envelope has {len(raw)} bytes, which is none of its sizes")
    version, hint, shard, expiry_s, nonce, *tags, urgent = _HEADER.unpack_from(raw)
    if version != VERSION:
        raise ProtocolError(f"an envelope is of version {version}, which is not known here")
    if expiry_s % EXPIRY_GRID_S or urgent > 1:
        raise ProtocolError("an envelope has an expiry or a class that there is not")
    return Envelope(
        id=sha256(b"WN1 gossip id", raw)[:ID_BYTES],
        hint=hint,
        shard=shard,
        expiry_s=expiry_s,
        nonce=nonce,
        slots=tuple(tags),
        urgent=urgent == 1,
        sealed=raw[_HEADER.size : -_MAC_BYTES],
        raw=raw,
    )


def verify(realm: Realm, envelope: Envelope) -> None:
    """Check that a member of the realm made an envelope. Who relays needs nothing more.

    Raises:
        ForeignRealm: It says that it is of another realm.
        ProtocolError: It says that it is of this realm and is not, or was changed.
    """
    if envelope.hint != realm.hint(envelope.expiry_s):
        raise ForeignRealm("an envelope is of another realm")
    if not equal(envelope.raw[-_MAC_BYTES:], realm.mac(envelope.raw[:-_MAC_BYTES])):
        raise AuthError("an envelope was not made by a member of the realm")


def expiry(wall_s: float, ttl_s: float = TTL_S_MAX) -> int:
    """When a message made now is over, in unix seconds: a multiple of 10, at most 300 s away.

    Args:
        wall_s: Now, in unix seconds.
        ttl_s: How long it should live at least; more than 300 s is 300 s.
    """
    wanted = -(-(wall_s + ttl_s) // EXPIRY_GRID_S)
    longest = (wall_s + TTL_S_MAX) // EXPIRY_GRID_S
    return int(min(wanted, longest)) * EXPIRY_GRID_S


# The inside


def seal(
    realm: Realm,
    inside: Inside,
    *,
    topic_key: bytes | None,
    expiry_s: int,
    urgent: bool,
    shard: int,
    entropy: Callable[[int], bytes],
    signer: Ephemeral | None = None,
) -> bytes:
    """Make an envelope; returns its bytes, which `parse` reads.

    Args:
        realm: Whose members may relay it.
        inside: What it says; the intent is brought into its normal form.
        topic_key: 32 bytes, if only those who have it may know what it is about; None for all
            members who know the first part of the intent.
        expiry_s: When it is over, in unix seconds (see `expiry`).
        urgent: Whether it is an emergency, which everybody relays first.
        shard: The part of the realm that relays it; 0 to 255.
        entropy: Gives random bytes.
        signer: Who says so, for all who can open it; None to say nothing about it.

    Raises:
        UsageError: The payload is too long, the intent is none, or another field is out of range.
    """
    inside = _checked(inside)
    if not 0 <= expiry_s < 2**32 or expiry_s % EXPIRY_GRID_S or not 0 <= shard < 2**8:
        raise UsageError("an envelope has an expiry in steps of 10 s, and a shard from 0 to 255")
    if topic_key is not None and inside.intent == EVERYONE:
        raise UsageError("a private topic has an intent; send to everyone without a topic key")
    base = _base(realm, topic_key)
    nonce = entropy(_NONCE_BYTES)
    header = _HEADER.pack(
        VERSION,
        realm.hint(expiry_s),
        shard,
        expiry_s,
        nonce,
        *slots(base, inside.intent, nonce, entropy),
        urgent,
    )
    if signer is not None:
        inside = msgspec.structs.replace(inside, proof=signer.proof.encode())
        signature = signer.signing.sign(_signed_text(header, inside))
        inside = msgspec.structs.replace(inside, signature=signature)
    root = feature_key(base, features(inside.intent)[0][0])
    key = _content_key(root, nonce)
    body = header + cipher(CHACHA_NAME, key).encrypt(_ZERO_NONCE, _padded(inside), header)
    return body + realm.mac(body)


def unseal(root: bytes, envelope: Envelope) -> Inside:
    """Open an envelope.

    Args:
        root: The key of the first feature of its intent (`ladder.feature_key`).
        envelope: What came.

    Raises:
        ProtocolError: The key is another one, or what is inside is malformed.
    """
    key = _content_key(root, envelope.nonce)
    try:
        padded = cipher(CHACHA_NAME, key).decrypt(_ZERO_NONCE, envelope.sealed, envelope.header)
    except InvalidTag as error:
        raise AuthError("an envelope cannot be opened with this key") from error
    end = _LENGTH.size + _LENGTH.unpack_from(padded)[0]
    try:
        inside = _decode(padded[_LENGTH.size : end])
        normal = inside.intent == EVERYONE or normalise(inside.intent) == inside.intent
    except (*_MALFORMED, UsageError) as error:
        raise ProtocolError("what is inside an envelope is malformed") from error
    if not normal or _content(inside).ljust(len(padded), b"\0") != padded:
        raise ProtocolError("what is inside an envelope is not in its one form")
    return inside


def author(envelope: Envelope, inside: Inside, wall_ms: int) -> PeerId | None:
    """Who signed a message, or None if nobody did.

    Args:
        envelope: The outside, which the signature covers up to what is sealed.
        inside: What `unseal` gave.
        wall_ms: Now, in unix milliseconds.

    Raises:
        ProtocolError: The signature or the proof is forged, malformed or not valid now.
    """
    if not inside.proof and not inside.signature:
        return None
    proof = Proof.decode(inside.proof)
    verify_signature(proof.signing_key, _signed_text(envelope.header, inside), inside.signature)
    proof.verify(wall_ms)
    return proof.id


def _signed_text(header: bytes, inside: Inside) -> bytes:
    return _AUTHOR + header + _encode(msgspec.structs.replace(inside, signature=b""))


def _content_key(root: bytes, nonce: bytes) -> bytes:
    """The key of one seal. Nonces are random, so no two seals share one; 32 bytes."""
    return hmac_sha256(root, b"WN1 content key\0", nonce)


def _base(realm: Realm, topic_key: bytes | None) -> bytes:
    if topic_key is None:
        return realm.base
    _check_key(topic_key)
    return topic_key


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise UsageError(f"the key of a realm or a topic has {KEY_BYTES} bytes, not {len(key)}")


def _checked(inside: Inside) -> Inside:
    """The same with a normal intent, unsigned; nothing in it is what a receiver would refuse."""
    if len(inside.payload) > PAYLOAD_MAX:
        raise UsageError(
            f"a payload of {len(inside.payload)} bytes does not fit: the mesh carries at most "
            f"{PAYLOAD_MAX}; send a reference to what is larger"
        )
    intent = inside.intent and normalise(inside.intent)
    inside = msgspec.structs.replace(inside, intent=intent, proof=b"", signature=b"")
    try:
        return _decode(_encode(inside))
    except msgspec.ValidationError as error:
        raise UsageError(f"a message cannot be sent: {error}") from error


def _content(inside: Inside) -> bytes:
    encoded = _encode(inside)
    return _LENGTH.pack(len(encoded)) + encoded


def _padded(inside: Inside) -> bytes:
    """The shortest plaintext that makes the whole a bucket."""
    content = _content(inside)
    around = _HEADER.size + TAG_BYTES + _MAC_BYTES
    return content.ljust(next(n for n in BUCKETS if n >= len(content) + around) - around, b"\0")
