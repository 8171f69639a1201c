"""Links inside one process, on virtual time; the rules all links share are in `interop`."""

from __future__ import annotations

import asyncio

import pytest

from whispurrnet.base.errors import HostError, NetworkError, UsageError
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.link import LINGER_S, NOBODY, Link, LinkHandler
from whispurrnet.transport.memory import HUB, Hub, MemoryTransport
from whispurrnet.wire.address import parse

ALICE = parse("/memory/alice")


class Heard:
    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.lost: list[str] = []

    def link_data(self, link: Link, data: bytes) -> None:
        self.data.append(data)

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)

    def link_paused(self, link: Link) -> None: ...

    def link_resumed(self, link: Link) -> None: ...


def test_a_name_is_listened_on_once() -> None:
    async def main() -> None:
        transport = MemoryTransport(Hub())
        listener = await transport.listen(ALICE, lambda _: NOBODY)
        with pytest.raises(HostError, match="/memory/alice is taken.*another name"):
            await transport.listen(ALICE, lambda _: NOBODY)
        await listener.close()
        await listener.close()
        again = await transport.listen(ALICE, lambda _: NOBODY)
        await listener.close()
        assert await transport.dial(ALICE, NOBODY)
        await again.close()

    run(main())


def test_hubs_are_apart_and_one_is_shared() -> None:
    async def main() -> None:
        listener = await MemoryTransport().listen(ALICE, lambda _: NOBODY)
        assert await MemoryTransport(HUB).dial(ALICE, NOBODY)
        with pytest.raises(NetworkError, match="nobody listens at /memory/alice"):
            await MemoryTransport(Hub()).dial(ALICE, NOBODY)
        await listener.close()
        assert not HUB.listeners

    run(main())


def test_only_memory_addresses_are_listened_on() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="not a memory address"):
            await MemoryTransport(Hub()).listen(parse("/ip4/1.2.3.4/tcp/9"), lambda _: NOBODY)

    run(main())


def test_a_buffer_written_and_changed_arrives_as_it_was() -> None:
    async def main() -> None:
        there = Heard()
        transport = MemoryTransport(Hub())
        await transport.listen(ALICE, lambda _: there)
        link = await transport.dial(ALICE, NOBODY)
        buffer = bytearray(b"one")
        link.write(buffer)
        buffer[:] = b"two"
        assert there.data == [], "never from within write"
        await asyncio.sleep(0)
        assert there.data == [b"one"]

    run(main())


def test_who_never_reads_is_left_behind_after_the_linger() -> None:
    async def main() -> None:
        here, there = Heard(), Heard()

        def accept(link: Link) -> LinkHandler:
            link.pause_reading()
            return there

        transport = MemoryTransport(Hub())
        await transport.listen(ALICE, accept)
        link = await transport.dial(ALICE, here)
        link.write(b"unread")
        link.close()
        await asyncio.sleep(LINGER_S - 0.1)
        assert here.lost == []
        await asyncio.sleep(0.2)
        assert here.lost == ["closed here"]
        assert there.lost == ["closed by the peer"]
        assert there.data == []

    run(main())


def test_both_sides_close_at_once() -> None:
    async def main() -> None:
        here, there = Heard(), Heard()
        far: list[Link] = []

        def accept(link: Link) -> LinkHandler:
            far.append(link)
            return there

        transport = MemoryTransport(Hub())
        await transport.listen(ALICE, accept)
        link = await transport.dial(ALICE, here)
        link.close()
        far[0].close()
        await asyncio.sleep(0.1)
        assert here.lost == there.lost == ["closed here"]

    run(main())


def test_a_handler_that_closes_while_it_reads_hears_no_more() -> None:
    async def main() -> None:
        class Curt(Heard):
            def link_data(self, link: Link, data: bytes) -> None:
                super().link_data(link, data)
                link.close()

        there = Curt()
        transport = MemoryTransport(Hub())
        await transport.listen(ALICE, lambda _: there)
        link = await transport.dial(ALICE, NOBODY)
        link.write(b"one")
        link.write(b"two")
        await asyncio.sleep(0.1)
        assert there.data == [b"one"]
        assert there.lost == ["closed here"]

    run(main())
