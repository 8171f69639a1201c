"""The pool, case by case."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.session.pool import (
    Config,
    Connected,
    Dial,
    Effect,
    Event,
    Failed,
    GaveUp,
    Lost,
    Pool,
    Stop,
    Unwant,
    Want,
)

ALICE, BOB, CAROL = b"alice", b"bob", b"carol"


class Bench:
    """A pool and a clock."""

    def __init__(self, **config: float) -> None:
        self.pool = Pool(Config(**config), Random(1))  # type: ignore[arg-type]
        self.now = 0.0

    def do(self, *events: Event) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            effects += self.pool.handle(event, self.now)
        return effects

    def wait(self) -> list[Effect]:
        """Go to the deadline."""
        assert self.pool.deadline is not None
        assert self.pool.deadline >= self.now
        self.now = self.pool.deadline
        return self.do(Tick())


def test_want_dials_at_once_and_only_once() -> None:
    bench = Bench()
    assert bench.do(Want(ALICE, ("/a", "/b", "/a"))) == [Dial(ALICE, ("/a", "/b"))]
    assert bench.do(Want(ALICE, ("/a",)), Want(ALICE, ("/c",))) == []
    assert bench.do(Connected(ALICE, "/b")) == []
    assert (bench.pool.connected, bench.pool.dialling) == (1, 0)
    assert bench.do(Want(ALICE, ("/a",)), Connected(ALICE)) == []
    assert bench.pool.deadline is None


def test_a_dial_fails_when_every_address_has() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a", "/b")))
    bench.do(Failed(ALICE, "/a"), Failed(ALICE, "/a"), Failed(ALICE, "/elsewhere"))
    assert bench.pool.dialling == 1
    bench.do(Failed(ALICE, "/b"))
    assert bench.pool.dialling == 0
    due_at = bench.pool.next_dial_at(ALICE)
    assert due_at is not None
    assert 0.5 <= due_at <= 1.0
    assert bench.wait() == [Dial(ALICE, ("/a", "/b"))]
    bench.do(Failed(ALICE))  # the whole
    assert bench.pool.dialling == 0


def test_the_wait_doubles_up_to_the_longest() -> None:
    bench = Bench(breaker_failures=1_000)
    bench.do(Want(ALICE, ("/a",), persistent=True))
    waits = []
    for _ in range(12):
        bench.do(Failed(ALICE))
        began = bench.now
        assert bench.wait() == [Dial(ALICE, ("/a",))]
        waits.append(bench.now - began)
    for n, wait in enumerate(waits):
        whole = min(60.0, 0.5 * 2 ** (n + 1))
        assert whole / 2 <= wait <= whole
    assert len(set(waits)) == 12  # jitter


def test_a_target_that_is_not_persistent_is_given_up() -> None:
    bench = Bench()
    dials = len(bench.do(Want(ALICE, ("/a",))))
    effects: list[Effect] = bench.do(Failed(ALICE))
    while not effects or not isinstance(effects[0], GaveUp):
        effects = bench.wait()
        assert effects == [Dial(ALICE, ("/a",))]
        dials += 1
        effects = bench.do(Failed(ALICE))
    assert effects == [GaveUp(ALICE, "unreachable")]
    assert dials == 1 + 3
    assert bench.pool.deadline is None
    assert bench.do(Want(ALICE, ("/a",))) == [Dial(ALICE, ("/a",))]  # and may be wanted again


def test_a_persistent_target_is_dialled_for_ever() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a",), persistent=True))
    for _ in range(500):
        effects = bench.do(Failed(ALICE)) or bench.wait()
        assert effects in ([], [Dial(ALICE, ("/a",))])
        assert bench.pool.deadline is not None
        assert bench.pool.deadline <= bench.now + 60.0


def test_a_dial_without_an_outcome_ends() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a",)))
    assert bench.pool.deadline == 30.0
    assert bench.wait() == [Stop(ALICE)]
    assert bench.pool.dialling == 0
    assert bench.wait() == [Dial(ALICE, ("/a",))]


def test_a_lost_session_is_made_again() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a",)), Connected(ALICE, "/a"))
    bench.now = 100.0
    assert bench.do(Lost(ALICE)) == []
    assert bench.wait() == [Dial(ALICE, ("/a",))]
    assert 100.5 <= bench.now <= 101.0


def test_a_peer_that_takes_every_call_and_hangs_up_is_called_less_and_less() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a",), persistent=True))
    for _ in range(20):
        bench.do(Connected(ALICE, "/a"), Lost(ALICE))
        began = bench.now
        bench.wait()
    assert bench.now - began >= 30.0
    bench.do(Connected(ALICE, "/a"))
    bench.now += 60.0
    bench.do(Lost(ALICE))
    began = bench.now
    bench.wait()
    assert bench.now - began <= 1.0


def test_only_so_many_are_dialled_at_a_time() -> None:
    bench = Bench(dial_concurrency=2)
    targets = [b"%d" % n for n in range(5)]
    effects = bench.do(*(Want(target, (f"/{n}",)) for n, target in enumerate(targets)))
    assert [effect.target for effect in effects] == targets[:2]
    assert bench.do(Connected(targets[1], "/1")) == [Dial(targets[2], ("/2",))]
    assert bench.do(Unwant(targets[0])) == [Stop(targets[0]), Dial(targets[3], ("/3",))]
    assert bench.do(Unwant(targets[4])) == []


def test_persistent_targets_go_first() -> None:
    bench = Bench(dial_concurrency=1)
    bench.do(Want(ALICE, ("/a",)), Want(BOB, ("/b",)), Want(CAROL, ("/c",), persistent=True))
    assert bench.do(Connected(ALICE)) == [Stop(ALICE), Dial(CAROL, ("/c",))]
    bench.do(Want(BOB, (), persistent=True))
    assert bench.do(Connected(CAROL, "/c")) == [Dial(BOB, ("/b",))]


def test_a_peer_that_called_first_ends_the_dial() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a",)))
    assert bench.do(Connected(ALICE)) == [Stop(ALICE)]
    assert bench.do(Failed(ALICE, "/a")) == []
    assert bench.pool.connected == 1
    bench.do(Lost(ALICE))
    assert bench.do(Connected(ALICE)) == []  # and the wait
    assert bench.pool.deadline is None


def test_unwant() -> None:
    bench = Bench()
    bench.do(Unwant(ALICE), Want(ALICE, ("/a",)))
    assert bench.do(Unwant(ALICE)) == [Stop(ALICE)]
    bench.do(Want(ALICE, ("/a",)), Failed(ALICE))
    assert bench.do(Unwant(ALICE)) == []
    assert bench.pool.deadline is None
    bench.do(Want(ALICE, ("/a",)), Connected(ALICE, "/a"))
    assert bench.do(Unwant(ALICE), Unwant(ALICE)) == []
    assert bench.pool.connected == 1
    assert bench.do(Lost(ALICE)) == []
    assert bench.pool.connected == 0
    assert bench.pool.deadline is None


def test_a_peer_that_called_may_be_wanted_later() -> None:
    bench = Bench()
    assert bench.do(Connected(ALICE), Want(ALICE, ("/a",), persistent=True)) == []
    bench.do(Lost(ALICE))
    assert bench.wait() == [Dial(ALICE, ("/a",))]


def test_without_an_address_there_is_nothing_to_dial() -> None:
    bench = Bench()
    assert bench.do(Want(ALICE, ())) == [GaveUp(ALICE, "no address")]
    bench.do(Connected(ALICE), Want(ALICE, (), persistent=True), Lost(ALICE))
    assert bench.wait() == [GaveUp(ALICE, "no address")]
    with pytest.raises(UsageError, match="key"):
        bench.do(Want(b"", ("/a",)))


def test_fresh_addresses_end_a_wait_early() -> None:
    bench = Bench(backoff_max_s=1_000.0, breaker_failures=100)
    bench.do(Want(ALICE, ("/a",), persistent=True))
    for _ in range(9):
        bench.do(Failed(ALICE))
        bench.wait()
    bench.do(Failed(ALICE))
    due_at = bench.pool.next_dial_at(ALICE)
    bench.do(Want(ALICE, ("/a",)))
    assert bench.pool.next_dial_at(ALICE) == due_at
    bench.do(Want(ALICE, ("/a", "/b")))
    assert bench.pool.next_dial_at(ALICE) == bench.now + 0.5
    assert bench.wait() == [Dial(ALICE, ("/a", "/b"))]


def test_an_address_that_keeps_failing_rests() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a", "/b"), persistent=True))
    for _ in range(5):
        assert not bench.pool.is_open("/a")
        bench.do(Failed(ALICE, "/a"), Connected(ALICE, "/b"))
        bench.now += 60.0
        bench.do(Lost(ALICE))
        bench.now += 1.0
        effects = bench.do(Tick())
    assert bench.pool.is_open("/a")
    assert not bench.pool.is_open("/b")
    assert effects == [Dial(ALICE, ("/a", "/b"))]  # 61 s later: one attempt
    assert bench.do(Want(BOB, ("/a",))) == []  # which no other shares
    assert bench.pool.state("/a", bench.now) == "half-open"
    bench.do(Failed(ALICE, "/a"), Connected(ALICE, "/b"))
    assert bench.pool.state("/a", bench.now) == "open"
    opened_at = bench.now
    while not (effects := bench.wait()):
        pass
    assert effects == [Dial(BOB, ("/a",))]
    assert bench.now == opened_at + 30.0
    bench.do(Connected(BOB, "/a"))
    assert bench.pool.state("/a", bench.now) == "closed"


def test_an_attempt_that_another_address_overtook_is_free_again() -> None:
    bench = Bench()
    bench.do(Want(BOB, ("/a",), persistent=True))
    for _ in range(4):
        bench.do(Failed(BOB))
        bench.wait()
    bench.do(Failed(BOB), Unwant(BOB))
    bench.now += 30.0
    assert bench.do(Want(ALICE, ("/a", "/b"))) == [Dial(ALICE, ("/a", "/b"))]
    bench.do(Connected(ALICE, "/b"))
    assert bench.pool.state("/a", bench.now) == "half-open"
    assert bench.do(Want(CAROL, ("/a",))) == [Dial(CAROL, ("/a",))]
    assert bench.do(Unwant(CAROL)) == [Stop(CAROL)]
    assert bench.do(Want(CAROL, ("/a",))) == [Dial(CAROL, ("/a",))]


def test_when_every_address_rests_the_target_waits_for_the_first() -> None:
    bench = Bench()
    bench.do(Want(ALICE, ("/a",), persistent=True))
    for _ in range(4):
        bench.do(Failed(ALICE))
        bench.wait()
    bench.do(Failed(ALICE))
    opened_at = bench.now
    dialled_at = None
    while dialled_at is None:
        if bench.wait():
            dialled_at = bench.now
    assert dialled_at == opened_at + 30.0


def test_the_pool_is_full() -> None:
    bench = Bench(peers_max=2)
    assert bench.do(Connected(ALICE), Want(BOB, ("/b",))) == [Dial(BOB, ("/b",))]
    assert not bench.pool.admits(CAROL)
    assert bench.pool.admits(BOB)
    with pytest.raises(LimitError, match="peers_max"):
        bench.do(Connected(CAROL))
    assert bench.do(Connected(BOB, "/b"), Want(CAROL, ("/c",))) == []
    assert not bench.pool.admits(CAROL)
    with pytest.raises(LimitError):
        bench.do(Connected(CAROL))
    assert bench.do(Lost(ALICE)) == [Dial(CAROL, ("/c",))]


def test_strangers_leave_room_for_persistent_targets() -> None:
    bench = Bench(peers_max=8, dial_concurrency=1)
    bench.do(Want(ALICE, ("/a",), persistent=True), Failed(ALICE))
    bench.do(Want(BOB, ("/b",), persistent=True), Failed(BOB))
    callers = [b"caller %d" % n for n in range(8)]
    admitted = 0
    for caller in callers:
        if bench.pool.admits(caller):
            bench.do(Connected(caller))
            admitted += 1
    assert admitted == 6
    assert bench.wait() != []


def test_targets_are_bounded() -> None:
    bench = Bench(targets_max=2, dial_concurrency=1)
    bench.do(Want(ALICE, ("/a",)), Want(BOB, ("/b",)))
    assert bench.do(Want(CAROL, ("/c",))) == [GaveUp(CAROL, "too many targets")]
    assert bench.do(Want(CAROL, ("/c",), persistent=True)) == [
        Stop(ALICE),
        GaveUp(ALICE, "too many targets"),
        Dial(CAROL, ("/c",)),
    ]
    bench.do(Want(BOB, ("/b",), persistent=True))
    assert bench.do(Want(ALICE, ("/a",), persistent=True)) == [GaveUp(ALICE, "too many targets")]
    assert bench.do(Want(b"d", tuple(f"/{n}" for n in range(99)))) == [
        GaveUp(b"d", "too many targets")
    ]


def test_at_most_eight_addresses_are_dialled() -> None:
    bench = Bench()
    (dial,) = bench.do(Want(ALICE, tuple(f"/{n}" for n in range(99))))
    assert isinstance(dial, Dial)
    assert len(dial.addresses) == 8


def test_news_about_strangers_changes_nothing() -> None:
    bench = Bench()
    assert bench.do(Lost(ALICE), Failed(ALICE, "/a"), Unwant(ALICE), Tick()) == []
    assert bench.pool.deadline is None
    assert bench.pool.next_dial_at(ALICE) is None
