"""An `object_actor` that lies about objects, or that soon gives up; orders as there, and `lie`.

What it sends is changed on its way into a session that is otherwise as it should be. So what a peer
sees is somebody who was let in, and then sends what is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import uvloop
from tests.interop.object_actor import Actor, main

from whispurrnet.node import object_disk, objects
from whispurrnet.stack import events, exchange, object_events
from whispurrnet.store import messages, transfer_config
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.guest import Parts
from whispurrnet.store.object import (
    CHUNK_LOG2,
    OBJECT_MAX,
    PAGE_LEAVES,
    Header,
    Mode,
    Page,
    leaf,
    object_id,
    parent,
)
from whispurrnet.store.transfer import Transfer
from whispurrnet.wire import frame

DATA_HEAD = messages.DATA_HEADER_BYTES
STALL_AFTER, ENDLESS = 10, 1000
"""Frames: after how many nothing comes, and how many come that nobody asked for."""


def spoil(body: bytes) -> bytes:
    """One bit at the end is another."""
    return body[:-1] + bytes((body[-1] ^ 1,))


def page(body: bytes) -> bytes:
    """A page with another leaf."""
    told = messages.decode(body)
    for i, one in enumerate(told):
        if isinstance(one, messages.PageIs):
            told[i] = messages.PageIs(
                one.ref, one.header, one.page, spoil(one.leaves), one.lengths, one.proof
            )
    return messages.encode(*told)


LIES: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "wrong chunk": (messages.DATA, spoil),
    "too short": (messages.DATA, lambda body: body[:-7]),
    "too long": (messages.DATA, lambda body: body + b"more of it"),
    "nothing in it": (messages.DATA, lambda body: body[:DATA_HEAD]),
    "another chunk": (messages.DATA, lambda body: body[:5] + b"\0\0\0\xee" + body[9:]),
    "wrong page": (messages.MESSAGES, page),
}


class Lying(Transfer):
    """The moving of objects by one who lies."""

    lie = ""
    frames = 0

    def __init__(self, config: transfer_config.Config, rng: transfer_config.Rng) -> None:
        super().__init__(config, rng)
        self.again: list[bytes] = []
        """What is sent once more, if somebody asks for an end."""

    def handle(self, event: moves.Event, now: float) -> list[moves.Effect]:
        if isinstance(event, moves.Up | moves.Down):
            self.again.clear()
        return super().handle(event, now)

    def priority(self, peer: int) -> int | None:
        if Lying.lie == "stall" and Lying.frames > STALL_AFTER:
            return None
        return 3 if self.again else super().priority(peer)

    def pull(self, peer: int, room: int) -> Parts:
        if Lying.lie == "stall" and Lying.frames > STALL_AFTER:
            return ()
        whole = b"".join(super().pull(peer, room))
        if not whole:
            return (self.again.pop(),) if self.again and len(self.again[-1]) <= room else ()
        Lying.frames += 1
        body = whole[frame.HEADER_BYTES :]
        if body[0] == messages.DATA and Lying.lie == "endless":
            self.again = [whole] * ENDLESS
        kind, change = LIES.get(Lying.lie, (-1, bytes))
        changed = change(body) if body[0] == kind else body
        if len(changed) > min(room - frame.HEADER_BYTES, frame.FRAME_MAX):
            changed = body
        return (frame.header(frame.OBJECT, len(changed)) + changed,)


def endless() -> tuple[bytes, Header, Page]:
    """The id, the header and the first page of an object of zeros, as large as there may be one."""
    header = Header(Mode.FIXED, CHUNK_LOG2, OBJECT_MAX)
    top = zero = leaf(bytes(header.chunk_bytes))
    proof = []
    for height in range((header.chunks - 1).bit_length()):
        if 1 << height >= PAGE_LEAVES:
            proof.append(top)
        top = parent(top, top)
    oid = object_id(header, top, header.chunks)
    return oid, header, Page(0, zero * PAGE_LEAVES, b"", b"".join(proof))


class LyingDisk(object_disk.ObjectDisk):
    """A disk on which there is an object that no disk can hold."""

    def _read_one(self, wanted: object_disk.Reading) -> events.Event:
        oid, header, first = endless()
        match wanted:
            case moves.Look(ticket, _, asked) if asked == oid:
                return object_events.ObjectLooked(ticket, moves.Found(header, True, ()), (oid,))
            case moves.ReadPage(ticket, asked) if asked == oid:
                return moves.Paged(ticket, first)
            case moves.Read(ticket, asked, _, count) if asked == oid:
                return moves.ReadDone(ticket, [bytes(header.chunk_bytes)] * count)
        return super()._read_one(wanted)


class Liar(Actor):
    """A node that is told how to lie."""

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order:
            case {"do": "lie", "how": how}:
                assert how in {*LIES, "stall", "endless"}
                Lying.lie, Lying.frames = how, 0
                return {}
            case {"do": "endless"}:
                oid, _, _ = endless()
                self.node.objects.share(oid.hex(), "everyone")
                return {"oid": oid.hex()}
            case _:
                return await super().obey(order)


if __name__ == "__main__":
    hasty = functools.partial(
        transfer_config.Config, hopeless_wait_s=0.2, source_wait_s=1.0, stall_s=0.5, rest_s=5.0
    )
    for module, name, other in (
        (transfer_config, "Config", hasty),
        (exchange, "Transfer", Lying),
        (objects, "ObjectDisk", LyingDisk),
    ):
        setattr(module, name, other)
    uvloop.run(main(Liar))
