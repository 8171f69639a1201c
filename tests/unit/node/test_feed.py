"""Feeds: bounded by number and weight, lossy or not, for one task at a time."""

from __future__ import annotations

import asyncio

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.node.feed import Feed
from whispurrnet.testing.virtual_loop import run


def test_what_goes_in_comes_out_in_order() -> None:
    async def main() -> list[int]:
        feed: Feed[int] = Feed(10)
        feed.put([1, 2])
        feed.put([3])
        feed.close()
        return [item async for item in feed]

    assert run(main()) == [1, 2, 3]


def test_a_waiting_consumer_is_woken() -> None:
    async def main() -> int:
        feed: Feed[int] = Feed(10)
        waiting = asyncio.ensure_future(feed.__anext__())
        await asyncio.sleep(1)
        feed.put([7])
        return await waiting

    assert run(main()) == 7


@pytest.mark.parametrize(("items", "full"), [(3, False), (4, True)])
def test_full_by_number(items: int, full: bool) -> None:
    feed: Feed[int] = Feed(3)
    feed.put(range(items))
    assert feed.full is full


def test_full_by_weight_until_half_is_taken() -> None:
    room: list[int] = []

    async def main() -> None:
        feed: Feed[bytes] = Feed(
            1000, weigh=len, weight_max=100, on_room=lambda: room.append(len(feed))
        )
        feed.put([b"x" * 30] * 4)
        assert feed.full
        for _ in range(2):
            await anext(feed)
        assert feed.full
        await anext(feed)
        assert not feed.full

    run(main())
    assert room == [1]


@pytest.mark.parametrize("bound", [{"limit": 3}, {"limit": 99, "weigh": len, "weight_max": 30}])
def test_a_lossy_feed_drops_the_oldest_and_counts(bound: dict[str, object]) -> None:
    async def main() -> list[bytes]:
        feed: Feed[bytes] = Feed(lossy=True, **bound)  # type: ignore[arg-type]
        feed.put([b"%010d" % n for n in range(7)])
        assert not feed.full
        assert feed.dropped == 4
        feed.close()
        return [item async for item in feed]

    assert run(main()) == [b"%010d" % n for n in (4, 5, 6)]


def test_taking_all_leaves_it_empty_and_light() -> None:
    feed: Feed[bytes] = Feed(10, lossy=True, weigh=len, weight_max=20)
    feed.put([b"x" * 10, b"y" * 10])
    assert feed.take_all() == [b"x" * 10, b"y" * 10]
    feed.put([b"z" * 20])
    assert (len(feed), feed.dropped) == (1, 0)


def test_closing_tells_once_and_ends_a_wait() -> None:
    closed: list[object] = []

    async def main() -> None:
        feed: Feed[int] = Feed(1, on_close=closed.append)
        waiting = asyncio.ensure_future(anext(feed, None))
        await asyncio.sleep(1)
        feed.close()
        feed.close()
        assert await waiting is None

    run(main())
    assert len(closed) == 1


def test_a_second_task_is_refused_and_the_first_still_served() -> None:
    async def main() -> int:
        feed: Feed[int] = Feed(1)
        first = asyncio.ensure_future(feed.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="another task"):
            await feed.__anext__()
        feed.put([5])
        return await first

    assert run(main()) == 5


def test_a_cancelled_wait_loses_nothing() -> None:
    async def main() -> int:
        feed: Feed[int] = Feed(1)
        waiting = asyncio.ensure_future(feed.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        feed.put([5])
        return await anext(feed)

    assert run(main()) == 5
