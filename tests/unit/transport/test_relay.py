"""Links through relays: token, one byte, then the other side; on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.dialer import Dialer
from whispurrnet.transport.link import NO_BINDING, NOBODY, Link, LinkHandler
from whispurrnet.transport.memory import Hub, MemoryTransport
from whispurrnet.transport.relay import READY_S, RelayTransport, meet
from whispurrnet.wire.address import Address, parse

BASE = parse("/memory/relay")
BOB = BASE.through(b"k" * 32, b"b" * 32)
TOKEN = b"t" * 32


class Heard:
    def __init__(self) -> None:
        self.data = b""
        self.lost: list[str] = []

    def link_data(self, link: Link, data: bytes) -> None:
        self.data += data

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)

    def link_paused(self, link: Link) -> None: ...

    def link_resumed(self, link: Link) -> None: ...


class Rig:
    """A relay that answers a token as the test says."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.came = Heard()
        self.links: list[Link] = []
        hub = Hub()
        self.memory = MemoryTransport(hub)
        self.relay = RelayTransport()
        self.relay.dialer = self.dialer = Dialer([self.memory, self.relay])
        self.relay.ask = self.ask

    async def ask(self, address: Address) -> bytes:
        assert address == BOB
        return TOKEN

    async def __aenter__(self) -> Rig:
        self.listener = await self.memory.listen(BASE, self.accept)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.listener.close()

    def accept(self, link: Link) -> LinkHandler:
        self.links.append(link)
        if self.answer is None:
            asyncio.get_running_loop().call_later(0.5, link.abort)
        elif self.answer:
            link.write(self.answer)
        return self.came


def test_a_link_that_is_met_is_the_other_sides() -> None:
    async def main() -> None:
        async with Rig(b"\x01hello") as rig:
            heard = Heard()
            link = await rig.dialer.dial([BOB], heard)
            assert (link.path, link.remote, link.binding) == ("relay", BOB, NO_BINDING)
            assert not link.inbound
            link.write(b" and more")
            await asyncio.sleep(0.1)
            assert rig.came.data == TOKEN + b" and more"
            assert heard.data == b"hello"
            link.pause_reading()
            rig.links[0].write(b", later")
            await asyncio.sleep(0.1)
            assert heard.data == b"hello"
            link.resume_reading()
            await asyncio.sleep(0.1)
            assert heard.data == b"hello, later"
            assert link.handler is heard
            link.close()
            await asyncio.sleep(0.1)
            assert heard.lost

    run(main())


@pytest.mark.parametrize(
    ("answer", "why"),
    [(b"HTTP", "is no relay"), (None, "did not come"), (b"", f"within {READY_S:g} s")],
)
def test_one_that_is_not_met_names_the_relay(answer: bytes | None, why: str) -> None:
    async def main() -> None:
        async with Rig(answer) as rig:
            with pytest.raises(NetworkError, match=f"relay memory 'relay'.*{why}"):
                await rig.relay.dial(BOB, Heard())
            await asyncio.sleep(0.1)
            assert rig.came.lost or answer is None  # nothing stays open

    run(main())


def test_cancelling_leaves_nothing_open() -> None:
    async def main() -> None:
        async with Rig(b"") as rig:
            task = asyncio.create_task(rig.relay.dial(BOB, Heard()))
            await asyncio.sleep(1.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.1)
            assert rig.came.lost

    run(main())


def test_an_inbound_one_goes_to_whoever_accepts_it() -> None:
    async def main() -> None:
        async with Rig(b"\x01first words") as rig:
            heard, taken = Heard(), []

            def accept(link: Link) -> Heard:
                taken.append(link)
                return heard

            link = await meet(rig.dialer, [BASE], TOKEN, BOB, accept, inbound=True)
            assert taken == [link]
            assert link.inbound
            assert heard.data == b"first words"

    run(main())


def test_nobody_listens_at_a_relay_and_without_a_node_nobody_asks() -> None:
    async def main() -> None:
        relay = RelayTransport()
        with pytest.raises(UsageError, match=r"nat\.relays"):
            await relay.listen(BOB, lambda _: NOBODY)
        with pytest.raises(NetworkError, match="not running"):
            await relay.dial(BOB, NOBODY)

    run(main())
