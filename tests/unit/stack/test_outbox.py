"""What waits for one peer: the urgent first, bounded, and dropped from the other end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.stack import outbox
from whispurrnet.stack.outbox import LANES, Outbox
from whispurrnet.wire import frame

ROOM = 65_000


def bodies(box: Outbox) -> list[bytes]:
    """Everything in it, in the order it would be sent."""
    taken = []
    while parts := box.pull(ROOM):
        head, body = parts
        assert head == frame.header(frame.GOSSIP, len(body))
        taken.append(body)
    return taken


def test_an_empty_one_has_nothing() -> None:
    box = Outbox()
    assert (len(box), box.priority(), box.pull(ROOM)) == (0, None, ())


def test_the_urgent_comes_first_and_each_lane_keeps_its_order() -> None:
    box = Outbox()
    for n, lane in enumerate([5, 6, 5, 10, 6, 0]):
        box.put(frame.GOSSIP, b"%d" % n, lane)
    assert (len(box), box.priority()) == (6, 10)
    assert bodies(box) == [b"3", b"1", b"4", b"0", b"2", b"5"]
    assert box.priority() is None


def test_what_does_not_fit_waits_for_the_next_record() -> None:
    box = Outbox()
    box.put(frame.GOSSIP, bytes(100), 5)
    assert box.pull(100 + frame.HEADER_BYTES - 1) == ()
    assert len(box) == 1
    assert box.pull(100 + frame.HEADER_BYTES) == (frame.header(frame.GOSSIP, 100), bytes(100))


def test_what_is_urgent_is_not_overtaken_because_it_is_long() -> None:
    box = Outbox()
    box.put(frame.GOSSIP, bytes(1000), 10)
    box.put(frame.GOSSIP, b"short", 5)
    assert box.pull(500) == ()


@pytest.mark.parametrize(("count", "size"), [(outbox.FRAMES_MAX, 1), (256, 32 * 1024)])
def test_a_full_one_drops_the_oldest_of_the_least_urgent(count: int, size: int) -> None:
    box = Outbox()
    for n in range(count):
        box.put(frame.GOSSIP, (b"%d " % n).ljust(size), 5 if n else 6)
    assert (box.dropped, 256 * 32 * 1024) == (0, outbox.BYTES_MAX)
    box.put(frame.GOSSIP, b"alarm".ljust(size), 10)
    assert (box.dropped, len(box)) == (1, count)
    first, second, third = bodies(box)[:3]
    assert first.startswith(b"alarm")
    assert second.startswith(b"0")
    assert third.startswith(b"2"), "1 was the oldest of the least urgent"


def test_what_alone_is_too_much_is_dropped() -> None:
    box = Outbox()
    box.put(frame.GOSSIP, bytes(outbox.BYTES_MAX + 1), 10)
    assert (len(box), box.dropped, box.priority()) == (0, 1, None)


@given(st.lists(st.tuples(st.integers(0, LANES - 1), st.booleans())))
def test_it_is_a_stable_priority_queue(steps: list[tuple[int, bool]]) -> None:
    box, model = Outbox(), list[tuple[int, int]]()
    for n, (lane, put) in enumerate(steps):
        if put:
            box.put(frame.GOSSIP, b"%d" % n, lane)
            model.append((-lane, n))
        else:
            parts = box.pull(ROOM)
            assert bool(parts) is bool(model)
            if parts:
                best = min(model)
                model.remove(best)
                assert parts[1] == b"%d" % best[1]
        assert len(box) == len(model)
        assert box.priority() == (-min(model)[0] if model else None)


def test_who_puts_is_told_what_made_room() -> None:
    box = Outbox()
    assert box.put(frame.GOSSIP, bytes(outbox.BYTES_MAX - 1), 5) == 0
    assert box.put(frame.GOSSIP, b"a", 6) == 0
    assert box.put(frame.GOSSIP, b"b", 6) == 1
    assert box.put(frame.GOSSIP, bytes(outbox.BYTES_MAX + 1), 10) == 3
    assert (len(box), box.dropped) == (0, 4)


@given(st.lists(st.tuples(st.integers(0, LANES - 1), st.integers(0, 40))), st.integers(0, 400))
def test_all_that_fits_is_what_one_after_the_other_gives(
    frames: list[tuple[int, int]], room: int
) -> None:
    box, model = Outbox(), Outbox()
    for lane, size in frames:
        for each in (box, model):
            each.put(frame.GOSSIP, bytes(size), lane)
    expected: list[bytes] = []
    left = room
    while parts := model.pull(left):
        expected += parts
        left -= sum(map(len, parts))
    assert box.pull_all(room) == expected
    assert sum(map(len, expected)) <= room
    assert (len(box), box.bytes) == (len(model), model.bytes)
