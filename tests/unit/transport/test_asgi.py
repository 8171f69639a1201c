"""A link over what an ASGI server gives, played by hand."""

from __future__ import annotations

import asyncio

import pytest

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.asgi import AsgiLink, serve
from whispurrnet.transport.link import HIGH_WATER, LINGER_S, NO_BINDING, Link, LinkHandler
from whispurrnet.transport.websocket_link import MESSAGE_BYTES_MAX, SLICE_BYTES

SCOPE = {"type": "websocket", "scheme": "ws", "client": ("192.0.2.7", 4711), "path": "/ws"}
CONNECT = {"type": "websocket.connect"}
GONE = {"type": "websocket.disconnect", "code": 1005}


class Heard:
    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.lost: list[str] = []
        self.paused: list[bool] = []

    def link_data(self, link: Link, data: bytes) -> None:
        assert type(data) is bytes
        self.data.append(data)

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)

    def link_paused(self, link: Link) -> None:
        self.paused.append(True)

    def link_resumed(self, link: Link) -> None:
        self.paused.append(False)


class Server:
    """An ASGI server with one connection."""

    def __init__(self, scope: dict = SCOPE, **options: object) -> None:
        self.scope = scope
        self.options = options
        self.inbox: asyncio.Queue[dict] = asyncio.Queue()
        self.inbox.put_nowait(CONNECT)
        self.sent: list[dict] = []
        self.heard = Heard()
        self.links: list[AsgiLink] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: BaseException | None = None

    def accept(self, link: Link) -> LinkHandler:
        assert isinstance(link, AsgiLink)
        self.links.append(link)
        return self.heard

    async def send(self, message: dict) -> None:
        await self.open.wait()
        if self.error:
            raise self.error
        self.sent.append(message)

    def put(self, **message: object) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", **message})

    async def run(self) -> None:
        await serve(self.scope, self.inbox.get, self.send, self.accept, **self.options)

    @property
    def link(self) -> AsgiLink:
        return self.links[0]


async def settle() -> None:
    await asyncio.sleep(0.01)


def test_bytes_go_both_ways_and_the_peer_leaves() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            server.put(bytes=b"one")
            server.put(bytes=b"")
            server.put(bytes=bytearray(b"two"), text=None)
            await settle()
            server.link.write(b"three")
            await settle()
            server.inbox.put_nowait(GONE)
        assert server.heard.data == [b"one", b"two"]
        assert server.sent == [
            {"type": "websocket.accept"},
            {"type": "websocket.send", "bytes": b"three"},
        ]
        assert server.heard.lost == ["closed by the peer"]
        assert str(server.link.remote) == "/ip4/192.0.2.7/tcp/4711/ws"
        assert server.link.path == "ws"
        assert server.link.inbound
        assert server.link.binding == NO_BINDING

    run(main())


def test_behind_tls_it_is_wss_with_the_binding_given() -> None:
    async def main() -> None:
        scope = {**SCOPE, "scheme": "wss", "client": None}
        server = Server(scope, binding=b"\x01" * 33)
        server.inbox.put_nowait(GONE)
        await server.run()
        assert server.link.path == "wss"
        assert server.link.binding == b"\x01" * 33
        assert str(server.link.remote) == "/ip6/::/tcp/0/wss"

    run(main())


def test_a_client_that_is_no_ip_address_is_nowhere() -> None:
    async def main() -> None:
        server = Server({**SCOPE, "client": ("testclient", 50000)})
        server.inbox.put_nowait(GONE)
        await server.run()
        assert server.link.remote.host == "::"

    run(main())


def test_close_sends_what_was_written_then_says_goodbye() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await settle()
            server.open.clear()
            server.link.write(bytes(SLICE_BYTES + 1))
            server.link.close()
            server.link.write(b"ignored")
            server.put(bytes=b"too late")
            await settle()
            assert server.heard.lost == []
            server.open.set()
        sizes = [len(message.get("bytes", b"")) for message in server.sent]
        assert sizes == [0, SLICE_BYTES, 1, 0]
        assert server.sent[-1] == {"type": "websocket.close", "code": 1000}
        assert server.heard.lost == ["closed here"]
        assert server.heard.data == []

    run(main())


def test_who_never_reads_is_left_behind_after_the_linger() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await settle()
            server.open.clear()
            server.link.write(b"unread")
            server.link.close()
            await asyncio.sleep(LINGER_S - 0.1)
            assert server.heard.lost == []
            await asyncio.sleep(0.2)
            assert server.heard.lost == ["closed here"]

    run(main())


def test_abort_does_not_wait() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await settle()
            server.open.clear()
            server.link.write(b"unread")
            server.link.abort()
            await settle()
            assert server.heard.lost == ["closed here"]
        assert server.sent == [{"type": "websocket.accept"}]

    run(main())


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({"text": "hello"}, 1003, "it sent text, not bytes"),
        ({"text": "hello", "bytes": None}, 1003, "it sent text, not bytes"),
        ({"bytes": bytes(MESSAGE_BYTES_MAX + 1)}, 1009, "it broke the WebSocket protocol"),
    ],
)
def test_what_ends_a_link(message: dict, code: int, reason: str) -> None:
    async def main() -> None:
        server = Server()
        server.put(**message)
        server.put(bytes=b"after")
        await server.run()
        assert server.sent[-1] == {"type": "websocket.close", "code": code}
        assert server.heard.lost == [reason]
        assert server.heard.data == []

    run(main())


def test_a_slow_reader_is_told_and_told_again() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await settle()
            server.open.clear()
            server.link.write(bytes(HIGH_WATER + 1))
            server.link.write(b"more")
            assert server.heard.paused == [True]
            server.open.set()
            await settle()
            assert server.heard.paused == [True, False]
            server.inbox.put_nowait(GONE)

    run(main())


def test_nothing_arrives_while_reading_is_paused() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await settle()
            server.link.pause_reading()
            server.put(bytes=b"one")
            server.put(bytes=b"two")
            await settle()
            assert server.heard.data == []
            assert server.inbox.qsize() == 1, "what is not read stays with the server"
            server.link.resume_reading()
            await settle()
            assert server.heard.data == [b"one", b"two"]
            server.inbox.put_nowait(GONE)

    run(main())


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after websocket.close")])
def test_a_server_that_cannot_send_has_lost_the_peer(error: Exception) -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await settle()
            server.error = error
            server.link.write(b"one")
            server.link.write(b"two")
        assert server.heard.lost == ["closed by the peer"]

    run(main())


def test_a_server_that_stops_loses_the_link() -> None:
    async def main() -> None:
        server = Server()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(server.run())
            await settle()
            task.cancel()
        assert server.heard.lost == ["this node stops"]

    run(main())


def test_a_full_node_turns_it_away() -> None:
    async def main() -> None:
        server = Server()

        def refuse(link: Link) -> LinkHandler:
            raise LimitError("enough")

        await serve(SCOPE, server.inbox.get, server.send, refuse)
        assert server.sent == [{"type": "websocket.close", "code": 1013}]

    run(main())


def test_a_peer_that_left_before_it_was_accepted() -> None:
    async def main() -> None:
        server = Server()
        server.inbox.get_nowait()
        server.inbox.put_nowait(GONE)
        await server.run()
        assert server.links == []
        assert server.sent == []

    run(main())


def test_other_scopes_are_a_mistake_of_the_caller() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="type 'http'; only 'websocket'"):
            await Server({"type": "http"}).run()

    run(main())
