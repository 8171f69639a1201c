"""The registry of kinds: what the seeds call them, in their order, and what carries them."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.session.control import Control
from whispurrnet.stack import greeting, protocols
from whispurrnet.stack.protocols import BY_NUMBER, CHUM_CODES, kind_of, sendable
from whispurrnet.store import messages, sync_messages

CHUM = (
    *("HELLO", "KEY_EXCHANGE", "OBJECT_SYNC", "OBJECT_REQUEST", "OBJECT_DATA"),
    *("HEARTBEAT", "STORAGE_METRICS", "ERROR"),
)
CARRIERS = {
    "HELLO": greeting.Hello,
    "KEY_EXCHANGE": Control.REKEY1,
    "OBJECT_SYNC": sync_messages.SyncOpen,
    "OBJECT_REQUEST": messages.Request,
    "OBJECT_DATA": messages.DATA,
    "HEARTBEAT": Control.PING,
    "STORAGE_METRICS": messages.Metrics,
    "ERROR": messages.Refused,
}


def test_the_eight_types_of_chum_are_in_the_order_of_their_codes() -> None:
    assert tuple(BY_NUMBER[number].name for number in CHUM_CODES) == CHUM
    assert tuple(CARRIERS) == CHUM, "and each is carried by something"


def test_numbers_and_names_are_of_one_kind_each() -> None:
    assert len(BY_NUMBER) == len(protocols.KINDS)
    names = [n.casefold() for kind in protocols.KINDS for n in (kind.name, *kind.aliases)]
    assert len(set(names)) == len(names)
    assert all(kind_of(name.upper()).name for name in names)


def test_what_another_part_carries_is_not_whispered() -> None:
    for name in ("HELLO", "OBJECT_DATA", "STORAGE_METRICS", "KEY_EXCHANGE", "RESONANCE"):
        with pytest.raises(UsageError):
            sendable(name)
    assert sendable("error").number == 54


def test_what_says_the_same_is_one() -> None:
    assert kind_of("PING") is kind_of("HealthCheck") is kind_of("HEARTBEAT")
