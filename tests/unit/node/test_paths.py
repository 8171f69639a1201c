"""How paths are called, and what attempts are in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.nat.punch import Attempt
from whispurrnet.node.attempts import OPEN_PORT, SERVERS, outlook
from whispurrnet.node.paths import path_of, shown_path
from whispurrnet.node.sections import NatSettings
from whispurrnet.stack import greeting
from whispurrnet.wire.address import Address

KEY = b"\xab" * 32
BASE = "/ip4/192.0.2.9/tcp/8765"
RELAYED = f"{BASE}/relay/{KEY.hex()}/p2p/{'cd' * 32}"
NO_ANSWER = "cannot reach /ip4/192.0.2.1/tcp/1: no answer within 3 s; check the firewall"


def node(*attempts: Attempt, nat: NatSettings | None = None, next_at: float | None = None) -> Any:
    paths = SimpleNamespace(
        attempts=lambda peer: attempts, tries=lambda peer: None, next_at=lambda peer: next_at
    )
    return SimpleNamespace(
        known_peers=(),
        settings=SimpleNamespace(nat=nat or NatSettings(webrtc="off"), enable_stealth=False),
        stack=SimpleNamespace(paths=paths),
        now=lambda: 100.0,
    )


def peer(path: str = "relay", capabilities: int = 0) -> Any:
    live = SimpleNamespace(path=path, address=RELAYED)
    return SimpleNamespace(
        handle=1, record=SimpleNamespace(live=live, capabilities=capabilities), name="bob"
    )


def direct(ok: bool = False, at: float = 90.0) -> Attempt:
    reason = "" if ok else NO_ANSWER
    return Attempt("direct", "/ip4/192.0.2.1/tcp/1", ok, reason, 3.0, at)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/ip4/192.0.2.7/udp/5/webrtc", "direct webrtc"),
        ("/webrtc", "direct webrtc"),
        ("/ip4/192.0.2.20/udp/50001/turn", "turn (via 192.0.2.20)"),
        ("/turn", "turn"),
        ("/webrtc-or-turn", "webrtc or turn"),
    ],
)
def test_what_carries_a_webrtc_link_is_said(address: str, shown: str) -> None:
    live: Any = SimpleNamespace(path="webrtc", address=address)
    assert path_of(node(), live) == shown


def test_paths_for_people() -> None:
    assert shown_path("tcp") == "direct tcp"
    assert shown_path("webrtc") == "direct webrtc"
    assert shown_path("relay") == "relay"
    assert shown_path("relay", "calm-finch-12") == "relay (via calm-finch-12)"
    here = node()
    assert path_of(here, None) == "none"
    assert path_of(here, peer("wss").record.live) == "direct wss"
    assert path_of(here, peer().record.live) == f"relay (via {BASE})"
    record = SimpleNamespace(static_key=KEY, addresses=())
    here.known_peers = (SimpleNamespace(record=record, name="calm-finch-12"),)
    assert path_of(here, peer().record.live) == "relay (via calm-finch-12)"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (Address("ip4", "192.0.2.9", 5000, "turn"), "turn (via 192.0.2.9)"),
        (Address("webrtc", "", 0, "turn"), "turn"),
        (Address("webrtc", "", 0, "webrtc-or-turn"), "webrtc or turn"),
        (Address("ip4", "192.0.2.10", 5000, "webrtc"), "direct webrtc"),
    ],
)
def test_a_link_through_a_turn_server_says_so(address: Address, shown: str) -> None:
    live: Any = SimpleNamespace(path="webrtc", address=str(address))
    assert path_of(node(), live) == shown


def test_a_relayed_peer_is_explained() -> None:
    found = outlook(node(direct(), direct(at=95.0), next_at=140.0), peer())
    assert found.reason == "direct: cannot reach /ip4/192.0.2.1/tcp/1: no answer within 3 s"
    assert found.place == "the network"
    assert len(found.attempts) == 2
    assert found.attempts[0].ago_s == 10.0
    assert found.facts[0].startswith("tried 10 s ago: direct /ip4/192.0.2.1/tcp/1: cannot reach")
    assert "(after 3.0 s; at fault: the network)" in found.facts[0]
    assert found.facts[-1] == "a better path is tried again in 40 s"
    assert found.cures[0] == OPEN_PORT


def test_what_lacks_for_webrtc_is_said() -> None:
    found = outlook(node(), peer())
    assert found.reason == "not tried yet"
    assert any(one.startswith("no WebRTC here: ") for one in found.facts)
    assert found.facts[-1].startswith("no better path can be tried")
    off = outlook(node(nat=NatSettings(webrtc="off", upgrade=False)), peer())
    assert off.reason == "by setting"
    assert off.cures[0] == "set nat.upgrade = true"
    assert off.facts[-1] == "no better path is tried: nat.upgrade is false here"


def test_webrtc_that_failed_without_servers_has_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.node.attempts.webrtc_of", lambda nat, stealth: (True, ""))
    failed = Attempt("webrtc", "", False, "no path to the peer's addresses", 9.0, 80.0)
    here = node(direct(), failed)
    assert any("install it there" in cure for cure in outlook(here, peer()).cures)
    assert SERVERS in outlook(here, peer(capabilities=greeting.WEBRTC)).cures


def test_a_directly_reached_peer_needs_no_cure_and_keeps_its_history() -> None:
    found = outlook(node(direct(), direct(ok=True, at=97.0)), peer("tcp"))
    assert found.reason == ""
    assert found.cures == ()
    assert found.facts[-1] == ("tried 3 s ago: direct /ip4/192.0.2.1/tcp/1: it worked, after 3.0 s")
