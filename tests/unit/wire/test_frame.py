"""Frames, and messages in fragments."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.wire.frame import (
    CONTROL,
    DIRECT,
    FRAGMENT,
    FRAGMENT_HEADER_BYTES,
    FRAME_MAX,
    MESSAGE_MAX,
    PADDING,
    PROTOCOLS,
    STREAM,
    Limits,
    Reassembler,
    encode,
    header,
    parse,
    split,
)


def fragment(type: int, number: int, offset: int, total: int, part: bytes) -> bytes:
    return struct.pack(">BIII", type, number, offset, total) + part


def test_the_layout_is_the_documented_one() -> None:
    assert encode(DIRECT, b"hi") == b"\x04\x00\x02hi"
    assert encode(STREAM, b"") == b"\x03\x00\x00"
    assert header(DIRECT, 0x1234) == b"\x04\x12\x34"
    assert sorted(PROTOCOLS) == list(range(13))


def test_a_body_too_long_for_a_frame_is_refused() -> None:
    assert len(encode(DIRECT, bytes(FRAME_MAX))) == FRAME_MAX + 3
    with pytest.raises(UsageError, match="split"):
        encode(DIRECT, bytes(FRAME_MAX + 1))


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=300)), max_size=9))
def test_what_is_encoded_is_parsed(frames: list[tuple[int, bytes]]) -> None:
    plaintext = b"".join(encode(type, body) for type, body in frames)
    assert parse(plaintext) == frames
    assert parse(plaintext + bytes(7)) == frames


def test_padding_ends_the_frames() -> None:
    assert parse(bytes([PADDING]) + encode(DIRECT, b"not seen")) == []


@pytest.mark.parametrize("cut", [1, 2, 3, 6])
def test_a_frame_beyond_the_end_is_refused(cut: int) -> None:
    with pytest.raises(ProtocolError):
        parse(encode(DIRECT, b"whole") + encode(DIRECT, b"part")[:cut])


@given(st.binary(max_size=400), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_fragments_make_the_message_again(body: bytes, part: int, number: int) -> None:
    bodies = split(DIRECT, body, FRAGMENT_HEADER_BYTES + part, number=number)
    assert all(len(fragment) <= FRAGMENT_HEADER_BYTES + part for fragment in bodies)
    reassembler = Reassembler()
    results = [reassembler.add(fragment, 0.0) for fragment in bodies]
    assert results[-1] == (DIRECT, body)
    assert not any(results[:-1])
    assert len(reassembler) == 0
    assert reassembler.deadline is None


def test_the_longest_message() -> None:
    reassembler = Reassembler()
    bodies = split(DIRECT, bytes(MESSAGE_MAX), FRAME_MAX)
    results = [reassembler.add(body, 0.0) for body in bodies]
    assert results[-1] == (DIRECT, bytes(MESSAGE_MAX))
    with pytest.raises(UsageError, match="stream"):
        split(DIRECT, bytes(MESSAGE_MAX + 1), FRAME_MAX)


def test_two_messages_may_be_mixed() -> None:
    reassembler = Reassembler()
    first = split(DIRECT, b"abcdef", FRAGMENT_HEADER_BYTES + 3, number=1)
    second = split(STREAM, b"uvwxyz", FRAGMENT_HEADER_BYTES + 3, number=2)
    assert reassembler.add(first[0], 0.0) is None
    assert reassembler.add(second[0], 0.0) is None
    assert reassembler.add(second[1], 0.0) == (STREAM, b"uvwxyz")
    assert reassembler.add(first[1], 0.0) == (DIRECT, b"abcdef")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(FRAGMENT_HEADER_BYTES - 1),
        fragment(PADDING, 1, 0, 4, b"ab"),
        fragment(CONTROL, 1, 0, 4, b"ab"),
        fragment(FRAGMENT, 1, 0, 4, b"ab"),
        fragment(DIRECT, 1, 0, 1, b"ab"),
        fragment(DIRECT, 1, 2**32 - 1, 4, b"ab"),
        fragment(DIRECT, 1, 0, MESSAGE_MAX + 1, b"ab"),
        fragment(DIRECT, 1, 0, 4, b""),
        fragment(DIRECT, 7, 0, 4, b"ab"),
        fragment(DIRECT, 7, 1, 4, b"c"),
        fragment(DIRECT, 7, 2, 5, b"cde"),
        fragment(STREAM, 7, 2, 4, b"cd"),
    ],
)
def test_a_contradiction_is_refused_and_changes_nothing(body: bytes) -> None:
    reassembler = Reassembler()
    reassembler.add(fragment(DIRECT, 7, 0, 4, b"ab"), 0.0)
    with pytest.raises(ProtocolError):
        reassembler.add(body, 1.0)
    assert reassembler.add(fragment(DIRECT, 7, 2, 4, b"cd"), 2.0) == (DIRECT, b"abcd")


def test_messages_and_bytes_in_assembly_are_bounded() -> None:
    reassembler = Reassembler(Limits(messages_max=2, bytes_max=10))
    reassembler.add(fragment(DIRECT, 1, 0, 100, b"abcd"), 0.0)
    reassembler.add(fragment(DIRECT, 2, 0, 100, b"abcd"), 0.0)
    with pytest.raises(ProtocolError, match="too many messages"):
        reassembler.add(fragment(DIRECT, 3, 0, 100, b"a"), 0.0)
    with pytest.raises(ProtocolError, match="too many bytes"):
        reassembler.add(fragment(DIRECT, 1, 4, 100, b"efg"), 0.0)
    assert reassembler.add(fragment(DIRECT, 3, 0, 1, b"!"), 0.0) == (DIRECT, b"!")


def test_a_message_that_never_ends_is_forgotten() -> None:
    reassembler = Reassembler(Limits(timeout_s=10.0, bytes_max=4))
    reassembler.add(fragment(DIRECT, 1, 0, 9, b"abc"), 0.0)
    assert reassembler.deadline == 10.0
    reassembler.expire(9.9)
    assert len(reassembler) == 1
    reassembler.expire(10.0)
    assert len(reassembler) == 0
    assert reassembler.add(fragment(DIRECT, 1, 3, 9, b"def"), 11.0) is None
    assert reassembler.dropped == 1
    assert reassembler.add(fragment(DIRECT, 1, 0, 9, b"abcd"), 11.0) is None  # the bytes are free
