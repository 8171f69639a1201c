"""Who is known: bounded, and no peer at the expense of another."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import LimitError
from whispurrnet.identity.ephemeral import Ephemeral, Proof
from whispurrnet.stack.live import Live
from whispurrnet.stack.roster import NAMES_PER_RECORD, Roster

CHANCE = Random(1)


def proof() -> Proof:
    return Ephemeral.generate(CHANCE.randbytes, 1_700_000_000_000).proof


def test_whoever_changes_its_id_again_and_again_is_found_by_the_last_few_only() -> None:
    roster = Roster(10)
    honest, restless = proof(), proof()
    roster.add(honest)
    record, _ = roster.add(restless)
    taken = [restless]
    for _ in range(3 * NAMES_PER_RECORD):
        taken.append(proof())
        roster.rename(record, taken[-1])
    assert len(record.ids) == NAMES_PER_RECORD
    assert [roster.find(one.id) is record for one in taken] == [False] * (
        len(taken) - NAMES_PER_RECORD
    ) + [True] * NAMES_PER_RECORD
    found = roster.find(honest.id)
    assert found is not None
    assert found.id == honest.id


def test_an_id_that_is_taken_again_counts_once() -> None:
    roster = Roster(10)
    one, other = proof(), proof()
    record, _ = roster.add(one)
    for _ in range(20):
        roster.rename(record, other)
        roster.rename(record, one)
    assert roster.find(one.id) is roster.find(other.id) is record
    assert record.ids == [other.id, one.id]


def test_who_has_mail_waiting_makes_room_last() -> None:
    mail: dict[int, int] = {}
    roster = Roster(3, lambda handle: mail.get(handle, 0))
    first, _ = roster.add(proof())
    second, _ = roster.add(proof())
    third, _ = roster.add(proof())
    for seen_s, record in enumerate((first, second, third)):
        record.last_seen_s = float(seen_s)
    mail[first.handle] = 5
    gone = [roster.add(proof())[1]]
    assert gone == [second]
    assert roster.find(second.id) is None
    assert roster.find(first.id) is first


def test_those_that_are_connected_stay() -> None:
    roster = Roster(1)
    record, _ = roster.add(proof())
    record.live = Live.__new__(Live)
    with pytest.raises(LimitError):
        roster.add(proof())
