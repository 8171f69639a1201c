"""Direct messages on the wire: what they take, what is refused."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.direct.messages import (
    ARRAY_BYTES,
    ERROR_CHARS_MAX,
    FRAME_BYTES,
    NAME_CHARS_MAX,
    OVERHEAD_BYTES,
    SEQ_MAX,
    TTL_MS_MAX,
    Ack,
    Bundle,
    Cancel,
    Request,
    Response,
    Resume,
    Skip,
    Whisper,
    codec,
)

LARGEST = [
    Whisper(0xFFFF, SEQ_MAX, TTL_MS_MAX, 10, b""),
    Ack(10, bytes(8), SEQ_MAX, SEQ_MAX),
    Resume(10, bytes(8), SEQ_MAX),
    Request(2**63 - 1, "", TTL_MS_MAX, 10, b""),
    Response(2**63 - 1, "", b""),
    Cancel(2**63 - 1),
    Skip(10, SEQ_MAX, SEQ_MAX),
]


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: type(message).__name__)
def test_round_trip_and_overhead(message):
    body = codec().encode_all([message])
    assert codec().decode_all(body) == [message]
    assert len(body) <= 1 + OVERHEAD_BYTES


def test_the_overhead_of_long_ones():
    text, data = "\u20ac" * NAME_CHARS_MAX, bytes(70_000)
    for message in (
        Whisper(0xFFFF, SEQ_MAX, TTL_MS_MAX, 10, data),
        Request(2**63 - 1, text, TTL_MS_MAX, 10, data),
        Response(2**63 - 1, text, data),
    ):
        rest = 0 if isinstance(message, Whisper) else len(text.encode())
        assert len(codec().encode_all([message])) <= 1 + OVERHEAD_BYTES + rest + len(data)


@pytest.mark.parametrize(
    "fields",
    [
        [1, 0x10000, 0, 0, 5, b""],
        [1, 1, -1, 0, 5, b""],
        [1, 1, SEQ_MAX + 1, 0, 5, b""],
        [1, 1, 0, TTL_MS_MAX + 1, 5, b""],
        [1, 1, 0, 0, 11, b""],
        [1, 1, 0, 0, 5, "text"],
        [1, 1, 0, 0, 5],
        [2, 5, bytes(7), 1, 1],
        [3, 5, bytes(8), 0],
        [4, 1, "x" * (NAME_CHARS_MAX + 1), 1, 5, b""],
        [4, 1, "x", 0, 5, b""],
        [5, 1, "x" * (ERROR_CHARS_MAX + 1), b""],
        [6, -1],
        [7, 5, 0, 1],
        "no message",
    ],
)
def test_what_is_out_of_range_is_refused(fields):
    with pytest.raises(ProtocolError):
        codec().decode_all(msgspec.msgpack.encode([fields]))


def test_unknown_messages_are_counted_and_left_out():
    ours = codec()
    body = msgspec.msgpack.encode([[99, "from tomorrow"], Cancel(1)])
    assert ours.decode_all(body) == [Cancel(1)]
    assert ours.unknown == 1


def test_any_kind_passes_through():
    whisper = Whisper(0xBEEF, 0, 0, 5, b"x")
    assert codec().decode_all(codec().encode_all([whisper])) == [whisper]


def test_a_bundle_takes_what_fits():
    bundle = Bundle(ARRAY_BYTES + 2 * OVERHEAD_BYTES + 10)
    whisper = Whisper(1, 0, 0, 5, bytes(5))
    assert bundle.add(whisper, 5)
    assert bundle.add(whisper, 5)
    assert not bundle.fits(0)
    assert not bundle.add(Cancel(1), 0)
    assert len(codec().encode_all(bundle.messages)) <= ARRAY_BYTES + 2 * OVERHEAD_BYTES + 10


def test_a_bundle_takes_one_of_any_length():
    bundle = Bundle(10)
    assert bundle.add(Whisper(1, 0, 0, 5, bytes(100_000)), 100_000)
    assert not bundle.fits(0)


def test_a_bundle_is_never_longer_than_a_frame():
    assert Bundle(1_000_000).left == FRAME_BYTES - ARRAY_BYTES
