from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.store.messages import SMALL_ASKED_MAX, read_small
from whispurrnet.store.object import Header, Mode, small_id
from whispurrnet.store.small import Counter, Errand
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId


def whole(data: bytes) -> tuple[ObjectId, Header, bytes]:
    header = Header(Mode.FIXED, 18, len(data))
    return small_id(header, data), header, data


def ids(n: int) -> list[ObjectId]:
    return [ObjectId(i.to_bytes(32, "big")) for i in range(n)]


def test_as_many_as_fit_go_in_one_frame() -> None:
    wholes = [whole(bytes((i,)) * 1000) for i in range(100)]
    counter = Counter(1)
    counter.ask(oid for oid, _, _ in wholes)
    assert counter.next() == tuple(oid for oid, _, _ in wholes)
    assert counter.next() == ()
    assert counter.read(wholes[:-1]) == (wholes[-1][0],)
    assert counter.pull(500) == ()
    heard = []
    while parts := counter.pull(65_520):
        ((kind, body),) = frame.parse(b"".join(parts))
        assert kind == frame.OBJECT
        heard += read_small(body)
    assert heard == wholes[:-1]


def test_too_many_change_nothing() -> None:
    counter = Counter(1)
    counter.ask(ids(2000))
    with pytest.raises(ProtocolError):
        counter.ask(ids(49))
    counter.ask(ids(48))


def test_an_errand_asks_for_so_many_at_a_time() -> None:
    errand = Errand(1, 0.0)
    errand.want(ids(5000))
    asked = [oid for ask in errand.ask(0.0) for oid in ask.oids]
    assert len(asked) == SMALL_ASKED_MAX
    assert errand.ask(0.0) == []
    errand.lacks(asked[:512], 1.0)
    errand.check_invariants()
    assert [len(ask.oids) for ask in errand.ask(1.0)] == [512]
    assert len(errand.give_up()) == 5000 - 512
    assert errand.idle


def test_what_is_wrong_is_told_and_what_nobody_asked_for_refused() -> None:
    right, other = whole(b"right"), whole(b"other")
    errand = Errand(1, 0.0)
    errand.want([right[0], other[0]])
    errand.ask(0.0)
    with pytest.raises(ProtocolError):
        errand.take([right, whole(b"not asked for")], 1.0)
    assert errand.take([right, (other[0], other[1], b"OTHER")], 1.0) == ([right], [other[0]])
    with pytest.raises(ProtocolError):
        errand.take([right], 1.0)
    header = Header(Mode.FIXED, 18, 9)
    errand.want([other[0]])
    errand.ask(2.0)
    assert errand.take([(other[0], header, b"other")], 2.0) == ([], [other[0]])


def test_what_comes_after_one_gave_up_is_let_pass() -> None:
    late = whole(b"late")
    errand = Errand(1, 0.0)
    errand.want([late[0]])
    errand.ask(0.0)
    assert errand.give_up() == (late[0],)
    assert errand.take([late], 1.0) == ([], [])
    with pytest.raises(ProtocolError):
        errand.take([late], 1.0)
