from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from whispurrnet.base.errors import (
    AuthError,
    HostError,
    LimitError,
    NetworkError,
    ProtocolError,
    WhispurrError,
)
from whispurrnet.node.settings import Settings
from whispurrnet.testing.virtual_loop import run
from whispurrnet.wire.ticket import Ticket

API = "/api/whispurrnet"
PEER = "calm-finch-12"


def exchange(calling: Any, *requests: tuple[str, str, Any], **how: Any) -> list[Any]:
    async def call() -> list[Any]:
        async with calling(**how) as http:
            return [
                await http.request(method, API + path, json=body)
                if body is not None
                else await http.request(method, API + path)
                for method, path, body in requests
            ]

    return run(call())


def one(calling: Any, method: str, path: str, body: Any = None, **how: Any) -> Any:
    return exchange(calling, (method, path, body), **how)[0]


def test_the_routes_of_the_sources(calling: Any, node: Any) -> None:
    body = {"intent": "test_message", "payload": {"test": True, "timestamp": 1640995200000}}
    sent, status, debug = exchange(
        calling, ("POST", "/resonance", body), ("GET", "/status", None), ("GET", "/debug", None)
    )
    assert sent.json() == {"id": "ee" * 16, "neighbours": 0, "state": "queued"}
    ((intent, payload, options),) = node.resonances
    assert (intent, payload) == ("test_message", b'{"test":true,"timestamp":1640995200000}')
    assert options == {
        "strength": 1.0,
        "priority": 5,
        "key": None,
        "signed": False,
        "one_of": False,
        "ttl_s": None,
    }
    assert status.json()["verdict"] == "up, 1 peer"
    assert debug.json() == {"version": "0.1.0", "sessions": []}


def test_whisper(calling: Any, node: Any) -> None:
    ask = {"peer": PEER, "text": "héllo", "wait_s": 1, "priority": 9, "ttl_s": 5}
    sent, again = exchange(calling, ("POST", "/whisper", ask), ("GET", "/whisper/1", None))
    assert sent.json() == again.json() == {"id": 1, "peer": PEER, "state": "received"}
    _, body, options = node.whispers[0]
    assert body == "héllo".encode()
    assert options == {"kind": "WHISPER", "priority": 9, "ttl_s": 5}


def test_whisper_waits_no_longer_than_asked(calling: Any, node: Any) -> None:
    node.receipt_state = "queued"
    answer = one(calling, "POST", "/whisper", {"peer": PEER, "text": "x", "wait_s": 60})
    assert answer.json()["state"] == "queued"
    node.receipt_state = "expired"
    answer = one(calling, "POST", "/whisper", {"peer": PEER, "text": "x", "wait_s": 60})
    assert answer.json()["state"] == "expired"


def test_whisper_bytes(calling: Any, node: Any) -> None:
    body = base64.b64encode(b"\xff\x00").decode()
    assert one(calling, "POST", "/whisper", {"peer": PEER, "body_base64": body}).status_code == 200
    assert node.whispers[0][1] == b"\xff\x00"


