"""WebSocket on the wire: what is sent, what is refused, and what must not be said."""

from __future__ import annotations

import asyncio
import os
import struct
import warnings
from collections.abc import Awaitable, Callable

import pytest
import uvloop
import websockets

from whispurrnet.base.errors import NetworkError
from whispurrnet.transport import websocket_link as websocket
from whispurrnet.transport.link import NOBODY, Link, LinkHandler, Listener
from whispurrnet.transport.websocket import WebSocketTransport
from whispurrnet.transport.websocket_link import MESSAGE_BYTES_MAX, SLICE_BYTES
from whispurrnet.wire.address import parse

HERE = parse("/ip4/127.0.0.1/tcp/0/ws")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Heard:
    """A handler that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: list[str] = []
        self.link: Link | None = None
        self.changed = asyncio.Event()

    def link_data(self, link: Link, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    def link_paused(self, link: Link) -> None: ...

    def link_resumed(self, link: Link) -> None: ...

    async def until(self, what: Callable[[], object]) -> None:
        while not what():
            self.changed.clear()
            await self.changed.wait()


class Server:
    """One WebSocket listener of ours, and a bare TCP connection to it."""

    def __init__(self, listener: Listener, heard: Heard) -> None:
        self.heard = heard
        self.listener = listener
        self.port = listener.address.port

    async def raw(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer

    async def upgraded(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.raw(upgrade())
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer


def upgrade(path: str = "/ws", **headers: str) -> bytes:
    fields = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v)]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(opcode: int, body: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    head = bytes([opcode | (0x80 if fin else 0)])
    flag = 0x80 if mask else 0
    if len(body) < 126:
        head += bytes([flag | len(body)])
    elif len(body) < 65536:
        head += bytes([flag | 126]) + struct.pack("!H", len(body))
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", len(body))
    if not mask:
        return head + body
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(body))


def play(main: Callable[[Server], Awaitable[None]], loop=asyncio.new_event_loop) -> None:
    async def bounded() -> None:
        heard = Heard()

        def accept(link: Link) -> LinkHandler:
            heard.link = link
            return heard

        listener = await WebSocketTransport().listen(HERE, accept)
        try:
            async with asyncio.timeout(5):
                await main(Server(listener, heard))
        finally:
            await listener.close()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(bounded())
        except BaseException:
            # What a failed test left open must not hang uvloop, where warnings are errors.
            warnings.simplefilter("ignore", ResourceWarning)
            raise


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    rest = await reader.read()
    writer.close()
    return rest


def test_message_boundaries_mean_nothing() -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.upgraded()
        writer.write(frame(BINARY, b"one ") + frame(BINARY, b"") + frame(BINARY, b"t", fin=False))
        writer.write(frame(0, b"w", fin=False) + frame(PING, b"?") + frame(0, b"o"))
        await server.heard.until(lambda: server.heard.data == b"one two")
        assert await reader.readexactly(3) == frame(PONG, b"?", mask=False)
        writer.close()
        await server.heard.until(lambda: server.heard.lost)

    play(main)


def test_bytes_may_come_one_by_one() -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.raw(b"")
        for byte in upgrade() + frame(BINARY, b"x" * 300):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await server.heard.until(lambda: len(server.heard.data) == 300)
        writer.close()
        await server.heard.until(lambda: server.heard.lost)
        await finish(reader, writer)

    play(main)


def test_data_may_come_with_the_upgrade() -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.raw(upgrade() + frame(BINARY, b"early"))
        await server.heard.until(lambda: server.heard.data == b"early")
        writer.close()
        await server.heard.until(lambda: server.heard.lost)
        await finish(reader, writer)

    play(main)


@pytest.mark.parametrize(
    ("what", "code", "reason"),
    [
        (frame(TEXT, b"hello"), 1003, "it sent text, not bytes"),
        (frame(BINARY, b"x", mask=False), 1002, "it broke the WebSocket protocol"),
        (frame(3, b"x"), 1002, "it broke the WebSocket protocol"),
        (frame(0, b"x"), 1002, "it broke the WebSocket protocol"),
        (frame(PING, b"x" * 126), 1002, "it broke the WebSocket protocol"),
        (b"\xc2\x80\0\0\0\0", 1002, "it broke the WebSocket protocol"),
        (
            frame(BINARY, b"", mask=False)[:1] + b"\xff" + struct.pack("!Q", MESSAGE_BYTES_MAX + 1),
            1009,
            "it broke the WebSocket protocol",
        ),
        (frame(CLOSE, b""), None, "closed by the peer"),
        (frame(CLOSE, struct.pack("!H", 1000) + b"bye"), 1000, "closed by the peer"),
        (frame(CLOSE, b"\x03"), 1002, "it broke the WebSocket protocol"),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,  # masked at random
)
@pytest.mark.parametrize("loop", LOOPS)
def test_what_ends_a_link(what: bytes, code: int | None, reason: str, loop) -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.upgraded()
        writer.write(frame(BINARY, b"before") + what + frame(BINARY, b"after"))
        said = await reader.readexactly(2)
        body = await reader.readexactly(said[1])
        assert said[0] == 0x80 | CLOSE
        assert (struct.unpack("!H", body[:2])[0] if body else None) == code
        if code not in {1000, None}:
            assert len(body) == 2, "a code, in no library's words"
        if code == 1003:
            writer.write(frame(CLOSE, body))
        assert await finish(reader, writer) == b""
        await server.heard.until(lambda: server.heard.lost)
        assert server.heard.lost == [reason]
        assert server.heard.data in {b"before", b""}

    play(main, loop)


def test_the_size_of_a_message_in_fragments_is_bounded() -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.upgraded()
        piece = bytes(MESSAGE_BYTES_MAX // 4)
        masked = [frame(BINARY, piece, fin=False), *([frame(0, piece, fin=False)] * 4)]
        writer.write(b"".join(masked))
        assert (await finish(reader, writer))[2:4] == struct.pack("!H", 1009)
        await server.heard.until(lambda: server.heard.lost)
        assert server.heard.lost == ["it broke the WebSocket protocol"]

    play(main)


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        upgrade("/"),
        upgrade("/ws/"),
        upgrade("/api/whispurrnet/status"),
        upgrade(Upgrade=""),
        upgrade(Connection="keep-alive"),
        upgrade(Sec_WebSocket_Key="short"),
        upgrade(Sec_WebSocket_Version="8"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ws HTTP/1.0\r\nHost: a\r\n\r\n",
        b"POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\n\n",
        b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("loop", LOOPS)
def test_everything_else_gets_one_plain_answer(request_bytes: bytes, loop) -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.raw(request_bytes)
        head, _, body = (await finish(reader, writer)).partition(b"\r\n\r\n")
        assert (head + b"\r\n").startswith(NOT_FOUND)
        assert body == b"Not Found\n"
        names = [line.split(b":")[0] for line in head.split(b"\r\n")[1:]]
        assert names == [b"Date", b"Connection", b"Content-Length", b"Content-Type"]
        for word in (b"websocket", b"python", b"whispurr", b"server"):
            assert word not in head.lower()
        assert server.heard.link is None

    play(main, loop)


def test_who_never_finishes_its_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "HANDSHAKE_TIMEOUT_S", 0.05)

    async def main(server: Server) -> None:
        reader, writer = await server.raw(b"GET /ws HTTP/1.1\r\nHost: a\r\n")
        assert await finish(reader, writer) == b""
        assert server.heard.link is None

    play(main)


def test_a_query_does_not_matter() -> None:
    async def main(server: Server) -> None:
        reader, writer = await server.raw(upgrade("/ws?x=1"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()
        await server.heard.until(lambda: server.heard.lost)

    play(main)


def test_the_upgrade_offers_nothing_and_names_nobody() -> None:
    async def main(server: Server) -> None:
        offer = "permessage-deflate; client_max_window_bits"
        reader, writer = await server.raw(upgrade(Sec_WebSocket_Extensions=offer))
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert answer.startswith(b"http/1.1 101 switching protocols\r\n")
        assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in answer
        for word in (b"extensions", b"server:", b"python", b"websockets", b"whispurr"):
            assert word not in answer
        writer.close()
        await server.heard.until(lambda: server.heard.lost)

    play(main)


def test_our_request_offers_nothing_and_names_nobody() -> None:
    async def main(_: Server) -> None:
        seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.set_result(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
            await finish(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        where = parse(f"/ip4/127.0.0.1/tcp/{port}/ws/http-path/some%2Fdoor")
        with pytest.raises(NetworkError, match="HTTP 418; check the port and the path"):
            await WebSocketTransport().dial(where, NOBODY)
        request = (await seen).lower()
        assert request.startswith(b"get /some/door http/1.1\r\nhost: 127.0.0.1:%d\r\n" % port)
        for word in (b"extensions", b"user-agent", b"python", b"websockets", b"whispurr"):
            assert word not in request
        server.close()

    play(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n",
        b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
)
@pytest.mark.parametrize("loop", LOOPS)
def test_whoever_is_no_websocket_is_an_error_that_names_the_place(answer: bytes, loop) -> None:
    async def main(_: Server) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if not answer:
                writer.close()
            await finish(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        heard = Heard()
        with pytest.raises(NetworkError, match=f"/tcp/{port}/ws .*check the port"):
            await WebSocketTransport().dial(parse(f"/ip4/127.0.0.1/tcp/{port}/ws"), heard)
        assert heard.lost == []
        server.close()
        await asyncio.sleep(0.01)

    play(main, loop)


def test_long_writes_travel_as_messages_that_anybody_takes() -> None:
    async def main(server: Server) -> None:
        url = f"ws://127.0.0.1:{server.port}/ws"
        async with websockets.connect(url, ping_interval=None) as client:
            assert client.protocol.extensions == []
            server.heard.link.write(bytes(3 * SLICE_BYTES + 1))
            sizes = [len(await client.recv()) for _ in range(4)]
            assert sizes == [SLICE_BYTES] * 3 + [1]
            await client.send(b"x" * MESSAGE_BYTES_MAX)
            await server.heard.until(lambda: len(server.heard.data) == MESSAGE_BYTES_MAX)
        await server.heard.until(lambda: server.heard.lost)
        assert server.heard.lost == ["closed by the peer"]

    play(main)


def test_we_close_as_the_protocol_asks() -> None:
    async def main(server: Server) -> None:
        url = f"ws://127.0.0.1:{server.port}/ws"
        async with websockets.connect(url) as client:
            server.heard.link.write(b"last words")
            server.heard.link.close()
            assert await client.recv() == b"last words"
            with pytest.raises(websockets.ConnectionClosedOK):
                await client.recv()
        await server.heard.until(lambda: server.heard.lost)
        assert server.heard.lost == ["closed here"]

    play(main)


def test_pings_whose_answers_are_not_read_are_bounded() -> None:
    async def main(server: Server) -> None:
        _, writer = await server.upgraded()
        writer.transport.pause_reading()
        link = server.heard.link
        while not link._blocked:
            link.write(bytes(65536))
            await asyncio.sleep(0)
        writer.write(frame(PING, b"?") * (websocket.PINGS_UNANSWERED_MAX + 1))
        await server.heard.until(lambda: server.heard.lost)
        assert server.heard.lost == ["it sent pings and read no answers"]
        writer.transport.abort()

    play(main)


def test_it_sends_no_pings_of_its_own() -> None:
    source = websocket.__loader__.get_source(websocket.__name__)
    assert "send_ping" not in source


def test_what_it_carries_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)

    async def main(server: Server) -> None:
        heard = Heard()
        link = await WebSocketTransport().dial(server.listener.address, heard)
        link.write(b"a secret")
        await server.heard.until(lambda: server.heard.data)
        link.close()
        await heard.until(lambda: heard.lost)

    play(main)
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("websockets")]
