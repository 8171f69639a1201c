"""Streams: reading, writing, credit, and every way in which they end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.node.stream import BUFFERED_MAX, CREDIT_BYTES, Stream
from whispurrnet.testing.virtual_loop import run


class FakeNode:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.credit: list[int] = []
        self.ended: list[str] = []

    def write_stream(self, stream: Stream, data: bytes) -> None:
        self.written.append(data)
        self.waiting += len(data)

    def unsent(self, stream: Stream) -> int:
        return self.waiting

    def consumed(self, stream: Stream, size: int) -> None:
        self.credit.append(size)

    def finish_stream(self, stream: Stream) -> None:
        self.ended.append("finish")

    def reset_stream(self, stream: Stream) -> None:
        self.ended.append("reset")


def make() -> tuple[FakeNode, Stream]:
    node: Any = FakeNode()
    peer: Any = SimpleNamespace(name="brave-otter-01")
    return node, Stream(node, peer, 3, "files")


# Reading


def test_reading_gives_what_came_in_order_and_then_the_end() -> None:
    async def main() -> None:
        _, stream = make()
        stream.feed(b"one")
        stream.feed(b"two")
        stream.feed_end()
        assert [await stream.read() for _ in range(4)] == [b"one", b"two", b"", b""]

    run(main())


@pytest.mark.parametrize("what", ["data", "end", "fail"])
def test_whoever_waits_to_read_is_woken(what: str) -> None:
    async def main() -> None:
        _, stream = make()
        task = asyncio.ensure_future(stream.read())
        await asyncio.sleep(1)
        if what == "fail":
            stream.fail("gone")
            with pytest.raises(NetworkError, match="gone"):
                await task
        elif what == "end":
            stream.feed_end()
            assert await task == b""
        else:
            stream.feed(b"x")
            assert await task == b"x"

    run(main())


def test_what_came_before_the_failure_is_read_first() -> None:
    async def main() -> None:
        node, stream = make()
        stream.feed(b"x" * CREDIT_BYTES)
        stream.fail("the session ended")
        assert len(await stream.read()) == CREDIT_BYTES
        with pytest.raises(NetworkError, match="the session ended"):
            await stream.read()
        assert not node.credit  # the number may be that of another stream by now

    run(main())


def test_only_one_task_reads_and_the_first_is_not_disturbed() -> None:
    async def main() -> None:
        _, stream = make()
        first = asyncio.ensure_future(stream.read())
        await asyncio.sleep(1)
        with pytest.raises(UsageError, match="one task"):
            await stream.read()
        stream.feed(b"x")
        assert await first == b"x"

    run(main())


def test_a_cancelled_read_loses_nothing() -> None:
    async def main() -> None:
        _, stream = make()
        task = asyncio.ensure_future(stream.read())
        await asyncio.sleep(1)
        stream.feed(b"x")
        task.cancel()
        await asyncio.sleep(1)
        assert task.cancelled()
        assert await stream.read() == b"x"

    run(main())


def test_credit_is_given_back_in_steps() -> None:
    async def main() -> None:
        node, stream = make()
        part = CREDIT_BYTES // 4
        for _ in range(6):
            stream.feed(b"x" * part)
        for _ in range(3):
            await stream.read()
        assert not node.credit
        await stream.read()
        assert node.credit == [4 * part]
        await stream.read()
        assert node.credit == [4 * part]
        await stream.read()  # nothing is left: the rest is given back, or the peer would wait
        assert node.credit == [4 * part, 2 * part]

    run(main())


def test_reading_it_all_and_iterating() -> None:
    async def main() -> None:
        for whole in (True, False):
            _, stream = make()
            stream.feed(b"one")
            stream.feed(b"two")
            stream.feed_end()
            if whole:
                assert await stream.read_all() == b"onetwo"
            else:
                assert [chunk async for chunk in stream] == [b"one", b"two"]

    run(main())


def test_reading_it_all_has_a_limit_and_gives_the_stream_up() -> None:
    async def main() -> None:
        for limit in (6, 5):
            node, stream = make()
            stream.feed(b"123")
            stream.feed(b"456")
            stream.feed_end()
            if limit == 6:
                assert await stream.read_all(limit=limit) == b"123456"
                assert not node.ended
            else:
                with pytest.raises(UsageError, match="more than 5 bytes"):
                    await stream.read_all(limit=limit)
                assert node.ended == ["reset"]

    run(main())


# Writing


@pytest.mark.parametrize(("size", "waits"), [(BUFFERED_MAX, False), (BUFFERED_MAX + 1, True)])
def test_writing_waits_while_much_is_unsent(size: int, waits: bool) -> None:
    async def main() -> None:
        node, stream = make()
        task = asyncio.ensure_future(stream.write(b"x" * size))
        await asyncio.sleep(1)
        assert task.done() is not waits
        stream.writable()  # not low enough yet
        await asyncio.sleep(1)
        assert task.done() is not waits
        node.waiting = BUFFERED_MAX
        stream.writable()
        await task
        assert len(node.written) == 1

    run(main())


def test_all_who_wait_to_write_are_woken_and_one_may_give_up() -> None:
    async def main() -> None:
        node, stream = make()
        node.waiting = BUFFERED_MAX
        tasks = [asyncio.ensure_future(stream.write(b"x")) for _ in range(3)]
        await asyncio.sleep(1)
        tasks[0].cancel()
        await asyncio.sleep(1)
        assert [task.done() for task in tasks] == [True, False, False]
        node.waiting = 0
        stream.writable()
        await asyncio.gather(*tasks[1:])

    run(main())


def test_a_write_that_waits_hears_that_the_stream_failed() -> None:
    async def main() -> None:
        node, stream = make()
        task = asyncio.ensure_future(stream.write(b"x" * (BUFFERED_MAX + 1)))
        await asyncio.sleep(1)
        stream.fail("the peer is gone")
        with pytest.raises(NetworkError, match="the peer is gone"):
            await task
        with pytest.raises(NetworkError, match="the peer is gone"):
            await stream.write(b"more")
        assert len(node.written) == 1

    run(main())


# The end


def test_finishing_leaves_reading_as_it_is() -> None:
    async def main() -> None:
        node, stream = make()
        stream.finish()
        stream.feed(b"x")
        assert await stream.read() == b"x"
        assert node.ended == ["finish"]

    run(main())


def test_a_reset_ends_both_ways_once() -> None:
    async def main() -> None:
        node, stream = make()
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(1)
        stream.reset()
        stream.reset()
        stream.finish()
        assert node.ended == ["reset"]
        with pytest.raises(NetworkError, match="reset here"):
            await reading
        with pytest.raises(NetworkError, match="reset here"):
            await stream.write(b"x")

    run(main())


def test_after_a_failure_the_number_is_left_alone() -> None:
    node, stream = make()
    stream.fail("gone")
    stream.finish()
    stream.reset()
    assert not node.ended
    assert repr(stream) == "<Stream 3 to brave-otter-01>"
