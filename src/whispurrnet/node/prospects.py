"""What is known of calls: each address and what came of it, when the next is due, who is to blame.

Texts of errors are ours (`transport.faults`, `stack.links`), so the place of a fault can be read
off them; a test holds the table to those texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from whispurrnet.base.errors import (
    AuthError,
    HostError,
    NetworkError,
    ProtocolError,
    UsageError,
    WhispurrError,
)

if TYPE_CHECKING:
    from whispurrnet.discovery.book import Entry
    from whispurrnet.node.node import Node
    from whispurrnet.session.pool import Pool

Place: TypeAlias = Literal["", "you", "your machine", "the network", "the peer"]

#: What an error says, and where it puts the fault; the first that is found counts.
_SIGNS: Final[tuple[tuple[str, Place], ...]] = (
    ("DNS", "your machine"),
    ("cannot resolve", "you"),
    ("this machine", "your machine"),
    ("too many open files", "your machine"),
    ("that address is this node itself", "you"),
    ("nothing listens there", "the peer"),
    ("hung up", "the peer"),
    ("closed the link", "the peer"),
    ("accepted the connection", "the peer"),
    ("no TLS 1.3", "the peer"),
    ("the certificate at", "the peer"),
    ("another connection", ""),
    ("the peer", "the peer"),
    ("no route", "the network"),
    ("no answer", "the network"),
    ("did not answer", "the network"),
    ("unreachable", "the network"),
    ("connection broke", "the network"),
    ("closed by", "the peer"),
    ("TLS failed", "the network"),
)


class Prospects(msgspec.Struct, frozen=True):
    """What is known of the calls to one peer."""

    called: bool
    """Whether anybody calls it."""
    error: str = ""
    """Why it was not reached the last time."""
    place: Place = ""
    facts: tuple[str, ...] = ()
    cures: tuple[str, ...] = ()


def span(seconds: float) -> str:
    """A duration in words, short."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def blame(error: WhispurrError | str) -> Place:
    """Where the fault lies, by the kind of an error or the words of one."""
    match error:
        case HostError():
            return "your machine"
        case AuthError() | ProtocolError():
            return "the peer"
        case UsageError():
            return "you"
        case _:
            text = str(error)
            for sign, place in _SIGNS:
                if sign in text:
                    return place
            return ""


def look(node: Node, targets: Sequence[bytes]) -> Prospects:
    """What is known of the calls to a peer, under each name that it is called by."""
    calls, now = node.stack.shared.calls, node.now()
    pool, book = calls.dialling, calls.book
    facts: list[str] = []
    cures: list[str] = []
    error, called = "", False
    place: Place = ""
    for target in targets:
        call = calls.get(target)
        entries = {entry.address: entry for entry in book.entries(target)}
        last, said = calls.last_error(target), ""
        called = called or call is not None
        if last is not None:
            error = said = str(last)
            place = blame(last)
            cures += _cures(said)
        addresses = call.addresses if call is not None else tuple(entries)
        facts += [_address(one, entries.get(one), said, pool, now) for one in addresses]
        due = pool.next_dial_at(target)
        if due is not None:
            facts.append(f"it is called again in {span(max(0.0, due - now))}")
        if call is not None and not call.persistent:
            facts.append("it is given up after a few calls in vain")
    return Prospects(called, error, place, tuple(facts), tuple(cures))


def _address(address: str, entry: Entry | None, error: str, pool: Pool, now: float) -> str:
    """One address: what came of it, and whether it rests."""
    parts: list[str] = []
    said = said_of(address, error)
    if said:
        parts.append(f"{said} (at fault: {blame(NetworkError(said)) or 'not known'})")
    if entry is not None and entry.failures:
        times = "once" if entry.failures == 1 else f"{entry.failures} times"
        parts.append(f"failed {times}, last {span(now - (entry.failed_at or now))} ago")
    if entry is not None and entry.worked_at is not None:
        parts.append(f"worked {span(now - entry.worked_at)} ago")
    if pool.is_open(address):
        until = pool.rests_until(address, now)
        rests = f"rests for {span(until - now)}" if until > now else "is tried once more"
        parts.append(f"the circuit is {pool.state(address, now)}: it {rests}")
    return f"{address}: {'; '.join(parts) or 'not tried yet'}"


def said_of(address: str, error: str) -> str:
    """What an error says about one address; the words for others, and cures, left out."""
    whole = re.compile(re.escape(address) + r"(?![\w/.-])")
    for piece in error.split("; "):
        if whole.search(piece):
            said = whole.sub("", piece.partition("answered: ")[2] or piece).strip(" :")
            return said.removeprefix("cannot reach").strip(" :") or piece
    return ""


def _cures(error: str) -> list[str]:
    """What an error advises: what stands after a semicolon and names no address."""
    return [piece for piece in error.split("; ")[1:] if "/ip" not in piece and "/dns" not in piece]
