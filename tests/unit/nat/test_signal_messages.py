"""The messages of WebRTC signalling, byte by byte."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.nat.signal_messages import (
    SDP_CHARS_MAX,
    Answer,
    Candidate,
    End,
    Message,
    Offer,
    decode,
    encode,
)
from whispurrnet.session.record import SIZES

MESSAGES: list[Message] = [
    Offer(7, "v=0\r\n"),
    Answer(0xFFFFFFFF, "v=0\n"),
    Candidate(0, "candidate:1 1 udp 1 192.0.2.1 9 typ host", "0"),
    Candidate(1, "", ""),
    End(3, 4, "too late"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


def test_as_documented() -> None:
    assert encode(Offer(7, "v=0")) == msgspec.msgpack.encode([1, 7, "v=0"])
    assert encode(End(7, 2, "")) == msgspec.msgpack.encode([4, 7, 2, ""])


def test_the_longest_fits_a_record() -> None:
    assert len(encode(Offer(1, "v" * SDP_CHARS_MAX))) + 64 < SIZES[-1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode([1, 7]),
        msgspec.msgpack.encode([1, -1, "v=0"]),
        msgspec.msgpack.encode([1, 1 << 32, "v=0"]),
        msgspec.msgpack.encode([1, 7, ""]),
        msgspec.msgpack.encode([1, 7, "v" * (SDP_CHARS_MAX + 1)]),
        msgspec.msgpack.encode([1, 7, "v=0\0"]),
        msgspec.msgpack.encode([1, 7, "v=\N{SNOWMAN}"]),
        msgspec.msgpack.encode([3, 7, "c\r\na=fingerprint:sha-256 00", "0"]),
        msgspec.msgpack.encode([3, 7, "c" * 513, "0"]),
        msgspec.msgpack.encode([3, 7, "c", "m" * 17]),
        msgspec.msgpack.encode([4, 7, 256, ""]),
        msgspec.msgpack.encode([4, 7, 1, "t" * 201]),
        msgspec.msgpack.encode({"attempt": 7}),
    ],
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(body)


def test_what_a_later_version_says_is_left_out() -> None:
    assert decode(msgspec.msgpack.encode([5, "news"])) is None
