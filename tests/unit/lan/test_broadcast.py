"""Broadcast on this machine: real datagrams between sockets, by loopback's own broadcast."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
import warnings
from collections.abc import Callable

import pytest
import uvloop

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.lan import broadcast as module
from whispurrnet.lan.broadcast import Broadcast
from whispurrnet.lan.interfaces import Interface
from whispurrnet.lan.multicast import DATAGRAM_BYTES_MAX

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
LOOPBACK = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux broadcasts on loopback"
)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


class Ear:
    """Hears datagrams, and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.changed = asyncio.Event()

    def __call__(self, data: bytes) -> None:
        self.heard.append(data)
        self.changed.set()

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not what():
                self.changed.clear()
                await self.changed.wait()


def play(main, loop=asyncio.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(main())
        except BaseException:
            # What a failed test left open must not hang uvloop, where warnings are errors.
            warnings.simplefilter("ignore", ResourceWarning)
            raise


@pytest.mark.parametrize("loop", LOOPS)
def test_everybody_on_this_machine_hears_what_one_sends(loop) -> None:
    async def main() -> None:
        port = free_port()
        nodes = [Broadcast(port, interfaces=[LOOPBACK]) for _ in range(3)]
        ears = [Ear() for _ in nodes]
        for node, ear in zip(nodes, ears, strict=True):
            await node.start(ear)
            assert node.interfaces == (LOOPBACK,)
        nodes[0].send(b"one")
        nodes[2].send(b"two")
        for ear in ears:
            await ear.until(lambda: sorted(ear.heard) == [b"one", b"two"])  # noqa: B023
        for node in nodes:
            node.close()

    play(main, loop)


def test_all_interfaces_are_used_and_those_that_cannot_are_passed_over() -> None:
    async def main() -> None:
        node, ear = Broadcast(free_port()), Ear()
        await node.start(ear)
        assert LOOPBACK in node.interfaces
        node.send(b"all")
        await ear.until(lambda: ear.heard)
        assert set(ear.heard) == {b"all"}
        node.close()

    play(main)


def test_what_was_sent_to_this_machine_alone_is_not_heard() -> None:
    async def main() -> None:
        port = free_port()
        node, ear = Broadcast(port, interfaces=[LOOPBACK]), Ear()
        await node.start(ear)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"from anywhere", ("127.0.0.1", port))
        node.send(b"here")
        await ear.until(lambda: ear.heard)
        assert ear.heard == [b"here"]
        node.close()

    play(main)


def test_systems_that_cannot_bind_to_a_broadcast_drop_what_comes_from_afar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setattr(module, "_is_open", lambda: True)
        node, ear = Broadcast(free_port(), interfaces=[LOOPBACK]), Ear()
        await node.start(ear)
        node.send(b"near")
        await ear.until(lambda: ear.heard == [b"near"])
        assert list(node._ears) == [""]
        monkeypatch.setattr(module, "_is_near", lambda host: False)
        node.send(b"far")
        monkeypatch.undo()
        await asyncio.sleep(0)
        node.close()
        assert ear.heard == [b"near"]

    play(main)
    assert module._is_near("192.168.1.7")
    assert not module._is_near("8.8.8.8")


def test_interfaces_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        here = Interface(
            LOOPBACK,
            1,
            ipaddress.IPv4Address("127.0.0.1"),
            None,
            ipaddress.IPv4Address("127.255.255.255"),
        )
        ghost = Interface(
            "ghost",
            2,
            ipaddress.IPv4Address("203.0.113.7"),
            None,
            ipaddress.IPv4Address("203.0.113.255"),
        )
        present: list[Interface] = []
        monkeypatch.setattr(module, "interfaces", lambda only: present)
        node, ear = Broadcast(free_port()), Ear()
        await node.start(ear)
        node.send(b"nobody")
        assert node.interfaces == ()
        assert list(node._ears) == ["255.255.255.255"]
        present[:] = [here, ghost]
        node.send(b"somebody")
        assert node.interfaces == (LOOPBACK,)
        assert list(node._ears) == ["255.255.255.255", "127.255.255.255"]
        await ear.until(lambda: ear.heard == [b"somebody"])
        present.clear()
        node.send(b"nobody")
        assert list(node._ears) == ["255.255.255.255"]
        present[:] = [here]
        node.send(b"again")
        await ear.until(lambda: ear.heard == [b"somebody", b"again"])
        node.close()

    play(main)


def test_a_network_that_is_down_is_no_error() -> None:
    async def main() -> None:
        node, ear = Broadcast(free_port(), interfaces=[LOOPBACK]), Ear()
        await node.start(ear)

        class Down:
            def sendto(self, data: bytes, target: object) -> None:
                raise OSError(errno.ENETDOWN, "Network is down")

        ((interface, mouth),) = node._mouths.items()
        node._mouths[interface] = Down()  # type: ignore[assignment]
        node.send(b"lost")
        node._mouths[interface] = mouth
        node.send(b"found")
        await ear.until(lambda: ear.heard == [b"found"])
        node.close()

    play(main)


def test_what_is_too_long_is_dropped() -> None:
    async def main() -> None:
        node, ear = Broadcast(free_port(), interfaces=[LOOPBACK]), Ear()
        await node.start(ear)
        node.send(bytes(DATAGRAM_BYTES_MAX + 1))
        node.send(bytes(DATAGRAM_BYTES_MAX))
        await ear.until(lambda: ear.heard)
        assert ear.heard == [bytes(DATAGRAM_BYTES_MAX)]
        node.close()

    play(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_hears_something_may_close_it(loop) -> None:
    async def main() -> None:
        node, ear = Broadcast(free_port(), interfaces=[LOOPBACK]), Ear()

        def hear(data: bytes) -> None:
            node.close()
            ear(data)

        await node.start(hear)
        node.send(b"one")
        node.send(b"two")
        await ear.until(lambda: ear.heard)
        node.close()
        node.send(b"three")
        assert ear.heard == [b"one"]
        assert node.interfaces == ()

    play(main, loop)


def test_a_port_somebody_has_for_itself_is_named_with_the_cure() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 0))
            port = taken.getsockname()[1]
            with pytest.raises(HostError, match=f"UDP port {port}: address already in use; stop"):
                await Broadcast(port).start(Ear())

    play(main)


@pytest.mark.parametrize("port", [0, 65536])
def test_what_is_no_port_is_a_mistake_of_the_caller(port: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 65535"):
        Broadcast(port)
