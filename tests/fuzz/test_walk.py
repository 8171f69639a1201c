"""Random walks over random trees, whose objects arrive in any order, beside a plain recursion."""

from __future__ import annotations

import os
from random import Random

from whispurrnet.crypto.hash import sha256
from whispurrnet.store.walk import (
    Begin,
    Complete,
    Event,
    Failed,
    Have,
    Limits,
    Listed,
    Listing,
    Lost,
    Need,
    Walk,
)
from whispurrnet.store.walk_events import RECORD
from whispurrnet.wire.ids import ObjectId

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
Child = tuple[ObjectId, bool, int]


class Tree:
    """Folders made from the bottom up, each of what was there; some lie, some go round."""

    def __init__(self, rng: Random) -> None:
        self.children: dict[ObjectId, list[Child]] = {}
        made: list[Child] = []
        for n in range(rng.randrange(1, 25)):
            if rng.random() < 0.5 or not made:
                made.append((ObjectId(sha256(b"%d" % n)), False, rng.randrange(9)))
            else:
                some = rng.choices(made, k=rng.randrange(6))
                oid = ObjectId(sha256(b"%d" % n))
                self.children[oid] = some
                made.append((oid, True, rng.randrange(9)))
        self.sizes = {oid: size for oid, _, size in made}
        self.root = ObjectId(sha256(b"root"))
        self.children[self.root] = rng.choices(made, k=rng.randrange(1, 9))
        self.sizes[self.root] = 5
        self.honest = rng.random() < 0.7
        if not self.honest:
            liar = rng.choice(list(self.children))
            oid, folder, size = rng.choice([*made, (liar, True, 1)])
            self.children[liar] = [*self.children[liar], (oid, folder, size + rng.randrange(2))]

    def total(self, oid: ObjectId, folder: bool) -> tuple[int, int, int]:
        """Entries, bytes and height, unpacked, by plain recursion."""
        entries, size, height = 1, self.sizes[oid], 0
        if folder:
            height = 1
            for child, is_folder, _ in self.children[oid]:
                more, weight, depth = self.total(child, is_folder)
                entries, size, height = entries + more, size + weight, max(height, depth + 1)
        return entries, size, height


def walk(seed: int) -> str:
    rng = Random(seed)
    tree = Tree(rng)
    tight = rng.random() < 0.3
    limits = Limits(
        window=rng.randrange(1, 6),
        entries_max=rng.randrange(1, 40) if tight else 10**9,
        depth_max=rng.randrange(1, 6) if tight else 99,
        collections_max=10**6,
    )
    core = Walk(tree.root, limits)
    asked: dict[tuple[ObjectId, bool], None] = {}
    stored: dict[ObjectId, None] = {}
    event: Event = Begin()
    while True:
        effects = core.handle(event)
        core.check_invariants()
        for effect in effects:
            match effect:
                case Need(oid, _, collection):
                    assert (oid, collection) not in asked, "it was asked for, and did not come yet"
                    asked[oid, collection] = None
                    assert len(asked) <= limits.window
                case Complete(oid, entries, size):
                    assert all(child in stored for child, _, _ in tree.children[oid])
                    stored[oid] = None
                    if tree.honest:
                        assert (entries, size) == tree.total(oid, True)[:2]
                    if oid == tree.root:
                        assert core.over
                        entries, _, height = tree.total(oid, True)
                        assert entries <= limits.entries_max and height <= limits.depth_max
                        return "complete"
                case Failed(_, text):
                    assert core.over
                    if tree.honest and not text.startswith("gone"):
                        entries, _, height = tree.total(tree.root, True)
                        assert entries > limits.entries_max or height > limits.depth_max
                    return text.split()[0]
        assert asked, "nothing is asked for, and it is not over"
        oid, collection = rng.choice(list(asked))
        if rng.random() < 0.1:  # something that was not asked
            event = Have(ObjectId(rng.randbytes(32)), 3)
            continue
        del asked[oid, collection]
        if rng.random() < 0.005:
            event = Lost(oid, "gone")
        elif collection:
            records = b"".join(RECORD.pack(c, k, s) for c, k, s in tree.children[oid])
            weight = sum(size for _, _, size in tree.children[oid])
            event = Listed(oid, tree.sizes[oid], Listing(records, weight))
        else:
            stored[oid] = None
            event = Have(oid, tree.sizes[oid])


def test_random_walks() -> None:
    ends: dict[str, int] = {}
    for seed in range(RUNS):
        end = walk(seed)
        ends[end] = ends.get(end, 0) + 1
    assert ends["complete"] > RUNS / 3
    assert len(ends) >= 4, f"a walk that never gets there proves nothing: {ends}"
