"""The rules of `transport.link`, held by every transport, on asyncio's loop and on uvloop.

Real sockets on loopback; nothing here sleeps to wait for something: each test waits for the event
it is about, under one deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import pytest
import uvicorn
import uvloop

from whispurrnet.base.errors import HostError, LimitError, NetworkError, UsageError
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.transport import asgi
from whispurrnet.transport.certificate import make_certificate
from whispurrnet.transport.link import (
    HIGH_WATER,
    NO_BINDING,
    Accept,
    Link,
    LinkHandler,
    Listener,
    ListenerState,
    Transport,
)
from whispurrnet.transport.memory import Hub, MemoryTransport
from whispurrnet.transport.tcp import TcpTransport
from whispurrnet.transport.tls import Tls
from whispurrnet.transport.websocket import WebSocketTransport
from whispurrnet.transport.websocket_link import MESSAGE_BYTES_MAX
from whispurrnet.wire.address import Address, parse

SIGNING = SigningKey.from_bytes(b"s" * 32)
CERTIFICATE = make_certificate(SIGNING, wall_ms=int(time.time() * 1000))
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class AsgiListener:
    """A uvicorn in this loop whose only route is a link."""

    address: Address
    server: uvicorn.Server
    serving: asyncio.Task[None]
    state: ListenerState = ListenerState.LISTENING

    async def close(self) -> None:
        self.state = ListenerState.NOT_LISTENING
        self.server.should_exit = True
        self.server.force_exit = True
        await self.serving


class AsgiTransport(WebSocketTransport):
    """Dials as WebSocket, listens by `asgi.serve` under uvicorn."""

    async def listen(self, address: Address, accept: Accept) -> AsgiListener:  # type: ignore[override]
        async def app(scope, receive, send) -> None:
            await asgi.serve(scope, receive, send, accept)

        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            ws_max_size=MESSAGE_BYTES_MAX,
            server_header=False,
            date_header=False,
            log_config=None,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        sock = socket.create_server((address.host, address.port))
        serving = asyncio.ensure_future(server.serve([sock]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        return AsgiListener(address.with_port(sock.getsockname()[1]), server, serving)


class Recorder:
    """A handler that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.data = bytearray()
        self.calls: list[str] = []
        self.lost: list[str] = []
        self.paused = 0
        self.resumed = 0
        self.changed = asyncio.Event()

    def link_data(self, link: Link, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        assert not self.lost
        self.link = link
        self.data += data
        self.changed.set()

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    def link_paused(self, link: Link) -> None:
        assert self.paused == self.resumed
        self.paused += 1
        self.changed.set()

    def link_resumed(self, link: Link) -> None:
        assert self.paused == self.resumed + 1
        self.resumed += 1
        self.changed.set()

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not what():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Pair:
    transport: Transport
    listener: Listener
    near: Link
    far: Link
    here: Recorder
    there: Recorder
    accepted: list[Link] = field(default_factory=list)


class World:
    """One transport and where to listen with it."""

    def __init__(self, kind: str) -> None:
        tls = Tls(CERTIFICATE)
        self.kind = kind
        self.transport: Transport
        match kind:
            case "memory":
                self.transport, self.where = MemoryTransport(Hub()), "/memory/alice"
            case "tcp" | "tls":
                self.transport = TcpTransport(tls)
                self.where = "/ip4/127.0.0.1/tcp/0" + ("/tls" if kind == "tls" else "")
            case "tcp6":
                self.transport, self.where = TcpTransport(), "/ip6/::1/tcp/0"
            case "asgi":
                self.transport, self.where = AsgiTransport(), "/ip4/127.0.0.1/tcp/0/ws"
            case _:
                self.transport = WebSocketTransport(tls)
                self.where = f"/ip4/127.0.0.1/tcp/0/{kind}"

    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[Pair]:
        there, accepted = Recorder(), asyncio.get_running_loop().create_future()

        def accept(link: Link) -> LinkHandler:
            accepted.set_result(link)
            return there

        listener = await self.transport.listen(parse(self.where), accept)
        here = Recorder()
        near = await self.transport.dial(listener.address, here)
        far = await accepted
        try:
            yield Pair(self.transport, listener, near, far, here, there)
        finally:
            near.abort()
            far.abort()
            await here.until(lambda: here.lost)
            await there.until(lambda: there.lost)
            await listener.close()
            await asyncio.sleep(0.02 if self.kind in {"tls", "wss"} else 0)
            assert len(here.lost) == len(there.lost) == 1


KINDS = ["memory", "tcp", "tcp6", "tls", "ws", "wss", "asgi"]
WORLDS = [(kind, loop) for kind in KINDS for loop in LOOPS]
SOCKETS = [(kind, loop) for kind, loop in WORLDS if kind not in {"memory", "asgi"}]


@pytest.fixture(params=WORLDS, ids="-".join)
def both(request: pytest.FixtureRequest) -> tuple[World, str]:
    kind, loop = request.param
    return World(kind), loop


@pytest.fixture(params=SOCKETS, ids="-".join)
def sockets(request: pytest.FixtureRequest) -> tuple[World, str]:
    kind, loop = request.param
    return World(kind), loop


def play(loop: str, main: Callable[[], Awaitable[None]]) -> None:
    """Run to the end, within a deadline, with no complaint of the loop."""
    complaints: list[object] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        async with asyncio.timeout(10):
            await main()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        try:
            runner.run(bounded())
        except BaseException:
            # What a failed test left open must not hang uvloop, where warnings are errors.
            warnings.simplefilter("ignore", ResourceWarning)
            raise
    assert complaints == []


def test_bytes_arrive_in_order_across_many_writes_of_many_sizes(both: tuple[World, str]) -> None:
    world, loop = both
    rng = Random(7)
    sizes = [rng.choice([1, 2, 17, 125, 126, 1000, 4096, 65535, 65536, 65538]) for _ in range(200)]
    sizes += [300_000, 3_000_000, 0, 1]
    blob = rng.randbytes(1 << 16) * 50
    parts = [blob[i : i + size] for i, size in enumerate(sizes)]

    async def main() -> None:
        async with world.pair() as pair:
            for n, part in enumerate(parts):
                pair.near.write(bytearray(part) if n % 3 == 0 else memoryview(part))
                pair.far.write(part)
                if n % 50 == 0:
                    await asyncio.sleep(0)
            total = b"".join(parts)
            await pair.there.until(lambda: len(pair.there.data) >= len(total))
            await pair.here.until(lambda: len(pair.here.data) >= len(total))
            assert pair.there.data == total
            assert pair.here.data == total

    play(loop, main)


def test_a_link_says_who_and_how(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            path = {"tcp6": "tcp", "asgi": "ws"}.get(world.kind, world.kind)
            assert pair.near.path == pair.far.path == path
            assert pair.far.inbound
            assert not pair.near.inbound
            assert pair.near.remote == pair.listener.address
            assert pair.far.remote.transport == path
            tls = world.kind in {"tls", "wss"}
            binding = CERTIFICATE.binding if tls else NO_BINDING
            assert pair.near.binding == pair.far.binding == binding
            assert len(binding) == 33
            if tls:
                assert pair.near.certified == SIGNING.public
                assert pair.far.certified == b""
            assert pair.listener.state is ListenerState.LISTENING
            if world.kind != "memory":
                assert pair.listener.address.port > 0
                assert pair.far.remote.port > 0

    play(loop, main)


def test_what_is_written_in_the_callback_is_the_first_to_arrive(both: tuple[World, str]) -> None:
    world, loop = both

    class Eager(Recorder):
        def link_data(self, link: Link, data: bytes) -> None:
            super().link_data(link, data)
            link.write(b"answer")

    async def main() -> None:
        there = Eager()

        def accept(link: Link) -> LinkHandler:
            link.write(b"first")
            return there

        listener = await world.transport.listen(parse(world.where), accept)
        here = Recorder()
        link = await world.transport.dial(listener.address, here)
        link.write(b"question")
        await here.until(lambda: here.data == b"firstanswer")
        link.close()
        await here.until(lambda: here.lost)
        await there.until(lambda: there.lost)
        await listener.close()

    play(loop, main)


def test_a_slow_reader_holds_the_writer(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            pair.near.pause_reading()
            pair.near.pause_reading()
            written = 0
            for _ in range(1000):
                if pair.there.paused:
                    break
                pair.far.write(b"x" * 65536)
                written += 65536
                await asyncio.sleep(0)
            assert pair.there.paused == 1
            assert written > HIGH_WATER
            assert len(pair.here.data) == 0
            pair.far.write(b"the end")
            pair.near.resume_reading()
            pair.near.resume_reading()
            await pair.there.until(lambda: pair.there.resumed)
            await pair.here.until(lambda: len(pair.here.data) == written + 7)
            assert pair.here.data.endswith(b"xthe end")
            assert pair.there.paused == pair.there.resumed == 1

    play(loop, main)


def test_nothing_arrives_while_paused(both: tuple[World, str]) -> None:
    world, loop = both

    class Cautious(Recorder):
        def link_data(self, link: Link, data: bytes) -> None:
            assert not self.paused
            super().link_data(link, data)
            link.pause_reading()
            self.paused = 1
            asyncio.get_running_loop().call_later(0.002, self.on, link)

        def on(self, link: Link) -> None:
            self.paused = 0
            link.resume_reading()

    async def main() -> None:
        async with world.pair() as pair:
            cautious = Cautious()
            pair.near.handler = cautious
            for n in range(40):
                pair.far.write(bytes([n]) * 20_000)
            await cautious.until(lambda: len(cautious.data) == 800_000)
            pair.near.handler = pair.here

    play(loop, main)


def test_reading_may_be_paused_before_it_starts(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        there, links = Recorder(), []

        def accept(link: Link) -> LinkHandler:
            link.pause_reading()
            links.append(link)
            return there

        listener = await world.transport.listen(parse(world.where), accept)
        here = Recorder()
        link = await world.transport.dial(listener.address, here)
        link.write(b"early")
        await asyncio.sleep(0.02)
        assert there.data == b""
        links[0].resume_reading()
        await there.until(lambda: there.data == b"early")
        link.close()
        await here.until(lambda: here.lost)
        await there.until(lambda: there.lost)
        await listener.close()

    play(loop, main)


def test_close_sends_what_was_written(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            blob = b"whisper!" * 400_000
            pair.near.write(blob)
            pair.near.close()
            pair.near.close()
            pair.near.write(b"ignored")
            await pair.there.until(lambda: pair.there.lost)
            assert pair.there.data == blob
            assert pair.there.lost == ["closed by the peer"]
            await pair.here.until(lambda: pair.here.lost)
            assert pair.here.lost == ["closed here"]
            pair.near.write(b"ignored")
            pair.far.write(b"ignored")
            pair.near.close()
            pair.near.pause_reading()
            pair.near.resume_reading()

    play(loop, main)


def test_close_from_the_side_that_accepted(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            blob = b"whisper!" * 100_000
            pair.far.write(blob)
            pair.far.close()
            await pair.here.until(lambda: pair.here.lost)
            assert pair.here.data == blob
            await pair.there.until(lambda: pair.there.lost)
            assert pair.there.lost == ["closed here"]

    play(loop, main)


def test_after_an_own_close_nothing_arrives(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            pair.far.write(b"late" * 1000)
            pair.near.close()
            await pair.here.until(lambda: pair.here.lost)
            assert pair.here.data == b""

    play(loop, main)


def test_abort_is_immediate(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        async with world.pair() as pair:
            pair.far.pause_reading()
            while not pair.here.paused:
                pair.near.write(b"x" * 65536)
                await asyncio.sleep(0)
            pair.near.abort()
            pair.near.abort()
            started = time.monotonic()
            await pair.here.until(lambda: pair.here.lost)
            assert time.monotonic() - started < 1
            assert pair.here.lost == ["closed here"]
            pair.far.resume_reading()
            await pair.there.until(lambda: pair.there.lost)
            assert pair.there.lost[0] != "closed here"

    play(loop, main)


def test_a_closed_link_does_not_linger_for_ever(
    both: tuple[World, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, loop = both
    for module in ("memory", "tcp", "asgi"):
        monkeypatch.setattr(f"whispurrnet.transport.{module}.LINGER_S", 0.05)

    async def main() -> None:
        async with world.pair() as pair:
            pair.near.pause_reading()
            while not pair.there.paused:
                pair.far.write(b"x" * 65536)
                await asyncio.sleep(0)
            pair.far.close()
            await pair.there.until(lambda: pair.there.lost)
            pair.near.resume_reading()
            await pair.here.until(lambda: pair.here.lost)

    play(loop, main)


def test_a_closed_listener_takes_no_more_and_keeps_what_is_open(both: tuple[World, str]) -> None:
    world, loop = both
    if world.kind == "asgi":
        pytest.skip("stopping uvicorn closes what it serves")

    async def main() -> None:
        async with world.pair() as pair:
            await pair.listener.close()
            assert pair.listener.state is ListenerState.NOT_LISTENING
            with pytest.raises(NetworkError, match="nobody listens|nothing listens"):
                await pair.transport.dial(pair.listener.address, Recorder())
            pair.near.write(b"still here")
            await pair.there.until(lambda: pair.there.data == b"still here")

    play(loop, main)


def test_a_listener_may_refuse(both: tuple[World, str]) -> None:
    world, loop = both

    async def main() -> None:
        def accept(link: Link) -> LinkHandler:
            raise LimitError("enough links; try again later")

        listener = await world.transport.listen(parse(world.where), accept)
        here = Recorder()
        with contextlib.suppress(NetworkError):  # TCP learns of it after it is connected
            link = await world.transport.dial(listener.address, here)
            await here.until(lambda: here.lost)
            assert link.remote == listener.address
        await listener.close()

    play(loop, main)


def test_a_port_that_is_taken_is_named_with_its_cure(sockets: tuple[World, str]) -> None:
    world, loop = sockets

    async def main() -> None:
        async with world.pair() as pair:
            port = str(pair.listener.address.port)
            with pytest.raises(HostError, match=port) as caught:
                await pair.transport.listen(pair.listener.address, lambda _: Recorder())
            assert "taken" in str(caught.value)
            assert "choose another" in str(caught.value)
            assert isinstance(caught.value.__cause__, OSError)

    play(loop, main)


def test_an_address_of_another_machine_cannot_be_listened_on(sockets: tuple[World, str]) -> None:
    world, loop = sockets

    async def main() -> None:
        host = "2001:db8::77" if world.kind == "tcp6" else "203.0.113.77"
        with pytest.raises(HostError, match="not at an address of this machine"):
            await world.transport.listen(parse(world.where).with_host(host), lambda _: Recorder())
        with pytest.raises(UsageError, match="listen on an IP address"):
            await world.transport.listen(parse("/dns/localhost/tcp/0"), lambda _: Recorder())

    play(loop, main)


def test_who_dials_nobody_hears_the_place(sockets: tuple[World, str]) -> None:
    world, loop = sockets

    async def main() -> None:
        with (
            socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
            socket.create_server(("127.0.0.1", 0)) as four,
        ):
            port = (six if world.kind == "tcp6" else four).getsockname()[1]
        with pytest.raises(NetworkError, match=f"tcp/{port}.*nothing listens") as caught:
            await world.transport.dial(parse(world.where).with_port(port), Recorder())
        assert isinstance(caught.value.__cause__, OSError)
        if world.kind != "tcp6":
            name = parse("/dns/nowhere.invalid/tcp/9").transport
            address = Address("dns", "nowhere.invalid", 9, parse(world.where).transport)
            assert name == "tcp"
            with pytest.raises(NetworkError, match="cannot resolve nowhere.invalid"):
                await world.transport.dial(address, Recorder())

    play(loop, main)


def test_a_name_is_dialled(sockets: tuple[World, str]) -> None:
    world, loop = sockets
    if world.kind in {"tls", "wss"}:
        pytest.skip("a name must show a public certificate: see test_tls")

    async def main() -> None:
        listener = await world.transport.listen(parse(world.where), lambda _: Recorder())
        kind = "dns6" if world.kind == "tcp6" else "dns4"
        name = Address(kind, "localhost", listener.address.port, listener.address.transport)
        here = Recorder()
        hosts = [listener.address.host]
        if kind == "dns4":  # not every machine has a v6 localhost
            hosts.append(None)
        for n, host in enumerate(hosts, 1):
            link = await world.transport.dial(name, here, host=host)
            assert link.remote == name
            link.abort()
            await here.until(lambda: len(here.lost) == n)  # noqa: B023
        await listener.close()

    play(loop, main)


def test_a_cancelled_dial_leaves_nothing_open(sockets: tuple[World, str]) -> None:
    world, loop = sockets

    async def main() -> None:
        family = socket.AF_INET6 if world.kind == "tcp6" else socket.AF_INET
        here = Recorder()
        with socket.create_server((parse(world.where).host, 0), family=family) as mute:
            address = parse(world.where).with_port(mute.getsockname()[1])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    link = await world.transport.dial(address, here)
                    assert world.kind in {"tcp", "tcp6"}
                    link.abort()
            mute.setblocking(False)
            accepted, _ = await asyncio.get_running_loop().sock_accept(mute)
            with accepted, contextlib.suppress(ConnectionResetError):
                while await asyncio.get_running_loop().sock_recv(accepted, 65536):
                    pass
        assert here.data == b""

    play(loop, main)


def test_a_reset_is_a_lost_link(sockets: tuple[World, str]) -> None:
    world, loop = sockets

    async def main() -> None:
        async with world.pair() as pair:
            sock = pair.far.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair.far.abort()
            await pair.here.until(lambda: pair.here.lost)
            assert pair.here.lost[0] in {"reset by the peer", "closed by the peer"}

    play(loop, main)


def test_small_writes_do_not_wait(sockets: tuple[World, str]) -> None:
    world, loop = sockets

    async def main() -> None:
        async with world.pair() as pair:
            for link in (pair.near, pair.far):
                sock = link.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    play(loop, main)
