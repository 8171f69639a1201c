from __future__ import annotations

from typing import Any

import pytest

from whispurrnet.crypto.keys import Secret
from whispurrnet.wire.ticket import Ticket

GONE = Ticket(static_key=b"k" * 32, addresses=("/ip4/127.0.0.1/tcp/1",))


def test_peers(ada: Any, pair: Any) -> None:
    ran = ada("peers")
    assert pair.bob.name in ran.out
    assert "MLKEM768" in ran.out
    assert ada("peers", "--output", "json").json[0]["connected"]


def test_ticket(ada: Any, pair: Any) -> None:
    ran = ada("ticket")
    assert ran.out.strip() == pair.call(lambda: pair.ada.ticket.text)
    assert f"whispurr join {ran.out.strip()}" in ran.err
    ran = ada("ticket", "--qr")
    assert "█" in ran.out


def test_an_invite_is_not_in_the_command_to_copy(ada: Any) -> None:
    ran = ada("ticket", "--invite")
    assert Ticket.parse(ran.out).single_use
    assert ran.out.strip() not in ran.err


def test_join(ada: Any, pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = pair.call(lambda: pair.bob.ticket.text)
    ran = ada("join", ticket)
    assert ran.code == 0
    assert f"connected to {pair.bob.name}" in ran.out
    assert ada("join", stdin=ticket.encode()).code == 0
    monkeypatch.setenv("WHISPURRNET_TICKET", ticket)
    assert ada("join", "--output", "json").json["name"] == pair.bob.name


def test_join_refuses_what_is_no_ticket(ada: Any) -> None:
    for tokens in (["WN1-AAAA"], ["moon"]):
        ran = ada("join", *tokens)
        assert ran.code == 2
        assert "not a ticket" in ran.err
    assert ada("join").code == 2


def test_join_refuses_an_invite_as_an_argument(ada: Any) -> None:
    invite = Ticket(static_key=b"k" * 32, addresses=GONE.addresses, psk=Secret(b"p" * 32))
    ran = ada("join", invite.text)
    assert ran.code == 2
    assert "secret" in ran.err
    assert "WHISPURRNET_TICKET" in ran.err


def test_join_somebody_who_is_away(ada: Any) -> None:
    ran = ada("join", GONE.text, "--timeout", "0.5")
    assert ran.code == 4
    assert "✗" in ran.err


def test_ping(ada: Any, pair: Any) -> None:
    ran = ada("ping", pair.bob.name, "--count", "2")
    assert ran.code == 0
    assert ran.out.count("ms by direct tcp") == 2
    assert "rtt_ms" in ada("ping", pair.bob.name, "--count", "1", "--output", "json").json


def test_identity(ada: Any, pair: Any) -> None:
    before = ada("identity", "--output", "json").json["id"]
    assert before in ada("identity").out
    after = ada("identity", "--rotate", "--output", "json").json["id"]
    assert after != before
    assert after == pair.call(lambda: pair.ada.id)
