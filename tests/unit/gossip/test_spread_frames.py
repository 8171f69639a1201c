"""Frames: what is written is read, and nothing else."""

from __future__ import annotations

import pytest

from whispurrnet.gossip.spread_frames import IDS_MAX, ids, ihave, iwant, push

ONE, TWO = b"1" * 16, b"2" * 16


def test_their_bytes() -> None:
    assert push(3, b"body") == b"\x01\x03body"
    assert ihave(1, (ONE, TWO)) == b"\x02\x01" + ONE + TWO
    assert iwant((ONE,)) == b"\x03" + ONE


def test_ids_are_read_back() -> None:
    assert ids(ihave(0, (ONE, TWO)), 2) == [ONE, TWO]
    assert ids(iwant((ONE,)), 1) == [ONE]
    assert ids(iwant([ONE] * IDS_MAX), 1) == [ONE] * IDS_MAX


@pytest.mark.parametrize(
    "data", [b"\x02", b"\x02\x00", ihave(0, (ONE[:15],)), ihave(0, [ONE] * (IDS_MAX + 1))]
)
def test_what_is_malformed_is_none(data: bytes) -> None:
    assert ids(data, 2) is None
