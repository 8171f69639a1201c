"""Frozen relays: frames, addresses and links are what they were, and what was refused still is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import relay_messages as messages
from whispurrnet.nat.relay import Relay
from whispurrnet.nat.relay_events import Allowance, Arrived, Config, Joined, Send, Splice, Up
from whispurrnet.wire import address, frame

MAKER = Path(__file__).parents[2] / "tools" / "make_relay_vectors.py"


@pytest.fixture
def given(ours) -> dict[str, Any]:
    return ours("relay.json")


def test_what_is_made_is_what_was_frozen() -> None:
    subprocess.run([sys.executable, str(MAKER), "--check"], check=True, timeout=60)


def test_messages_are_read_and_written_alike(given) -> None:
    assert given["type"] == frame.RELAY
    assert {vector["name"] for vector in given["messages"]} == {
        kind.__name__ for kind in messages.Message.__args__
    }
    every = []
    for vector in given["messages"]:
        body = bytes.fromhex(vector["body"])
        (message,) = messages.decode(body)
        assert type(message).__name__ == vector["name"]
        said = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in msgspec.structs.asdict(message).items()
        }
        assert said == vector["fields"]
        assert messages.encode(message) == body
        every.append(message)
    assert messages.encode(*every).hex() == given["together"]


def test_what_is_later_is_passed_over_and_what_is_malformed_refused(given) -> None:
    for vector in given["later"]:
        read = messages.decode(bytes.fromhex(vector["body"]))
        assert messages.encode(*read).hex() == vector["as"]
    assert len(given["malformed"]) == 9
    for vector in given["malformed"]:
        with pytest.raises(ProtocolError):
            messages.decode(bytes.fromhex(vector["body"]))


def test_addresses_through_a_relay(given) -> None:
    frozen = given["addresses"]
    assert len(frozen["good"]) == 7
    for vector in frozen["good"]:
        parsed = address.parse(vector["text"])
        assert str(parsed) == vector["text"]
        assert parsed.is_relayed
        assert {**msgspec.structs.asdict(parsed), "base": str(parsed.base)} == {
            name: value for name, value in vector.items() if name != "text"
        }
        base = address.parse(vector["base"])
        again = base.through(bytes.fromhex(vector["relay"]), bytes.fromhex(vector["peer_id"]))
        assert again == parsed
    for vector in frozen["written"]:
        assert str(address.parse(vector["as"])) == vector["text"]
    assert len(frozen["bad"]) == 8
    for text in frozen["bad"]:
        with pytest.raises(UsageError):
            address.parse(text)


def test_a_circuit_comes_about_step_by_step(given) -> None:
    tokens = map(bytes.fromhex, given["tokens"])
    config = Config(
        on=True,
        expires_s=3600,
        circuit=Allowance(bytes_per_s=1_000_000),
        token_s=given["token_s"],
    )
    assert config.token_s == Config().token_s
    core = Relay(config, entropy=lambda n: next(tokens)[:n])
    names = dict(enumerate(given["ids"], 1))
    for number, name in names.items():
        core.handle(Up(number, bytes.fromhex(given["ids"][name]), ""), 0.0)

    def show(effect: object) -> list[dict[str, Any]]:
        match effect:
            case Send(peer, messages.Refused(nonce, code)):
                return [{"to": names[peer], "nonce": nonce, "code": code}]
            case Send(peer, message):
                return [{"to": names[peer], "body": messages.encode(message).hex()}]
            case Splice(_, caller, target, _):
                return [{"to": link, "bytes": given["ready"]} for link in (caller, target)]
        raise AssertionError(effect)

    assert bytes.fromhex(given["ready"]) == messages.READY
    kinds = set()
    for step in given["circuit"]:
        at_s = step["at_s"]
        if "who" in step:
            (message,) = messages.decode(bytes.fromhex(step["body"]))
            number = list(given["ids"]).index(step["who"]) + 1
            effects = core.handle(Arrived(number, message), at_s)
            assert [shown for effect in effects for shown in show(effect)] == step["then"]
            continue
        kinds.add(step["is"])
        first = bytes.fromhex(step["begins"])
        core.handle(Tick(), at_s)
        assert core.expects(first[: messages.TOKEN_BYTES]) == (step["is"] != "no token")
        assert (len(first) > messages.TOKEN_BYTES) == (step["is"] == "closed")
        if step["is"] == "token":
            effects = core.handle(Joined(step["link"], first), at_s)
            assert [shown for effect in effects for shown in show(effect)] == step["then"]
    assert kinds == {"unfinished", "token", "no token", "closed"}
