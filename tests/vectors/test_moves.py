"""Frozen moves: what is said of a session that changes its link, and how it is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.stack import greeting, moving
from whispurrnet.wire import frame

MAKER = Path(__file__).parents[2] / "tools" / "make_moves_vectors.py"


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("moves.json")


def test_what_is_made_is_what_was_frozen() -> None:
    subprocess.run([sys.executable, str(MAKER), "--check"], check=True, timeout=60)


def test_a_session_is_named_by_its_first_handshake(given) -> None:
    frozen = given["session"]
    exporter, hash = (bytes.fromhex(frozen[name]) for name in ("exporter", "hash"))
    for send, receive in ((b"s", b"r"), (b"r", b"s")):  # both sides
        keys = TransportKeys(Secret(send * 32), Secret(receive * 32), hash, Secret(exporter))
        assert bytes(keys.export(frozen["label"])).hex() == frozen["name"]
    assert frozen["label"] == moving.SESSION


def test_what_is_said_is_read_and_written_alike(given) -> None:
    assert given["type"] == frame.PEER
    bodies = [bytes.fromhex(vector["body"]) for vector in given["bodies"]]
    read = [greeting.decode(body) for body in bodies]
    assert [greeting.encode(*one) for one in read] == bodies
    moves = greeting.Moves(bytes.fromhex(given["session"]["name"]))
    (hello, asks), *others = read
    assert asks == moves
    assert isinstance(hello, greeting.Hello)
    assert 200 < max(map(len, hello.addresses)) <= greeting.ADDRESS_BYTES_MAX
    for bit in given["capabilities"].values():
        assert hello.capabilities & bit
    assert others == [[moves], [greeting.Moves(b"")], [greeting.Moved()]]


def test_the_numbers(given) -> None:
    assert given["capabilities"] == {"relays": greeting.RELAYS, "webrtc": greeting.WEBRTC}
    assert given["goodbyes"] == {"taken over": greeting.DUPLICATE, "later": greeting.LATER}


def test_what_is_later_is_passed_over_and_what_is_malformed_refused(given) -> None:
    for vector in given["later"]:
        read = greeting.decode(bytes.fromhex(vector["body"]))
        assert greeting.encode(*read).hex() == vector["as"]
    assert len(given["malformed"]) == 5
    for vector in given["malformed"]:
        with pytest.raises(ProtocolError):
            greeting.decode(bytes.fromhex(vector["body"]))
