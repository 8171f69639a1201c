"""The messages of a reconciliation: what is written is read, and what is malformed is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError
from whispurrnet.wire.items import Items
from whispurrnet.wire.ranges import (
    FINGERPRINT,
    IDS,
    INFINITY,
    MESSAGE_MAX,
    SKIP,
    Range,
    Writer,
    key,
    parse,
)
from whispurrnet.wire.reconcile import Reconciler

KEYS = st.builds(key, st.integers(0, 2**64 - 2), st.binary(max_size=32))
RANGES = st.tuples(
    KEYS, st.sampled_from([SKIP, FINGERPRINT, IDS]), st.binary(min_size=64, max_size=64)
)


@given(st.lists(RANGES), st.booleans())
def test_what_is_written_is_read(drawn: list[tuple[bytes, int, bytes]], last: bool) -> None:
    writer = Writer(MESSAGE_MAX)
    expected: list[Range] = []
    drawn.sort()
    if last:
        drawn.append((INFINITY, FINGERPRINT, bytes(64)))
    for bound, mode, payload in drawn:
        if mode == SKIP:
            writer.skip(bound)
        elif mode == FINGERPRINT:
            writer.fingerprint(bound, payload[:16])
            expected.append(Range(bound, mode, payload[:16], ()))
        else:
            writer.ids(bound, [payload[:32], payload[32:]])
            expected.append(Range(bound, mode, b"", (payload[:32], payload[32:])))
    ranges = parse(writer.message())
    assert [part for part in ranges if part.mode != SKIP] == expected
    assert all(part.bound < INFINITY for part in ranges if part.mode == SKIP)
    assert writer.room == MESSAGE_MAX - len(writer.message())


def test_skips_become_one_and_the_last_is_left_out() -> None:
    writer = Writer(100)
    writer.skip(key(3))
    writer.skip(key(4, b"ab"))
    writer.ids(key(4, b"b"), [])
    writer.skip(key(900))
    assert writer.message().hex() == "61" + "05026162" + "00" + "010162" + "02" + "00"


def test_modes_are_those_of_the_specification() -> None:
    raw = "61" + "8228" + "00" + "00" + "02" + "0201ff" + "01" + "77" * 16 + "0000" + "02" + "00"
    assert parse(bytes.fromhex(raw)) == [
        Range(key(295), SKIP, b"", ()),
        Range(key(296, b"\x01\xff"), FINGERPRINT, b"w" * 16, ()),
        Range(INFINITY, IDS, b"", ()),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "51",  # no version at all
        "61 80 00 00 00",  # a number that could be shorter
        "61 8080 00 00",
        "61" + "ff" * 11 + "00 00",  # a number without an end
        "61 05",
        "61 05 00",
        "61 05 21" + "00" * 33 + "00",  # a bound longer than an id
        "61 05 02 00",
        "61 00 01 00 00",  # beyond infinity
        "61 81ffffffffffffffff7f 00 00 02 00 00",  # at the end of time, and then later
        "61 82808080808080808080 00 00",
        "61 00 00 03",  # an unknown mode
        "61 00 00 01" + "00" * 15,
        "61 00 00 02",
        "61 00 00 02 02" + "00" * 63,
        "61 00 00 02 ffffffffffffffff7f",
        "61 05 01 02 00 01 01 01 00",  # backwards
        "61 00 00 00 05 00 00",  # after infinity
    ],
)
def test_malformed_messages(raw: str) -> None:
    side = Reconciler(Items([(1, bytes(32))]), rounds_max=5)
    for read in (side.answer, side.continue_):
        with pytest.raises(ProtocolError):
            read(bytes.fromhex(raw))
    assert side.rounds_left == 5


def test_a_message_that_is_too_long() -> None:
    raw = b"\x61" + b"\x01\x00\x00" * (MESSAGE_MAX // 3)
    assert Reconciler(Items()).answer(raw[:-3]) == b"\x61"
    with pytest.raises(ProtocolError, match="too long"):
        Reconciler(Items()).answer(raw + b"\x01\x00\x00")