@pytest.mark.parametrize(
    ("path", "body", "cause"),
    [
        ("/whisper", {"peer": PEER}, "Exactly one"),
        ("/whisper", {"peer": PEER, "text": "a", "body_base64": "YQ=="}, "Exactly one"),
        ("/whisper", {"peer": PEER, "body_base64": "%"}, "not base64"),
        ("/whisper", {"peer": "nobody", "text": "a"}, "no peer is called 'nobody'"),
        ("/whisper", {"peer": PEER, "text": "a", "priority": 11}, "$.priority"),
        ("/whisper", {"peer": PEER, "text": "a", "colour": 1}, "unknown field `colour`"),
        ("/resonance", {"intent": "x"}, "missing required field `payload`"),
        ("/resonance", {"intent": "x", "payload": []}, "$.payload"),
        ("/resonance", {"intent": "", "payload": {}}, "$.intent"),
        ("/resonance", {"intent": "x", "payload": {}, "strength": 2}, "$.strength"),
        ("/resonance", [], "Expected `object`"),
        ("/resonance", {"intent": "x", "payload": {}, "topic_key": "moon"}, "$.topic_key"),
        ("/resonance", {"intent": "x", "payload": {}, "ttl_s": 301}, "$.ttl_s"),
        ("/broadcast", {}, "Exactly one"),
        ("/emergency", {"text": "a", "body_base64": "YQ=="}, "Exactly one"),
        ("/listen", {"intent": "x", "threshold": 0}, "$.threshold"),
    ],
)
def test_wrong_requests_say_what_is_wrong(calling: Any, path: str, body: Any, cause: str) -> None:
    answer = one(calling, "POST", path, body)
    assert answer.status_code == 400
    assert cause in answer.json()["cause"]
    assert answer.json()["cure"]


def test_what_is_not_json(calling: Any) -> None:
    async def call() -> None:
        async with calling() as http:
            json = {"content-type": "application/json"}
            for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"intent":"\\ud800"}'):
                answer = await http.post(f"{API}/resonance", content=body, headers=json)
                assert answer.status_code == 400, body[:10]
            answer = await http.post(f"{API}/resonance", content=b"{}")
            assert answer.status_code == 415
            answer = await http.get(f"{API}/status?colour=blue")
            assert "Unknown parameter `colour`" in answer.json()["cause"]
            answer = await http.get(f"{API}/messages?after=-1")
            assert answer.status_code == 400

    run(call())


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NetworkError("nobody answered; is it running?"), 504, "unreachable"),
        (AuthError("somebody else answered"), 502, "not_authentic"),
        (ProtocolError("it spoke nonsense"), 502, "not_authentic"),
        (LimitError("too many; later"), 429, "limit"),
        (HostError("no socket"), 503, "host"),
        (WhispurrError("hm"), 503, "host"),
    ],
)
def test_errors_become_answers(
    calling: Any, node: Any, error: Exception, status: int, kind: str
) -> None:
    node.fault = error
    answer = one(calling, "POST", "/connect", {"ticket": "WN1-X"})
    assert answer.status_code == status
    assert answer.json()["kind"] == kind
    assert answer.json()["cause"] == str(error).partition("; ")[0]
    assert answer.json()["cure"]


def test_a_bug_is_told_without_a_trace(calling: Any, node: Any) -> None:
    node.fault = ZeroDivisionError("secret detail")
    answer = one(calling, "GET", "/status", raising=False)
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_connect_and_join(calling: Any, node: Any) -> None:
    first, second = exchange(
        calling,
        ("POST", "/connect", {"ticket": "WN1-A", "timeout_s": 3}),
        ("POST", "/join", {"ticket": "WN1-B"}),
    )
    assert first.json()["name"] == second.json()["name"] == PEER
    assert node.connected == [("WN1-A", 3.0), ("WN1-B", None)]


def test_a_resonance_takes_no_longer_than_its_timeout(calling: Any, node: Any) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.sleep(3600)

    node.resonate = never
    settings = Settings().replace(resonance_timeout=2)
    answer = one(calling, "POST", "/resonance", {"intent": "x", "payload": {}}, settings=settings)
    assert answer.status_code == 504
    assert "in 2 s" in answer.json()["cause"]
    assert "resonance_timeout" in answer.json()["cure"]


def test_what_is_for_everyone(calling: Any, node: Any) -> None:
    node.near = 3
    text = {"text": "storm", "signed": True, "ttl_s": 30}
    told, alarm = exchange(
        calling,
        ("POST", "/broadcast", text),
        ("POST", "/emergency", {"body_base64": base64.b64encode(b"\xff").decode()}),
    )
    assert told.json() == alarm.json() == {"id": "ee" * 16, "neighbours": 3, "state": "sent"}
    assert node.spread == [
        ("broadcast", b"storm", {"signed": True, "ttl_s": 30.0}),
        ("emergency", b"\xff", {"signed": False, "ttl_s": None}),
    ]


