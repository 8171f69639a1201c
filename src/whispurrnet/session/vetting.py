"""Is the other side of a handshake acceptable? The same questions for initiator and responder.

By then Noise has shown that the peer holds the static key of the handshake. What is left: that its
proof of identity is about *this* static key and in force, that nobody took a better offer away, and
that the clocks and the TLS around the link agree.

Source: CRYPTO section 1.5.
"""

from __future__ import annotations

import msgspec

from whispurrnet.base.errors import (
    AuthError,
    DowngradeDetected,
    DowngradeRefused,
    IdentityChanged,
)
from whispurrnet.crypto.hash import equal
from whispurrnet.crypto.kex import Level
from whispurrnet.identity.ephemeral import Proof
from whispurrnet.session.payload import (
    CLOCK_BUCKET_S,
    NO_BINDING,
    WEBRTC_BINDING,
    Credentials,
    best_common,
)
from whispurrnet.wire.ids import PeerId

CLOCK_SKEW_S = 600


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What this side knows of the handshake that the credentials came in."""

    level: Level
    suites: int
    min_level: Level
    static: bytes | None
    """The peer's static key, as Noise saw it."""
    outer_binding: bytes | None
    """What this side sees of the TLS around the link; None when it need not agree."""
    seen_binding: bytes = NO_BINDING
    """What this side sees of what is around the link."""
    wall_ms: int


def own_credentials(
    proof: Proof,
    *,
    suites: int,
    min_level: Level,
    features: int,
    outer_binding: bytes,
    wall_ms: int,
) -> bytes:
    """What this side says of itself, encoded."""
    bucket = wall_ms // (1000 * CLOCK_BUCKET_S)
    return Credentials(suites, min_level, features, bucket, outer_binding, proof).encode()


def vet(peer: Credentials, expected: Expected, *, expected_id: PeerId | None = None) -> None:
    """Check everything that a peer says of itself.

    Raises:
        AuthError: One thing is not acceptable; the message says which. `IdentityChanged`,
            `DowngradeRefused` and `DowngradeDetected` are among its kinds.
    """
    if expected.static is None or not equal(peer.proof.static_key, expected.static):
        raise AuthError("the peer's proof of identity is about another key; the link is closed")
    _vet_clock(peer, expected)
    peer.proof.verify(expected.wall_ms)
    if expected_id is not None and peer.proof.id != expected_id:
        raise IdentityChanged(
            "the node at this address is not the one that was expected; identities change with "
            "time, so ask for a new ticket, or connect without naming the id"
        )
    _vet_level(peer, expected)
    _vet_webrtc(peer, expected)
    if expected.outer_binding is not None and not equal(peer.outer_binding, expected.outer_binding):
        raise AuthError(
            "the TLS around the link ends between the two nodes (a proxy?); connect directly, or "
            "set outer_binding to warn"
        )


def _vet_webrtc(peer: Credentials, expected: Expected) -> None:
    """WebRTC has no proxies: where the two ends see other certificates, somebody took them over.

    Whoever it is sees sealed records only. But the descriptions with the certificates came through
    the session the two have, so this does not happen by mistake.
    """
    ours, theirs = expected.seen_binding, peer.outer_binding
    if WEBRTC_BINDING in (ours[0], theirs[0]) and not equal(ours, theirs):
        raise AuthError(
            "somebody sits between the two ends of a WebRTC link: their certificates are not those "
            "that the two told each other; the link is closed"
        )


def _vet_clock(peer: Credentials, expected: Expected) -> None:
    ours = expected.wall_ms // (1000 * CLOCK_BUCKET_S)
    apart = abs(peer.clock_bucket - ours)
    if apart * CLOCK_BUCKET_S > CLOCK_SKEW_S:
        raise AuthError(
            f"the clocks of the two nodes are about {apart} minutes apart; set this machine's "
            "clock, or the peer's"
        )


def _vet_level(peer: Credentials, expected: Expected) -> None:
    level = expected.level
    if level < expected.min_level or peer.min_level > level or not peer.suites >> level & 1:
        raise DowngradeRefused(f"the two sides do not both accept level {level:d}")
    better = best_common(peer.suites, expected.suites)
    if better > level:
        raise DowngradeDetected(
            f"both sides can do level {better}, but level {level:d} was negotiated: somebody in "
            "between took the better offer away, or an earlier attempt failed; connect again"
        )
