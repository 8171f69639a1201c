"""One stream: credit from the beginning, and parts that are not copied."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.session.stream import Inflow, Stream


def test_no_more_may_come_than_there_is_credit_for() -> None:
    inflow = Inflow(1000, 100)
    inflow.receive(100)
    with pytest.raises(ProtocolError, match="credit"):
        inflow.receive(1)
    assert inflow.received == 100


def test_the_window_moves_on_with_what_is_consumed() -> None:
    inflow = Inflow(1000, 100)
    inflow.receive(100)
    assert inflow.consume(1)  # the whole window is granted as soon as it is used at all
    assert inflow.grant() == 1001
    inflow.receive(900)
    assert not inflow.consume(400)
    assert inflow.consume(200)
    assert inflow.grant() == 1601


def test_nobody_consumes_what_did_not_come() -> None:
    inflow = Inflow(1000, 100)
    inflow.receive(10)
    for n in (11, -1):
        with pytest.raises(UsageError):
            inflow.consume(n)


def test_the_initial_credit_is_never_more_than_the_window() -> None:
    assert Inflow(50, 100).limit == 50


def stream(limit: int = 100) -> Stream:
    return Stream(1, 5, Inflow(100, 100), limit, ours=True)


def test_parts_are_views_of_what_was_written() -> None:
    state = stream()
    for chunk in (b"abc", b"defgh", b"i"):
        state.chunks.append(chunk)
        state.buffered += len(chunk)
    assert [bytes(part) for part in state.take(4)] == [b"abc", b"d"]
    assert [bytes(part) for part in state.take(2)] == [b"ef"]
    assert [bytes(part) for part in state.take(3)] == [b"gh", b"i"]
    assert (state.buffered, state.sent, len(state.chunks)) == (0, 9, 0)


def test_what_can_send() -> None:
    state = stream(limit=2)
    assert not state.sendable
    state.finish = True
    assert state.sendable
    state.chunks.append(b"abc")
    state.buffered = 3
    assert state.sendable
    state.take(2)
    assert not state.sendable  # the rest waits for credit, and the end for the rest
    state.limit = 3
    assert state.sendable
    state.gone = True
    assert not state.sendable
