"""Who may have which object, in whole stacks: grants, proofs, sessions that end, limits, faults."""

from __future__ import annotations

import pytest
from tests.unit.stack.object_world import CHUNK, QUIET, Shelves, some

from whispurrnet.base.errors import HostError, LimitError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.persona import Persona
from whispurrnet.stack import events, exchange, object_events
from whispurrnet.store import access, messages
from whispurrnet.store import transfer_events as moves
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

DATA = some(3 * CHUNK + 7)
ROOT = b"\7" * 32


@pytest.mark.parametrize("data", [b"small", DATA])
def test_nobody_has_what_was_not_shared(data: bytes) -> None:
    shelves = Shelves("anna", "ben")
    oid = shelves.add("anna", data)
    _, anna = shelves.meet("anna", "ben")
    assert not shelves.fetch("ben", oid, anna)
    (failed,) = shelves.of("ben", moves.Failed)
    assert failed.reason
    shelves.tell("ben", moves.FetchSmall(anna, (oid,)))
    assert oid not in shelves.kept["ben"]
    assert shelves.of("ben", moves.Missing)


def test_with_everyone_a_peer_and_a_persona() -> None:
    shelves = Shelves("anna", "ben", "cora")
    ben, anna = shelves.meet("anna", "ben")
    cora, too = shelves.meet("anna", "cora")
    record = shelves.world.nodes["anna"].roster.get(ben)
    assert record is not None
    for_all, for_ben = shelves.add("anna", DATA), shelves.add("anna", DATA + b"b")
    shelves.tell("anna", object_events.Share(for_all, access.Everyone()))
    shelves.tell("anna", object_events.Share(for_ben, access.Peer(record.id)))
    assert shelves.fetch("ben", for_all, anna) and shelves.fetch("cora", for_all, too)
    assert shelves.fetch("ben", for_ben, anna) and not shelves.fetch("cora", for_ben, too)
    assert cora


def test_a_persona_is_known_by_its_proof() -> None:
    shelves = Shelves("anna", "ben")
    own = Persona(some(32))
    shelves.world.add("dora", QUIET, persona=own)
    _, anna = shelves.meet("anna", "dora")
    oid = shelves.add("anna", DATA)
    shelves.tell("anna", object_events.Share(oid, access.Persona(own.id)))
    assert shelves.fetch("dora", oid, anna)
    _, anna = shelves.meet("anna", "ben")
    assert not shelves.fetch("ben", oid, anna)


def test_a_capability_is_shown_again_in_the_next_session() -> None:
    shelves = Shelves("anna", "ben")
    oid = shelves.add("anna", DATA, ROOT)
    cap = shelves.cap("anna", ROOT)
    ben, anna = shelves.meet("anna", "ben")
    shelves.tell("ben", object_events.HoldCap(anna, ROOT, Secret(b"x" * 32)))
    assert not shelves.fetch("ben", oid, anna)
    assert shelves.world.nodes["anna"].shared.meter.snapshot()["objects_unproven"] == 1
    shelves.tell("ben", object_events.HoldCap(anna, ROOT, cap))
    assert shelves.fetch("ben", oid, anna)
    del shelves.kept["ben"][oid]
    shelves.tell("anna", events.Disconnect(ben), 5.0)
    _, anna = shelves.meet("ben", "anna")[::-1]
    assert shelves.fetch("ben", oid, shelves.peer("ben", "anna"))


def test_what_is_taken_back_is_refused_in_the_middle() -> None:
    shelves = Shelves("anna", "ben")
    oid = shelves.add("anna", some(60 * CHUNK))
    _, anna = shelves.meet("anna", "ben")
    shelves.tell("anna", object_events.Share(oid, access.Everyone()))
    shelves.tell("anna", moves.SetLimits(up=CHUNK * 4.0))
    shelves.tell("ben", moves.Fetch(oid=oid, sources=(anna,)), 3.0)
    before = len(shelves.coming["ben", oid])
    assert 0 < before < 40
    shelves.tell("anna", object_events.Unshare(oid))
    shelves.tell("anna", moves.SetLimits(), 10.0)
    assert len(shelves.coming["ben", oid]) <= before + 5
    assert shelves.of("ben", moves.Failed)


