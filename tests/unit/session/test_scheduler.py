"""Who sends next."""

from __future__ import annotations

from whispurrnet.session.scheduler import Scheduler
from whispurrnet.session.stream import Inflow, Stream


def stream(id: int, priority: int, data: bytes = b"", limit: int = 100) -> Stream:
    state = Stream(id, priority, Inflow(100, 100), limit, ours=True)
    if data:
        state.chunks.append(data)
        state.buffered = len(data)
    return state


def order(scheduler: Scheduler, room: int = 1) -> list[tuple[int, bytes]]:
    taken = []
    while (state := scheduler.front()) is not None:
        taken.append((state.id, b"".join(scheduler.take(state, room))))
    return taken


def test_urgent_first_and_equals_in_turns() -> None:
    scheduler = Scheduler(100)
    for state in (stream(1, 5, b"abc"), stream(3, 9, b"xy"), stream(5, 5, b"de")):
        scheduler.wake(state)
        scheduler.wake(state)  # twice is once
    assert order(scheduler) == [
        *[(3, b"x"), (3, b"y")],
        *[(1, b"a"), (5, b"d"), (1, b"b"), (5, b"e"), (1, b"c")],
    ]


def test_credit_of_the_session_holds_data_back_but_no_end() -> None:
    scheduler = Scheduler(2)
    one, other = stream(1, 5, b"abc"), stream(3, 5)
    other.finish = True
    scheduler.wake(one)
    assert order(scheduler, 10) == [(1, b"ab")]
    scheduler.wake(other)
    scheduler.wake(one)
    assert order(scheduler, 10) == [(3, b"")]
    assert other.finished
    scheduler.allow(1)  # credit never goes back
    assert order(scheduler, 10) == []
    scheduler.allow(3)
    assert order(scheduler, 10) == [(1, b"c")]


def test_credit_of_the_stream_holds_it_back() -> None:
    scheduler = Scheduler(100)
    state = stream(1, 5, b"abc", limit=1)
    scheduler.wake(state)
    assert order(scheduler, 10) == [(1, b"a")]
    state.limit = 100
    scheduler.wake(state)
    assert order(scheduler, 10) == [(1, b"bc")]


def test_a_stream_that_is_gone_leaves_nothing_behind() -> None:
    scheduler = Scheduler(1)
    waiting, blocked, last = stream(1, 0, b"a"), stream(3, 9, b"bcd"), stream(5, 0, b"e")
    for state in (waiting, blocked, last):
        scheduler.wake(state)
    front = scheduler.front()
    assert front is blocked
    scheduler.take(blocked, 1)
    assert scheduler.front() is None  # all wait for the session now
    for state in (waiting, blocked):
        scheduler.drop(state)
    scheduler.drop(waiting)
    assert not scheduler._filled
    scheduler.allow(100)
    scheduler.drop(last)
    assert scheduler.front() is None
    assert not any(scheduler._queues)
