from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cli.test_talk import until

from whispurrnet.cli import spread


def test_resonate(ada: Any, pair: Any) -> None:
    topic = pair.call(lambda: pair.bob.join("moon"))
    until(lambda: bool(pair.call(pair.ada.neighbours)))
    answer = ada("resonate", "Moon", '{"a": 1}', "--output", "json").json
    assert (answer["neighbours"], answer["state"], len(answer["id"])) == (1, "sent", 32)
    message = pair.call(topic.__anext__)
    assert message.body == b'{"a":1}'
    assert (message.sender, message.sender_name, message.id) == (None, "somebody", answer["id"])
    assert ada("resonate", "moon", "just text").out == "→ sent into the mesh (1 neighbour)\n"
    assert pair.call(topic.__anext__).body == b'{"value":"just text"}'
    assert ada("resonate", "moon", "--signed", "--strength", "0.9", stdin=b'{"b": 2}').code == 0
    message = pair.call(topic.__anext__)
    assert message.body == b'{"b":2}'
    assert message.sender_name == pair.call(lambda: pair.bob.known_peers[0].name)
    assert ada("resonate", "moon", "who?", "--one-of").code == 0
    assert pair.call(topic.__anext__).body == b'{"value":"who?"}'
    pair.call(topic.close)


def test_everyone_hears(ada: Any, pair: Any) -> None:
    assert ada("broadcast", "good evening").code == 0
    assert ada("emergency", stdin=b"\xff\x01").code == 0
    until(lambda: {b"good evening", b"\xff\x01"} <= set(pair.heard))


def test_a_strength_that_cannot_be(ada: Any) -> None:
    ran = ada("resonate", "moon", "{}", "--strength", "2")
    assert ran.code == 2
    assert "$.strength" in ran.err


def test_without_a_neighbour_it_waits(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def post(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {"id": "ab" * 16, "neighbours": 0, "state": "queued"}

    monkeypatch.setattr(spread, "find", Client)
    ran = run("broadcast", "hello")
    assert ran.code == 4
    assert ran.out == "… queued: this node has no neighbour yet\n"
