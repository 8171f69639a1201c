"""Bodies of OBJECT frames, frozen: what is made today is what was frozen, and it is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import messages
from whispurrnet.store.object import small_id
from whispurrnet.store.outline import Growing
from whispurrnet.store.packing import unpack

MAKER = Path(__file__).parents[2] / "tools" / "make_transfer_vectors.py"


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("transfer.json")


def test_what_is_made_is_what_was_frozen() -> None:
    done = subprocess.run([sys.executable, MAKER, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_messages_are_read_and_written_alike(given) -> None:
    names: set[str] = set()
    for vector in given["messages"]:
        body = bytes.fromhex(vector["body"])
        told = messages.decode(body)
        assert " ".join(type(one).__name__ for one in told) == vector["messages"]
        assert messages.encode(*told) == body
        names.update(vector["messages"].split())
    assert len(names) == 11


def test_messages_are_the_arrays_that_the_page_says(given) -> None:
    """Read without our codec: the tag, then the fields in the order of `transfer.md`."""
    tags = {}
    for vector in given["messages"]:
        body = bytes.fromhex(vector["body"])
        assert body[0] == 0
        for name, array in zip(
            vector["messages"].split(), msgspec.msgpack.decode(body[1:]), strict=True
        ):
            tags[array[0]] = name, len(array) - 1
    assert tags == {
        1: ("Request", 5),
        2: ("AskPage", 3),
        3: ("PageIs", 6),
        4: ("Have", 4),
        5: ("Lacking", 2),
        6: ("Cancel", 2),
        7: ("Refused", 3),
        8: ("AskSmall", 1),
        9: ("NotHere", 1),
        10: ("Metrics", 6),
        11: ("Access", 2),
    }


def test_frozen_pages_prove_themselves(given) -> None:
    (small, *_) = (v for v in given["messages"] if v["messages"] == "PageIs")
    (told,) = messages.decode(bytes.fromhex(small["body"]))
    assert isinstance(told, messages.PageIs)
    growing = Growing(bytes.fromhex(given["small"]["id"]))  # type: ignore[arg-type]
    growing.put(told.header, messages.page_of(told))
    growing.check(0, bytes.fromhex(given["small"]["data"]))


def test_parts(given) -> None:
    for one in given["parts"]:
        body = bytes.fromhex(one["body"])
        *where, part = messages.read_part(body)
        assert where == [one["ref"], one["index"], one["offset"], one["packed"]]
        assert part == bytes.fromhex(one["part"])
        numbers = where if one["packed"] else where[:3]
        head = b"".join(number.to_bytes(4, "big") for number in numbers)
        assert body == bytes([3 if one["packed"] else 1]) + head + part
        for end in range(1, len(body) - len(part)):
            with pytest.raises(ProtocolError):
                messages.read_part(body[:end])


def test_small(given) -> None:
    frozen = given["small"]
    ((oid, header, data),) = messages.read_small(bytes.fromhex(frozen["body"]))
    assert (oid.hex(), data.hex()) == (frozen["id"], frozen["data"])
    assert small_id(header, data) == oid


def test_packed_chunks(given) -> None:
    refused = 0
    for one in given["packed"]:
        packed = bytes.fromhex(one["packed"])
        if one["about"].startswith("refused"):
            refused += 1
            with pytest.raises(ProtocolError):
                unpack(packed, one["length"])
        else:
            assert len(unpack(packed, one["length"])) == one["length"]
    assert refused == 3
