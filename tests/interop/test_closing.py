"""A node that is closed leaves no socket behind, whoever is connected and at whatever moment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import whispurrnet
from whispurrnet.node import driver
from whispurrnet.transport import tcp
from whispurrnet.transport.link import NOBODY
from whispurrnet.transport.tcp import TcpTransport
from whispurrnet.wire.address import parse

QUIET: dict[str, Any] = {"lan": {"enabled": False}}
PLACE = "/ip4/127.0.0.1/tcp/0"
BEGINNINGS = [b"", b"\x16\x03\x01", b"GET /ws HTTP/1.1\r\n\r\n", b"\x01\x03\x01\0" + bytes(2000)]
"""What strangers say before they fall silent."""

TURNS = 8
"""A connection is taken in within fewer turns of the loop."""


@contextlib.contextmanager
def collecting() -> Iterator[list[str]]:
    """What the garbage collector finds open, of all that was used meanwhile."""
    found: list[str] = []
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield found
        finally:
            gc.collect()
    found += (str(one.message) for one in caught if issubclass(one.category, ResourceWarning))


@pytest.mark.parametrize("ending", ["", "/tls", "/ws", "/wss"])
def test_strangers_who_do_not_hang_up_are_cut(ending: str) -> None:
    strangers: list[socket.socket] = []

    async def main() -> float:
        async with whispurrnet.open(listen=(PLACE + ending,), **QUIET) as node:
            port = parse(node.listeners[0]).port
            for beginning in BEGINNINGS:
                stranger = socket.create_connection(("127.0.0.1", port))
                stranger.sendall(beginning)
                strangers.append(stranger)
            await asyncio.sleep(0.1)  # it does not matter how far each gets
            began = time.monotonic()
        return time.monotonic() - began

    with collecting() as found:
        took_s = asyncio.run(main())
    for stranger in strangers:
        stranger.close()
    assert found == []
    assert took_s < driver.CLOSING_S + 1


def test_a_peer_that_does_not_read_is_cut_and_one_that_does_costs_no_time() -> None:
    async def main(*, deaf: bool) -> float:
        async with whispurrnet.open(listen=(PLACE,), **QUIET) as bob:
            async with whispurrnet.open(listen=(), **QUIET) as alice:
                await alice.connect(bob.ticket, timeout_s=10)
                if deaf:
                    for port in bob._driver._ports.values():
                        assert port.link is not None
                        port.link.pause_reading()
                began = time.monotonic()
            return time.monotonic() - began

    with collecting() as found:
        took_s = [asyncio.run(main(deaf=deaf)) for deaf in (False, True)]
    assert found == []
    assert took_s[0] < driver.CLOSING_S / 2 < driver.CLOSING_S <= took_s[1]


def close_at_every_turn() -> list[str]:
    """What is found when a listener closes 0, 1, 2... turns of the loop after somebody called."""

    async def main(turns: int) -> None:
        links: list[Any] = []

        def accept(link: Any) -> Any:
            links.append(link)
            return NOBODY

        listener = await TcpTransport().listen(parse(PLACE), accept)
        with socket.create_connection(("127.0.0.1", listener.address.port)):
            for _ in range(turns):
                await asyncio.sleep(0)
            await listener.close()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            for link in links:
                link.abort()
            await asyncio.sleep(0)

    with collecting() as found:
        for turns in range(TURNS):
            asyncio.run(main(turns))
    return found


def test_who_calls_in_the_turn_in_which_it_closes_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert close_at_every_turn() == []

    async def at_once(server: asyncio.Server) -> None:
        server.close()

    if sys.version_info < (3, 12):  # later ones may have mended it themselves
        monkeypatch.setattr(tcp, "stop_serving", at_once)
        assert close_at_every_turn()


def test_without_seeing_links_off_sockets_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_at_all(_: driver.Driver) -> None:
        pass

    monkeypatch.setattr(driver.Driver, "_see_off", not_at_all)
    with pytest.raises(AssertionError):
        test_strangers_who_do_not_hang_up_are_cut("")
