"""trust: whom you know; seen, verified, revoked."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit
from whispurrnet.cli.render import say, show_json, table

PeerName = Annotated[str, Parameter(help="Its name, or the beginning of its id.")]


def show() -> int:
    """Peers and their safety numbers, to compare over another way."""
    rows = find().get("/trust", list[dict[str, Any]])
    if current.json:
        show_json(rows)
        return Exit.DONE
    if not rows:
        say("nobody yet; whispurr join TICKET")
        return Exit.DONE
    for line in table(("peer", "trust"), [(row["name"], row["trust"]) for row in rows]):
        say(line)
    for row in rows:
        number = row["safety_number"] or "none: one side has only an ephemeral identity"
        say(f"  {row['name']}: {number}")
    return Exit.DONE


def verify(peer: PeerName) -> int:
    """The safety number was compared and agrees: trust it."""
    return _change("verify", peer)


def revoke(peer: PeerName) -> int:
    """Trust a peer no more, and never talk to it again."""
    return _change("revoke", peer)


def _change(what: str, peer: str) -> int:
    row = find().post(f"/trust/{what}", dict[str, Any], {"peer": peer})
    if current.json:
        show_json(row)
    else:
        say(f"{row['name']} is {row['trust']}")
    return Exit.DONE
