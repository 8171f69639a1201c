"""Reaching those who are registered under a name: who does not answer holds up nobody."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.base.errors import LimitError, NetworkError
from whispurrnet.node import seeking
from whispurrnet.node.feed import Feed
from whispurrnet.node.seeking import Seeker, reached
from whispurrnet.testing.virtual_loop import run
from whispurrnet.wire.ticket import Ticket


def ticket(number: int) -> Ticket:
    return Ticket(static_key=bytes([number]) * 32)


class Node:
    """Finds what the test says; ticket 1 is of one who crashed, and never answers."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.peers: list[Any] = []
        self.tried: list[int] = []
        self.looked = 0
        self.error: Exception | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def find(self, name: str) -> Feed[Ticket]:
        assert name == "object/x"
        if self.error is not None:
            raise self.error
        self.looked += 1
        feed: Feed[Ticket] = Feed(64, lossy=True)
        feed.put(ticket(number) for number in self.numbers)
        feed.close()
        return feed

    async def connect(self, found: Ticket, *, timeout_s: float) -> Any:
        number = found.static_key[0]
        self.tried.append(number)
        if number == 1:
            await asyncio.sleep(timeout_s)
            raise NetworkError("nobody answers")
        return SimpleNamespace(number=number)

    def spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))


def test_who_does_not_answer_holds_up_nobody() -> None:
    async def story() -> None:
        node = Node(1, 2)
        seeker = Seeker(node, "object/x")  # type: ignore[arg-type]
        found = await seeker.next(1.0)
        assert found is not None
        assert found[0] == ticket(2).static_key
        node.numbers = (1, 3)
        found = await seeker.next(1.0)
        assert found is not None
        assert found[0] == ticket(3).static_key
        assert node.tried == [1, 2, 3], "the dead one is tried by one attempt at a time"
        node.numbers = (1,)
        for _ in range(20):
            assert await seeker.next(1.0) is None
        assert node.tried.count(1) == 2, "and again when that has failed"
        await asyncio.gather(*node.tasks)

    run(story())


def test_few_are_tried_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeking, "TRIED_MAX", 4)

    async def story() -> None:
        node = Node(*range(1, 9))
        seeker = Seeker(node, "object/x")  # type: ignore[arg-type]
        await seeker.next(1.0)
        assert node.tried == [1, 2, 3, 4]
        await asyncio.gather(*node.tasks)

    run(story())


def test_too_much_that_is_looked_for_is_no_end() -> None:
    async def story() -> None:
        node = Node(2)
        node.error = LimitError("too many names")
        seeker = Seeker(node, "object/x")  # type: ignore[arg-type]
        assert await seeker.next(1.0) is None
        node.error = None
        assert await seeker.next(1.0) is not None
        await asyncio.gather(*node.tasks)

    run(story())


def test_one_who_is_connected_is_not_called_again() -> None:
    async def story() -> None:
        node: Any = Node()
        peer = SimpleNamespace(record=SimpleNamespace(static_key=ticket(1).static_key))
        node.peers = [peer]
        assert await reached(node, ticket(1)) is peer
        assert (await reached(node, ticket(2))).number == 2
        assert node.tried == [2]
        node.peers = []
        assert await reached(node, ticket(1)) is None

    run(story())
