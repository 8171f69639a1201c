"""The phases of targets, in any order; `check` holds after each."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.session.targets import Phase, Target, Targets

KEYS = [b"alice", b"bob", b"carol"]


def test_persistent_ones_are_first_in_line() -> None:
    targets = Targets()
    assert targets.first() is None
    for key, persistent in zip(KEYS, (False, True, True), strict=True):
        targets.add(key, Target(("/a",), wanted=True, persistent=persistent))
        target = targets.get(key)
        assert target is not None
        targets.queue(key, target)
    first = targets.first()
    assert first is not None
    assert first[0] == b"bob"
    assert targets.absent == 2
    assert targets.spare() == b"alice"


def test_a_wait_ends_at_its_time() -> None:
    targets = Targets()
    target = Target(("/a",), wanted=True, persistent=True)
    targets.add(b"alice", target)
    targets.wait(b"alice", target, 5.0)
    assert targets.deadline == target.due_at == 5.0
    assert list(targets.expire(4.9)) == []
    assert targets.absent == 1
    assert list(targets.expire(5.0)) == [(b"alice", target)]
    targets.dial(b"alice", target, ["/a"], 35.0)
    assert targets.deadline == 35.0
    assert targets.absent == 0
    targets.connect(b"alice", target, 6.0)
    assert targets.deadline is None
    assert targets.remove(b"alice") is target
    assert (targets.wanted, targets.dialling, targets.connected) == (0, 0, 0)
    targets.check()


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_phases(seed: int) -> None:
    rng = Random(seed)
    targets = Targets()
    now = 0.0
    for _ in range(200):
        now += rng.random()
        key = rng.choice(KEYS)
        target = targets.get(key)
        if target is None:
            target = Target(("/a",), wanted=True, persistent=rng.random() < 0.5)
            targets.add(key, target)
            targets.queue(key, target)
        match rng.randrange(7):
            case 0:
                targets.queue(key, target)
            case 1:
                targets.wait(key, target, now + rng.random())
            case 2:
                targets.dial(key, target, ["/a", "/b"], now + rng.random())
            case 3:
                targets.connect(key, target, now)
            case 4 if target.phase is Phase.CONNECTED:
                wanted = rng.random() < 0.5
                targets.set_wanted(target, wanted=wanted, persistent=wanted)
            case 5:
                targets.remove(key)
            case _:
                for other, due in targets.expire(now):
                    targets.queue(other, due)
        for other in KEYS:  # who is not wanted is only kept while connected
            known = targets.get(other)
            if known is not None and not known.wanted and known.phase is not Phase.CONNECTED:
                targets.remove(other)
        targets.check()
