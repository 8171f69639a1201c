"""The bodies of STREAM frames."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.session import segment
from whispurrnet.session.segment import Kind


def test_the_layout_is_the_documented_one() -> None:
    assert segment.open_(1, 5, "logs") == b"\x01\x00\x00\x00\x01\x05logs"
    assert segment.header(Kind.DATA, 2) == b"\x02\x00\x00\x00\x02"
    assert segment.header(Kind.END, 2) == b"\x03\x00\x00\x00\x02"
    assert segment.reset(3, 7) == b"\x04\x00\x00\x00\x03\x00\x00\x00\x07"
    assert segment.credit(0, 2**40) == b"\x05\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"


def test_what_is_written_is_read() -> None:
    assert segment.parse(segment.open_(9, 0, "")) == (Kind.OPEN, 9)
    assert segment.parse_open(segment.open_(9, 10, "größe")) == (10, "größe")
    assert segment.parse_reset(segment.reset(9, 77)) == 77
    assert segment.parse_credit(segment.credit(9, 2**63)) == 2**63
    assert segment.parse(segment.header(Kind.END, 4)) == (Kind.END, 4)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(4),
        bytes(5),
        b"\x06\0\0\0\x01",
        b"\x01\0\0\0\x01",
        segment.open_(1, 5, "n" * 255) + b"n",
        segment.header(Kind.DATA, 1),
        segment.reset(1, 1)[:-1],
        segment.reset(1, 1) + b"\0",
        segment.credit(1, 1)[:-1],
        segment.credit(1, 1) + b"\0",
    ],
)
def test_a_length_that_does_not_fit_the_kind_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        segment.parse(body)


@pytest.mark.parametrize("rest", [b"\x0bname", b"\x05\xff\xfe"])
def test_a_strange_open_is_refused(rest: bytes) -> None:
    with pytest.raises(ProtocolError):
        segment.parse_open(segment.header(Kind.OPEN, 1) + rest)


@pytest.mark.parametrize(("priority", "name"), [(11, ""), (-1, ""), (5, "ä" * 128)])
def test_we_open_nothing_strange(priority: int, name: str) -> None:
    with pytest.raises(UsageError):
        segment.open_(1, priority, name)
