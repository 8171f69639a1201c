"""The frames of the spreading of messages: one byte that says what, and what follows it.

    1 PUSH   | hop u8 | body      how often it was forwarded before; 0 at who publishes it
    2 IHAVE  | flags u8 | id 16*  flag 1: I shall not push it and nobody may, so ask soon
    3 IWANT  | id 16*
    4 SYNC   | query              a message of `wire.reconcile`
    5 SYNCED | answer

Other flags mean nothing yet and are passed over. Source: MESH.md 1.4.
"""

from __future__ import annotations

from collections.abc import Iterable

PUSH, IHAVE, IWANT, SYNC, SYNCED = range(1, 6)
ONLY_ANNOUNCED = 1
"""The flag of an announcement that no push goes with."""

ID_BYTES = 16
IDS_MAX = 256
"""How many ids one frame may name."""

URGENT, CONTROL, PAYLOAD = 10, 6, 5
"""The priorities of what is sent."""


def push(hop: int, body: bytes) -> bytes:
    """The frame that carries a message."""
    return bytes((PUSH, hop)) + body


def ihave(flags: int, ids: Iterable[bytes]) -> bytes:
    """The frame that announces messages."""
    return bytes((IHAVE, flags)) + b"".join(ids)


def iwant(ids: Iterable[bytes]) -> bytes:
    """The frame that asks for messages."""
    return bytes((IWANT,)) + b"".join(ids)


def ids(data: bytes, start: int) -> list[bytes] | None:
    """The ids in a frame, which begin at `start`; None if it is malformed."""
    size = len(data) - start
    if size <= 0 or size % ID_BYTES or size > IDS_MAX * ID_BYTES:
        return None
    return [data[at : at + ID_BYTES] for at in range(start, len(data), ID_BYTES)]
