"""Receipts: what is waited for comes, or an error says why not; and what a peer says of itself."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from whispurrnet.base.errors import NetworkError
from whispurrnet.node.peer import ROOM_EVERY, SMALL_BYTES, Message, Peer, Receipt, weigh
from whispurrnet.node.words import name_of
from whispurrnet.testing.virtual_loop import run

ID = bytes(range(32))


def waiting(receipt: Receipt, what: str) -> asyncio.Task[Receipt]:
    return asyncio.ensure_future(receipt.received() if what == "received" else receipt.read())


# Receipts


def test_awaiting_a_receipt_waits_until_the_peer_has_it() -> None:
    async def main() -> None:
        receipt = Receipt(1)
        assert receipt.state == "queued"

        async def wait() -> Receipt:
            return await receipt

        task = asyncio.ensure_future(wait())
        receipt.advance("sent")
        await asyncio.sleep(1)
        assert not task.done()
        receipt.advance("received")
        assert await task is receipt
        assert receipt.state == "received"

    run(main())


def test_read_waits_longer_than_received() -> None:
    async def main() -> None:
        receipt = Receipt(1)
        received, read = waiting(receipt, "received"), waiting(receipt, "read")
        await asyncio.sleep(1)
        receipt.advance("received")
        await received
        assert not read.done()
        receipt.advance("read")
        await read

    run(main())


@pytest.mark.parametrize(
    ("state", "what"), [("received", "received"), ("read", "received"), ("read", "read")]
)
def test_what_has_come_is_not_waited_for(state: str, what: str) -> None:
    async def main() -> None:
        receipt = Receipt(1)
        receipt.advance(state)
        assert await waiting(receipt, what) is receipt

    run(main())


def test_read_without_received_is_both() -> None:
    async def main() -> None:
        receipt = Receipt(1)
        tasks = [waiting(receipt, "received"), waiting(receipt, "read")]
        await asyncio.sleep(1)
        receipt.advance("read")
        assert await asyncio.gather(*tasks) == [receipt, receipt]

    run(main())


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("what", ["received", "read"])
@pytest.mark.parametrize(("state", "why"), [("expired", "expired"), ("failed", "given up")])
def test_an_end_is_an_error_for_whoever_waits(
    state: str, why: str, what: str, before: bool
) -> None:
    async def main() -> None:
        receipt = Receipt(1)
        if before:
            receipt.advance(state)
        task = waiting(receipt, what)
        await asyncio.sleep(1)
        if not before:
            receipt.advance(state)
        with pytest.raises(NetworkError, match=why):
            await task

    run(main())


def test_one_who_stops_waiting_does_not_disturb_the_other() -> None:
    async def main() -> None:
        receipt = Receipt(1)
        first, second = waiting(receipt, "received"), waiting(receipt, "received")
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        assert first.cancelled()
        receipt.advance("received")
        await second
        await waiting(receipt, "received")

    run(main())


def test_giving_up_ends_the_wait_for_what_will_not_come() -> None:
    async def main() -> None:
        receipt = Receipt(1)
        receipt.advance("received")
        read, cancelled = waiting(receipt, "read"), waiting(receipt, "read")
        await asyncio.sleep(1)
        cancelled.cancel()
        await asyncio.sleep(1)
        receipt.give_up()
        with pytest.raises(NetworkError, match="closed before it heard that this was read"):
            await read
        assert await receipt is receipt

    run(main())


def test_a_receipt_shows_its_state_only() -> None:
    assert repr(Receipt(77)) == "<Receipt queued>"


# Messages


@pytest.mark.parametrize(("seq", "told"), [(0, 0), (9, 1)])
def test_only_a_message_that_wants_a_receipt_is_marked_read(seq: int, told: int) -> None:
    heard: list[Message] = []
    sender: Any = SimpleNamespace(mark_read=heard.append)
    message = Message(b"x", sender, seq=seq)
    message.mark_read()
    assert heard == [message] * told


def test_a_message_names_its_kind_and_has_a_weight() -> None:
    nobody: Any = None
    message = Message(b"x" * 1000, nobody, kind_number=16)
    assert message.kind == "FILE_SYNC"
    assert weigh(message) > weigh(Message(b"", nobody)) > 0


# Peers


class FakeNode:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.room = asyncio.Event()
        self.trust = 0

    def now(self) -> float:
        return 100.0

    def trust_of(self, peer: Peer) -> int:
        return self.trust

    def has_room(self, peer: Peer) -> bool:
        return self.room.is_set()

    async def wait_room(self, peer: Peer) -> None:
        await self.room.wait()

    def send_nowait(self, peer: Peer, body: bytes, priority: int) -> None:
        self.calls.append(("send", peer, body, priority))

    def whisper(self, peer: Peer, body: bytes, **more: Any) -> Receipt:
        self.calls.append(("whisper", peer, body, more))
        return Receipt(1)


def make(node: Any = None, **more: Any) -> Peer:
    facts: dict[str, Any] = {
        "id": ID,
        "persona": None,
        "handle": 3,
        "live": None,
        "profile": "p",
        **more,
    }
    record: Any = SimpleNamespace(**facts)
    return Peer(node, record)


def live() -> Any:
    return SimpleNamespace(
        path="tcp",
        suite="Noise_XK",
        level=3,
        since_s=40.0,
        channel=SimpleNamespace(bytes_sent=10, bytes_received=20),
    )


def test_a_peer_that_is_away_says_so() -> None:
    peer = make()
    assert not peer.connected
    assert (peer.path, peer.suite, peer.level, peer.since_s) == ("none", "", 0, None)
    assert (peer.bytes_sent, peer.bytes_received, peer.rtt_ms) == (0, 0, None)
    assert repr(peer) == f"<Peer {peer.name} away>"


def test_a_peer_that_is_connected_says_how() -> None:
    peer = make(FakeNode(), live=live())
    assert peer.connected
    assert (peer.path, peer.suite, peer.level) == ("direct tcp", "Noise_XK", 3)
    assert (peer.since_s, peer.bytes_sent, peer.bytes_received) == (60.0, 10, 20)
    peer.rtt_s = 0.0123456
    assert peer.rtt_ms == 12.346


def test_its_name_comes_from_what_lasts_longest_and_stays() -> None:
    assert make().name == name_of(ID)  # type: ignore[arg-type]
    known = make(persona=b"o" * 32)
    assert known.name == name_of(b"o" * 32)  # type: ignore[arg-type]
    assert (known.id, known.persona) == (ID.hex(), "6f" * 32)
    peer = make()
    before = peer.name
    peer.record = make(id=b"n" * 32).record
    assert (peer.name, peer.id) == (before, "6e" * 32)


@pytest.mark.parametrize(
    ("level", "word"),
    [(-1, "revoked"), (0, "unknown"), (1, "seen"), (2, "introduced"), (3, "verified"), (9, None)],
)
def test_trust_has_a_word(level: int, word: str | None) -> None:
    node = FakeNode()
    node.trust = level
    assert make(node).trust == (word or "unknown")


def test_sending_waits_for_room() -> None:
    async def main() -> None:
        node = FakeNode()
        peer = make(node)
        large = b"x" * (SMALL_BYTES + 1)
        task = asyncio.ensure_future(peer.send(large, priority=7))
        await asyncio.sleep(5)
        assert not node.calls
        node.room.set()
        await task
        assert node.calls == [("send", peer, large, 7)]


def test_small_messages_look_for_room_now_and_then() -> None:
    async def main() -> None:
        node = FakeNode()
        peer = make(node)
        for _ in range(ROOM_EVERY - 1):
            await peer.send(b"x")
        last = asyncio.ensure_future(peer.send(b"x"))
        await asyncio.sleep(5)
        assert len(node.calls) == ROOM_EVERY - 1
        node.room.set()
        await last
        assert len(node.calls) == ROOM_EVERY

    run(main())


def test_a_whisper_is_passed_on_whole() -> None:
    node = FakeNode()
    peer = make(node)
    peer.whisper(b"x", kind="FILE_SYNC", priority=9, ttl_s=3.0)
    expected = {"kind": "FILE_SYNC", "priority": 9, "ttl_s": 3.0}
    assert node.calls == [("whisper", peer, b"x", expected)]
