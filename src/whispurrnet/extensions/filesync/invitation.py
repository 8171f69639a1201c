"""How a folder's members come to each other: by its ticket, and by a name that its key makes.

The ticket of a folder is that of an object (`wire.object_ticket`), with the folder's key as what
opens it, and in the place of the object a number that follows from the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from whispurrnet.base.errors import UsageError, WhispurrError
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.node.seeking import Seeker
from whispurrnet.wire.ids import ObjectId
from whispurrnet.wire.object_ticket import ObjectTicket, Offered, is_object_ticket
from whispurrnet.wire.ticket import PREFIX as NODE_PREFIX
from whispurrnet.wire.ticket import Ticket

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.filesync import FileSync
    from whispurrnet.node.node import Node

SEEK_S: Final = 10.0
"""How often to look for members that are not connected."""

LABEL_BYTES_MAX: Final = 200


class Invited(msgspec.Struct, frozen=True):
    """With whom a folder is to be kept in step."""

    named: tuple[str, ...]
    """Ids of peers and long-term identities."""
    tickets: tuple[Ticket, ...]
    """Nodes to connect to."""
    key: bytes | None
    """Of the folder."""


def invited(texts: Iterable[str]) -> Invited:
    """Read who is named: by ids, tickets of nodes, and tickets of the folder.

    Raises:
        UsageError: A ticket is not one of a shared folder, or damaged.
    """
    named: list[str] = []
    tickets: list[Ticket] = []
    key: bytes | None = None
    for text in texts:
        if is_object_ticket(text):
            ticket = ObjectTicket.parse(text)
            key = key_of(ticket.offered)
            if key is None:
                raise UsageError(
                    "that ticket is not one of a shared folder; receive it with `whispurr receive`"
                )
            tickets.append(ticket.node)
        elif text.strip().upper().startswith(NODE_PREFIX):
            tickets.append(Ticket.parse(text))
        else:
            named.append(text.strip().casefold())
    return Invited(tuple(named), tuple(tickets), key)


def root_of(key: bytes) -> ObjectId:
    """What stands in the place of an object's id in the ticket of a folder."""
    return ObjectId(sha256(b"WN1 shared folder", key))


def key_of(offered: Offered) -> bytes | None:
    """The key of the folder that is offered, or None if it is no folder."""
    if offered.cap is None or offered.root != root_of(offered.cap):
        return None
    return bytes(offered.cap)


def offer(key: bytes, label: str) -> Offered:
    """What the ticket of a folder offers, or a code of words."""
    shown = label.encode()[:LABEL_BYTES_MAX].decode(errors="ignore") or "folder"
    return Offered(root_of(key), Secret(key), shown, 0, True)


async def call(
    node: Node,
    sync: FileSync,
    tickets: Iterable[Ticket],
    *,
    admit: bool,
    failed: Callable[[str], None],
) -> None:
    """Connect to nodes that were named by a ticket.

    Args:
        node: On which the folder is kept in step.
        sync: The folder.
        tickets: Of the nodes.
        admit: Their tickets are what lets them take part: there is no key.
        failed: Is told why one was not reached.
    """
    for ticket in tickets:
        try:
            peer = await node.connect(ticket, persistent=True)
        except WhispurrError as error:
            failed(str(error))
            continue
        if admit:
            sync.admit(peer)


async def seek(node: Node, sync: FileSync, key: bytes) -> None:
    """Be found by the other members, and look for them; until it is cancelled."""
    name = offer(key, "").meeting
    node.register(name)
    seeker = Seeker(node, name)
    try:
        while True:
            await seeker.next(SEEK_S)
            await asyncio.sleep(SEEK_S if sync.status().peers else 1.0)
    finally:
        node.withdraw(name)
