"""Twelve whole nodes and their objects: loss, partitions, crashes, and peers that mean ill."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from random import Random

import pytest
from tests.sim.objects import (
    Asker,
    Keeper,
    LyingShelf,
    Play,
    Shelf,
    StallingShelf,
    Thief,
    folder,
)

from whispurrnet.base.errors import ProtocolError
from whispurrnet.sim.adversary import Adversary
from whispurrnet.sim.wire import Wire
from whispurrnet.store import messages, sync_messages, transfer_config
from whispurrnet.store import transfer_events as moves
from whispurrnet.store.access import Grants
from whispurrnet.store.object import small_id
from whispurrnet.store.outline import Outline
from whispurrnet.wire import frame
from whispurrnet.wire.ids import ObjectId

OWNERS, FOLLOWERS, GUEST = ("n0", "n1", "n2"), ("n3", "n4", "n5", "n6"), "n7"
LIAR, STALLER, THIEF, ASKER = "n8", "n9", "n10", "n11"
SET, CAP = b"S" * 32, b"c" * 32
UNTIL_S = 150.0
FORBIDDEN = {"data", "small", "packed", "Have", "PageIs", "SyncOpened", "SyncAnnounce"}
"""What nobody gets who may see nothing."""
WIRE = Wire(
    latency_min_s=0.01, latency_max_s=0.06, loss=0.03, bandwidth_bytes_per_s=2e6, cut_after_s=10.0
)


class Story(Play):
    """What is the same in all runs.

    Args:
        seed: The only source of chance.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed, WIRE)
        rng = self.rng
        first = Shelf()
        line = b"what is public may be packed; %d\n"
        text = b"".join(line % rng.randrange(1000) for _ in range(6000))
        self.public = first.add(text, chunk_log2=12, public=True)
        self.secret = first.add(rng.randbytes(300_000), chunk_log2=12)
        self.small = [first.add(rng.randbytes(rng.randrange(4000))) for _ in range(40)]
        files = {f"f{n}": rng.randbytes(rng.randrange(30_000)) for n in range(12)}
        self.folder = folder(first, files)
        self.caps = dict.fromkeys((self.public, self.secret, SET), CAP)
        self.late: list[ObjectId] = []
        serve = (*OWNERS, *FOLLOWERS, LIAR, STALLER)
        roots = (self.public, self.secret)
        for name in OWNERS:
            sets = (SET,) if name == "n0" else ()
            self._enter(name, first if name == "n0" else copied(first, Shelf()), sets=sets)
        for name in FOLLOWERS:
            # They take the thief for a source, too: so it gets to see their proofs.
            self._enter(name, Shelf(), wants=roots, sets=(SET,), sources=(*serve, THIEF))
        # It may have the secret one only, and tries the other as well.
        guest = Keeper(
            self,
            GUEST,
            Shelf(),
            caps={self.secret: CAP, SET: b"x" * 32},
            wants=roots,
            sets=(SET,),
            sources=serve,
        )
        self.add(guest)
        self._enter(LIAR, copied(first, LyingShelf()), sets=(SET,))
        self._enter(STALLER, copied(first, StallingShelf()), sets=(SET,))
        self._enter_hostile(first, serve)
        for name in ("n0", LIAR, STALLER):
            self.keepers[name].put(SET, *self.small, self.folder)
        # The liar says besides that there is what there is not.
        lies = self.keepers[LIAR].shelf
        for _ in range(5):
            made_up = lies.add(rng.randbytes(100))
            self.keepers[LIAR].put(SET, made_up)
        self._happen()

    def _enter(
        self,
        name: str,
        shelf: Shelf,
        *,
        wants: tuple[ObjectId, ...] = (),
        sets: tuple[bytes, ...] = (),
        sources: tuple[str, ...] = (),
    ) -> None:
        others = tuple(source for source in sources if source != name)
        self.add(Keeper(self, name, shelf, caps=self.caps, wants=wants, sets=sets, sources=others))

    def _enter_hostile(self, first: Shelf, serve: tuple[str, ...]) -> None:
        oids = (self.public, self.secret, *self.small[:10], self.folder)
        for name, kind in ((THIEF, Thief), (ASKER, Asker)):
            caps = {root: b"wrong".ljust(32) for root in self.caps}
            keeper = Keeper(
                self, name, Shelf(), caps=caps, wants=oids[:2], sets=(SET,), sources=serve
            )
            adversary = kind(Random(name), serve)
            adversary.oids = oids  # type: ignore[attr-defined]
            adversary.set = SET  # type: ignore[attr-defined]
            self.add(keeper, adversary)  # type: ignore[arg-type]

    def _happen(self) -> None:
        world = self.world
        for number, name in enumerate((*FOLLOWERS, GUEST)):
            for other in (*OWNERS, LIAR, STALLER, *FOLLOWERS[:number]):
                if other != name:
                    world.connect(name, other)
        for name in (THIEF, ASKER):
            for other in (*OWNERS, *FOLLOWERS):
                world.connect(name, other)
        world.later(5.0, lambda: world.crash("n4"))
        world.later(20.0, lambda: self._back("n4"))
        world.later(12.0, lambda: world.crash("n2", silent=True))
        world.later(40.0, lambda: self._back("n2"))
        world.later(15.0, lambda: self._cut({"n0", "n1", "n5"}))
        for at_s, name in ((2.0, "n0"), (18.0, "n0"), (30.0, "n3"), (55.0, "n6"), (70.0, "n4")):
            world.later(at_s, lambda name=name: self._new(name))  # type: ignore[misc]

    def _back(self, name: str) -> None:
        self.restart(name)
        for other in ("n0", "n1", "n3", "n5", "n6"):
            if other != name:
                self.world.connect(name, other)

    def _cut(self, nodes: set[str]) -> None:
        number = self.cuts.cut(nodes)
        self.world.later(25.0, lambda: self.cuts.mend(number))

    def _new(self, name: str) -> None:
        """Somebody puts something new into the set."""
        keeper = self.keepers[name]
        oid = keeper.shelf.add(self.rng.randbytes(self.rng.choice([500, 20_000])))
        self.late.append(oid)
        keeper.put(SET, oid)

    def run(self) -> None:
        self.world.run(UNTIL_S)


