"""Repair: one comparison at a time, and only the one who was asked may answer."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip.cache import Cache, Held
from whispurrnet.gossip.repair import Repair
from whispurrnet.wire.reconcile import Items, Reconciler


def name(n: int) -> bytes:
    return n.to_bytes(16, "big")


def repair(*names: int) -> Repair:
    cache = Cache(10**6)
    for n in names:
        cache.put(name(n), Held(b"body", 100.0, n % 7, urgent=False))
    return Repair(cache)


@pytest.mark.parametrize("size", [0, 1, 40, 3000])
def test_each_finds_what_only_one_holds(size: int) -> None:
    ours, theirs = repair(*range(size), 10_001), repair(*range(size), 10_002, 10_003)
    query: bytes | None = ours.begin(5)
    have, need = [], []
    while query is not None:
        assert ours.peer == 5
        compared = ours.take(5, theirs.answer(query))
        assert compared is not None
        query, have, need = compared.query, have + compared.have, need + compared.need
    assert have == [name(10_001)]
    assert sorted(need) == [name(10_002), name(10_003)]
    assert ours.peer is None


def test_nobody_else_may_answer() -> None:
    ours, theirs = repair(1), repair(2)
    answer = theirs.answer(ours.begin(5))
    assert ours.take(6, answer) is None
    assert ours.take(5, answer) is not None
    assert ours.take(5, answer) is None, "it is over"


def test_another_question_ends_the_first() -> None:
    ours, theirs = repair(1), repair(2)
    answer = theirs.answer(ours.begin(5))
    ours.begin(6)
    assert ours.take(5, answer) is None
    ours.stop()
    assert ours.take(6, answer) is None


def test_a_malformed_answer_ends_it() -> None:
    ours = repair(1)
    ours.begin(5)
    with pytest.raises(ProtocolError):
        ours.take(5, b"\xff")
    assert ours.peer is None


def test_a_malformed_query_is_refused() -> None:
    with pytest.raises(ProtocolError):
        repair(1).answer(b"")


def test_an_id_that_is_none_of_ours_is_left_out() -> None:
    ours = repair()
    liar = Reconciler(Items([(1, b"x" * 32), (2, name(2) + bytes(16))]))
    compared = ours.take(5, liar.answer(ours.begin(5)))
    assert compared is not None
    assert compared.need == [name(2)]
