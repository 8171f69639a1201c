"""A chain of invites: how a member of a closed realm shows who let it in.

The founder of a realm has a key; whom it lets in gets a certificate for a key of its own, and may
let in others, as deep as the founder allowed. A member shows the whole chain, from the founder to
itself, and signs for the channel it shows it in: a chain alone, copied, opens nothing.

    realm       = SHA-256("WN1 membership realm" | key of the network | founder)
    certificate = [subject 32, depth, not_after_s, signature 64]          MessagePack
    signed      = "WN1 membership certificate" | realm | issuer 32 | subject | depth u8
                | not_after_s u32
    chain       = [certificate, ...]      the issuer of each is the subject of the one before

Invariants of what `verify` accepts:
    - the first issuer is the founder, no key comes twice, and there are at most `LINKS_MAX` links;
    - from link to link the depth falls, and nothing lasts longer than what it stands on;
    - a chain has one form of bytes (`decode` refuses all others).

Source: MESH.md 1.4, "Spam and Sybil", 3; decision 0013 of `docs/decisions`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import AuthError, LimitError, ProtocolError
from whispurrnet.crypto import sign
from whispurrnet.crypto.hash import hmac_sha256, sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey

LINKS_MAX = 8
CHAIN_BYTES_MAX = 1024
"""Eight links take less."""

FOREVER_S = 2**32 - 1

SHOWN, ASKED = b"WN1 membership shown", b"WN1 membership asked"
"""What a signature for a channel is for."""

_CERTIFICATE = b"WN1 membership certificate"

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]


class Certificate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One link of a chain."""

    subject: Bytes32
    """The key that is let in."""
    depth: Annotated[int, Meta(ge=0, lt=LINKS_MAX)]
    """How many links may follow."""
    not_after_s: Annotated[int, Meta(ge=0, le=FOREVER_S)]
    """Unix time in seconds."""
    signature: Bytes64


