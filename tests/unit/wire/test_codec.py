"""Many messages in one body, from peers of another version and from liars."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError
from whispurrnet.wire.codec import MESSAGES_MAX, Codec


class Cat(msgspec.Struct, frozen=True, array_like=True, tag=1):
    name: str
    lives: int = 9


class Dog(msgspec.Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    body: bytes


class Fish(msgspec.Struct, frozen=True, array_like=True, tag=3):
    depth_m: float


def pets() -> Codec[Cat | Dog]:
    return Codec(Cat | Dog)


def raw(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


MESSAGES = st.lists(
    st.one_of(
        st.builds(Cat, st.text(), st.integers(-(2**63), 2**64 - 1)), st.builds(Dog, st.binary())
    )
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(messages: list[Cat | Dog]) -> None:
    codec = pets()
    assert codec.decode_all(codec.encode_all(messages)) == messages
    assert codec.unknown == 0


def test_a_codec_of_one_message() -> None:
    codec: Codec[Cat] = Codec(Cat)
    assert codec.decode_all(codec.encode_all([Cat("Mia")])) == [Cat("Mia")]


def test_unknown_messages_are_counted_and_left_out() -> None:
    codec = pets()
    newer: Codec[Cat | Dog | Fish] = Codec(Cat | Dog | Fish)
    body = newer.encode_all([Cat("Mia"), Fish(2.5), Dog(b"woof"), Fish(3.5)])
    assert codec.decode_all(body) == [Cat("Mia"), Dog(b"woof")]
    assert codec.unknown == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        raw(7),
        raw({}),
        raw("cats"),
        raw([7]),
        raw([[]]),
        raw([["1", "Mia"]]),
        raw([[1]]),
        raw([[1, 7]]),
        raw([[1, b"\xff"]]),
        b"\x91\x92\x01\xa1\xff",  # text that is not UTF-8
        raw([[2, b"woof", "more"]]),
        raw([[3, 1.0], [1, 7]]),
        raw([[1, "Mia"]])[:-1],
        raw([[1, "Mia"]]) + b"\xc0",
        b"\x91" * 100_000,
        b"\x91\x93\x01\xa0" + b"\x91" * 100_000,
        b"\x91\x92\x09" + b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\x91\xdd\xff\xff\xff\xff",
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        pets().decode_all(body)


def test_the_count_of_messages_is_bounded() -> None:
    codec = pets()
    assert len(codec.decode_all(codec.encode_all([Cat("")] * MESSAGES_MAX))) == MESSAGES_MAX
    with pytest.raises(ProtocolError):
        codec.decode_all(raw([[1, ""]] * (MESSAGES_MAX + 1)))
    with pytest.raises(ProtocolError):
        codec.decode_all(raw([[3, ""]] * (MESSAGES_MAX + 1)))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_or_decoded(body: bytes) -> None:
    try:
        messages = pets().decode_all(body)
    except ProtocolError:
        return
    assert all(isinstance(message, Cat | Dog) for message in messages)
