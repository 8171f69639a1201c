"""News of what is spread: to topics and inboxes, stamps found beside the loop, waits that end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.node.test_news import Rig, playing

from whispurrnet.gossip import stamp
from whispurrnet.node.feed import Feed
from whispurrnet.node.peer import Message
from whispurrnet.node.spread_news import EARLY_MAX, shown
from whispurrnet.node.spreading import Sent
from whispurrnet.stack import events, protocols

ID, AUTHOR, KEY = bytes(range(16)), bytes(range(32)), b"k" * 32


def gossiped(intent: str = "cats", payload: bytes = b"meow", **more: Any) -> events.Gossiped:
    facts = {
        "kind": protocols.RESONANCE if intent else protocols.BROADCAST,
        "intent": intent,
        "strength": 0.5,
        "payload": payload,
        "priority": 7,
        "author": None,
        "peer": None,
        "hop": 3,
        "id": ID,
        "key": None,
    }
    return events.Gossiped(**facts | more)


def feed(rig: Rig, *where: tuple[str, bytes | None], limit: int = 9) -> Feed[Message]:
    one: Feed[Message] = Feed(limit)
    for place in where:
        rig.news.topics.setdefault(place, []).append(one)
    return one


def bodies(one: Feed[Message]) -> list[bytes]:
    return [message.body for message in one.take_all()]


def test_a_resonance_goes_to_its_topic_and_nowhere_else() -> None:
    async def test(rig: Rig) -> None:
        rig.node.counters["dropped"] = 0
        cats, dogs = feed(rig, ("cats", None)), feed(rig, ("dogs", None))
        secret, inbox = feed(rig, ("cats", KEY)), Feed[Message](9)
        rig.news.inbox.append(inbox)
        rig.news(gossiped())
        rig.news(gossiped("birds"))
        (message,) = cats.take_all()
        assert (message.body, message.topic, message.strength) == (b"meow", "cats", 0.5)
        assert (message.kind, message.priority, message.seq) == ("RESONANCE", 7, 0)
        assert (message.sender, message.author, message.id) == (None, "", ID.hex())
        assert message.sender_name == "somebody"
        assert not len(dogs) + len(secret) + len(inbox) + len(rig.news.early)
        rig.news(gossiped(key=KEY))
        assert bodies(secret) == [b"meow"]
        assert not len(cats)
        assert rig.node.counters["received"] == 3

    playing(test)


def test_everybody_who_joined_hears_it() -> None:
    async def test(rig: Rig) -> None:
        both = [feed(rig, ("cats", None)) for _ in range(2)]
        rig.news(gossiped())
        assert [bodies(one) for one in both] == [[b"meow"], [b"meow"]]

    playing(test)


@pytest.mark.parametrize(
    ("peer", "name"), [(1, None), (99, "somebody known by its id"), (None, "by its id too")]
)
def test_a_signed_message_is_of_a_peer_if_it_is_one_of_ours(
    peer: int | None, name: str | None
) -> None:
    async def test(rig: Rig) -> None:
        cats = feed(rig, ("cats", None))
        rig.news(gossiped(author=AUTHOR, peer=peer))
        (message,) = cats.take_all()
        assert message.sender is (rig.news.peers[1] if name is None else None)
        assert message.author == AUTHOR.hex()
        assert message.sender_name != "somebody"
        assert shown(message)["sender"] == (message.sender.id if message.sender else AUTHOR.hex())

    playing(test)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(protocols.BROADCAST, "BROADCAST"), (protocols.EMERGENCY, "EMERGENCY_SIGNAL")],
)
def test_what_is_for_everyone_comes_with_the_messages_or_waits_for_who_comes(
    kind: int, name: str
) -> None:
    async def test(rig: Rig) -> None:
        rig.news(gossiped("", b"early", kind=kind))
        (early,) = rig.news.early.take_all()
        assert (early.kind, early.topic) == (name, None)
        inbox: Feed[Message] = Feed(9)
        rig.news.inbox.append(inbox)
        rig.news(gossiped("", b"now", kind=kind))
        assert bodies(inbox) == [b"now"]
        assert not len(rig.news.early)

    playing(test)


def test_what_waits_for_nobody_is_bounded() -> None:
    async def test(rig: Rig) -> None:
        for n in range(EARLY_MAX + 5):
            rig.news(gossiped("", b"%d" % n))
        kept = bodies(rig.news.early)
        assert (len(kept), kept[0]) == (EARLY_MAX, b"5")

    playing(test)


def test_a_full_topic_drops_and_counts_and_holds_nobody() -> None:
    """It came from everywhere: nobody can be made to wait for it."""

    async def test(rig: Rig) -> None:
        rig.node.counters["dropped"] = 0
        cats, others = feed(rig, ("cats", None), limit=1), feed(rig, ("cats", None))
        rig.node.done.clear()
        for n in range(5):
            rig.news(gossiped(payload=b"%d" % n))
        assert bodies(cats) == [b"0", b"1"]
        assert len(others) == 5
        assert rig.node.counters["dropped"] == 3
        assert not [one for one in rig.node.done if one[0] == "hold"]

    playing(test)


def test_watchers_are_told_in_words_that_json_has() -> None:
    async def test(rig: Rig) -> None:
        watching: Feed[dict[str, Any]] = Feed(9)
        rig.news.watchers.append(watching)
        rig.news(gossiped("cats", b"meow"))
        rig.news(gossiped("", b"\xff", kind=protocols.EMERGENCY))
        rig.news(events.Neighbour(1, True))
        rig.news(events.Neighbour(1, False))
        rig.news(events.Neighbour(99, True))
        told = watching.take_all()
        assert [one["type"] for one in told] == [
            *("resonance", "broadcast", "neighbour", "neighbour_gone"),
        ]
        assert (told[0]["topic"], told[0]["body"], told[0]["name"]) == ("cats", "meow", "somebody")
        assert (told[1]["kind"], told[1]["body"], told[1]["encoding"]) == (
            *("EMERGENCY_SIGNAL", "ff", "hex"),
        )
        assert told[2]["peer"] == rig.news.peers[1].id

    playing(test)


def test_who_spread_a_message_hears_that_it_is_on_its_way_once() -> None:
    async def test(rig: Rig) -> None:
        loop = asyncio.get_running_loop()
        waiting, given_up = loop.create_future(), loop.create_future()
        rig.news.spread.update({1: waiting, 2: given_up})
        given_up.cancel()
        for ref in (1, 1, 2, 3):
            rig.news(events.Resonated(ref, ID, 4))
        assert await waiting == Sent(ID.hex(), 4)
        assert not rig.news.spread

    playing(test)


def test_a_stamp_is_found_beside_the_loop_and_handed_back() -> None:
    async def main() -> None:
        rig = Rig()
        rig.news(events.Solve(7, ID, 1_800_000_000, 8))
        assert not rig.told, "the loop did not wait for it"
        (task,) = rig.node.tasks
        await task
        (solved,) = rig.told
        assert isinstance(solved, events.Solved)
        assert solved.ref == 7
        assert stamp.verify(ID, 1_800_000_000, solved.value, 8)

    asyncio.run(main())
