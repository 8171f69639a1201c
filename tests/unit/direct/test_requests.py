"""Requests and answers of one peer: deadlines, cancellation, bounds."""

from __future__ import annotations

from math import inf

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.direct.events import Abandoned, Answer, Answered, Ask, Asked, Config, Effect
from whispurrnet.direct.flight import Load
from whispurrnet.direct.messages import ERROR_CHARS_MAX, Bundle, Cancel, Message, Request, Response
from whispurrnet.direct.requests import BUSY, LOST, Requests

CONFIG = Config(requests_max=2)


class Desk:
    """The requests of one peer, and what their effects were."""

    def __init__(self) -> None:
        self.load = Load()
        self.requests = Requests(1, CONFIG, self.load)

    def ask(self, id: int, *, timeout_s: float = 9.0, lane: int = 5, body: bytes = b"q") -> None:
        self.requests.ask(Ask(1, id, "name", body, lane, timeout_s), 0.0)

    def sent(self, lane: int = 5, room: int = 9000) -> list[Message]:
        bundle = Bundle(room)
        if self.requests.ready >> lane & 1:
            self.requests.fill(lane, bundle)
        self.requests.check_invariants()
        return bundle.messages

    def arrive(self, *messages: Request | Response | Cancel, now: float = 0.0) -> list[Effect]:
        effects: list[Effect] = []
        self.requests.check(messages)
        for message in messages:
            self.requests.arrived(message, now, effects)
        self.requests.check_invariants()
        return effects

    def tick(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        self.requests.tick(now, effects)
        self.requests.check_invariants()
        return effects

    def answer(self, id: int, body: bytes = b"a", error: str = "") -> bool:
        return self.requests.answer(Answer(1, id, body, error))


def question(id: int, timeout_ms: int = 5000) -> Request:
    return Request(id, "name", timeout_ms, 5, b"q")


def test_ask_and_be_answered():
    desk = Desk()
    desk.ask(77, timeout_s=1.5)
    assert desk.sent() == [Request(1, "name", 1500, 5, b"q")], "our own id does not travel"
    assert desk.load.count == 0
    assert desk.arrive(Response(1, "", b"a")) == [Answered(1, 77, b"a", "")]
    assert desk.arrive(Response(1, "", b"a")) == [], "an answer to nothing is ignored"
    assert desk.requests.idle


def test_each_lane_for_itself():
    desk = Desk()
    desk.ask(1, lane=2)
    desk.ask(2, lane=9)
    assert [m.priority for m in desk.sent(9) if isinstance(m, Request)] == [9]
    assert [m.priority for m in desk.sent(2) if isinstance(m, Request)] == [2]
    assert desk.requests.ready == 0


def test_be_asked_and_answer():
    desk = Desk()
    assert desk.arrive(question(4)) == [Asked(1, 4, "name", b"q", 5, 5.0)]
    assert desk.answer(4)
    assert not desk.answer(4), "answered once"
    assert desk.sent() == [Response(4, "", b"a")]
    assert not desk.answer(5), "nobody asked"
    assert desk.requests.idle


def test_the_text_of_an_error_is_made_to_travel():
    desk = Desk()
    desk.arrive(question(4))
    desk.answer(4, b"", "\udcff" + "x" * 2000)
    (response,) = desk.sent()
    assert isinstance(response, Response)
    assert response.error == "?" + "x" * (ERROR_CHARS_MAX - 1)


def test_no_answer_in_time():
    desk = Desk()
    desk.ask(7, timeout_s=2.0)
    desk.sent()
    assert desk.requests.due == 2.0
    assert desk.tick(1.9) == []
    assert desk.tick(2.0) == [Answered(1, 7, b"", "no answer came in time")]
    assert desk.sent() == [Cancel(1)]
    assert desk.requests.due == inf


def test_a_request_that_was_not_sent_needs_no_cancel():
    desk = Desk()
    desk.ask(7)
    desk.requests.abandon(7)
    desk.requests.abandon(7)
    assert desk.sent() == []
    assert desk.load.count == 0


def test_abandoned_by_us():
    desk = Desk()
    desk.ask(7)
    desk.sent()
    desk.requests.abandon(7)
    assert desk.sent() == [Cancel(1)]
    assert desk.arrive(Response(1, "", b"a")) == []


def test_abandoned_by_the_peer():
    desk = Desk()
    desk.arrive(question(4))
    assert desk.arrive(Cancel(4)) == [Abandoned(1, 4)]
    assert desk.arrive(Cancel(4)) == []
    assert not desk.answer(4)


def test_a_cancel_after_the_answer_changes_nothing():
    desk = Desk()
    desk.arrive(question(4))
    desk.answer(4)
    assert desk.arrive(Cancel(4)) == []
    assert desk.sent() == [Response(4, "", b"a")]


def test_the_peers_own_deadline_ends_our_work():
    desk = Desk()
    desk.arrive(question(4, timeout_ms=1000))
    desk.arrive(question(5, timeout_ms=2000))
    assert desk.tick(1.0) == [Abandoned(1, 4)]
    desk.answer(5)
    assert desk.tick(9.0) == []
    assert desk.sent() == [Response(5, "", b"a")]


def test_what_cannot_be_asked():
    desk = Desk()
    for bad in (
        Ask(1, 1, "", b""),
        Ask(1, 1, "x" * 129, b""),
        Ask(1, 1, "\udcff", b""),
        Ask(1, 1, "x", b"", 5, 0.0),
        Ask(1, 1, "x", b"", 5, float("nan")),
    ):
        with pytest.raises(UsageError):
            desk.requests.ask(bad, 0.0)
    desk.ask(1)
    with pytest.raises(UsageError, match="open already"):
        desk.ask(1)
    desk.ask(2)
    with pytest.raises(LimitError, match="wait for some"):
        desk.ask(3)


def test_too_many_questions_are_refused_then_stopped():
    desk = Desk()
    assert len(desk.arrive(question(1), question(2))) == 2
    assert desk.arrive(question(3), question(4)) == []
    with pytest.raises(ProtocolError, match="does not read"):
        desk.requests.check([question(5)])
    assert desk.sent() == [Response(3, BUSY, b""), Response(4, BUSY, b"")]
    desk.requests.check([question(5)])


def test_an_open_number_is_not_used_again():
    desk = Desk()
    desk.arrive(question(1))
    with pytest.raises(ProtocolError, match="again"):
        desk.requests.check([question(1)])
    with pytest.raises(ProtocolError, match="again"):
        desk.requests.check([question(2), question(2)])
    desk.answer(1)
    desk.sent()
    assert desk.arrive(question(1)) != []


def test_the_end_of_a_session():
    desk = Desk()
    desk.ask(7)
    desk.arrive(question(4), question(5))
    desk.answer(5)
    effects: list[Effect] = []
    desk.requests.fail(effects)
    assert effects == [Answered(1, 7, b"", LOST), Abandoned(1, 4)]
    assert desk.requests.idle
    assert (desk.load.count, desk.load.bytes, desk.requests.ready) == (0, 0, 0)


def test_room_is_kept_to():
    desk = Desk()
    desk.ask(1, body=bytes(100))
    desk.ask(2, body=bytes(100))
    assert len(desk.sent(room=200)) == 1
    assert desk.requests.ready
    assert len(desk.sent(room=200)) == 1
    assert not desk.requests.ready


def test_adopting_the_requests_of_another_record():
    desk, other = Desk(), Requests(2, CONFIG, Load())
    other.ask(Ask(2, 7, "name", b"q"), 0.0)
    effects: list[Effect] = []
    desk.requests.adopt(other, effects)
    assert effects == []
    assert desk.sent() == [Request(1, "name", 30_000, 5, b"q")]
    assert desk.arrive(Response(1, "", b"a")) == [Answered(1, 7, b"a", "")]


def test_adopting_when_both_are_busy_fails_the_other():
    desk, other = Desk(), Requests(2, CONFIG, Load())
    desk.ask(3)
    other.ask(Ask(2, 7, "name", b"q"), 0.0)
    effects: list[Effect] = []
    desk.requests.adopt(other, effects)
    assert effects == [Answered(1, 7, b"", LOST)]
    assert len(desk.sent()) == 1
