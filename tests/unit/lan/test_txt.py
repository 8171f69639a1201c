"""TXT records: what was packed comes back, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.lan.txt import DATAGRAM_BYTES_MAX, PART_BYTES, TXT_BYTES_MAX, pack, unpack


def strings(*parts: bytes) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts)


@given(st.binary(min_size=1, max_size=DATAGRAM_BYTES_MAX))
def test_what_is_packed_comes_back(datagram: bytes) -> None:
    txt = pack(datagram)
    assert unpack(txt) == datagram
    assert len(txt) <= TXT_BYTES_MAX


@pytest.mark.parametrize("size", [1, PART_BYTES, PART_BYTES + 1, 512, DATAGRAM_BYTES_MAX])
def test_every_string_has_a_key_and_fits_its_length(size: int) -> None:
    txt, at, keys = pack(bytes(size)), 0, []
    while at < len(txt):
        string = txt[at + 1 : at + 1 + txt[at]]
        keys.append(string.partition(b"=")[0])
        at += 1 + txt[at]
    assert at == len(txt)
    assert keys == [b"txtvers", b"a", b"b", b"c", b"d"][: 1 + -(-size // PART_BYTES)]


@pytest.mark.parametrize("size", [0, DATAGRAM_BYTES_MAX + 1])
def test_what_does_not_fit_is_not_packed(size: int) -> None:
    with pytest.raises(AssertionError):
        pack(bytes(size))


@pytest.mark.parametrize(
    ("txt", "datagram"),
    [
        (strings(b"txtvers=1", b"a=x"), b"x"),
        (strings(b"", b"note=hi", b"TXTVERS=1", b"flag", b"=no", b"A=x"), b"x"),
        (strings(b"txtvers=1", b"a=x", b"a=y", b"txtvers=2"), b"x"),
        (strings(b"a=x", b"txtvers=1"), b"x"),
        (strings(b"txtvers=1", b"b=y", b"a=" + bytes(PART_BYTES)), bytes(PART_BYTES) + b"y"),
    ],
)
def test_records_of_others_are_read_as_the_rfc_says(txt: bytes, datagram: bytes) -> None:
    assert unpack(txt) == datagram


@pytest.mark.parametrize(
    "txt",
    [
        b"",
        b"\x00",
        strings(b"a=x"),
        strings(b"txtvers=2", b"a=x"),
        strings(b"txtvers=1"),
        strings(b"txtvers=1", b"a="),
        strings(b"txtvers=1", b"b=x"),
        strings(b"txtvers=1", b"a=x", b"c=z"),
        strings(b"txtvers=1", b"a=x", b"b="),
        strings(b"txtvers=1") + b"\x09a=cut",
        strings(*[b"txtvers=1", b"a=x"] * 200),
    ],
)
def test_what_is_malformed_is_nothing(txt: bytes) -> None:
    assert unpack(txt) is None


@given(st.binary(max_size=TXT_BYTES_MAX + 100))
def test_no_record_is_too_strange(txt: bytes) -> None:
    datagram = unpack(txt)
    assert datagram is None or len(datagram) <= TXT_BYTES_MAX
