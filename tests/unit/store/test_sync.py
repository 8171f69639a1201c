"""What an application may ask of the core, and what it is told; peers are in `tests/sim`."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from whispurrnet.base.errors import LimitError, ProtocolError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.store.sync import Sync
from whispurrnet.store.sync_events import (
    Added,
    Arrived,
    Config,
    Down,
    Failed,
    Follow,
    Join,
    Leave,
    Removed,
    Send,
    Unfollow,
    Up,
)
from whispurrnet.store.sync_messages import (
    ENTRIES_MAX,
    FRAME_MAX,
    OIDS_MAX,
    Entry,
    SyncAnnounce,
    SyncDescribe,
    SyncMessage,
    SyncOpen,
    SyncOpened,
    SyncQuery,
    SyncRefused,
)
from whispurrnet.wire.codec import Codec
from whispurrnet.wire.items import Items

SET, OTHER = b"s" * 32, b"o" * 32
OBJECT = Entry(7, b"x" * 32, 9)


class Open:
    """An index of nothing, which everyone may see."""

    def entries(self, set: bytes, oids: Sequence[bytes]) -> list[Entry]:
        return []

    def prove(self, peer: int, set: bytes) -> bytes:
        return b"proof"

    def admit(self, peer: int, set: bytes, proof: bytes) -> bool:
        return proof == b"proof"

    def allowed(self, peer: int, set: bytes) -> bool:
        return True


def core(config: Config | None = None) -> Sync:
    return Sync(config or Config(), Open(), Random(1))


def test_nothing_is_due_without_sets() -> None:
    sync = core()
    assert sync.handle(Up(1), 0.0) == []
    assert sync.handle(Tick(), 1.0) == []
    assert sync.deadline is None and sync.progress(SET) is None


def test_sources_are_asked_when_they_are_up() -> None:
    sync = core()
    assert sync.handle(Join(SET, Items(), (1,)), 0.0) == []
    (opened,) = sync.handle(Up(1), 0.0)
    assert isinstance(opened, Send) and isinstance(opened.message, SyncOpen)
    assert opened.peer == 1 and opened.message.proof == b"proof"
    assert sync.handle(Up(1), 0.0) == []
    assert sync.handle(Follow(SET, 1), 0.0) == []
    (query,) = sync.handle(Arrived(1, SyncOpened(SET, 1)), 0.1)
    assert isinstance(query, Send) and isinstance(query.message, SyncQuery)
    progress = sync.progress(SET)
    assert progress is not None and (progress.sources, progress.comparing) == (1, 1)
    assert sync.handle(Down(1), 0.2) == []
    assert sync.deadline is None
    assert len(sync.handle(Up(1), 0.3)) == 1


def test_what_makes_no_sense_is_refused() -> None:
    sync = core(Config(sets_max=2, sources_max=2))
    for event in (Follow(SET, 1), Unfollow(SET, 1), Leave(SET), Added(SET, OBJECT)):
        with pytest.raises(UsageError, match="join it first"):
            sync.handle(event, 0.0)
    assert sync.handle(Failed(SET, OBJECT.oid, None), 0.0) == []
    with pytest.raises(UsageError, match="32 bytes"):
        sync.handle(Join(b"short", Items()), 0.0)
    with pytest.raises(LimitError, match="2 sources"):
        sync.handle(Join(SET, Items(), (1, 2, 3)), 0.0)
    sync.handle(Join(SET, Items(), (1, 2)), 0.0)
    with pytest.raises(UsageError, match="joined already"):
        sync.handle(Join(SET, Items()), 0.0)
    with pytest.raises(LimitError, match="2 sources"):
        sync.handle(Follow(SET, 3), 0.0)
    sync.handle(Join(OTHER, Items()), 0.0)
    with pytest.raises(LimitError, match="leave one"):
        sync.handle(Join(b"t" * 32, Items()), 0.0)
    assert sync.sets() == [SET, OTHER]


def test_what_is_removed_is_not_announced() -> None:
    sync = core()
    sync.handle(Join(SET, Items()), 0.0)
    sync.handle(Up(1), 0.0)
    sync.handle(Arrived(1, SyncOpen(SET, 1, 1, 0, b"proof")), 0.0)
    sync.handle(Added(SET, OBJECT), 0.0)
    sync.handle(Removed(SET, OBJECT), 0.0)
    assert sync.handle(Tick(), 1.0) == []
    sync.handle(Added(SET, OBJECT), 1.0)
    assert sync.handle(Added(SET, OBJECT), 1.0) == []
    assert sync.handle(Tick(), 2.0) == [Send(1, SyncAnnounce(SET, (OBJECT,)))]


def test_a_wrong_proof_is_refused() -> None:
    sync = core()
    sync.handle(Join(SET, Items()), 0.0)
    sync.handle(Up(1), 0.0)
    (said,) = sync.handle(Arrived(1, SyncOpen(SET, 1, 1, 0, b"wrong")), 0.0)
    assert isinstance(said, Send) and isinstance(said.message, SyncRefused)
    assert sync.handle(Arrived(2, SyncOpen(SET, 1, 1, 0, b"proof")), 0.0) == [], "not up"


@pytest.mark.parametrize(
    "message",
    [
        SyncOpen(b"short", 1, 1, 0),
        SyncOpen(SET, 1, 256, 0),
        SyncOpen(SET, 1, 1, 0, bytes(33)),
        SyncQuery(SET, bytes(FRAME_MAX + 1)),
        SyncDescribe(SET, (bytes(32),) * (OIDS_MAX + 1)),
        SyncDescribe(SET, (bytes(31),)),
        SyncAnnounce(SET, (OBJECT,) * (ENTRIES_MAX + 1)),
        SyncAnnounce(SET, (Entry(-1, bytes(32), 1),)),
        SyncAnnounce(SET, (Entry(1, bytes(32), 1 << 45),)),
        SyncRefused(SET, 1, "x" * 201),
    ],
)
def test_messages_have_bounds(message: SyncMessage) -> None:
    codec: Codec[SyncMessage] = Codec(SyncMessage)
    with pytest.raises(ProtocolError):
        codec.decode_all(codec.encode_all([message]))


def test_the_longest_messages_fit_a_frame() -> None:
    codec: Codec[SyncMessage] = Codec(SyncMessage)
    longest: list[SyncMessage] = [
        SyncQuery(SET, bytes(FRAME_MAX)),
        SyncDescribe(SET, (bytes(32),) * OIDS_MAX),
        SyncAnnounce(SET, (Entry(2**63 - 1, bytes(32), 1 << 44),) * ENTRIES_MAX),
    ]
    for message in longest:
        assert len(codec.encode_all([message])) <= 24_000
