"""Walking a collection: all of it, children before parents, and no further than it may go."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.hash import sha256
from whispurrnet.store.manifest import Entry, Kind, encode
from whispurrnet.store.walk import (
    Begin,
    Complete,
    Effect,
    Event,
    Failed,
    Have,
    Limits,
    Listed,
    Listing,
    Lost,
    Need,
    Walk,
    listing,
)
from whispurrnet.store.walk_events import RECORD
from whispurrnet.wire.ids import ObjectId

Named = tuple[ObjectId, int, Kind]


class Forest:
    """Objects that somebody has."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def file(self, data: bytes) -> Named:
        oid = ObjectId(sha256(b"file", data))
        self.data[oid] = data
        return oid, len(data), Kind.FILE

    def folder(self, *children: Named) -> Named:
        entries = [Entry(f"{at:06}", *child) for at, child in enumerate(children)]
        data = encode(entries)
        oid = ObjectId(sha256(b"folder", data))
        self.data[oid] = data
        return oid, len(data), Kind.FOLDER

    def stored(self, need: Need) -> Event:
        data = self.data[need.oid]
        if need.collection:
            return Listed(need.oid, len(data), listing(data))
        return Have(need.oid, len(data))


def run(walk: Walk, forest: Forest, last: bool = False) -> tuple[list[Need], list[Effect]]:
    """Answer until it is over; what was needed, and what else came of it."""
    needs: list[Need] = []
    others: list[Effect] = []
    waiting: list[Need] = []
    effects: Sequence[Effect] = walk.handle(Begin())
    while True:
        for effect in effects:
            (waiting if isinstance(effect, Need) else others).append(effect)  # type: ignore[arg-type]
        needs += [effect for effect in effects if isinstance(effect, Need)]
        walk.check_invariants()
        if not waiting:
            return needs, others
        effects = walk.handle(forest.stored(waiting.pop(-1 if last else 0)))


@pytest.mark.parametrize("last", [False, True])
def test_children_before_parents(last: bool) -> None:
    forest = Forest()
    inner = forest.folder(forest.file(b"1"), forest.file(b"22"))
    outer = forest.folder(forest.file(b"333"), inner, forest.folder(), forest.file(b"4444"))
    walk = Walk(outer[0])
    needs, others = run(walk, forest, last)
    assert {need.oid for need in needs} == forest.data.keys()
    assert len(needs) == len(forest.data)
    assert all(isinstance(effect, Complete) for effect in others)
    order = [effect.oid for effect in others if isinstance(effect, Complete)]
    assert order[-1] == outer[0] and len(order) == 3
    whole = others[-1]
    size = sum(map(len, forest.data.values()))
    assert isinstance(whole, Complete) and (whole.entries, whole.bytes) == (7, size)
    progress = walk.progress
    assert (progress.entries_done, progress.bytes_done) == (7, size)
    assert (progress.entries, progress.bytes) == (7, size)
    assert walk.over


def test_an_empty_collection_and_one_of_the_same_twice() -> None:
    forest = Forest()
    assert run(Walk(forest.folder()[0]), forest)[1][-1].entries == 1  # type: ignore[union-attr]
    file = forest.file(b"x")
    inner = forest.folder(file, file)
    outer = forest.folder(inner, inner, file)
    needs, others = run(Walk(outer[0]), forest)
    assert [need.oid for need in needs].count(inner[0]) == 1, "walked once"
    assert isinstance(others[-1], Complete) and others[-1].entries == 1 + 2 * 3 + 1
    assert len(others) == 2, "and complete once"


def test_no_more_than_the_window_is_asked_for() -> None:
    forest = Forest()
    folders = [
        forest.folder(*(forest.file(b"%d" % (10 * i + j)) for j in range(9))) for i in range(9)
    ]
    root = forest.folder(*folders)
    walk = Walk(root[0], Limits(window=4))
    assert len(run(walk, forest)[0]) == 9 * 9 + 9 + 1  # the invariant watches the window


def failure(forest: Forest, root: Named, **limits: int) -> str:
    effect = run(Walk(root[0], Limits(**limits)), forest)[1][-1]
    assert isinstance(effect, Failed)
    return effect.text


def test_too_many() -> None:
    forest = Forest()
    root = forest.folder(*(forest.file(b"%d" % n) for n in range(10)))
    assert "more than 10 files" in failure(forest, root, entries_max=10)
    assert isinstance(run(Walk(root[0], Limits(entries_max=11)), forest)[1][-1], Complete)
    assert "more than 20 bytes" in failure(forest, root, bytes_max=20)
    deep = forest.folder(forest.folder(forest.folder(forest.file(b"x"))))
    assert "more than 2 folders within" in failure(forest, deep, depth_max=2)
    assert "more than 2 folders" in failure(forest, deep, collections_max=2)
    assert isinstance(run(Walk(deep[0], Limits(depth_max=3)), forest)[1][-1], Complete)


