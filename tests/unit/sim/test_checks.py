from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.sim.checks import BREACHES_MAX, Checks, Frames
from whispurrnet.sim.ledger import Ledger
from whispurrnet.sim.report import spreading
from whispurrnet.sim.scenario import Expect, Scenario, Work

LIVE: Any = SimpleNamespace(link=1)


def push(hop: int, expiry_s: int) -> bytes:
    envelope = b"\1" + b"hint" + b"\0" + expiry_s.to_bytes(4, "big")
    return bytes((0, 1, hop)) + bytes(17) + envelope + bytes(100)


@pytest.mark.parametrize(
    ("hop", "expiry_s", "expected"),
    [(10, 1000, []), (11, 1000, ["hops"]), (3, 996, []), (3, 990, ["expiry"])],
)
def test_nothing_is_passed_on_beyond_its_hops_or_its_time(
    hop: int, expiry_s: int, expected: list[str]
) -> None:
    checks = Checks(lambda: 1000.0, lambda node, link: True)
    checks.frame("a", LIVE, 7, push(hop, expiry_s), 5.0)
    checks.frame("a", LIVE, 7, push(hop, expiry_s)[:20], 5.0)
    checks.frame("a", LIVE, 4, push(99, 0), 5.0)
    assert [breach.check for breach in checks.breaches] == expected


def test_what_a_hostile_node_passes_on_is_no_breach() -> None:
    checks = Checks(lambda: 1000.0, lambda node, link: False)
    checks.frame("a", LIVE, 7, push(99, 1), 5.0)
    assert not checks.count


def ledger(count: int = 3) -> tuple[Ledger, Checks]:
    checks = Checks(lambda: 0.0, lambda node, link: True)
    made = Ledger((Work(count=count),), Random(1), checks)
    for message in made.messages:
        message.target, message.due = "b", {"b": 1}
        made.send(message, "a", 1, float(message.number))
    return made, checks


def names(checks: Checks) -> list[str]:
    return [breach.check for breach in checks.breaches]


def test_what_arrives_once_in_order_is_as_it_should_be() -> None:
    made, checks = ledger()
    for message in made.messages:
        made.got("b", 1, message.payload, 1, 5.0)
        made.acknowledged("a", message.number, 6.0)
    assert not names(checks)
    (figures,) = made.figures(lambda name, life: True, 10.0)
    assert (figures.due, figures.made, figures.delivery, figures.worst) == (3, 3, 1.0, 1.0)
    assert figures.latency_s.max == 5.0


def test_each_breach_is_seen() -> None:
    made, checks = ledger()
    first, second, third = made.messages
    made.acknowledged("a", first.number, 1.0)
    made.got("b", 1, second.payload, 1, 2.0)
    made.got("b", 1, first.payload, 1, 3.0)
    made.got("b", 1, first.payload, 1, 4.0)
    made.got("c", 1, third.payload, 1, 5.0)
    made.got("b", 1, third.payload[:-1] + b"?", 1, 6.0)
    assert names(checks) == ["acknowledged", "order", "twice", "astray", "changed"]


def test_what_is_lost_counts_unless_its_author_or_target_is_gone() -> None:
    made, _ = ledger(4)
    for message in made.messages[:3]:
        made.got("b", 1, message.payload, 1, 5.0)
    (figures,) = made.figures(lambda name, life: True, 10.0)
    assert (figures.due, figures.made, figures.delivery, figures.worst) == (4, 3, 0.75, 0.0)
    for gone in ("a", "b"):
        (figures,) = made.figures(lambda name, life, gone=gone: name != gone, 10.0)
        assert (figures.due, figures.delivery) == (0, 1.0)


def test_what_is_expected_is_asked_at_the_end() -> None:
    made, checks = ledger(2)
    made.got("b", 1, made.messages[0].payload, 1, 5.0)
    figures = made.figures(lambda name, life: True, 10.0)
    cost = spreading(messages=1, reached=10, payloads=40, stem=0, control=0)
    work = (Work(count=2),)
    checks.at_end(Scenario(work=work), figures, cost, 0.5, 10.0)
    assert not checks.count
    expect = Expect(
        delivery_min=0.9,
        worst_min=0.9,
        latency_p99_max_s=1.0,
        payloads_max=3.2,
        connected_min=1.0,
    )
    checks.at_end(Scenario(work=work, expect=expect), figures, cost, 0.5, 10.0)
    assert names(checks) == list(Expect.__struct_fields__)
    assert checks.breaches[0].detail == "whisper: 0.5, expected 0.9 at the least"


def test_breaches_are_kept_up_to_a_bound_and_counted_beyond() -> None:
    checks = Checks(lambda: 0.0, lambda node, link: True)
    for n in range(100):
        checks.breach("hops", float(n), "a", "")
    checks.breach("expiry", 1.0, "a", "")
    assert checks.count == 101
    assert len(checks.breaches) == BREACHES_MAX + 1


def test_frames_are_counted_by_kind() -> None:
    frames = Frames()
    for body in (b"\0\1", b"\0\1x", b"\0\2", b"\0\x10", b""):
        frames.note(7, body)
    frames.note(4, b"\0\1")
    assert frames.of(7, 1) == 2
    assert frames.by_name() == {
        "direct": 1,
        "gossip": 1,
        "gossip push": 2,
        "gossip ihave": 1,
        "gossip stem": 1,
    }
