"""Random walks of edits, renames, deletions and crashes end in one tree, and no edit is lost."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from tests.sim.folders import CASES, PATHS, Node, World
from tests.sim.real_folders import Contents, RealNode

from whispurrnet.extensions.filesync import disk, plan, status
from whispurrnet.extensions.filesync.model_events import Apply, Config
from whispurrnet.extensions.filesync.record import File, Verdict, judge

WALKS = 1000
WALKS_SOAK = 100_000
KINDS = ["edit", "look", "join", "cut", "crash", "later", "work"]
FEW = ["a", "d", "d/x"]


def walk(seed: int, paths: list[str] = PATHS, steps: int = 60, make: object = None) -> World:
    rng = Random(seed)
    config = Config(
        batch_files=rng.choice([1, 3, 1000]),
        stages_max=rng.choice([1, 2, 16]),
        changes_max=rng.choice([1, 4]),
    )
    world = World(rng, 3, config, paths, make)  # type: ignore[arg-type]
    odds = [rng.random() ** 2 for _ in KINDS]
    odds[-1] = rng.random() * 4
    for kind in rng.choices(KINDS, odds, k=steps):
        world.step(kind)
    world.settle()
    return world


def check(world: World, *, one_tree: bool = True) -> None:
    trees = [node.disk.tree() for node in world.nodes]
    if one_tree:
        assert trees[0] == trees[1] == trees[2]
        assert all(status.settled(node.model) for node in world.nodes)
        assert not any(status.items(node.model) for node in world.nodes)
    kept = {content[0] for tree in trees for content in tree.values()}
    for oid, path in world.ledger.written.items():
        assert oid in kept or oid in world.ledger.replaced, f"an edit of {path} is lost"
    for node, tree in zip(world.nodes, trees, strict=True):
        index = node.model.index.files
        assert {path: (f.oid, f.executable) for path, f in index.items() if f.live} == {
            path: content for path, content in tree.items() if path not in node.model.unshared
        }


@pytest.mark.parametrize("part", range(4))
def test_walks_end_in_one_tree_with_no_edit_lost(part: int) -> None:
    for seed in range(part * WALKS // 4, (part + 1) * WALKS // 4):
        check(walk(seed))


def test_walks_of_many_edits_to_few_paths() -> None:
    for seed in range(100):
        check(walk(seed, FEW, 200))


def test_names_that_differ_in_case_are_told_and_nothing_is_overwritten() -> None:
    reasons = 0
    for seed in range(300):
        world = walk(seed, PATHS + CASES, 80)
        check(world, one_tree=False)
        trees = [node.disk.tree() for node in world.nodes]
        for node in world.nodes:
            items = status.items(node.model)
            assert all(item.reason and item.here != item.there for item in items)
            reasons += sum("upper and lower case" in item.reason for item in items)
            if trees != trees[:1] * 3:
                assert any(status.items(other.model) for other in world.nodes)
    assert reasons


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_walks(part: int) -> None:
    for seed in range(part * WALKS_SOAK // 10, (part + 1) * WALKS_SOAK // 10):
        check(walk(seed, [PATHS, FEW, PATHS + CASES][seed % 3], 100), one_tree=seed % 3 != 2)


# Real folders


def real_walk(seed: int, root: Path, steps: int = 40) -> None:
    contents = Contents()

    def make(number: int, world: World) -> Node:
        world.ledger.make = contents.make
        return RealNode(number, world, root / str(number), contents)

    root.mkdir()
    world = walk(seed, PATHS, steps, make)
    try:
        check(world)
    finally:
        for node in world.nodes:
            node.journal.close()  # type: ignore[attr-defined]


REAL_WALKS = int(os.environ.get("FILESYNC_REAL_WALKS", "10"))


def test_walks_in_real_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "SETTLE_S", 0.0)
    for seed in range(REAL_WALKS):
        real_walk(seed, tmp_path / f"walk{seed}")


@pytest.mark.soak
def test_many_walks_in_real_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "SETTLE_S", 0.0)
    for seed in range(1000, 3000):
        real_walk(seed, tmp_path / f"walk{seed}", 60)


# What each defence is for: without it, the same walks fail


def fails(paths: list[str] = PATHS) -> bool:
    for seed in range(400):
        try:
            check(walk(seed, paths))
        except AssertionError:
            return True
    return False


def newest_wins(here: File | None, there: File) -> Verdict:
    if here is None or (here.changed_ms, here.oid) < (there.changed_ms, there.oid):
        return Verdict.TAKE
    return Verdict.NOTHING


def never_keep(here: File | None, there: File) -> Verdict:
    verdict = judge(here, there)
    return Verdict.YIELD if verdict is Verdict.KEEP else verdict


@pytest.mark.parametrize("mutant", [newest_wins, never_keep])
def test_without_histories_or_kept_files_edits_are_lost(
    mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "judge", mutant)
    assert fails()


def test_without_a_look_before_a_change_edits_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(self: Node, effect: Apply, cut: int) -> bool:
        path, there = effect.file.path, self.disk
        if not effect.file.live:
            there.files.pop(path, None)
        elif there.fits(path):
            self.fresh[path] = there.write(path, effect.file.oid, effect.file.executable)
        return True

    monkeypatch.setattr(Node, "apply", blind)
    assert fails()
