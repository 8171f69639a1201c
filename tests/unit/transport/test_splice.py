"""Pairs of links: what is copied, held back, counted and ended; on virtual time."""

from __future__ import annotations

import asyncio

from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.link import HIGH_WATER, NOBODY, Link
from whispurrnet.transport.memory import MemoryLink
from whispurrnet.transport.splice import SWEEP_S, Splice, Splicer
from whispurrnet.wire.address import parse

ALICE = parse("/memory/alice")


class Heard:
    def __init__(self) -> None:
        self.data = b""
        self.lost: list[str] = []
        self.states: list[str] = []

    def link_data(self, link: Link, data: bytes) -> None:
        self.data += data

    def link_lost(self, link: Link, reason: str) -> None:
        self.lost.append(reason)

    def link_paused(self, link: Link) -> None:
        self.states.append("paused")

    def link_resumed(self, link: Link) -> None:
        self.states.append("resumed")


class Pair:
    """Two ends, and a splice between them."""

    def __init__(self, **limits: float) -> None:
        self.ended: list[int] = []
        self.heard = Heard(), Heard()
        self.ends: list[MemoryLink] = []
        inner: list[MemoryLink] = []
        for heard in self.heard:
            near = MemoryLink(ALICE, heard, inbound=False)
            far = MemoryLink(ALICE, NOBODY, inbound=True)
            near.join(far)
            self.ends.append(near)
            inner.append(far)
        self.splice = Splice(*inner, ended=self.ended.append, **limits)  # type: ignore[arg-type]


async def soon() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_comes_on_one_goes_to_the_other() -> None:
    async def main() -> None:
        pair = Pair()
        pair.splice.begin(b"\x01")
        pair.ends[0].write(b"to the second")
        pair.ends[1].write(b"to the first")
        await soon()
        assert pair.heard[1].data == b"\x01to the second"
        assert pair.heard[0].data == b"\x01to the first"
        assert pair.splice.bytes == 25

    run(main())


def test_who_does_not_read_holds_the_other_back() -> None:
    async def main() -> None:
        pair = Pair()
        pair.ends[1].pause_reading()
        for _ in range(8):
            pair.ends[0].write(bytes(HIGH_WATER // 2))
            await soon()
        assert pair.heard[0].states == ["paused"]
        assert pair.splice.bytes < 3 * HIGH_WATER
        pair.ends[1].resume_reading()
        await soon()
        await soon()
        assert len(pair.heard[1].data) == 4 * HIGH_WATER
        assert pair.heard[0].states[-1] == "resumed"

    run(main())


def test_a_rate_is_kept() -> None:
    async def main() -> None:
        pair = Pair(bytes_per_s=1000)
        for _ in range(40):
            pair.ends[0].write(bytes(100))
        await asyncio.sleep(3.0)
        assert 2500 < len(pair.heard[1].data) < 4000
        await asyncio.sleep(1.2)
        assert len(pair.heard[1].data) == 4000

    run(main())


def test_without_a_rate_it_is_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pair = Pair()  # the control
        began = loop.time()
        for _ in range(40):
            pair.ends[0].write(bytes(100))
        await soon()
        assert len(pair.heard[1].data) == 4000
        assert loop.time() - began < 0.01

    run(main())


def test_a_quota_ends_both() -> None:
    async def main() -> None:
        pair = Pair(bytes_max=1000)
        pair.ends[0].write(bytes(600))
        await soon()
        pair.ends[1].write(bytes(600))
        await soon()
        assert pair.ended == [1200]
        assert [len(heard.lost) for heard in pair.heard] == [1, 1]

    run(main())


def test_one_that_closes_ends_the_other_after_what_it_said() -> None:
    async def main() -> None:
        pair = Pair()
        pair.ends[0].write(b"last words")
        pair.ends[0].close()
        await soon()
        assert pair.heard[1].data == b"last words"
        assert pair.heard[1].lost
        assert pair.ended == [10]

    run(main())


def test_the_silent_are_parted_and_the_others_are_not() -> None:
    async def main() -> None:
        splicer = Splicer()
        silent, loud = Pair(idle_s=60.0), Pair(idle_s=60.0)
        splicer.add(1, silent.splice)
        splicer.add(2, loud.splice)
        for _ in range(10):
            await asyncio.sleep(SWEEP_S)
            loud.ends[0].write(b"x")
            await soon()
        assert silent.ended == [0]
        assert loud.ended == []
        assert splicer.bytes == 10
        splicer.remove(1)
        assert len(splicer) == 1
        splicer.cut(2)
        splicer.cut(9)
        await soon()
        assert loud.ended == [10]
        splicer.close()

    run(main())
