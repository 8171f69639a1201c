"""Collections: one content, one way to write it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.store import manifest
from whispurrnet.store.manifest import Entry, Kind, children, decode, encode, is_manifest

FILE = Entry("b.txt", b"f" * 32, 5)
FOLDER = Entry("a", b"d" * 32, 9, Kind.FOLDER)
TOOL = Entry("tool", b"f" * 32, 5, Kind.FILE, True, 1_700_000_000_000)


def raw(*entries: object, name: object = "WNDIR", version: object = 1) -> bytes:
    return msgspec.msgpack.encode([name, version, list(entries)])


def test_a_collection_is_read_as_it_was_written() -> None:
    data = encode([TOOL, FILE, FOLDER])
    assert is_manifest(data)
    assert decode(data) == [FOLDER, FILE, TOOL]
    assert children(decode(data)) == [b"d" * 32, b"f" * 32]
    assert encode([FOLDER, FILE, TOOL]) == data
    assert decode(encode([])) == []


@given(st.lists(st.text("abcxyzäöü.-_", min_size=1, max_size=8), unique_by=str.casefold))
def test_any_names_come_back_in_the_order_of_their_bytes(names: list[str]) -> None:
    entries = [Entry(name, bytes(32), 0) for name in names if name[-1] not in ". " and name]
    entries = [entry for entry in entries if entry.name == msgspec.json.decode(f'"{entry.name}"')]
    try:
        read = decode(encode(entries))
    except UsageError:
        return
    assert [entry.name for entry in read] == sorted(
        (entry.name for entry in entries), key=str.encode
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93",
        manifest.MAGIC,
        raw(name="WNDIX"),
        raw(version=2),
        raw(FILE, FOLDER),  # not in order
        raw(FOLDER, FOLDER),
        raw(["a", b"f" * 31, 5, 0, False, None]),
        raw(["a", b"f" * 32, -1, 0, False, None]),
        raw(["a", b"f" * 32, 1 << 45, 0, False, None]),
        raw(["a", b"f" * 32, 5, 2, False, None]),  # a link
        raw(["a", b"f" * 32, 5, 0, 1, None]),
        raw(["a", b"f" * 32, 5, 0, False, -1]),
        raw(["a", b"f" * 32, 5, 0, False, None, "more"]),
        raw(["a", b"f" * 32, 5]),  # the same, but another way to write it
        raw(["..", b"f" * 32, 5, 0, False, None]),
        raw(["a/b", b"f" * 32, 5, 0, False, None]),
        raw(["A", b"f" * 32, 5, 0, False, None], ["a", b"f" * 32, 5, 0, False, None]),
        encode([FILE]) + b"\0",
        encode([FILE])[:-1],
        manifest.MAGIC + b"\xdd\xff\xff\xff\xff",  # four billion entries, it says
        manifest.MAGIC + b"\x91" * 5000,
        manifest.MAGIC + b"\x91\x96\xa2\xff\xfe",
    ],
)
def test_what_is_no_collection_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_every_byte_of_a_collection_counts() -> None:
    data = encode([TOOL, FILE, FOLDER])
    for at in range(len(data)):
        for bit in range(8):
            other = bytearray(data)
            other[at] ^= 1 << bit
            try:
                assert encode(decode(bytes(other))) == other
            except ProtocolError:
                continue


def test_collections_are_bounded() -> None:
    many = [Entry(f"{i:06}", bytes(32), 0) for i in range(manifest.ENTRIES_MAX + 1)]
    with pytest.raises(UsageError, match="too large"):
        encode(many)
    data = msgspec.msgpack.encode(["WNDIR", 1, many])
    with pytest.raises(ProtocolError):
        decode(data)
    assert len(decode(encode(many[:-1]))) == manifest.ENTRIES_MAX
    with pytest.raises(ProtocolError, match="not a collection"):
        decode(manifest.MAGIC + bytes(manifest.BYTES_MAX))


def test_a_name_of_ours_that_cannot_be_used_says_which() -> None:
    with pytest.raises(UsageError, match="'a:b'"):
        encode([Entry("a:b", bytes(32), 0)])
    with pytest.raises(UsageError):
        encode([Entry("\ud800", bytes(32), 0)])
