"""Turns: whose it is, and how many take a message when many could."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.gossip.turns import Config, Turns

ID = b"i" * 16


def turns(seed: int = 1, **config: float) -> Turns[str]:
    return Turns(Config(**config), Random(seed))  # type: ignore[arg-type]


def test_a_message_is_taken_when_its_wait_is_over_and_only_once() -> None:
    mine = turns()
    mine.wait(ID, "work", 10.0)
    due = mine.deadline
    assert due is not None
    assert 10.0 <= due <= 14.0
    assert mine.due(due - 0.001) == []
    assert mine.due(due) == [(ID, "work")]
    mine.wait(ID, "work", due)
    assert mine.due(due + 10.0) == []
    assert mine.deadline is None


def test_what_another_has_taken_is_not_taken_here_whichever_came_first() -> None:
    mine = turns()
    mine.wait(ID, "work", 0.0)
    mine.taken(ID)
    mine.taken(b"j" * 16)
    mine.wait(b"j" * 16, "more", 0.0)
    assert len(mine) == 0
    assert mine.due(100.0) == []


def test_what_waits_and_what_was_taken_is_bounded() -> None:
    mine = turns(waiting_max=10)
    for n in range(100):
        mine.wait(n.to_bytes(16, "big"), "work", 0.0)
    assert len(mine) == 10
    for n in range(100):
        mine.taken((1000 + n).to_bytes(16, "big"))
    assert len(mine) == 10


@pytest.mark.parametrize("listeners", [1, 3, 30, 300])
def test_few_take_it_however_many_listen(listeners: int) -> None:
    """With 0.3 s until the word is around, two or three at most take a message, on average."""
    takers = 0
    for round in range(100):
        waits = []
        for n in range(listeners):
            one = turns(round * 1000 + n)
            one.wait(ID, "work", 0.0)
            waits.append(one.deadline or 0.0)
        takers += sum(wait <= min(waits) + 0.3 for wait in waits)
    assert 1.0 <= takers / 100 < 3.0


def test_the_control_plain_random_waits_have_far_more_takers() -> None:
    takers = 0
    for round in range(100):
        rng = Random(round)
        waits = [rng.uniform(0.0, 4.0) for _ in range(300)]
        takers += sum(wait <= min(waits) + 0.3 for wait in waits)
    assert takers / 100 > 10.0
