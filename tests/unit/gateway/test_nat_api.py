"""What the REST API says of NATs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.conftest import FakeNode

from whispurrnet.gateway.nat_api import NatApi, ProbeAsk, ReachAsk
from whispurrnet.gateway.route import Call


class Api(NatApi):
    def __init__(self) -> None:
        self._node = FakeNode()  # type: ignore[assignment]


def call(body: Any = None) -> Call:
    return Call(body, {})


def test_before_anybody_was_asked() -> None:
    answer = asyncio.run(Api().nat(call()))
    assert (answer.report, answer.meaning, answer.reachable) == (None, "Nobody was asked yet.", "")
    assert answer.servers == ("stun:192.0.2.1:3478",)
    assert (answer.attempts, answer.successes) == (3, 2)


def test_asking_says_what_it_means() -> None:
    api = Api()
    answer = asyncio.run(api.nat_probe(call(ProbeAsk(servers=("stun:192.0.2.9",)))))
    assert api._node.nat.asked == [("stun:192.0.2.9",)]  # type: ignore[attr-defined]
    assert answer.report is not None
    assert answer.meaning.startswith("A symmetric NAT")
    assert "TURN" in answer.reachable
    assert asyncio.run(api.nat(call())) == answer


def test_what_was_tried() -> None:
    answer = asyncio.run(Api().nat_reach(call(ReachAsk(peer="calm-finch-12", method="turn"))))
    assert (answer.ok, answer.method) == (False, "turn")
    assert [one.method for one in answer.attempts] == ["relay"]


@pytest.mark.parametrize(
    "body", [b'{"peer": "x", "method": "magic"}', b'{"peer": "x", "timeout_s": 0}', b"{}"]
)
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=ReachAsk)


def test_servers_are_bounded() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"servers": ["stun:a"] * 9}, ProbeAsk)
