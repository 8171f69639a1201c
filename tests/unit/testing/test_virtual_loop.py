"""An asyncio loop whose clock jumps."""

from __future__ import annotations

import asyncio
import time

import pytest

from whispurrnet.testing import virtual_loop
from whispurrnet.testing.virtual_loop import DeadlockError


def test_an_hour_passes_in_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert virtual_loop.run(main()) == pytest.approx(3600)
    assert time.monotonic() - started < 5


def test_tasks_wake_in_the_order_of_their_time() -> None:
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(name)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleeper("late", 60))
            tasks.create_task(sleeper("early", 1))
            tasks.create_task(sleeper("between", 30))

    virtual_loop.run(main())
    assert woken == ["early", "between", "late"]


def test_timeouts_work_on_virtual_time() -> None:
    async def main() -> bool:
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(11)
        except TimeoutError:
            return True
        return False

    assert virtual_loop.run(main())


def test_waiting_for_nothing_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        virtual_loop.run(main())
