"""Identity: what a node may say of its own identity."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """The public side of the identity a node shows now; it holds no secret."""

    id: str
    """The ephemeral id: 64 hexadecimal characters."""
    name: str
    """A name for people."""
    created_ms: int
    """Unix time in milliseconds."""
    expires_s: float
    """After how many seconds it is replaced."""
    static_key: str
    """The X25519 key that a handshake to this node needs: 64 hexadecimal characters."""
    persona: str | None = None
    """The long-term identity, if the node has one: 64 hexadecimal characters."""
