"""Frozen signalling: messages and bindings are what they were, and what was refused still is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.hash import sha256
from whispurrnet.nat import signal_messages as messages
from whispurrnet.session.payload import BINDING_BYTES, WEBRTC_BINDING
from whispurrnet.transport.webrtc import binding_of
from whispurrnet.transport.webrtc_sdp import fingerprint
from whispurrnet.wire import frame

MAKER = Path(__file__).parents[2] / "tools" / "make_signal_vectors.py"


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("signal.json")


def test_what_is_made_is_what_was_frozen() -> None:
    subprocess.run([sys.executable, str(MAKER), "--check"], check=True, timeout=60)


def test_messages_are_read_and_written_alike(given) -> None:
    assert given["type"] == frame.SIGNAL
    assert {vector["name"] for vector in given["messages"]} == {
        kind.__name__ for kind in messages.Message.__args__
    }
    for vector in given["messages"]:
        body = bytes.fromhex(vector["body"])
        message = messages.decode(body)
        assert type(message).__name__ == vector["name"]
        assert msgspec.structs.asdict(message) == vector["fields"]
        assert messages.encode(message) == body


def test_what_is_later_is_passed_over_and_what_is_malformed_refused(given) -> None:
    assert len(given["later"]) == 2
    for body in given["later"]:
        assert messages.decode(bytes.fromhex(body)) is None
    assert len(given["malformed"]) == 15
    for vector in given["malformed"]:
        with pytest.raises(ProtocolError):
            messages.decode(bytes.fromhex(vector["body"]))


def test_a_link_is_bound_to_both_descriptions(given) -> None:
    bound, said = given["bound"], given["messages"]
    offer, answer = (fingerprint(vector["fields"]["sdp"]) for vector in said[:2])
    assert (offer.hex(), answer.hex()) == (bound["offerer"], bound["answerer"])
    binding = bytes.fromhex(bound["binding"])
    assert binding_of(offer, answer) == binding
    assert binding_of(answer, offer).hex() == bound["the other way round"] != bound["binding"]
    assert len(binding) == BINDING_BYTES
    assert binding[0] == WEBRTC_BINDING
    assert binding[1:] == sha256(bytes.fromhex(bound["label"]) + offer + answer)