def copied(shelf: Shelf, into: Shelf) -> Shelf:
    """Another shelf with the same objects."""
    into.kept = dict(shelf.kept)
    into._parents = {oid: dict(above) for oid, above in shelf._parents.items()}
    return into


@cache
def played(seed: int) -> Story:
    story = Story(seed)
    story.run()
    return story


@pytest.fixture
def story() -> Story:
    return played(1)


def test_it_arrives_at_all_who_may(story: Story) -> None:
    for name in FOLLOWERS:
        shelf, index = story.keepers[name].shelf, story.keepers[name].index[SET]
        assert shelf.has(story.public) and shelf.has(story.secret), name
        for oid in (*story.small, *story.late, story.folder):
            assert oid in index and shelf.has(oid), (name, story.keepers[name].failed)
        for child in story.keepers["n0"].shelf.kept:
            if story.folder in story.keepers["n0"].shelf.roots_of(child):
                assert shelf.has(child)
    assert len(story.late) == 5
    assert all(oid in story.keepers[name].index[SET] for name in FOLLOWERS for oid in story.late)
    assert story.keepers[GUEST].shelf.has(story.secret)


def test_it_arrives_at_nobody_else(story: Story) -> None:
    assert set(story.keepers[GUEST].shelf.kept) == {story.secret}
    assert not story.keepers[GUEST].index[SET]
    for name in (THIEF, ASKER):
        assert not story.keepers[name].shelf.kept
        seen = story.seen[name]
        assert not FORBIDDEN & seen.keys(), seen
        assert seen["Refused"] > 500 and seen["NotHere"] > 50, "it was answered, with no"
    assert story.seen[THIEF]["SyncRefused"] > 100
    assert story.seen[THIEF]["Access"] > 10, "it had proofs to show again"


def test_what_is_stored_is_what_it_is_called(story: Story) -> None:
    stored = 0
    for name in (*OWNERS, *FOLLOWERS, GUEST):
        shelf = story.keepers[name].shelf
        stored += shelf.stored
        for oid, kept in shelf.kept.items():
            assert kept.complete, "at the end nothing is in part"
            assert Outline.of(kept.header, kept.data).id == oid
            assert kept.public == (oid == story.public and name in OWNERS)
    assert stored > 500


