"""The gateway on real sockets: who may call, peers on `/ws`, and any request at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.generation import GenerationMode
from tests.interop.served import Served
from websockets.asyncio.client import connect

import whispurrnet
from whispurrnet.gateway.server import Gateway
from whispurrnet.lan.multicast import local_addresses
from whispurrnet.wire.ticket import Ticket

API = "/api/whispurrnet"
HERE: dict[str, Any] = {
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "port": 0,
    "lan": {"enabled": False},
}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(**HERE) as served:
        yield served


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, timeout=10)


def test_this_machine_may_call(served: Served) -> None:
    assert get(f"http://127.0.0.1:{served.port}{API}/status").status_code == 200


def test_a_foreign_page_and_a_rebinding_name_may_not(served: Served) -> None:
    url = f"http://127.0.0.1:{served.port}{API}/status"
    assert get(url, Origin="https://evil.example").status_code == 403
    assert get(url, Host=f"evil.example:{served.port}").status_code == 403


def own_address() -> str:
    found = [str(a) for a in local_addresses() if a.version == 4 and not a.is_loopback]
    if not found:
        pytest.skip("This machine has no address but loopback: connect it to a network.")
    return found[0]


def test_beyond_loopback_nobody_may_call(served: Served) -> None:
    url = f"http://{own_address()}:{served.port}{API}/status"
    forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "Host": "localhost"}
    assert get(url).status_code == 403
    assert get(url, **forged).status_code == 403


def test_beyond_loopback_a_token_opens() -> None:
    address = own_address()
    with Served(**HERE, gateway={"token": "night-bird"}) as served:
        url = f"http://{address}:{served.port}{API}/status"
        assert get(url).status_code == 401
        assert get(url, Authorization="Bearer day-bird").status_code == 401
        assert get(url, Authorization="Bearer night-bird").status_code == 200


def test_peers_come_in_by_the_websocket() -> None:
    """Whispers, both ways, through the port that also answers REST."""

    async def main() -> None:
        here = {**HERE, "listen": (), "host": "127.0.0.1"}
        async with whispurrnet.open(**here) as ada, whispurrnet.open(**here) as bob:
            at_ada, at_bob = ada.messages(), bob.messages()
            gateway = Gateway(ada, ada.settings)
            await gateway.start()
            ticket = Ticket(
                static_key=ada.ticket.static_key,
                addresses=(f"/ip4/127.0.0.1/tcp/{gateway.port}/ws",),
            )
            peer = await bob.connect(ticket)
            assert peer.path == "direct ws"
            big = bytes(range(256)) * 2048
            async with asyncio.timeout(20):
                await peer.whisper(big).received()
                message = await anext(at_ada)
                assert message.body == big
                await message.sender.whisper(b"back").received()
                assert (await anext(at_bob)).body == b"back"
            await gateway.stop()

    asyncio.run(main())


def test_a_stranger_gets_no_byte_back_from_the_websocket(served: Served) -> None:
    async def main() -> None:
        async with connect(f"ws://127.0.0.1:{served.port}/ws") as socket:
            await socket.send(bytes(1300))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await socket.recv()

    asyncio.run(main())


def test_events_tell_of_peers_and_messages(served: Served) -> None:
    async def main() -> None:
        events = f"ws://127.0.0.1:{served.port}{API}/events"
        async with connect(events) as socket, whispurrnet.open(**HERE) as bob, asyncio.timeout(20):
            peer = await bob.connect(served.node.ticket)
            await peer.whisper(b"hello").received()
            told = [json.loads(await socket.recv())]
            while told[-1]["type"] != "message":
                told.append(json.loads(await socket.recv()))
        assert told[0]["type"] == "peer_up"
        assert told[-1]["body"] == "hello"

    asyncio.run(main())


def soon(value: Any) -> None:
    """Waits that a request asks for are cut short, so that the test does not wait them out."""
    if isinstance(value, dict):
        for key in ("wait_s", "timeout_s"):
            if isinstance(value.get(key), int | float) and value[key] > 0:
                value[key] = min(value[key], 0.01)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_makes_it_fail(served: Served, mode: GenerationMode) -> None:
    base = f"http://127.0.0.1:{served.port}"
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    called = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=15,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def check(case: Any) -> None:
            nonlocal called
            called += 1
            if case.operation.path.endswith("/discover"):
                case.query = {"timeout_s": 0.01, **(case.query or {})}
            soon(case.query)
            soon(case.body)
            answer = case.call(timeout=10)
            assert answer.status_code != 500, answer.text
            if answer.status_code >= 400:
                assert set(answer.json()) == {"error", "cause", "cure", "kind"}

        try:
            check()
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing can be wrong with a request that takes nothing
    assert called > 50


def test_prometheus_reads_the_figures_of_a_node_at_work() -> None:
    with Served(**HERE | {"gateway": {"metrics": True}, "host": "127.0.0.1"}) as served:

        async def main() -> None:
            async with whispurrnet.open(**HERE) as bob, asyncio.timeout(20):
                heard = bob.messages()
                await bob.connect(served.node.ticket)
                url = f"http://127.0.0.1:{served.port}{API}"
                async with httpx.AsyncClient() as http:
                    await http.post(f"{url}/broadcast", json={"text": "good evening"})
                    assert (await anext(heard)).body == b"good evening"
                    text = (await http.get(f"http://127.0.0.1:{served.port}/metrics")).text
                families = {one.name: one for one in text_string_to_metric_families(text)}
                assert families["whispurrnet_connected_peers"].samples[0].value == 1
                assert families["whispurrnet_gossip_published"].samples[0].value == 1
                for secret in (bob.id, bob.name, served.node.id, served.node.name, "127.0.0.1"):
                    assert secret not in text

        asyncio.run(main())


def test_the_page_of_the_api_is_whole_for_a_browser(served: Served) -> None:
    """As a browser asks: the page, then what it names, each as of the same origin."""
    base = f"http://127.0.0.1:{served.port}"
    same = {"Sec-Fetch-Site": "same-origin"}
    page = get(f"{base}/docs", **{"Sec-Fetch-Site": "none"})
    assert page.status_code == 200
    for name in ("page.js", "page.css"):
        assert f"/docs/{name}" in page.text
        assert get(f"{base}/docs/{name}", **same).status_code == 200
        assert get(f"{base}/docs/{name}", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert get(f"{base}{API}/status", **same).status_code == 200
