"""Topics: what is put into one comes out, and leaving is told once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whispurrnet.node.feed import Feed
from whispurrnet.node.topic import Topic
from whispurrnet.testing.virtual_loop import run


class FakeNode:
    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    async def resonate(self, intent: str, payload: bytes, *, strength: float, priority: int) -> int:
        self.sent.append((intent, payload, strength, priority))
        return 2


class Rig:
    def __init__(self) -> None:
        self.left: list[Feed[Any]] = []
        self.feed: Feed[Any] = Feed(10, on_close=self.left.append)
        self.node: Any = FakeNode()
        self.topic = Topic(self.node, "cats", self.feed)


def test_what_arrives_is_iterated_over_until_it_is_closed() -> None:
    async def main() -> None:
        rig = Rig()
        rig.feed.put([1, 2])
        rig.topic.close()
        assert [item async for item in rig.topic] == [1, 2]

    run(main())


def test_closing_ends_whoever_waits_and_is_told_once() -> None:
    async def main() -> None:
        rig = Rig()
        task = asyncio.ensure_future(anext(rig.topic, None))
        await asyncio.sleep(1)
        rig.topic.close()
        rig.topic.close()
        assert await task is None
        assert rig.left == [rig.feed]

    run(main())


@pytest.mark.parametrize("error", [None, KeyError])
def test_the_block_ends_it_also_on_an_error(error: type[Exception] | None) -> None:
    async def main(rig: Rig) -> None:
        async with rig.topic as topic:
            assert topic is rig.topic
            assert not rig.left
            if error is not None:
                raise error

    async def outer() -> None:
        rig = Rig()
        if error is None:
            await main(rig)
        else:
            with pytest.raises(error):
                await main(rig)
        assert rig.left == [rig.feed]

    run(outer())


def test_sending_goes_to_its_intent() -> None:
    async def main() -> None:
        rig = Rig()
        assert await rig.topic.send(b"meow", strength=0.5, priority=7) == 2
        assert rig.node.sent == [("cats", b"meow", 0.5, 7)]

    run(main())


def test_it_does_not_show_its_intent() -> None:
    rig = Rig()
    rig.feed.put([1])
    assert repr(rig.topic) == "<Topic, 1 messages wait>"