def test_what_is_too_large_is_not_fetched_first() -> None:
    forest = Forest()
    wide = forest.folder(*(forest.file(b"%d" % n) for n in range(10)))
    assert len(run(Walk(wide[0], Limits(entries_max=10)), forest)[0]) == 1
    assert len(run(Walk(wide[0], Limits(bytes_max=20)), forest)[0]) == 1
    deep = forest.file(b"x")
    for _ in range(20):
        deep = forest.folder(deep)
    assert len(run(Walk(deep[0], Limits(depth_max=5)), forest)[0]) == 5


def test_a_collection_that_nobody_could_unpack() -> None:
    forest = Forest()
    bomb = forest.folder(forest.file(b"boom"))
    for _ in range(30):
        bomb = forest.folder(bomb, bomb)
    walk = Walk(bomb[0])
    needs, others = run(walk, forest)
    assert len(needs) <= 32, "each is fetched once"
    assert isinstance(others[-1], Failed) and "1000000 files" in others[-1].text


def test_deeper_on_another_way() -> None:
    """A folder that is not too deep where it is found first, but elsewhere."""
    forest = Forest()
    low = forest.folder(forest.folder(forest.file(b"x")))
    high = forest.folder(forest.folder(low))
    for children in ((low, high), (high, low)):
        root = forest.folder(*children)
        assert "within one another" in failure(forest, root, depth_max=4)
        assert isinstance(run(Walk(root[0], Limits(depth_max=5)), forest)[1][-1], Complete)


def test_sizes_that_are_lies() -> None:
    forest = Forest()
    oid, size, kind = forest.file(b"x")
    assert "says" in failure(forest, forest.folder((oid, size + 1, kind)))
    inner, size, kind = forest.folder()
    assert "says" in failure(forest, forest.folder((inner, size - 1, kind)))
    two = forest.folder((oid, 1, Kind.FILE), (oid, 2, Kind.FILE))
    assert "different things" in failure(forest, two)


def test_a_circle_ends() -> None:
    """No hash leads to one; a store that is wrong might."""
    forest = Forest()
    inner = forest.folder((ObjectId(bytes(32)), 5, Kind.FOLDER))
    records = RECORD.pack(inner[0], 1, inner[1])
    walk = Walk(ObjectId(bytes(32)))
    walk.handle(Begin())
    walk.handle(Listed(ObjectId(bytes(32)), 5, Listing(records, inner[1])))
    effects = walk.handle(Listed(inner[0], inner[1], listing(forest.data[inner[0]])))
    assert isinstance(effects[-1], Failed) and "itself" in effects[-1].text


def test_what_is_lost_ends_it() -> None:
    forest = Forest()
    root = forest.folder(forest.file(b"x"))
    walk = Walk(root[0])
    walk.handle(Begin())
    assert walk.handle(Begin()) == []
    assert walk.handle(Lost(ObjectId(b"?" * 32), "no matter")) == []
    assert walk.handle(Have(root[0], 3)) == [], "it was asked for as a collection"
    assert walk.handle(Lost(root[0], "nobody has it")) == [Failed(root[0], "nobody has it")]
    assert walk.over
    assert walk.handle(forest.stored(Need(root[0], None, collection=True))) == []


def test_what_is_no_collection() -> None:
    for data in (b"", b"a file", encode([])[:-1]):
        with pytest.raises(ProtocolError):
            listing(data)
    with pytest.raises(ProtocolError, match=r"\.\."):
        listing(encode([Entry("aa", b"x" * 32, 1)]).replace(b"aa", b".."))


def test_a_million_children_in_little_memory() -> None:
    """Ten collections of 100,000 files: what is kept is their ids."""
    records = b"".join(RECORD.pack(n.to_bytes(32, "big"), 0, 7) for n in range(100_000))
    folders = [ObjectId(bytes(28) + b"dir" + bytes([n])) for n in range(10)]
    root = ObjectId(b"r" * 32)
    top = b"".join(RECORD.pack(oid, 1, 9) for oid in folders)
    tracemalloc.start()
    walk = Walk(root, Limits(entries_max=1_000_011))
    waiting = list(walk.handle(Begin()))
    done = peak = 0
    while waiting:
        need = waiting.pop(0)
        if not isinstance(need, Need):
            assert isinstance(need, Complete)
            continue
        if not need.collection:
            event: Event = Have(need.oid, 7)
        elif need.oid == root:
            event = Listed(root, 9, Listing(top, 90))
        else:
            event = Listed(need.oid, 9, Listing(bytes(bytearray(records)), 700_000))
        done += 1
        waiting += walk.handle(event)
        if done % 1000 == 0:
            peak = max(peak, tracemalloc.get_traced_memory()[0])
        if done >= 5_000:  # the rest is more of the same
            break
    tracemalloc.stop()
    assert 38 * 2**20 < peak < 42 * 2**20, "41 bytes each, ten times"
