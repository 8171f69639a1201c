"""TCP links: what the contract in `interop` does not see."""

from __future__ import annotations

import asyncio
import socket
import warnings

import pytest
import uvloop

from whispurrnet.transport.link import NOBODY, Link, LinkHandler
from whispurrnet.transport.tcp import TcpTransport
from whispurrnet.wire.address import parse

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Heard:
    def __init__(self) -> None:
        self.data = bytearray()
        self.calls = 0
        self.lost: list[str] = []
        self.changed = asyncio.Event()

    def link_data(self, link: Link, data: bytes) -> None:
        self.calls += 1
        self.data += data
        self.changed.set()

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    def link_paused(self, link: Link) -> None: ...

    def link_resumed(self, link: Link) -> None: ...

    async def until_lost(self) -> None:
        while not self.lost:
            self.changed.clear()
            await self.changed.wait()


def play(loop, main) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await main()

    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(bounded())
        except BaseException:
            # What a failed test left open must not hang uvloop, where warnings are errors.
            warnings.simplefilter("ignore", ResourceWarning)
            raise


@pytest.mark.parametrize("loop", LOOPS)
def test_last_words_arrive_though_the_other_side_is_still_talking(loop) -> None:
    """A socket closed with unread bytes is reset, and a reset destroys what was sent last."""

    async def main() -> None:
        there = Heard()

        def accept(link: Link) -> LinkHandler:
            link.pause_reading()
            link.write(b"last words" * 100_000)
            asyncio.get_running_loop().call_later(0.02, link.close)
            return there

        listener = await TcpTransport().listen(parse("/ip4/127.0.0.1/tcp/0"), accept)
        here = Heard()
        link = await TcpTransport().dial(listener.address, here)
        link.write(b"and another thing" * 10_000)
        await here.until_lost()
        assert here.data == b"last words" * 100_000
        assert here.lost == ["closed by the peer"]
        await there.until_lost()
        assert there.data == b""
        await listener.close()

    play(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_two_families_listen_on_one_port(loop) -> None:
    async def main() -> None:
        transport = TcpTransport()
        four = await transport.listen(parse("/ip4/0.0.0.0/tcp/0"), lambda _: NOBODY)
        six = await transport.listen(
            parse("/ip6/::/tcp/0").with_port(four.address.port), lambda _: NOBODY
        )
        assert str(four.address) == f"/ip4/0.0.0.0/tcp/{four.address.port}"
        assert str(six.address) == f"/ip6/::/tcp/{four.address.port}"
        await four.close()
        await six.close()

    play(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_port_can_be_listened_on_again_at_once(loop) -> None:
    async def main() -> None:
        transport, there = TcpTransport(), Heard()
        listener = await transport.listen(parse("/ip4/127.0.0.1/tcp/0"), lambda _: there)
        here = Heard()
        link = await transport.dial(listener.address, here)
        link.close()
        await here.until_lost()
        await there.until_lost()
        await listener.close()
        again = await transport.listen(listener.address, lambda _: NOBODY)
        await again.close()

    play(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_other_side_may_half_close_after_its_last_words(loop) -> None:
    async def main() -> None:
        there = Heard()
        listener = await TcpTransport().listen(parse("/ip4/127.0.0.1/tcp/0"), lambda _: there)
        with socket.create_connection(("127.0.0.1", listener.address.port)) as other:
            other.sendall(b"goodbye")
            other.shutdown(socket.SHUT_WR)
            await there.until_lost()
        assert there.data == b"goodbye"
        assert there.lost == ["closed by the peer"]
        await listener.close()

    play(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reset_says_so(loop) -> None:
    async def main() -> None:
        there = Heard()
        listener = await TcpTransport().listen(parse("/ip4/127.0.0.1/tcp/0"), lambda _: there)
        other = socket.create_connection(("127.0.0.1", listener.address.port))
        other.sendall(b"x")
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        while not there.data:
            there.changed.clear()
            await there.changed.wait()
        other.close()
        await there.until_lost()
        assert there.lost == ["reset by the peer"]
        await listener.close()

    play(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_large_reads_come_in_few_calls(loop) -> None:
    async def main() -> None:
        there = Heard()
        listener = await TcpTransport().listen(parse("/ip4/127.0.0.1/tcp/0"), lambda _: there)
        here = Heard()
        link = await TcpTransport().dial(listener.address, here)
        for _ in range(10_000):
            link.write(b"x" * 100)
        link.close()
        await here.until_lost()
        await there.until_lost()
        assert len(there.data) == 1_000_000
        assert there.calls < 200
        await listener.close()

    play(loop, main)
