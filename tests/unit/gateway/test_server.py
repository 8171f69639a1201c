from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect

from whispurrnet.base.errors import HostError
from whispurrnet.gateway import server
from whispurrnet.gateway.server import Gateway, bind
from whispurrnet.node.settings import Settings

SETTINGS = Settings().replace(host="127.0.0.1", port=0)


def served(node: Any, test: Callable[[Gateway], Awaitable[None]]) -> None:
    async def main() -> None:
        gateway = Gateway(node, SETTINGS)
        await gateway.start()
        try:
            async with asyncio.timeout(20):
                await test(gateway)
        finally:
            await gateway.stop()

    asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come about")


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def test_no_header_tells_what_it_is(node: Any) -> None:
    async def test(gateway: Gateway) -> None:
        request = (
            b"GET /api/whispurrnet/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        head, _, body = (await ask(gateway.port, request)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"server:" not in head.lower()
        assert b"date:" not in head.lower()
        assert b'"verdict"' in body

    served(node, test)


def test_a_request_without_end_is_cut(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.1)

    async def test(gateway: Gateway) -> None:
        for beginning in (b"", b"GET / HT"):
            with contextlib.suppress(ConnectionError):
                assert await ask(gateway.port, beginning) == b""

    served(node, test)


def test_garbage_is_refused(node: Any) -> None:
    async def test(gateway: Gateway) -> None:
        assert (await ask(gateway.port, b"\x00\x01\x02\r\n\r\n")).startswith(b"HTTP/1.1 400")

    served(node, test)


def test_strangers_are_bounded(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STRANGERS_MAX", 0)
    monkeypatch.setattr(server, "is_loopback", lambda _: False)

    async def test(gateway: Gateway) -> None:
        with contextlib.suppress(ConnectionError):
            assert await ask(gateway.port, b"GET / HTTP/1.0\r\n\r\n") == b""

    served(node, test)


def test_forwarded_headers_are_not_believed(node: Any) -> None:
    """A client cannot give itself, or take from another, the right of loopback."""

    async def test(gateway: Gateway) -> None:
        request = (
            b"GET /api/whispurrnet/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Host: evil.example\r\n\r\n"
        )
        assert (await ask(gateway.port, request)).startswith(b"HTTP/1.1 200")

    served(node, test)


def test_events(node: Any) -> None:
    async def test(gateway: Gateway) -> None:
        url = f"ws://127.0.0.1:{gateway.port}/api/whispurrnet/events"
        async with connect(url) as socket:
            await until(lambda: bool(node.watchers))
            node.watchers[0].put(({"type": "peer_up", "name": "calm-finch-12"},))
            assert await socket.recv() == '{"type":"peer_up","name":"calm-finch-12"}'
            await socket.send("whatever")
            assert "permessage-deflate" not in str(socket.response.headers)
        await until(lambda: not node.watchers)

    served(node, test)


def test_events_are_for_this_machine_and_its_pages(node: Any) -> None:
    async def test(gateway: Gateway) -> None:
        url = f"ws://127.0.0.1:{gateway.port}/api/whispurrnet/events"
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            with pytest.raises((websockets.InvalidStatus, websockets.InvalidMessage)):
                async with connect(url, additional_headers=headers):
                    pass

    served(node, test)


def test_feeds_are_bounded(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.gateway.live.FEEDS_MAX", 0)

    async def test(gateway: Gateway) -> None:
        url = f"ws://127.0.0.1:{gateway.port}/api/whispurrnet/events"
        with pytest.raises(websockets.InvalidStatus):
            async with connect(url):
                pass

    served(node, test)


def test_stop_ends_what_waits(node: Any) -> None:
    async def main() -> None:
        gateway = Gateway(node, SETTINGS)
        await gateway.start()
        request = b"GET /api/whispurrnet/messages?wait_s=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        waiting = asyncio.ensure_future(ask(gateway.port, request))
        url = f"ws://127.0.0.1:{gateway.port}/api/whispurrnet/events"
        async with connect(url) as socket:
            await until(lambda: bool(node.watchers))
            async with asyncio.timeout(5):
                await gateway.stop()
                assert b'{"last":0,"messages":[]}' in await waiting
                await socket.wait_closed()
        assert not node.watchers
        assert not node.inbox

    asyncio.run(main())


def test_bind() -> None:
    with bind("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(HostError, match=f"port {port} cannot be had"):
            bind("127.0.0.1", port)
    with pytest.raises(HostError):
        bind("192.0.2.1", 0)
    with bind("::1", 0) as bound:
        assert bound.getsockname()[0] == "::1"