def test_private_topics(calling: Any, node: Any) -> None:
    """The key goes in; what comes out stands for it and tells nothing of it."""
    key = "5A" * 32

    async def call() -> None:
        async with calling() as http:
            body = {"intent": "moon", "payload": {}, "topic_key": key}
            await http.post(f"{API}/resonance", json=body)
            assert node.resonances[0][2]["key"] == b"Z" * 32
            listened = await http.post(f"{API}/listen", json={"intent": "moon"})
            assert listened.json()["key_id"] == ""
            ask = {"intent": "moon", "topic_key": key, "threshold": 0.9}
            listened = await http.post(f"{API}/listen", json=ask)
            assert listened.json()["listening"] == listened.json()["private"] == ["moon"]
            assert node.keys == [None, b"Z" * 32]
            by = listened.json()["key_id"]
            assert len(by) == 8
            node.arrive(b"{}", "moon")
            rows = (await http.get(f"{API}/messages?after=0&wait_s=5")).json()["messages"]
            assert {row["key_id"] for row in rows} <= {"", by}
            answer = await http.request("DELETE", f"{API}/listen", json=ask)
            assert (answer.json()["listening"], answer.json()["private"]) == (["moon"], [])
            assert key.lower() not in answer.text

    run(call())


def test_somebody_unknown_speaks(calling: Any, node: Any) -> None:
    async def call() -> None:
        async with calling() as http:
            node.arrive(b"psst", sender=None, id="ab" * 16)
            node.arrive(b"me", sender=None, author="cd" * 32)
            first, second = (await http.get(f"{API}/messages?wait_s=5")).json()["messages"]
            assert (first["sender"], first["sender_id"], first["author"]) == ("somebody", "", "")
            assert first["id"] == "ab" * 16
            assert second["sender"] not in {"somebody", ""}
            assert second["author"] == "cd" * 32
            assert (await http.post(f"{API}/messages/1/read")).status_code == 200

    run(call())


def test_neighbours(calling: Any) -> None:
    (row,) = one(calling, "GET", "/neighbours").json()
    assert (row["name"], row["outbound"], row["score"], row["since_s"]) == (PEER, True, 0.25, 3.2)


def test_why(calling: Any, asked: list[Any]) -> None:
    by_path, by_query, nobody = exchange(
        calling,
        ("GET", f"/peers/{PEER}/why", None),
        ("GET", "/why?peer=%2Fip4%2F192.0.2.7%2Ftcp%2F9", None),
        ("GET", "/why", None),
    )
    assert by_path.json()["place"] == "the peer"
    assert by_query.json()["cures"] == ["call it again"]
    assert asked == [("why", PEER), ("why", "/ip4/192.0.2.7/tcp/9")]
    assert nobody.status_code == 400
    assert "`peer` is missing" in nobody.json()["cause"]


def test_discover(calling: Any, asked: list[Any]) -> None:
    found, _, wrong = exchange(
        calling,
        ("GET", "/discover?method=mdns&count=5&timeout_s=0.5", None),
        ("GET", "/discover", None),
        ("GET", "/discover?method=kademlia", None),
    )
    assert found.json()[0]["sources"] == ["mdns"]
    assert asked == [("discover", "mdns", 5, 0.5), ("discover", "all", 20, 6.0)]
    assert wrong.status_code == 400


def test_tickets(calling: Any, node: Any) -> None:
    ticket, invite = exchange(calling, ("GET", "/ticket", None), ("POST", "/invite", None))
    text = node.ticket.text
    assert ticket.json() == {
        "ticket": text,
        "uri": f"whispurr:{text}",
        "single_use": False,
        "command": f"whispurr join {text}",
    }
    assert invite.json()["single_use"]
    assert invite.json()["ticket"] not in invite.json()["command"]


