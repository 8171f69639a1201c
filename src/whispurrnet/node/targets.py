"""Whom to reach: a ticket, the text of one, or an address."""

from __future__ import annotations

from whispurrnet.base.errors import UsageError
from whispurrnet.stack import events
from whispurrnet.wire.address import parse
from whispurrnet.wire.ids import parse_peer_id
from whispurrnet.wire.ticket import Ticket


def target_of(
    target: Ticket | str,
    ref: int,
    wall_ms: int,
    *,
    persistent: bool,
    keep: bool = True,
    relay: bool = False,
) -> events.Connect:
    """The event that reaches a peer.

    Args:
        target: A ticket, its text, or an address such as `/ip4/192.0.2.7/tcp/9000`.
        ref: The number of the answer.
        wall_ms: Unix time in milliseconds.
        persistent: Keep trying for ever.
        keep: The peer is wanted for itself, not only as a way into the mesh.
        relay: It is a relay at which we want a place.

    Raises:
        UsageError: It is none of them, or a ticket whose time is over.
    """
    if isinstance(target, str) and target.lstrip().startswith("/"):
        address = parse(target.strip())
        return events.Connect(
            ref=ref,
            static_key=None,
            addresses=(str(address if address.is_relayed else address.with_peer("")),),
            expected_id=parse_peer_id(address.peer_id) if address.peer_id else None,
            persistent=persistent,
            keep=keep,
            relay=relay,
        )
    ticket = Ticket.parse(target) if isinstance(target, str) else target
    ticket.check(wall_ms)
    if not ticket.addresses:
        raise UsageError(
            "this ticket names no address: the node that made it was not listening; "
            "start it with a `listen` address and ask for a new one"
        )
    return events.Connect(
        ref=ref,
        static_key=ticket.static_key,
        addresses=ticket.addresses,
        persona=ticket.persona,
        psk=ticket.psk,
        persistent=persistent,
        keep=keep,
        relay=relay,
    )
