"""Sets in step, frozen: what is made today is what was frozen, and what was frozen is read."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.sync_messages import SyncMessage
from whispurrnet.wire.codec import Codec
from whispurrnet.wire.items import Items
from whispurrnet.wire.reconcile import Reconciler

MAKER = Path(__file__).parents[2] / "tools" / "make_sync_vectors.py"


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("sync.json")


def test_what_is_made_is_what_was_frozen() -> None:
    done = subprocess.run([sys.executable, MAKER, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_proofs(given) -> None:
    for one in given["proofs"]:
        parts = bytes.fromhex(one["handshake"]) + bytes([one["initiator"]])
        said = b"WN1 object access" + parts + bytes.fromhex(one["root"])
        assert hmac.digest(bytes.fromhex(one["cap"]), said, "sha256").hex() == one["proof"]


def test_messages_are_read_and_written_alike(given) -> None:
    codec: Codec[SyncMessage] = Codec(SyncMessage)
    names = set()
    for vector in given["messages"]:
        body = bytes.fromhex(vector["body"])
        (message,) = codec.decode_all(body)
        assert type(message).__name__ == vector["name"]
        assert codec.encode_all([message]) == body
        names.add(vector["name"])
    assert len(names) == 9 and not codec.unknown


def item(n: int) -> tuple[int, bytes]:
    return 1_700_000_000 + 60 * (n % 100), hashlib.sha256(b"whispurrnet sync vector%d" % n).digest()


def test_comparisons_go_as_they_went(given) -> None:
    for vector in given["comparisons"]:
        asker = Reconciler(Items(map(item, range(410))), vector["frame_max"])
        others = [item(n) for n in (*range(400), *range(410, 415))]
        asked = Reconciler(Items(others), vector["frame_max"])
        query: bytes | None = asker.initiate()
        found: list[set[bytes]] = [set(), set()]
        for frame in vector["frames"]:
            assert query == bytes.fromhex(frame["query"])
            answer = bytes.fromhex(frame["answer"])
            assert asked.answer(query) == answer
            query, have, need = asker.continue_(answer)
            assert [id.hex() for id in have] == frame["have"]
            assert [id.hex() for id in need] == frame["need"]
            found[0] |= set(have)
            found[1] |= set(need)
        assert query is None
        assert found[0] == {item(n)[1] for n in range(400, 410)}
        assert found[1] == {item(n)[1] for n in range(410, 415)}


def test_no_flipped_byte_of_a_frame_breaks_a_side(given) -> None:
    """It is refused, or it leads to other ids; nothing else happens."""
    items = Items(map(item, range(410)))
    frame = given["comparisons"][0]["frames"][0]
    query, answer = bytes.fromhex(frame["query"]), bytes.fromhex(frame["answer"])
    asker = Reconciler(items, 4096, rounds_max=10**6)
    asker.initiate()
    refused = 0
    for at in range(len(query)):
        flipped = query[:at] + bytes([query[at] ^ 0x55]) + query[at + 1 :]
        try:
            assert len(Reconciler(items, 4096).answer(flipped)) <= 4096
        except ProtocolError:
            refused += 1
    for at in range(0, len(answer), 3):
        flipped = answer[:at] + bytes([answer[at] ^ 0x55]) + answer[at + 1 :]
        one = Reconciler(items, 4096)
        one.initiate()
        try:
            _, have, need = one.continue_(flipped)
            assert len(have) <= 410 and len(need) <= 2047
        except ProtocolError:
            refused += 1
            assert not one.complete
    assert refused > 10
