"""Frames of relays: what is read back, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.nat import relay_messages as messages

ALL = [
    messages.Reserve(),
    messages.Reserved(3600, 32 << 20, 0),
    messages.Refused(0, messages.TOO_MANY, "later"),
    messages.Connect(7, b"i" * 32),
    messages.Granted(7, b"t" * 32),
    messages.Incoming(b"t" * 32, b"i" * 32),
    messages.Release(),
]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_what_is_written_is_read_back(message: messages.Message) -> None:
    assert messages.decode(messages.encode(message)) == [message]


def test_the_numbers_on_the_wire() -> None:
    body = messages.encode(*ALL)
    plain = msgspec.msgpack.decode(body)
    assert [one[0] for one in plain] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        msgspec.msgpack.encode([[4, 0, b"i" * 32]]),  # a nonce is above 0
        msgspec.msgpack.encode([[4, 1, b"i" * 31]]),
        msgspec.msgpack.encode([[5, 1, b"t" * 33]]),
        msgspec.msgpack.encode([[3, 0, 256, ""]]),
        msgspec.msgpack.encode([[3, 0, 1, "x" * 201]]),
        msgspec.msgpack.encode([[1]] * 9),
        bytes(messages.BODY_BYTES_MAX + 1),
    ],
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages.decode(body)


def test_what_a_later_version_says_is_left_out() -> None:
    body = msgspec.msgpack.encode([[99, 1], [1]])
    assert messages.decode(body) == [messages.Reserve()]