Chain: TypeAlias = tuple[Certificate, ...]
"""From the founder down; that of the founder itself is empty."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Chain] = msgspec.msgpack.Decoder(
    Annotated[tuple[Certificate, ...], Meta(max_length=LINKS_MAX)]
)


class Realm(msgspec.Struct, frozen=True):
    """A closed realm: who founded it, and what its certificates are good for."""

    founder: bytes
    """Its Ed25519 public key; 32 bytes."""
    id: bytes
    """32 bytes."""


class Member(msgspec.Struct, frozen=True):
    """What a chain says of the one at its end."""

    key: bytes
    """Its Ed25519 public key."""
    inviter: bytes
    """Who signed for it; empty for the founder."""
    branch: bytes
    """Whom the founder let in, of those above it and itself; empty for the founder."""
    depth: int
    """How many links may follow."""
    expires_s: int
    """When it is a member no longer, in Unix seconds."""


def realm_of(network: bytes, founder: bytes) -> Realm:
    """The realm of a founder.

    Args:
        network: A key that all nodes of the network have; any length.
        founder: An Ed25519 public key; 32 bytes.
    """
    assert len(founder) == sign.PUBLIC_BYTES
    return Realm(founder, sha256(b"WN1 membership realm", network, founder))


def encode(chain: Chain) -> bytes:
    """The one form of a chain in bytes."""
    return _ENCODER.encode(chain)


def decode(data: bytes) -> Chain:
    """Read a chain; it is not verified.

    Raises:
        ProtocolError: It is malformed, or not in its one form.
    """
    if len(data) > CHAIN_BYTES_MAX:
        raise ProtocolError(f"a chain of invites has more than {CHAIN_BYTES_MAX} bytes")
    try:
        chain = _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError("a chain of invites is malformed") from error
    if encode(chain) != data:
        raise ProtocolError("a chain of invites is not in its one form")
    return chain


def verify(chain: Chain, realm: Realm, wall_s: int) -> Member:
    """Whom a chain makes a member, and until when.

    Args:
        chain: As it was shown; empty for the founder.
        realm: Where.
        wall_s: Unix time in seconds.

    Raises:
        AuthError: It is forged, expired, too deep, of another realm, or goes in a circle.
    """
    if len(chain) > LINKS_MAX:
        raise AuthError("a chain of invites is too long")
    issuer, depth, expires_s, inviter = realm.founder, LINKS_MAX, FOREVER_S, b""
    seen = {issuer: None}
    for link in chain:
        if link.subject in seen:
            raise AuthError("a chain of invites goes in a circle")
        if link.depth >= depth or link.not_after_s > expires_s:
            raise AuthError("a certificate gives more than its issuer had")
        if link.not_after_s <= wall_s:
            raise AuthError("a certificate of membership has expired")
        sign.verify(issuer, _text(realm, issuer, link), link.signature)
        seen[link.subject] = None
        inviter, issuer = issuer, link.subject
        depth, expires_s = link.depth, link.not_after_s
    branch = chain[0].subject if chain else b""
    return Member(issuer, inviter, branch, depth, expires_s)


def issue(
    key: SigningKey,
    chain: Chain,
    subject: bytes,
    realm: Realm,
    *,
    depth: int,
    life_s: int,
    wall_s: int,
) -> Chain:
    """Let somebody in: the chain of a new member.

    Args:
        key: Ours.
        chain: Ours; empty if we are the founder.
        subject: The key of the new member; 32 bytes.
        realm: Where.
        depth: How long chains may become; only the founder's counts. 1 to `LINKS_MAX`.
        life_s: How long the certificate is good, but not longer than ours; in seconds.
        wall_s: Unix time in seconds.

    Raises:
        AuthError: We are no member ourselves.
        LimitError: Our chain is as long as it may be.
        ProtocolError: The subject is no good key, or one of those above it.
    """
    ours = verify(chain, realm, wall_s)
    if ours.key != key.public:
        raise AuthError("our chain of invites is that of another key")
    left = min(depth, LINKS_MAX) if not chain else ours.depth
    if left < 1:
        raise LimitError("our chain of invites is as long as it may be: we may let nobody in")
    if subject == realm.founder or any(link.subject == subject for link in chain):
        raise ProtocolError("who asks to be let in is above us in our own chain")
    expires_s = min(wall_s + life_s, ours.expires_s)
    bare = Certificate(subject, left - 1, expires_s, bytes(sign.SIGNATURE_BYTES))
    signature = key.sign(_text(realm, key.public, bare))
    return (*chain, msgspec.structs.replace(bare, signature=signature))


def sign_for(key: SigningKey, purpose: bytes, realm: Realm, binding: bytes, role: int) -> bytes:
    """A signature that is good in one channel, from one of its ends, and for one purpose.

    Args:
        key: The member's.
        purpose: `SHOWN` or `ASKED`.
        realm: Where.
        binding: What only this channel has.
        role: 0 at the end that opened it, 1 at the other.
    """
    return key.sign(_channel_text(purpose, realm, key.public, binding, role))


def check_for(
    public: bytes, signature: bytes, purpose: bytes, realm: Realm, binding: bytes, role: int
) -> None:
    """Check such a signature.

    Raises:
        AuthError: It is of another key, channel, end, realm or purpose.
    """
    sign.verify(public, _channel_text(purpose, realm, public, binding, role), signature)


def invite_mac(psk: Secret, binding: bytes, public: bytes) -> bytes:
    """What shows, in one channel, that a member-to-be holds an invite; 32 bytes.

    Args:
        psk: The secret of the invite.
        binding: What only this channel has.
        public: The key that asks to be let in.
    """
    return hmac_sha256(psk, b"WN1 membership invite", public, binding)


def _text(realm: Realm, issuer: bytes, link: Certificate) -> bytes:
    numbers = link.depth.to_bytes(1, "big") + link.not_after_s.to_bytes(4, "big")
    return _CERTIFICATE + realm.id + issuer + link.subject + numbers


def _channel_text(purpose: bytes, realm: Realm, public: bytes, binding: bytes, role: int) -> bytes:
    return purpose + realm.id + public + role.to_bytes(1, "big") + sha256(binding)
