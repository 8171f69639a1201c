"""Targets: tickets, their text, and addresses become one event."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.node.targets import target_of
from whispurrnet.wire.ticket import Ticket

NOW_MS = 1_800_000_000_000
TICKET = Ticket(
    static_key=b"k" * 32,
    addresses=("/ip4/192.0.2.7/tcp/9000",),
    expires_s=NOW_MS // 1000 + 60,
    psk=Secret(b"p" * 32),
    persona=b"o" * 32,
)


@pytest.mark.parametrize("target", [TICKET, TICKET.text, f"  {TICKET.uri}\n"])
def test_a_ticket_says_whom_where_and_by_which_secret(target: Ticket | str) -> None:
    event = target_of(target, 7, NOW_MS, persistent=True)
    assert (event.ref, event.static_key, event.addresses) == (7, b"k" * 32, TICKET.addresses)
    assert (event.psk, event.persona, event.persistent) == (TICKET.psk, TICKET.persona, True)


def test_an_address_is_a_first_contact() -> None:
    event = target_of("/ip4/192.0.2.7/tcp/9000", 1, NOW_MS, persistent=False)
    assert (event.static_key, event.expected_id) == (None, None)


def test_an_address_may_name_who_must_answer() -> None:
    event = target_of(f"/ip4/192.0.2.7/tcp/9000/p2p/{'ab' * 32}", 1, NOW_MS, persistent=False)
    assert event.expected_id == b"\xab" * 32
    assert event.addresses == ("/ip4/192.0.2.7/tcp/9000",)


@pytest.mark.parametrize(
    ("target", "cure"),
    [
        ("hello", "WN1-"),
        ("/ip4/nowhere", "/ip4/"),
        (Ticket(static_key=b"k" * 32, addresses=()), "names no address"),
    ],
)
def test_what_is_no_target_is_refused_with_a_cure(target: Ticket | str, cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        target_of(target, 1, NOW_MS, persistent=False)


def test_an_old_ticket_is_refused() -> None:
    with pytest.raises(UsageError, match="expired"):
        target_of(TICKET, 1, NOW_MS + 61_000, persistent=False)
