"""Ids: one NewType each, so that none is taken for another.

A peer's id is the hash of its public keys (see `identity.ephemeral`): computed, never believed.
"""

from __future__ import annotations

from typing import NewType

from whispurrnet.base.errors import UsageError

PeerId = NewType("PeerId", bytes)
"""32 bytes; shown as 64 hexadecimal characters."""

PEER_ID_BYTES = 32

ObjectId = NewType("ObjectId", bytes)
"""32 bytes, from the root of an object's tree (see `store.object`); shown like a peer's id."""

OBJECT_ID_BYTES = 32


def parse_peer_id(text: str) -> PeerId:
    """Read an id of 64 hexadecimal characters.

    Raises:
        UsageError: It is not one.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != PEER_ID_BYTES:
        raise UsageError(
            f"not a peer id: {text[:70]!r}; an id is 64 hexadecimal characters, as "
            "`whispurr identity` prints it"
        )
    return PeerId(raw)


def parse_object_id(text: str) -> ObjectId:
    """Read an object's id of 64 hexadecimal characters.

    Raises:
        UsageError: It is not one.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != OBJECT_ID_BYTES:
        raise UsageError(
            f"not an object: {text[:70]!r}; its id is 64 hexadecimal characters, as "
            "`whispurr objects list` prints it"
        )
    return ObjectId(raw)


def short(peer: PeerId) -> str:
    """The first 8 hexadecimal characters, for people; never for logs."""
    return peer[:4].hex()
