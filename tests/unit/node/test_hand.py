"""A thread that works for the loop: in order, in batches, and it outlives what goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from whispurrnet.node.hand import Hand


class Lab:
    """A hand that doubles numbers, as soon as it may."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = threading.Event()
        self.came: asyncio.Queue[list[int]] = asyncio.Queue()
        self.hand = Hand("doubles", self.work, self.came.put_nowait)

    def work(self, batch: Sequence[int]) -> list[int]:
        assert threading.current_thread().name == "doubles"
        self.may.wait(10)
        self.batches.append(list(batch))
        if 13 in batch:
            raise ValueError("13")
        return [2 * number for number in batch]


def test_what_came_meanwhile_is_one_batch_in_order() -> None:
    async def story() -> None:
        lab = Lab()
        for number in range(5):
            lab.hand.do(number)
        assert lab.hand.waiting == [1, 2, 3, 4]
        lab.may.set()
        assert await lab.came.get() == [0]
        assert await lab.came.get() == [2, 4, 6, 8]
        assert lab.batches == [[0], [1, 2, 3, 4]]
        lab.hand.close()

    asyncio.run(story())


def test_a_fault_is_told_to_the_loop_and_the_next_batch_is_done() -> None:
    async def story() -> None:
        faults: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: faults.append(context["exception"])
        )
        lab = Lab()
        lab.may.set()
        lab.hand.do(13)
        lab.hand.do(1)
        assert await lab.came.get() == [2]
        assert [str(fault) for fault in faults] == ["13"]
        lab.hand.close()

    asyncio.run(story())


@pytest.mark.parametrize("late", [False, True])
def test_closing_finishes_what_was_begun_and_leaves_the_rest(late: bool) -> None:
    async def story() -> None:
        lab = Lab()
        lab.hand.do(1)
        lab.hand.do(2)
        lab.may.set()
        lab.hand.close()
        if late:
            lab.hand.do(3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lab.batches == [[1]]
        assert lab.came.empty(), "nobody is there any more to be told"
        assert lab.hand.waiting == ([2, 3] if late else [2])

    asyncio.run(story())
