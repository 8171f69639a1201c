"""The profile chum with real nodes and real sockets: who one is, who is around, and sleep."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import whispurrnet
from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.identity.instance import chum_instance_id
from whispurrnet.node.hardware import hardware

HERE: dict[str, Any] = {
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
}
MAPPED = HERE | {"lan": {"enabled": False, "topology": True}}


def run(main: Any) -> Any:
    async def timed() -> Any:
        async with asyncio.timeout(30):
            return await main

    return asyncio.run(timed())


async def until(holds: Any) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.02)


def test_an_instance_is_the_same_at_its_next_start_and_no_other_is(tmp_path: Path) -> None:
    async def identity(name: str | None) -> Any:
        kept = {"long_term": name is not None, "state_dir": str(tmp_path / (name or "none"))}
        async with whispurrnet.open(profile="chum", **HERE, identity=kept) as node:
            return await node.chum.identity()

    one, again, other = (run(identity(name)) for name in ("one", "one", "other"))
    passing, later = run(identity(None)), run(identity(None))
    assert one.instance_id == again.instance_id
    ids = {one.instance_id, other.instance_id, passing.instance_id, later.instance_id}
    assert len(ids) == 4
    assert (one.lasting, passing.lasting) == (True, False)
    assert (one.node_type, one.status, one.status_code) == ("chum", "Listening", 2)
    assert "objects" in one.capabilities
    assert one.storage.healthy
    found = hardware()
    assert one.hardware == found.source
    if found.id:
        assert found.id.hex() not in repr(one)
        assert one.instance_id != chum_instance_id(b"", found.id, b"").hex()
    assert not (tmp_path / "none").exists()


def test_a_peer_says_what_it_can_do() -> None:
    async def main() -> None:
        async with whispurrnet.open(**MAPPED) as ann, whispurrnet.open(**HERE) as ben:
            peer = await ben.connect(ann.ticket)
            assert {"gossip", "objects", "mapped"} <= set(peer.capabilities)
            await until(lambda: ann.peers)
            assert "mapped" not in ann.peers[0].capabilities

    run(main())


def test_the_map_shows_those_who_agreed_and_nobody_else() -> None:
    async def main() -> None:
        async with AsyncExitStack() as running:
            ann, ben, cy = [
                await running.enter_async_context(whispurrnet.open(**MAPPED)) for _ in range(3)
            ]
            hidden = await running.enter_async_context(whispurrnet.open(**HERE))
            for one, other in ((ann, ben), (ben, cy), (hidden, ben), (hidden, ann)):
                await one.connect(other.ticket)
            await until(lambda: len(ben.peers) >= 3 and len(ann.peers) >= 2)
            drawn = await ann.chum.topology()
            ids = {node.id for node in drawn.nodes}
            assert ids == {ann.id, ben.id, cy.id}
            assert hidden.id not in repr(drawn)
            links = {frozenset((link.a, link.b)) for link in drawn.links}
            assert {frozenset((ann.id, ben.id)), frozenset((ben.id, cy.id))} <= links
            others = {node.id: node.others for node in drawn.nodes}
            assert others[ann.id] == 1
            assert others[ben.id] == 1
            assert drawn.age_s < 3.0
            with pytest.raises(UsageError, match=r"lan\.topology"):
                await hidden.chum.topology()
            peer = next(peer for peer in hidden.peers if peer.id == ben.id)
            with pytest.raises(whispurrnet.WhispurrError, match="only who agreed"):
                await peer.request("whispurrnet/topology")

    run(main())


def test_a_node_that_sleeps_gets_what_is_for_it_and_wakes_when_it_speaks() -> None:
    async def main() -> None:
        fast = {"sleep_hold_s": 0.5, "heartbeat_s": 10.0}
        async with (
            whispurrnet.open(**HERE, session=fast) as ann,
            whispurrnet.open(**HERE, session=fast) as ben,
        ):
            to_ann = await ben.connect(ann.ticket)
            await until(lambda: ann.peers)
            seen = ann.events()
            ann.sleep(note="good night")
            await until(lambda: to_ann.presence == ("asleep", "good night"))
            assert ann.asleep
            feed = ann.messages()
            for n in range(3):
                await asyncio.wait_for(to_ann.whisper(b"%d" % n), 5.0)
            assert [(await anext(feed)).body for _ in range(3)] == [b"0", b"1", b"2"]
            assert ann.asleep
            await ann.peers[0].whisper(b"up again")
            assert not ann.asleep
            await until(lambda: to_ann.presence == ("online", ""))
            told: list[bool] = []
            while len(told) < 2:
                event = await anext(seen)
                told += [event["asleep"]] if event["type"] == "sleep" else []
            assert told == [True, False]
            for _ in range(3):
                ann.sleep()
                ann.wake()
            with pytest.raises(LimitError):
                ann.sleep()
            with pytest.raises(UsageError):
                ann.sleep(-1.0)
            with pytest.raises(UsageError):
                ann.sleep(note="x" * 121)

    run(main())


def test_storage_is_told_to_whom_we_let_know_and_to_nobody_else() -> None:
    """STORAGE_METRICS of the seed, as its own message."""

    async def main() -> None:
        async with whispurrnet.open(**HERE) as ann, whispurrnet.open(**HERE) as ben:
            to_ann = await ben.connect(ann.ticket)
            await until(lambda: ann.peers)
            await ben.objects.add(b"x" * 1000)
            assert ann.chum.storage_of(ann.peers[0]) is None
            await ben.chum.tell_storage(to_ann)
            await until(lambda: ann.chum.storage_of(ann.peers[0]) is not None)
            told = ann.chum.storage_of(ann.peers[0])
            assert told is not None
            assert (told.objects, told.healthy) == (1, True)
            assert told.bytes >= 1000
            assert ben.chum.storage_of(to_ann) is None
            await to_ann.close()
            with pytest.raises(whispurrnet.WhispurrError, match="not connected"):
                await ben.chum.tell_storage(to_ann)

    run(main())