def test_a_peer_that_takes_a_new_id_keeps_what_is_shared_with_it() -> None:
    shelves = Shelves("anna", "ben")
    oid = shelves.add("anna", DATA)
    ben, anna = shelves.meet("anna", "ben")
    record = shelves.world.nodes["anna"].roster.get(ben)
    assert record is not None
    before = record.id
    shelves.tell("anna", object_events.Share(oid, access.Peer(before)))
    shelves.tell("ben", events.RotateIdentity(), 5.0)
    assert record.id != before
    assert shelves.fetch("ben", oid, anna)


def test_capabilities_that_are_shown_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "HELD_MAX", 3)
    shelves = Shelves("ben")
    for n in range(5):
        shelves.tell("ben", object_events.HoldCap(9, bytes([n]) * 32, Secret(b"x" * 32)), 0.0)
    held = shelves.world.nodes["ben"].exchange._held[9]
    assert list(held) == [bytes([n]) * 32 for n in (2, 3, 4)]


def test_what_is_shared_is_kept_and_taken_up() -> None:
    shelves = Shelves("anna", "ben")
    stack = shelves.world.nodes["anna"]
    cap = shelves.cap("anna", ROOT)
    kept = stack.exchange.grants.encode()
    shelves.tell("anna", object_events.Unshare(ROOT), 0.0)
    assert len(stack.exchange.grants) == 0
    shelves.tell("anna", object_events.LoadGrants(kept), 0.0)
    assert shelves.cap("anna", ROOT) == cap
    with pytest.raises(HostError):
        stack.handle(object_events.LoadGrants(b"nonsense"), shelves.world.now)
    for wrong in (b"short", b"x" * 33):
        with pytest.raises(UsageError):
            stack.handle(object_events.Share(wrong, access.Everyone()), shelves.world.now)


def test_too_many_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ROOTS_MAX", 1)
    shelves = Shelves("anna")
    shelves.cap("anna", ROOT)
    with pytest.raises(LimitError):
        shelves.world.nodes["anna"].handle(
            object_events.Share(b"\6" * 32, access.Everyone()), shelves.world.now
        )


def test_a_liar_is_blamed() -> None:
    shelves = Shelves("anna", "ben")
    oid = shelves.add("anna", DATA)
    _, anna = shelves.meet("anna", "ben")
    shelves.tell("anna", object_events.Share(oid, access.Everyone()))
    shelves.kept["anna"][oid] = DATA[:-1] + bytes([DATA[-1] ^ 1])
    assert not shelves.fetch("ben", oid, anna)
    assert [blame.peer for blame in shelves.of("ben", moves.Blame)] == [anna]
    stack = shelves.world.nodes["ben"]
    record = stack.roster.get(anna)
    assert record is not None
    assert sum(stack.shared.evidence.counts(record.deeds, shelves.world.now).values()) > 0.9
    assert stack.shared.meter.snapshot()["objects_blamed"] == 1


def test_a_frame_that_makes_no_sense_is_a_fault() -> None:
    shelves = Shelves("anna", "ben")
    ben, _ = shelves.meet("anna", "ben")
    stack = shelves.world.nodes["anna"]
    record = stack.roster.get(ben)
    assert record is not None and record.live is not None
    record.live.gossip.put(frame.OBJECT, b"\xff nonsense", 6)
    shelves.tell("anna", events.PingPeer(ben), 5.0)
    assert shelves.world.nodes["ben"].shared.meter.snapshot()["protocol_errors"] == 1


def test_how_full_a_peer_is_told() -> None:
    shelves = Shelves("anna", "ben")
    ben, anna = shelves.meet("anna", "ben")
    told = messages.Metrics(1, 2, 3, 4, 5, 6)
    shelves.world.nodes["anna"].exchange._send(ben, messages.encode(told), 6)
    shelves.tell("anna", events.PingPeer(ben), 3.0)
    assert shelves.of("ben", object_events.StorageTold) == [object_events.StorageTold(anna, told)]


def test_an_answer_of_the_disk_that_comes_too_late_is_no_matter() -> None:
    shelves = Shelves("anna")
    looked = object_events.ObjectLooked(77, None, ())
    shelves.tell("anna", looked)
    shelves.tell("anna", object_events.SmallLooked(78, ()))
    assert shelves.world.nodes["anna"].exchange._asked == {}
    assert ObjectId(ROOT) not in shelves.kept["anna"]
