"""Streams between two ends, and against a peer that does not keep to the rules."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.session import segment
from whispurrnet.session.mux import (
    Arrived,
    Closed,
    Config,
    Consumed,
    Data,
    Effect,
    Event,
    Finish,
    Finished,
    Mux,
    Open,
    Opened,
    Reset,
    ResetBy,
    Writable,
    Write,
)
from whispurrnet.session.segment import Kind

ROOM = 1005


class Pair:
    """Two ends; what one pulls, the other gets."""

    def __init__(self, config: Config | None = None) -> None:
        self.ends = [Mux(config, initiator=True), Mux(config, initiator=False)]
        self.news: list[list[Effect]] = [[], []]

    def do(self, end: int, event: Event) -> list[Effect]:
        effects = self.ends[end].handle(event, 0.0)
        self.news[end] += effects
        return effects

    def open(self, end: int, name: str = "s", priority: int = 5) -> int:
        id = self.ends[end].next_id()
        self.do(end, Open(id, name, priority))
        return id

    def step(self, sender: int, room: int = ROOM) -> bytes | None:
        """Move one frame."""
        body = self.ends[sender].pull(room)
        self.news[sender] += self.ends[sender].drain()
        if body is not None:
            assert len(body) <= room
            self.do(1 - sender, Arrived(body))
        return body

    def settle(self, room: int = ROOM) -> None:
        while sum(self.step(n, room) is not None for n in (0, 1)):
            pass

    def received(self, end: int, id: int) -> bytes:
        news = self.news[end]
        return b"".join(e.data for e in news if isinstance(e, Data) and e.stream == id)


def data(id: int, body: bytes, *, end: bool = False) -> Arrived:
    return Arrived(segment.header(Kind.END if end else Kind.DATA, id) + body)


def opened(id: int) -> Arrived:
    return Arrived(segment.open_(id, 5, "s"))


@pytest.mark.parametrize("opener", [0, 1])
def test_a_stream_from_opening_to_closing(opener: int) -> None:
    pair, other = Pair(), 1 - opener
    id = pair.open(opener, "größe", 7)
    assert id == 1 + opener
    body = bytes(range(256)) * 20
    pair.do(opener, Write(id, body))
    pair.do(opener, Finish(id))
    assert pair.ends[opener].buffered(id) == len(body)
    pair.settle()
    assert pair.ends[opener].buffered(id) == 0
    assert pair.news[other][0] == Opened(id, "größe", 7)
    assert pair.received(other, id) == body
    assert pair.news[other][-1] == Finished(id)
    assert pair.news[opener] == []
    pair.do(other, Write(id, b"thanks"))
    pair.do(other, Finish(id))
    pair.settle()
    assert pair.news[opener] == [Data(id, b"thanks"), Finished(id), Closed(id)]
    assert pair.news[other][-1] == Closed(id)
    for end, n in ((opener, 6), (other, len(body))):
        assert len(pair.ends[end]._streams) == 1  # until the last byte is consumed
        pair.do(end, Consumed(id, n))
        assert not pair.ends[end]._streams


def test_the_end_alone() -> None:
    pair = Pair()
    id = pair.open(0)
    pair.do(0, Finish(id))
    pair.settle()
    assert pair.news[1] == [Opened(id, "s", 5), Finished(id)]


def test_small_writes_share_a_frame_and_large_ones_are_sliced() -> None:
    pair = Pair()
    id = pair.open(0)
    pair.step(0)
    for n in range(50):
        pair.do(0, Write(id, bytes([n]) * 10))
    assert len(pair.step(0) or b"") == 505
    pair.do(0, Write(id, bytes(2500)))
    assert [len(pair.step(0) or b"") for _ in range(4)] == [1005, 1005, 505, 0]


def test_urgent_streams_overtake_and_equals_take_turns() -> None:
    pair = Pair()
    bulk, other, urgent = pair.open(0, priority=1), pair.open(0, priority=1), pair.open(0, "u", 9)
    for id in (bulk, other, urgent):
        pair.do(0, Write(id, bytes(2000)))
    assert pair.ends[0].priority() == 10  # the openings
    for _ in range(3):
        pair.step(0)
    assert pair.ends[0].priority() == 9
    ids = [segment.parse(pair.step(0) or b"")[1] for _ in range(6)]
    assert ids == [urgent, urgent, bulk, other, bulk, other]
    assert pair.ends[0].priority() is None


def test_nothing_is_pulled_that_does_not_fit() -> None:
    pair = Pair()
    id = pair.open(0, "name")
    assert pair.ends[0].pull(9) is None
    assert pair.ends[0].pull(10) == segment.open_(id, 5, "name")
    pair.do(0, Write(id, b"ab"))
    assert pair.ends[0].pull(5) is None
    assert pair.ends[0].pull(6) == b"\x02\0\0\0\x01a"


def test_credit_of_a_stream_stops_it_until_it_is_consumed() -> None:
    pair = Pair(Config(stream_window=3000, session_window=1024 * 1024))
    id = pair.open(0)
    pair.do(0, Write(id, bytes(10_000)))
    pair.settle()
    assert len(pair.received(1, id)) == 3000
    assert pair.ends[0].priority() is None
    pair.do(1, Consumed(id, 1000))
    assert pair.ends[1].priority() is None  # too little to tell
    pair.do(1, Consumed(id, 500))
    pair.settle()
    assert len(pair.received(1, id)) == 4500
    for _ in range(5):
        waiting = len(pair.received(1, id)) - pair.ends[1]._streams[id].inflow.consumed
        pair.do(1, Consumed(id, waiting))
        pair.settle()
    assert len(pair.received(1, id)) == 10_000


def test_credit_of_the_session_stops_all_streams() -> None:
    pair = Pair(Config(stream_window=3000, session_window=4000))
    first, second = pair.open(0, priority=9), pair.open(0, priority=2)
    for id in (first, second):
        pair.do(0, Write(id, bytes(3000)))
    pair.settle()
    assert [len(pair.received(1, id)) for id in (first, second)] == [3000, 1000]
    pair.do(0, Finish(first))
    pair.settle()
    assert Finished(first) in pair.news[1]
    pair.do(1, Consumed(first, 3000))
    pair.settle()
    assert len(pair.received(1, second)) == 3000


def test_a_larger_window_is_granted_once_the_initial_one_is_used() -> None:
    pair = Pair()
    id = pair.open(0)
    pair.do(0, Write(id, bytes(5 * 1024 * 1024)))
    pair.settle(60_000)
    assert len(pair.received(1, id)) == 256 * 1024
    pair.do(1, Consumed(id, 1))
    pair.settle(60_000)
    assert len(pair.received(1, id)) == 4 * 1024 * 1024 + 1
    pair.do(1, Consumed(id, 4 * 1024 * 1024))
    pair.settle(60_000)
    assert len(pair.received(1, id)) == 5 * 1024 * 1024


def test_writable_tells_when_little_waits() -> None:
    pair = Pair(Config(buffer_low=1500))
    id = pair.open(0)
    pair.do(0, Write(id, bytes(3000)))
    pair.step(0)
    pair.step(0)
    assert pair.news[0] == []
    pair.step(0)
    assert pair.news[0] == [Writable(id)]
    pair.settle()
    assert pair.news[0] == [Writable(id)]


def test_reset_drops_what_waits_and_gives_its_credit_back() -> None:
    config = Config(stream_window=3000, session_window=3000)
    pair = Pair(config)
    first = pair.open(0)
    pair.do(0, Write(first, bytes(9000)))
    pair.settle()
    pair.do(0, Reset(first, 77))
    pair.settle()
    assert pair.news[1][-1] == ResetBy(first, 77)
    assert pair.ends[0].buffered(first) == 0
    assert not pair.ends[0]._streams
    assert not pair.ends[1]._streams
    second = pair.open(0)
    pair.do(0, Write(second, bytes(3000)))
    pair.settle()
    assert len(pair.received(1, second)) == 3000
    assert pair.do(1, Consumed(first, 3000)) == []  # too late to matter
    assert pair.do(0, Write(first, b"late")) == []
    pair.do(0, Reset(first, 1))
    pair.do(0, Finish(first))
    assert pair.step(0) is None


def test_data_on_its_way_to_a_stream_that_was_reset() -> None:
    pair = Pair(Config(session_window=4000))
    id = pair.open(0)
    pair.do(0, Write(id, bytes(20_000)))
    pair.step(0)
    pair.step(0)
    pair.do(1, Reset(id, 5))
    pair.step(0)
    pair.step(0)
    assert len(pair.received(1, id)) == 1000
    pair.settle()
    assert pair.news[0][-1] == ResetBy(id, 5)
    second = pair.open(0)
    pair.do(0, Write(second, bytes(4000)))
    pair.settle()
    assert len(pair.received(1, second)) == 4000


def test_the_number_of_streams_is_bounded() -> None:
    pair = Pair(Config(streams_max=3))
    ids = [pair.open(0) for _ in range(3)]
    with pytest.raises(LimitError, match="close one"):
        pair.open(0)
    pair.settle()
    pair.do(0, Reset(ids[0], 0))
    pair.open(0)
    pair.settle()
    for _ in range(3):
        pair.open(1)
    pair.settle()
    assert len(pair.ends[0]._streams) == len(pair.ends[1]._streams) == 6


def test_numbers_are_ours_and_used_once() -> None:
    pair = Pair()
    id = pair.open(0)
    for wrong in (id, 2, 0, -1, 3, 7):
        with pytest.raises(UsageError, match="next_id"):
            pair.do(0, Open(wrong, "s", 5))
    pair.ends[0]._next_id = 2**32 + 1
    with pytest.raises(LimitError):
        pair.ends[0].next_id()


def test_a_finished_stream_takes_no_more() -> None:
    pair = Pair()
    id = pair.open(0)
    pair.do(0, Finish(id))
    with pytest.raises(UsageError, match="finished"):
        pair.do(0, Write(id, b"more"))
    with pytest.raises(UsageError, match="consumed"):
        pair.do(0, Consumed(id, 1))


# Hostile peers


@pytest.mark.parametrize(
    "arrived",
    [
        Arrived(b""),
        Arrived(b"\xff\0\0\0\x02rest"),
        opened(1),  # our own parity
        opened(0),
        opened(2),  # open already
        data(4, b"never opened"),
        data(0, b"no stream"),
        data(1, b"not opened by us"),
        data(2, bytes(2001)),  # beyond credit
        data(6, b"", end=True),
        Arrived(segment.reset(4, 0)),
        Arrived(segment.credit(4, 9)),
        Arrived(segment.credit(3, 9)),
        Arrived(segment.header(Kind.OPEN, 4) + b"\x0b"),
        Arrived(segment.header(Kind.OPEN, 4) + b"\x05\xff"),
    ],
)
def test_who_breaks_the_rules_is_left(arrived: Arrived) -> None:
    pair = Pair(Config(stream_window=2000))
    pair.do(0, opened(2))
    with pytest.raises(ProtocolError):
        pair.do(0, arrived)


def test_data_after_the_end_is_refused() -> None:
    pair = Pair()
    pair.do(0, opened(2))
    pair.do(0, data(2, b"all", end=True))
    for late in (data(2, b"more"), data(2, b"", end=True)):
        with pytest.raises(ProtocolError, match="after the end"):
            pair.do(0, late)


def test_data_beyond_the_credit_of_the_session_is_refused() -> None:
    pair = Pair(Config(session_window=2000))
    pair.do(0, opened(2))
    pair.do(0, opened(4))
    pair.do(0, data(2, bytes(1500)))
    with pytest.raises(ProtocolError, match="credit"):
        pair.do(0, data(4, bytes(501)))


def test_too_many_streams_are_refused() -> None:
    pair = Pair(Config(streams_max=3))
    for id in (2, 4, 6):
        pair.do(0, opened(id))
    with pytest.raises(ProtocolError, match="more than 3"):
        pair.do(0, opened(8))


def test_closed_streams_nobody_reads_do_not_fill_the_memory() -> None:
    pair = Pair(Config(streams_max=3))
    for n in range(100):
        id = 2 + 2 * n
        news = pair.do(0, opened(id))
        if not news:
            assert n == 12
            assert pair.ends[0].pull(ROOM) == segment.reset(id, segment.REFUSED)
            break
        pair.do(0, data(id, b"x", end=True))
        pair.do(0, Finish(id))
        pair.ends[0].pull(ROOM)
        assert Closed(id) in pair.ends[0].drain()
    for n in range(12):
        pair.do(0, Consumed(2 + 2 * n, 1))
    assert not pair.ends[0]._streams


def test_who_opens_streams_without_reading_the_answers_is_left() -> None:
    pair = Pair(Config(streams_max=3))

    def storm() -> None:
        for n in range(150):
            if pair.do(0, opened(2 + 2 * n)):
                pair.do(0, Reset(2 + 2 * n, 0))

    with pytest.raises(ProtocolError, match="not read"):
        storm()


def test_who_opens_streams_that_nobody_hears_of_has_to_wait() -> None:
    pair = Pair(Config(streams_max=3))

    def storm() -> None:
        for _ in range(150):
            pair.do(0, Reset(pair.open(0), 0))

    with pytest.raises(LimitError, match="wait"):
        storm()
    pair.settle()
    pair.open(0)


def test_credit_never_goes_back() -> None:
    pair = Pair(Config(stream_window=1000))
    id = pair.open(0)
    pair.do(0, Arrived(segment.credit(id, 5000)))
    pair.do(0, Arrived(segment.credit(id, 10)))
    pair.do(0, Arrived(segment.credit(0, 2**64 - 1)))
    pair.do(0, Write(id, bytes(9000)))
    sent = 0
    while (body := pair.ends[0].pull(ROOM)) is not None:
        sent += len(body) - 5 if body[0] == Kind.DATA else 0
    assert sent == 5000
