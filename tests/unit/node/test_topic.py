"""Topics: what is put into one comes out, and leaving is told once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whispurrnet.node.feed import Feed
from whispurrnet.node.spreading import Sent
from whispurrnet.node.topic import Topic
from whispurrnet.testing.virtual_loop import run

KEY = b"k" * 32


class FakeNode:
    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    async def resonate(self, intent: str, payload: bytes, **how: Any) -> Sent:
        self.sent.append((intent, payload, how))
        return Sent("id", 2)


class Rig:
    def __init__(self, key: bytes | None = None) -> None:
        self.left: list[Feed[Any]] = []
        self.feed: Feed[Any] = Feed(10, on_close=self.left.append)
        self.node: Any = FakeNode()
        self.topic = Topic(self.node, "cats", key, self.feed)


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


def test_sending_goes_to_its_intent_under_its_key() -> None:
    async def main() -> None:
        rig = Rig(KEY)
        sent = await rig.topic.send(b"meow", strength=0.5, priority=7, signed=True)
        assert sent.neighbours == 2
        how = {"strength": 0.5, "priority": 7, "key": KEY, "signed": True, "one_of": False}
        assert rig.node.sent == [("cats", b"meow", how)]

    run(main())


def test_it_does_not_show_its_intent_or_its_key() -> None:
    rig = Rig(KEY)
    rig.feed.put([1])
    assert repr(rig.topic) == "<Topic, 1 messages wait>"
