"""STUN and TURN servers, and their secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from whispurrnet.base.errors import ConfigError
from whispurrnet.transport.webrtc_ice import TURN_TTL_S, IceServer, parse_server, text_of


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("stun:stun.example.org", IceServer("stun", "stun.example.org", 3478)),
        ("stun:[2001:db8::7]:19302", IceServer("stun", "[2001:db8::7]", 19302)),
        ("turn:al:se:cret@h:1", IceServer("turn", "h", 1, "udp", "al", "se:cret")),
        ("turn:a%3Ab:c%40d@h?transport=tcp", IceServer("turn", "h", 3478, "tcp", "a:b", "c@d")),
        ("turns:a:b@h", IceServer("turns", "h", 5349, "tcp", "a", "b")),
    ],
)
def test_read(text: str, server: IceServer) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize(
    "text",
    ["stun.example.org", "http://h", "stun:a:b@h", "turn:h", "turn:a@h", "stun:h:0", "stun:h:70000",
     "turn:a:b@h?transport=sctp", "stun:", ""],
)  # fmt: skip
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ConfigError, match="nat.ice_servers"):
        parse_server(text)


def test_errors_and_texts_show_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server("turn:alice:hunter2@h:99999")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        parse_server("turn:alice:hunter2@h h")
    assert "hunter2" not in str(caught.value)
    server = parse_server("turn:alice:hunter2@h")
    assert "hunter2" not in f"{server!r} {server.url}"
    assert "with credentials" in repr(server)


def test_credentials_for_a_while() -> None:
    server = parse_server("turn:h", secret=True).for_a_while("shared", 1000, b"\x01\x02")
    assert server.username == f"{1000 + TURN_TTL_S}:0102"
    digest = hmac.new(b"shared", server.username.encode(), hashlib.sha1).digest()
    assert server.credential == base64.b64encode(digest).decode()
    own = parse_server("turn:a:b@h")
    assert own.for_a_while("shared", 1000, b"") is own
    stun = parse_server("stun:h")
    assert stun.for_a_while("shared", 1000, b"") is stun


def test_as_in_browsers() -> None:
    assert text_of("stun:h", "", "") == "stun:h"
    text = text_of("turn:h:1?transport=tcp", "1:a", "p@ss")
    assert parse_server(text) == IceServer("turn", "h", 1, "tcp", "1:a", "p@ss")
    assert parse_server(text).over_tcp
    assert len({parse_server(text), parse_server(text)}) == 1
    assert parse_server(text) != "turn"
