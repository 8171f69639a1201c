"""Wants: whom to ask for what, when, and who did not keep its promise."""

from __future__ import annotations

from math import inf

from whispurrnet.gossip.wants import Announcer, Patience, Wants

A, B, C = 1, 2, 3
ID, OTHER = b"i" * 16, b"o" * 16


def wants(**settings: float) -> Wants:
    base = {"after_s": 0.4, "after_announced_s": 0.1, "tries": 5, "unserved_s": 3.0}
    return Wants(Patience(**{**base, "per_peer_max": 100, "window": 8, **settings}))  # type: ignore[arg-type]


def peers(table: Wants) -> dict[int, Announcer]:
    return {peer: table.add(peer) for peer in (A, B, C)}


def asked(table: Wants, until: float) -> list[tuple[float, int, bytes]]:
    """Who is asked for what when, if nobody answers."""
    asks = []
    now = table.deadline
    while now <= until:
        asks += [(round(now, 3), peer, id) for peer, ids in table.asks(now).items() for id in ids]
        table.unserved(now)
        table.check_invariants()
        assert table.deadline > now
        now = table.deadline
    return asks


def test_an_idle_table_waits_for_nothing() -> None:
    assert wants().deadline == inf


def test_those_who_announced_are_asked_one_after_the_other() -> None:
    table = wants()
    known = peers(table)
    table.announced(known[B], ID, 0.0, soon=False)
    table.announced(known[A], ID, 0.1, soon=False)
    assert table.deadline == 0.4
    assert asked(table, 1.0) == [(0.4, B, ID), (0.8, A, ID)]


def test_who_was_asked_is_asked_again_only_when_its_promise_is_broken() -> None:
    table = wants()
    table.announced(peers(table)[A], ID, 0.0, soon=False)
    times = [at for at, *_ in asked(table, 100.0)]
    assert times == [0.4, 3.6, 6.8, 10.0, 13.2]
    assert table.given_up == 1
    assert len(table) == 0
    assert table.deadline == inf


def test_one_who_announces_late_is_asked_before_another_round() -> None:
    table = wants(unserved_s=0.4)
    known = peers(table)
    table.announced(known[A], ID, 0.0, soon=False)
    table.asks(0.4)
    table.announced(known[B], ID, 0.5, soon=False)
    assert [peer for _, peer, _ in asked(table, 1.3)] == [B, A]


def test_what_nobody_pushes_is_asked_for_sooner() -> None:
    table = wants()
    known = peers(table)
    table.announced(known[A], ID, 0.0, soon=False)
    table.announced(known[B], ID, 0.05, soon=True)
    assert asked(table, 0.5) == [(0.15, A, ID)]


def test_what_arrived_is_not_asked_for() -> None:
    table = wants()
    known = peers(table)
    table.announced(known[A], ID, 0.0, soon=False)
    table.announced(known[B], ID, 0.0, soon=False)
    want = table.settle(ID)
    assert want is not None and list(want.announcers) == [A, B]
    assert table.settle(ID) is None
    assert table.deadline == inf
    assert not known[A].announced and not known[B].announced


def test_a_broken_promise_is_told_once_for_all_ids() -> None:
    table = wants()
    known = peers(table)
    table.announced(known[A], ID, 0.0, soon=True)
    table.announced(known[A], OTHER, 0.0, soon=True)
    assert table.asks(0.1) == {A: [ID, OTHER]}
    assert table.unserved(3.0) == []
    assert table.unserved(3.1) == [A]
    assert table.unserved(9.0) == []


def test_who_brings_it_second_or_brings_part_of_it_has_kept_its_promise() -> None:
    table = wants()
    known = peers(table)
    for id in (ID, OTHER):
        table.announced(known[A], id, 0.0, soon=True)
        table.announced(known[B], id, 0.0, soon=True)
    table.asks(0.1)
    table.asks(0.5)
    assert table.brought(known[B], ID, 0.9)
    table.settle(ID)
    assert not table.brought(known[B], ID, 0.9)
    assert not table.brought(known[C], ID, 0.9)
    assert table.brought(known[A], ID, 2.0)
    assert table.unserved(10.0) == []


def test_the_table_of_one_peer_is_bounded() -> None:
    table = wants(per_peer_max=3)
    known = peers(table)
    taken = [table.announced(known[A], bytes((n,)) * 16, 0.0, soon=False) for n in range(5)]
    assert taken == [True, True, True, False, False]
    assert table.announced(known[A], bytes(16), 0.0, soon=False), "known already"
    assert table.announced(known[B], b"\x09" * 16, 0.0, soon=False), "it is not B's table"
    table.check_invariants()
    assert len(table) == 4


def test_a_peer_is_not_asked_for_too_much_at_a_time() -> None:
    table = wants(window=2)
    known = peers(table)
    ids = [bytes((n,)) * 16 for n in range(4)]
    for id in ids:
        table.announced(known[A], id, 0.0, soon=True)
    table.announced(known[B], ids[2], 0.0, soon=True)
    assert table.asks(0.1) == {A: ids[:2], B: [ids[2]]}
    assert table.asks(0.5) == {A: []} or table.asks(0.5) == {}
    table.brought(known[A], ids[0], 0.6)
    table.settle(ids[0])
    assert table.asks(0.9)[A] == [ids[2]]
    table.check_invariants()


def test_with_a_peer_goes_what_only_it_announced() -> None:
    table = wants()
    known = peers(table)
    table.announced(known[A], ID, 0.0, soon=True)
    table.announced(known[A], OTHER, 0.0, soon=True)
    table.announced(known[B], OTHER, 0.0, soon=True)
    table.asks(0.1)
    table.remove(A)
    table.check_invariants()
    assert len(table) == 1
    assert table.unserved(10.0) == [], "A is gone, and nobody asked B"
    assert table.asks(10.0) == {B: [OTHER]}