def test_identity_and_rotation(calling: Any, node: Any) -> None:
    before, after = exchange(calling, ("GET", "/identity", None), ("POST", "/rotate", None))
    assert before.json()["name"] == after.json()["name"] == "quiet-heron-41"
    assert node.rotations == 1


def test_peers_and_ping(calling: Any, node: Any) -> None:
    peers, peer, unknown, ping = exchange(
        calling,
        ("GET", "/peers", None),
        ("GET", f"/peers/{PEER}", None),
        ("GET", "/peers/nobody", None),
        ("POST", "/ping", {"peer": PEER}),
    )
    assert peers.json()[0] == peer.json()
    assert unknown.status_code == 400
    assert ping.json() == {"peer": PEER, "path": "direct tcp", "rtt_ms": 2.0}
    node.known_peers[0].answers = False
    assert one(calling, "POST", "/ping", {"peer": PEER}).status_code == 504


def test_trust(calling: Any, node: Any) -> None:
    listed, refused = exchange(
        calling, ("GET", "/trust", None), ("POST", "/trust/verify", {"peer": PEER})
    )
    assert listed.json()[0]["safety_number"] == ""
    assert refused.status_code == 400
    node.known_peers[0].persona = "ee" * 32
    verified, revoked = exchange(
        calling,
        ("POST", "/trust/verify", {"peer": PEER}),
        ("POST", "/trust/revoke", {"peer": PEER}),
    )
    assert (verified.json()["trust"], revoked.json()["trust"]) == ("verified", "revoked")
    assert verified.json()["safety_number"]


def test_config_hides_secrets(calling: Any) -> None:
    settings = Settings().replace(network_secret="moon-milk-and-more")
    answer = one(calling, "GET", "/config", settings=settings)
    rows = {row["path"]: row for row in answer.json()}
    assert rows["network_secret"]["value"] == "<set>"
    assert rows["port"] == {
        "path": "port",
        "value": 8765,
        "origin": "default",
        "env": "WHISPURRNET_PORT",
    }
    assert "moon" not in answer.text


def test_doctor_and_stats(calling: Any) -> None:
    doctor, stats = exchange(calling, ("GET", "/doctor", None), ("GET", "/stats", None))
    assert doctor.json()["ok"]
    assert stats.json() == {"connectedPeers": 1}
    stealthy = Settings().replace(enable_stealth=True)
    answer = one(calling, "GET", "/doctor", settings=stealthy).json()
    assert not answer["ok"]
    assert all(check["cure"] for check in answer["checks"] if check["state"] == "problem")


def test_messages_arrive_and_are_read(calling: Any, node: Any) -> None:
    async def call() -> None:
        async with calling() as http:
            empty = await http.get(f"{API}/messages?after=0&wait_s=5")
            assert empty.json() == {"last": 0, "messages": []}
            waiting = asyncio.ensure_future(http.get(f"{API}/messages?after=0&wait_s=60"))
            await asyncio.sleep(1)
            node.arrive(b"hello")
            first = (await waiting).json()
            assert first["last"] == 1
            assert first["messages"][0]["text"] == "hello"
            node.arrive(b"\xff")
            await asyncio.sleep(1)
            second = (await http.get(f"{API}/messages?after=1")).json()["messages"]
            assert [(row["number"], row["text"]) for row in second] == [(2, None)]
            assert (await http.post(f"{API}/messages/1/read")).json() == {"number": 1}
            assert len(node.known_peers[0].marked) == 1
            assert (await http.post(f"{API}/messages/9/read")).status_code == 404

    run(call())


