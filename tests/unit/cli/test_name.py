from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.cli.test_talk import until

import whispurrnet

NAME = "our garden"


def joined(pair: Any, name: str) -> tuple[Any, Callable[[], None]]:
    """A third node, which is to be found under a name at Ada; and what ends it."""
    here: dict[str, Any] = {"listen": ("/ip4/127.0.0.1/tcp/0",), "host": "127.0.0.1", "port": 0}
    opened = whispurrnet.open(**here, lan={"enabled": False})

    async def arrive() -> Any:
        eve = await opened.__aenter__()
        await eve.connect(pair.ada.ticket)
        eve.register(name)
        return eve

    eve = pair.call(arrive)
    until(lambda: pair.call(lambda: pair.ada.stack.meeting._core.kept) > 0)
    return eve, lambda: pair.call(lambda: opened.__aexit__(None, None, None))


def test_registered_listed_and_withdrawn(ada: Any, pair: Any) -> None:
    until(lambda: pair.call(lambda: pair.ada.meeting_places) > 0)
    ran = ada("name", "register", NAME)
    assert (ran.code, ran.out) == (0, "● to be found at 1 meeting place\n")
    assert ada("name", "register", stdin=b"a pond\n").code == 0
    assert ada("name", "list").out == "our garden\na pond\n"
    assert ada("name", "list", "--output", "json").json["names"] == [NAME, "a pond"]
    assert ada("name", "withdraw", stdin=b"a pond\n").out == "○ withdrawn\n"
    assert "not registered" in ada("name", "withdraw", "a pond").out
    answer = ada("name", "withdraw", NAME, "--output", "json").json
    assert answer == {"names": [], "places": 1}
    assert "none" in ada("name", "list").out


def test_without_a_meeting_place_it_waits(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.node.spreading.Spreading.meeting_places", 0)
    ran = ada("name", "register", "a wall")
    assert ran.code == 4
    assert "no meeting place yet" in ran.out
    assert ada("name", "withdraw", "a wall").code == 0


def test_a_name_that_is_none(ada: Any) -> None:
    assert ada("name", "register", stdin=b"\n").code == 2
    ran = ada("name", "register", "x" * 257)
    assert ran.code == 2
    assert "x" * 100 not in ran.err


def test_nobody_is_found(ada: Any) -> None:
    ran = ada("name", "find", "their garden", "--timeout", "5")
    assert ran.code == 4
    assert "by the word of" in ran.out
    assert "their garden" not in ran.out + ran.err


def test_somebody_is_found_by_a_ticket_to_join_by(pair: Any) -> None:
    """In Python: Bob has no gateway here. By commands it is in `tests/interop/test_cli.py`."""
    eve, leave = joined(pair, "a shed")
    try:
        key = pair.call(lambda: eve.identity.static_key)

        async def search() -> set[str]:
            return {ticket.static_key.hex() async for ticket in pair.bob.find("a shed")}

        assert pair.call(search) == {key}
    finally:
        leave()


def test_found_as_lines(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "ticket": "WN1-ABC",
        "key": "ab" * 32,
        "addresses": ["/ip4/192.0.2.7/tcp/9000\x1b[2J"],
        "expires_s": int(time.time()) + 600,
    }
    asked: list[Any] = []

    def post(_: Any, path: str, kind: Any, body: Any, **__: Any) -> Any:
        asked.append((path, body))
        return {"found": [row], "places": 1}

    monkeypatch.setattr("whispurrnet.cli.client.Client.post", post)
    ran = ada("name", "find", NAME, "--count", "3")
    assert ran.code == 0
    head, line, command = ran.out.splitlines()
    assert head.split()[0] == "node"
    assert line.split()[:4] == ["key", "abababab", "10", "min"]
    assert command == "whispurr join WN1-ABC"
    assert "\x1b" not in ran.out
    assert asked == [("/names/find", {"name": NAME, "count": 3, "timeout_s": 12.0})]
    assert ada("name", "find", NAME, "--output", "json").json["found"] == [row]


def test_presence(ada: Any, pair: Any) -> None:
    assert ada("presence").out == "online\n"
    assert ada("presence", "busy", "--note", "digging").out == "busy: digging\n"
    (peer,) = pair.call(lambda: [p for p in pair.bob.peers if p.id == pair.ada.id])
    until(lambda: pair.call(lambda: peer.presence) == ("busy", "digging"))
    assert "you tell your peers: busy: digging" in ada("status").out
    assert ada("presence", "--output", "json").json == {"state": "busy", "note": "digging"}
    assert ada("presence", "--note", "still digging").out == "busy: still digging\n"
    assert ada("presence", "dead").code == 2
    assert ada("presence", "online").out == "online\n"


def test_the_presence_of_a_peer_is_in_the_status(ada: Any, pair: Any) -> None:
    pair.call(lambda: pair.bob.set_presence("away", "out for\x1b milk"))
    try:
        until(lambda: "away: out for" in ada("status").out)
        assert "\x1b" not in ada("status").out
        (row,) = [r for r in ada("peers", "--output", "json").json if r["connected"]]
        assert (row["presence"], row["note"]) == ("away", "out for\x1b milk")
    finally:
        pair.call(lambda: pair.bob.set_presence("online"))