def test_the_liar_is_named_and_nobody_else(story: Story) -> None:
    for name in (*FOLLOWERS, GUEST):
        assert story.keepers[name].blamed.keys() <= {LIAR}, name
        assert all("no source" not in reason for reason in story.keepers[name].failed)
    assert sum(bool(story.keepers[name].blamed) for name in FOLLOWERS) >= 3


def test_only_what_is_public_came_packed(story: Story) -> None:
    packed = {name: seen.get("packed", 0) for name, seen in story.seen.items()}
    assert any(packed.get(name) for name in FOLLOWERS)  # not what a follower gave to another
    assert packed.get(GUEST, 0) == 0


def test_what_is_fetched_is_bounded(story: Story) -> None:
    """Nothing comes much more often than once, whatever liars and cuts there are."""
    for name in FOLLOWERS:
        stack = story.world.nodes[name]
        stack.exchange.transfer.check_invariants()
        assert stack.exchange.transfer.held_bytes == 0
        assert stack.exchange.transfer.fetching == 0
    asked = story.world.nodes["n0"].exchange.transfer
    assert asked.served_bytes <= asked.config.held_bytes


def test_without_the_gate_the_thief_would_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of `test_it_arrives_at_nobody_else`."""
    monkeypatch.setattr(Grants, "may", lambda self, guest, roots: True)
    story = Story(1)
    story.world.run(5.0)
    assert story.seen[THIEF].keys() & FORBIDDEN
    assert set(story.keepers[GUEST].shelf.kept) > {story.secret}


def test_without_the_check_lies_would_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of `test_what_is_stored_is_what_it_is_called`: the shelf finds it out."""
    monkeypatch.setattr(transfer_config.Config, "check", False)
    with pytest.raises(ProtocolError, match="is not what the object says"):
        Story(1).world.run(60.0)


@pytest.mark.parametrize(
    "first",
    [
        messages.Access(SET, bytes(32)),
        messages.Metrics(1, 1, 1, 1, 1, 1),
        sync_messages.SyncOpen(SET, 1, 1, 5),
        messages.Request(7, ObjectId(SET), (), 2),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_comes_before_a_fault_in_one_frame_harms_nobody(first: messages.Message) -> None:
    """The session ends by the second message, and the first is still in hand."""
    play = Play(1, WIRE)
    play.add(Keeper(play, "good", Shelf()))
    adversary = Adversary(Random(1), ["good"])
    play.add(Keeper(play, "bad", Shelf()), adversary)
    play.world.connect("bad", "good")
    play.world.run(2.0)
    (live,) = adversary.lives
    fault = messages.Have(99, ObjectId(SET), True, ())
    adversary.send(live, frame.OBJECT, messages.encode(first, fault))
    play.world.run(2.5)
    assert not list(play.world.sessions("good"))
    play.world.run(30.0)


def digest(seed: int, hash_seed: int) -> str:
    code = (
        "from tests.sim.test_objects import Story\n"
        f"story = Story({seed}); story.world.run(30.0); print(story.world.digest)"
    )
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": "src:."}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_same_seed_gives_the_same_run() -> None:
    assert digest(2, 1) == digest(2, 77)


def test_the_shelf_of_a_simulation_refuses_what_is_wrong() -> None:
    """The control: a stack that believes what it gets would be found out."""
    shelf, other = Shelf(), Shelf()
    oid = other.add(b"right" * 2000, chunk_log2=12)
    kept = other.kept[oid]
    shelf.perform(moves.Begin(oid, kept.header))
    with pytest.raises(ProtocolError):
        shelf.perform(moves.Store(oid, 0, kept.chunks[0]))  # no page was proven yet
    shelf.perform(moves.StorePage(oid, kept.header, kept.pages[0]))
    with pytest.raises(ProtocolError):
        shelf.perform(moves.Store(oid, 0, kept.chunks[1]))
    with pytest.raises(AssertionError):
        shelf.perform(moves.Done(oid, True))
    small = other.kept[other.add(b"small")]
    assert small_id(small.header, b"small") == small.oid
    with pytest.raises(AssertionError):
        shelf.perform(moves.StoreSmall(1, 1, ((small.oid, small.header, b"SMALL"),)))
    assert shelf.stored == 0 and not any(kept.complete for kept in shelf.kept.values())
