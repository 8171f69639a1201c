"""Multicast on this machine: real datagrams between sockets, and between processes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest
import uvloop

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.lan import multicast
from whispurrnet.lan.multicast import DATAGRAM_BYTES_MAX, Multicast, local_addresses

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
LOOPBACK = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


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
        async with asyncio.timeout(3):
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
        nodes = [Multicast(port, group6="", interfaces=[LOOPBACK]) for _ in range(3)]
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


def test_another_port_or_group_is_another_place() -> None:
    async def main() -> None:
        port, other = free_port(), free_port()
        places = [
            Multicast(port, group6="", interfaces=[LOOPBACK]),
            Multicast(other, group6="", interfaces=[LOOPBACK]),
            Multicast(port, "239.192.74.2", group6="", interfaces=[LOOPBACK]),
        ]
        ears = [Ear() for _ in places]
        for place, ear in zip(places, ears, strict=True):
            await place.start(ear)
        for n, place in enumerate(places):
            place.send(bytes([n]))
        for n, ear in enumerate(ears):
            await ear.until(lambda: ear.heard)  # noqa: B023
            assert set(ear.heard) == {bytes([n])}
        for place in places:
            place.close()

    play(main)


CHILD = """
import asyncio, sys
from whispurrnet.lan.multicast import Multicast
async def main():
    heard = asyncio.Event()
    node = Multicast(int(sys.argv[1]), group6="", interfaces=[sys.argv[2]])
    await node.start(lambda data: heard.set() if data == b"ping" else None)
    print("ready", flush=True)
    await heard.wait()
    node.send(b"pong")
    node.close()
asyncio.run(main())
"""


def test_two_processes_hear_each_other() -> None:
    async def main() -> None:
        port = free_port()
        node, ear = Multicast(port, group6="", interfaces=[LOOPBACK]), Ear()
        await node.start(ear)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            str(port),
            LOOPBACK,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        node.send(b"ping")
        await ear.until(lambda: b"pong" in ear.heard)
        assert await child.wait() == 0
        node.close()

    play(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_every_interface_is_used_and_those_that_cannot_are_passed_over(loop) -> None:
    async def main() -> None:
        node, ear = Multicast(free_port()), Ear()
        await node.start(ear)
        names = {name for _, name in socket.if_nameindex()}
        assert set(node.interfaces) <= names
        node.send(b"all")
        await ear.until(lambda: ear.heard)
        assert set(ear.heard) == {b"all"}
        node.close()

    play(main, loop)


def test_ipv6_where_this_machine_has_it() -> None:
    async def main() -> None:
        node, ear = Multicast(free_port(), group4=""), Ear()
        try:
            await node.start(ear)
        except HostError:
            pytest.skip("no IPv6 on this machine")
        node.send(b"six")
        with contextlib.suppress(TimeoutError):  # loopback alone has no IPv6 multicast route
            await ear.until(lambda: ear.heard)
            assert set(ear.heard) == {b"six"}
        node.close()

    play(main)


def test_a_network_that_is_down_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        node, ear = Multicast(free_port(), group6="", interfaces=[LOOPBACK]), Ear()
        await node.start(ear)

        class Down:
            def sendto(self, data: bytes, target: object) -> None:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")

            def close(self) -> None: ...

        sender = node._parties[0].senders[LOOPBACK]
        node._parties[0].senders[LOOPBACK] = Down()
        node.send(b"lost")
        node._parties[0].senders[LOOPBACK] = sender
        node.send(b"found")
        await ear.until(lambda: ear.heard == [b"found"])
        node.close()

    play(main)


def test_interfaces_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        real = socket.if_nametoindex(LOOPBACK)
        present: list[tuple[int, str]] = []
        monkeypatch.setattr(socket, "if_nameindex", lambda: present)
        node, ear = Multicast(free_port(), group6=""), Ear()
        await node.start(ear)
        node.send(b"nobody")
        assert node.interfaces == ()
        present[:] = [(real, LOOPBACK), (9999, "ghost")]
        node.send(b"somebody")
        assert node.interfaces == (LOOPBACK,)
        await ear.until(lambda: ear.heard == [b"somebody"])
        present[:] = [(9998, LOOPBACK)]
        node.send(b"nobody")
        assert node.interfaces == ()
        present[:] = [(real, LOOPBACK)]
        node.send(b"again")
        await ear.until(lambda: ear.heard == [b"somebody", b"again"])
        node.close()

    play(main)


def test_what_is_too_long_is_dropped() -> None:
    async def main() -> None:
        node, ear = Multicast(free_port(), group6="", interfaces=[LOOPBACK]), Ear()
        await node.start(ear)
        node.send(bytes(DATAGRAM_BYTES_MAX + 1))
        node.send(b"")
        node.send(bytes(DATAGRAM_BYTES_MAX))
        await ear.until(lambda: bytes(DATAGRAM_BYTES_MAX) in ear.heard)
        assert bytes(DATAGRAM_BYTES_MAX + 1) not in ear.heard
        node.close()

    play(main)


def test_a_closed_one_neither_sends_nor_hears() -> None:
    async def main() -> None:
        port = free_port()
        closed, open_ = (Multicast(port, group6="", interfaces=[LOOPBACK]) for _ in range(2))
        ears = Ear(), Ear()
        await closed.start(ears[0])
        await open_.start(ears[1])
        closed.close()
        closed.close()
        closed.send(b"dead")
        open_.send(b"alive")
        await ears[1].until(lambda: ears[1].heard)
        assert ears[1].heard == [b"alive"]
        assert ears[0].heard == []
        assert closed.interfaces == ()
        open_.close()

    play(main)


def test_a_port_somebody_has_for_itself_is_named_with_the_cure() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 0))
            port = taken.getsockname()[1]
            node = Multicast(port, group6="")
            with pytest.raises(HostError, match=f"UDP port {port}: address already in use; stop"):
                await node.start(Ear())

    play(main)


def test_without_groups_there_is_nothing_to_hear() -> None:
    async def main() -> None:
        with pytest.raises(HostError, match="no group is set"):
            await Multicast(9, group4="", group6="").start(Ear())

    play(main)


@pytest.mark.parametrize(
    ("port", "group"), [(0, "239.192.74.1"), (65536, "ff12::1"), (9, "10.0.0.1"), (9, "nonsense")]
)
def test_what_is_no_group_is_a_mistake_of_the_caller(port: int, group: str) -> None:
    with pytest.raises(UsageError, match="take a multicast group and a port"):
        Multicast(port, group)


def test_local_addresses_are_those_others_can_reach() -> None:
    found = local_addresses()
    assert found
    assert len(set(found)) == len(found)
    for ip in found:
        assert not ip.is_unspecified
        assert not (ip.version == 6 and ip.is_link_local)
        with socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6) as probe:
            probe.bind((str(ip), 0))
    if len(found) > 1:
        assert not any(ip.is_loopback for ip in found)


def test_loopback_stands_in_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    lonely = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("fe80::1")]
    monkeypatch.setattr(multicast, "_addresses4", lambda: lonely[:1])
    monkeypatch.setattr(multicast, "_addresses6", lambda: lonely[1:])
    assert local_addresses() == (ipaddress.ip_address("127.0.0.1"),)


def test_other_systems_are_asked_by_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multicast.sys, "platform", "darwin")
    found = multicast._addresses4()
    assert len(found) <= 1
    assert all(ip.version == 4 for ip in found)
    assert multicast._by_route(socket.AF_INET, "127.0.0.1") == [ipaddress.ip_address("127.0.0.1")]
