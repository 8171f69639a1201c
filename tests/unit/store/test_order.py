from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.object import Header, Mode
from whispurrnet.store.order import Order
from whispurrnet.store.transfer_events import Found
from whispurrnet.wire.ids import ObjectId

HEADER = Header(Mode.FIXED, 10, 10 * 1024)


def order(*, complete: bool = True, runs: tuple[tuple[int, int], ...] = ()) -> Order:
    made = Order(1, ObjectId(bytes(32)), 2)
    made.found(Found(HEADER, complete, runs))
    return made


def test_chunks_are_sent_in_the_order_and_in_parts() -> None:
    one = order()
    one.ask([(4, 1), (1, 2)])
    assert one.next_run(3) == (4, 1)
    assert one.next_run(1) == (1, 1)
    one.reading = {7: (4, 1), 8: (1, 1)}
    one.read(7, [b"abcdef"])
    one.read(8, [b""])
    one.check_invariants()
    assert one.sendable and one.rest == 6
    assert one.part(4) == (4, 0, 0, b"abcd")
    assert one.rest == 2
    assert one.part(4) == (4, 4, 0, b"ef")
    assert one.part(4) == (1, 0, 0, b"")
    assert not one.sendable
    one.check_invariants()
    assert one.pending == 1


def test_too_many_change_nothing() -> None:
    one = order()
    one.ask([(0, 200)])
    with pytest.raises(ProtocolError):
        one.ask([(0, 57)])
    assert one.pending == 200
    with pytest.raises(ProtocolError):
        one.ask([(0, 1 << 31), (5, 1 << 31)])


def test_what_is_not_here_is_sifted_out() -> None:
    one = order(complete=False, runs=((2, 3), (8, 9)))
    one.ask([(0, 12), (8, 1)])
    assert one.sift() == [(0, 2), (5, 3), (10, 2)]
    assert list(one.waiting) == [(2, 3), (8, 2), (8, 1)]
    one.check_invariants()


def test_a_cancel_reaches_every_place() -> None:
    one = order()
    one.ask([(0, 10)])
    one.reading = {1: one.next_run(3), 2: one.next_run(2)}
    one.read(1, [b"aa", b"bb", b"cc"])
    one.part(1)
    one.check_invariants()
    for start, stop in ((0, 2), (4, 7)):
        one.cancel(start, stop)
        one.check_invariants()
    assert [index for index, _ in one.ready] == [2]
    assert list(one.waiting) == [(7, 3)]
    one.read(2, [b"dd", b"ee"])
    assert [index for index, _ in one.ready] == [2, 3]
    one.cancel(0, 1 << 32)
    one.check_invariants()
    assert one.pending == 0 and not one.sendable