def test_listen(calling: Any, node: Any) -> None:
    async def call() -> None:
        async with calling() as http:
            for intent in ("Moon", "moon"):
                answer = await http.post(f"{API}/listen", json={"intent": intent})
            known = answer.json()["listening"]
            assert len(known) == 1
            assert len(node.topics[known[0]]) == 1
            node.arrive(b"{}", known[0])
            rows = (await http.get(f"{API}/messages?after=0&wait_s=5")).json()["messages"]
            assert rows[0]["topic"] == known[0]
            answer = await http.request("DELETE", f"{API}/listen", json={"intent": "moon"})
            assert answer.json()["listening"] == []
            assert node.topics[known[0]] == []

    run(call())


def test_only_so_many_intents(calling: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.gateway.live.INTENTS_MAX", 1)
    first, second = exchange(
        calling, ("POST", "/listen", {"intent": "a"}), ("POST", "/listen", {"intent": "b"})
    )
    assert (first.status_code, second.status_code) == (200, 429)


def test_the_ring_is_bounded(calling: Any, node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.gateway.live.BYTES_MAX", 10)

    async def call() -> None:
        async with calling() as http:
            for _ in range(3):
                node.arrive(b"12345")
            await asyncio.sleep(1)
            answer = (await http.get(f"{API}/messages")).json()
            assert answer["last"] == 3
            assert [row["number"] for row in answer["messages"]] == [2, 3]

    run(call())


def test_paths_that_are_not_there(calling: Any) -> None:
    missing, wrong = exchange(calling, ("GET", "/nothing", None), ("GET", "/resonance", None))
    assert missing.status_code == 404
    assert wrong.status_code == 405
    assert set(missing.json()) == {"error", "cause", "cure", "kind"}


def test_names(calling: Any, node: Any) -> None:
    ask = {"name": "our garden"}
    before, registered, again, withdrawn = exchange(
        calling,
        ("GET", "/names", None),
        ("POST", "/names", ask),
        ("GET", "/names", None),
        ("DELETE", "/names", ask),
    )
    assert before.json() == withdrawn.json() == {"names": [], "places": 2}
    assert registered.json() == again.json() == {"names": ["our garden"], "places": 2}
    assert one(calling, "POST", "/names", {"name": ""}).status_code == 400


def test_who_is_found_under_a_name(calling: Any, node: Any) -> None:
    tickets = [
        Ticket(static_key=bytes((n,)) * 32, addresses=("/ip4/192.0.2.7/tcp/9000",), expires_s=77)
        for n in (1, 1, 2, 3)
    ]
    node.under["our garden"] = tuple(tickets)
    ask = {"name": "our garden", "count": 2, "timeout_s": 5}
    found = one(calling, "POST", "/names/find", ask).json()
    assert found["places"] == 2
    assert [row["key"] for row in found["found"]] == ["01" * 32, "02" * 32]
    assert found["found"][0]["ticket"] == tickets[0].text
    assert found["found"][0]["expires_s"] == 77
    nobody = one(calling, "POST", "/names/find", {"name": "their garden"})
    assert nobody.json() == {"found": [], "places": 2}


def test_a_search_takes_no_longer_than_asked(calling: Any, node: Any) -> None:
    node.ends = False
    node.under["our garden"] = (Ticket(static_key=b"k" * 32, addresses=("/memory/a",)),)
    found = one(calling, "POST", "/names/find", {"name": "our garden", "timeout_s": 3})
    assert len(found.json()["found"]) == 1
    assert one(calling, "POST", "/names/find", {"name": "x", "timeout_s": 61}).status_code == 400


def test_presence(calling: Any, node: Any) -> None:
    ask = {"state": "busy", "note": "digging"}
    before, told, after, wrong, long = exchange(
        calling,
        ("GET", "/presence", None),
        ("POST", "/presence", ask),
        ("GET", "/presence", None),
        ("POST", "/presence", {"state": "dead"}),
        ("POST", "/presence", {"state": "busy", "note": "x" * 121}),
    )
    assert before.json() == {"state": "online", "note": ""}
    assert told.json() == after.json() == ask
    assert (wrong.status_code, long.status_code) == (400, 400)
