"""The edge API of the sources, between real nodes on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

import whispurrnet
from whispurrnet.errors import ConfigError, HostError, UsageError
from whispurrnet.gateway.edge import WhispurrNetIntegration
from whispurrnet.gateway.server import bind

HERE: dict[str, Any] = {
    "whispurrnet_host": "127.0.0.1",
    "whispurrnet_port": 0,
    "enable_stealth_mode": False,
    "resonance_timeout": 30,
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
}


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(30):
            return await test()

    return asyncio.run(limited())


async def whispurrnet_integration(test_config: dict[str, Any]) -> bool:
    """The test of the sources, as it stands there, but for the class to be closed at the end."""
    whispurrnet = WhispurrNetIntegration(test_config)
    try:
        # Test initialization
        assert await whispurrnet.initialize()

        # Test identity generation
        assert await whispurrnet.generate_ephemeral_identity()

        # Test message sending
        test_payload = {"test": True, "timestamp": int(time.time())}
        assert await whispurrnet.send_resonance_message("test", test_payload)

        # Test stealth mode
        assert await whispurrnet.enable_stealth_mode()
        assert whispurrnet.is_stealth_mode_active()
        assert await whispurrnet.disable_stealth_mode()

        print("PASS: All WhispurrNet integration tests")  # noqa: T201 - as it stands there
        return True
    finally:
        await whispurrnet.close()


def test_the_edge_test_of_the_sources(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "whispurrnet")
    assert run(lambda: whispurrnet_integration(HERE))
    assert "PASS: All WhispurrNet integration tests" in capsys.readouterr().out
    assert "WhispurrNet P2P layer started" in caplog.messages


def test_what_is_sent_is_heard_and_the_gateway_answers() -> None:
    async def test() -> None:
        async with (
            WhispurrNetIntegration(HERE) as edge,
            whispurrnet.open(listen=(), lan={"enabled": False}, port=0) as other,
        ):
            topic = other.join("emotion_data")
            await other.connect(edge.node.ticket)
            assert await edge.initialize()
            assert await edge.send_resonance_message("emotion_data", {"emotion_label": "calm"})
            message = await anext(topic)
            assert json.loads(message.body) == {"emotion_label": "calm"}
            (web,) = [text for text in edge.node.listeners if text.endswith("/ws")]
            port = web.split("/")[4]
            async with httpx.AsyncClient() as http:
                answer = await http.get(f"http://127.0.0.1:{port}/api/whispurrnet/status")
            assert answer.json()["state"] == "Listening"

    run(test)


def test_identities_are_new() -> None:
    async def test() -> None:
        async with WhispurrNetIntegration(HERE) as edge:
            first = await edge.generate_ephemeral_identity()
            second = await edge.generate_ephemeral_identity()
            assert first["id"] != second["id"] == edge.node.id
            assert len(second["id"]) == 64

    run(test)


def test_stealth_does_what_it_can_and_says_what_it_cannot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with WhispurrNetIntegration(HERE) as edge:
            before = edge.node.id
            assert await edge.enable_stealth_mode()
            assert edge.node.id != before
            config = edge.node.stack.shared.config
            assert not config.beacon_on
            assert not config.gossip.share
            assert "stealth is only partly there" in [one.what for one in edge.node.problems]
            assert "stealth is only partly there: no beacons; traffic is not shaped" in (
                caplog.messages
            )
            stealthy = edge.node.id
            assert await edge.enable_stealth_mode()
            assert edge.node.id == stealthy
            assert await edge.disable_stealth_mode()
            assert not edge.is_stealth_mode_active()
            assert edge.node.stack.shared.config.gossip.share

    run(test)


def test_stealth_from_the_beginning() -> None:
    edge = WhispurrNetIntegration(HERE | {"enable_stealth_mode": True})
    assert edge.is_stealth_mode_active()
    assert run(edge.disable_stealth_mode)


def test_before_it_is_started() -> None:
    edge = WhispurrNetIntegration({})
    with pytest.raises(UsageError, match="initialize"):
        run(lambda: edge.send_resonance_message("test", {}))
    run(edge.close)
    with pytest.raises(ConfigError, match="whispurnet_port"):
        WhispurrNetIntegration({"whispurnet_port": 1})


def test_a_port_that_is_taken_leaves_nothing_behind() -> None:
    async def test() -> None:
        with bind("127.0.0.1", 0) as taken:
            edge = WhispurrNetIntegration(HERE | {"whispurrnet_port": taken.getsockname()[1]})
            with pytest.raises(HostError):
                await edge.initialize()
            assert len(asyncio.all_tasks()) == 1
            with pytest.raises(UsageError):
                _ = edge.node

    run(test)


def test_a_payload_that_is_no_json() -> None:
    async def test() -> None:
        async with WhispurrNetIntegration(HERE) as edge:
            with pytest.raises(UsageError, match="not JSON"):
                await edge.send_resonance_message("test", {"x": object()})

    run(test)


# Emotion data (A18)

FULL = {"device_id": "cap-7", "emotion_label": "joy", "confidence": 0.9, "intensity": 0.5}


@pytest.mark.parametrize(
    ("payload", "forwarded"),
    [
        (
            {},
            {
                "device_id": "p2p_node",
                "emotion_label": "unknown",
                "confidence": 0.0,
                "intensity": 0.0,
                "source": "whispurrnet_p2p",
            },
        ),
        (FULL | {"source": "elsewhere", "more": 1}, FULL | {"source": "whispurrnet_p2p"}),
    ],
)
def test_emotion_data_are_forwarded(payload: dict[str, Any], forwarded: dict[str, Any]) -> None:
    got: list[dict[str, Any]] = []

    async def later(data: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        got.append(data)

    for handler in (got.append, later):
        edge = WhispurrNetIntegration({}, handler)
        assert run(lambda edge=edge: edge.process_emotion_data(payload)) is None
    assert got == [forwarded, forwarded]


def test_emotion_data_never_raise(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: dict[str, Any]) -> None:
        raise ZeroDivisionError("the secret of the cloud")

    async def broken_later(_: dict[str, Any]) -> None:
        raise OSError(5, "no cloud")

    for handler in (broken, broken_later, None):
        run(lambda handler=handler: WhispurrNetIntegration({}, handler).process_emotion_data({}))
    nonsense: Any = "no mapping"
    run(lambda: WhispurrNetIntegration({}, broken).process_emotion_data(nonsense))
    assert sum("Error processing emotion data" in text for text in caplog.messages) == 3
    assert "dropped" in caplog.text
    assert "secret" not in caplog.text
