"""The record of one peer: one frame as a whole or not at all, one lane a frame."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.direct.events import (
    Answered,
    Ask,
    Asked,
    Config,
    Delivered,
    Effect,
    MarkRead,
    Post,
    Progress,
)
from whispurrnet.direct.messages import Ack, Message, Request, Resume, Skip, Whisper
from whispurrnet.direct.peer import Peer
from whispurrnet.direct.requests import LOST

A = b"A" * 8


def peer(seed: int = 1, config: Config | None = None, *, up: bool = True) -> Peer:
    record = Peer(seed, config or Config(), Random(seed).randbytes)
    if up:
        record.begin([])
    return record


def arrive(record: Peer, *messages: Message) -> list[Effect]:
    effects: list[Effect] = []
    record.arrived(list(messages), 0.0, effects)
    record.check_invariants()
    return effects


def post(record: Peer, id: int, priority: int = 5, *, acknowledged: bool = True) -> list[Effect]:
    effects: list[Effect] = []
    record.post(Post(1, id, id, b"x", priority, None, acknowledged), 0.0, effects)
    record.check_invariants()
    return effects


def pull(record: Peer, room: int = 9000) -> list[Message]:
    news: list[Effect] = []
    messages = record.pull(room, 0.0, news)
    record.check_invariants()
    return messages


def whisper(seq: int, lane: int = 5) -> Whisper:
    return Whisper(1, seq, 0, lane, b"x")


def test_bare_whispers_are_handed_over_as_they_came():
    frame = [whisper(0, 3), whisper(0, 9)]
    assert arrive(peer(), *frame) == [Delivered(1, frame)]


def test_an_empty_frame_is_nothing():
    assert arrive(peer()) == []


def test_one_delivery_a_frame_in_its_order():
    frame = [Resume(5, A, 7), whisper(0, 3), whisper(7), whisper(8), whisper(8)]
    assert arrive(peer(), *frame) == [Delivered(1, [whisper(0, 3), whisper(7), whisper(8)])]


def test_a_bad_message_undoes_the_frame():
    record = peer()
    arrive(record, Resume(5, A, 7))
    post(record, 1)
    (resume, *_) = pull(record)[1:]
    assert isinstance(resume, Resume)
    bad = Ack(5, resume.stream, resume.first + 5, 0)
    with pytest.raises(ProtocolError):
        arrive(record, whisper(7), Skip(5, 8, 9), Request(1, "x", 1, 5, b""), bad)
    assert record.receivers[5].expected == 7
    assert record.owed == 0
    assert arrive(record, whisper(7)) == [Delivered(1, [whisper(7)])]


def test_numbers_without_a_resume_are_dropped():
    record = peer()
    assert arrive(record, whisper(1)) == []
    assert record.receivers == {}
    assert pull(record) == []


def test_each_session_opens_its_lanes_anew():
    record = peer()
    arrive(record, Resume(5, A, 7))
    record.begin([])
    assert arrive(record, whisper(7)) == []
    assert pull(record) == []


def test_acks_of_a_lane_that_never_sent_are_dropped():
    assert arrive(peer(), Ack(5, A, 1, 1)) == []


def test_one_ack_a_lane_however_much_arrived():
    record = peer()
    for seq in (7, 8, 9):
        arrive(record, Resume(5, A, 7), whisper(seq), Resume(9, A, 3))
    assert record.urgent == 9
    assert sorted(pull(record), key=str) == [Ack(5, A, 9, 0), Ack(9, A, 2, 0)]
    assert pull(record) == []


def test_acks_that_do_not_fit_wait():
    record = peer()
    arrive(record, Resume(5, A, 7), Resume(9, A, 3))
    assert len(pull(record, 64)) == 1
    assert len(pull(record, 64)) == 1
    assert record.urgent == -1


def test_reading_is_reported():
    record = peer()
    arrive(record, Resume(5, A, 7), whisper(7))
    pull(record)
    record.mark_read(MarkRead(1, 5, 7))
    record.mark_read(MarkRead(1, 4, 7))
    assert pull(record) == [Ack(5, A, 7, 7)]
    record.mark_read(MarkRead(1, 5, 7))
    assert pull(record) == []


def test_reading_while_away_is_reported_later():
    record = peer()
    arrive(record, Resume(5, A, 7), whisper(7))
    record.end(1.0, [])
    record.mark_read(MarkRead(1, 5, 7))
    record.begin([])
    assert pull(record) == [], "not before the peer asks"
    arrive(record, Resume(5, A, 8))
    assert pull(record) == [Ack(5, A, 7, 7)]


def test_urgent_lanes_first_and_one_a_frame():
    record = peer()
    for id, lane in enumerate((0, 10, 5, 10)):
        post(record, id, lane, acknowledged=False)
    lanes = []
    while record.urgent >= 0:
        lanes.append([m.lane for m in pull(record) if isinstance(m, Whisper)])
    assert lanes == [[10, 10], [5], [0]]


def test_an_urgent_ack_does_not_bring_less_urgent_whispers():
    record = peer()
    post(record, 1, 2, acknowledged=False)
    arrive(record, Resume(9, A, 7))
    assert pull(record) == [Ack(9, A, 6, 0)]
    assert [type(message) for message in pull(record)] == [Whisper]


def test_requests_go_before_whispers_of_their_lane():
    record = peer()
    post(record, 1, acknowledged=False)
    record.ask(Ask(1, 2, "name", b""), 0.0, [])
    assert [type(message) for message in pull(record)] == [Request, Whisper]


def test_requests_of_a_lane_without_whispers():
    record = peer()
    record.ask(Ask(1, 2, "name", b"", 3), 0.0, [])
    assert record.urgent == 3
    assert len(pull(record)) == 1
    assert record.urgent == -1


def test_nothing_is_ready_without_a_session():
    record = peer(up=False)
    post(record, 1)
    assert record.urgent == -1
    assert post(record, 2, acknowledged=False) == [Progress(1, 2, "failed")]
    record.begin([])
    assert record.urgent == 5
    record.end(1.0, [])
    assert record.urgent == -1
    assert not record.idle


def test_a_second_session_ends_the_first():
    record = peer()
    record.ask(Ask(1, 2, "name", b""), 0.0, [])
    effects: list[Effect] = []
    record.begin(effects)
    assert effects == [Answered(1, 2, b"", LOST)]


def test_adopting_a_record():
    old, new = peer(2), peer(1, up=False)
    post(new, 1)
    post(old, 2)
    old.ask(Ask(2, 3, "name", b""), 0.0, [])
    arrive(old, Resume(5, A, 7), whisper(7))
    effects: list[Effect] = []
    new.adopt(old, effects)
    new.check_invariants()
    assert effects == []
    assert new.up
    assert new.load.count == 3
    assert new.receivers[5].expected == 8
    kinds = [type(message) for message in pull(new)]
    assert kinds == [Ack, Request, Resume, Whisper, Whisper]


def test_adopting_when_both_have_a_session():
    old, new = peer(2), peer(1)
    for record in (old, new):
        post(record, record.handle)
        pull(record)
        arrive(record, Resume(5, b"%8d" % record.handle, 7), Request(1, "x", 1000, 5, b""))
    new.adopt(old, [])
    new.check_invariants()
    resume = pull(new)[-1]
    assert isinstance(resume, Resume)
    arrive(new, Ack(5, resume.stream, resume.first, 0))
    assert isinstance(pull(new)[-1], Resume)


def test_being_asked_reaches_the_application():
    assert arrive(peer(), Request(4, "x", 1000, 5, b"b")) == [Asked(1, 4, "x", b"b", 5, 1.0)]
