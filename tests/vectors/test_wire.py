"""The frozen wire: what is made today is what was frozen, and what was frozen still opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from whispurrnet.base.errors import AuthError
from whispurrnet.crypto.aead import Suite
from whispurrnet.crypto.keys import Secret
from whispurrnet.direct.messages import codec
from whispurrnet.session.record import Opener
from whispurrnet.wire import frame
from whispurrnet.wire.ticket import Ticket

MAKER = Path(__file__).parents[2] / "tools" / "make_wire_vectors.py"


def test_what_is_made_is_what_was_frozen() -> None:
    done = subprocess.run([sys.executable, MAKER, "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_frames_are_read_and_joined(ours) -> None:
    vectors = ours("wire.json")["frames"]
    assert len(vectors) == 4
    for vector in vectors:
        body = bytes.fromhex(vector["body"])
        if "fragments" not in vector:
            assert frame.parse(bytes.fromhex(vector["frame"])) == [(vector["type"], body)]
            continue
        joiner = frame.Reassembler()
        joined = [
            joiner.add(frame.parse(bytes.fromhex(part))[0][1], 0.0) for part in vector["fragments"]
        ]
        assert joined[-1] == (vector["type"], body)
        assert not any(joined[:-1])


def test_direct_messages_are_read_and_written_alike(ours) -> None:
    vectors = ours("wire.json")["direct"]
    assert len(vectors) == 8
    for vector in vectors:
        body = bytes.fromhex(vector["body"])
        messages = codec().decode_all(body)
        assert len(messages) == 1, vector["name"]
        assert codec().encode_all(messages) == body


@pytest.mark.parametrize(("suite", "name"), [("ChaChaPoly", "vectors"), ("AESGCM", "vectors_aes")])
def test_records_open_in_their_place_only(ours, suite: Suite, name: str) -> None:
    given = ours("wire.json")["records"]
    keys = Secret(bytes.fromhex(given["key"])), Secret(bytes.fromhex(given["mask_key"]))
    opener = Opener(*keys, given["epoch"], suite=suite, next_key_records=given["next_key_records"])
    short = [vector for vector in given[name] if len(vector["begins"]) > 128]
    assert [vector["counter"] for vector in short] == [0, 1, 2, 3]
    late = Opener(*keys, given["epoch"], suite=suite)
    with pytest.raises(AuthError):
        late.open(bytes.fromhex(short[1]["begins"])[2:])
    for vector in short:
        record = bytes.fromhex(vector["begins"])
        assert opener.size(record[0], record[1]) == len(record) - 2
        frames = frame.parse(opener.open(record[2:]))
        length = vector["body_bytes"]
        wanted = [] if length is None else [bytes(n % 251 for n in range(length))]
        assert [body for _, body in frames] == wanted


def test_tickets_are_read_and_written_alike(ours) -> None:
    vectors = ours("wire.json")["tickets"]
    assert len(vectors) == 2
    for vector in vectors:
        ticket = Ticket.parse(vector["text"])
        assert ticket.text == vector["text"]
        assert ticket.static_key.hex() == vector["static_key"]
        assert list(ticket.addresses) == vector["addresses"]
        assert (ticket.psk.hex() if ticket.psk else None) == vector["psk"]
