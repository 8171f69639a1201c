"""The devices of `folders`, with real folders: the journal and the disk are those of the program.

Every content has a length of its own, so that no edit hides behind the coarse times of a disk. A
crash in the middle of a change ends the process at one of the steps that the disk takes.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from random import Random

from tests.sim.folders import Content, Node, World

from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync import disk as disk_module
from whispurrnet.extensions.filesync.disk import Disk, Seen
from whispurrnet.extensions.filesync.journal import Journal, Keeping, Stamp
from whispurrnet.extensions.filesync.model import Model
from whispurrnet.extensions.filesync.model_events import (
    Applied,
    Apply,
    Event,
    Found,
    Gone,
    Look,
    NotApplied,
    Save,
    SaveIndex,
    Scanned,
    SendIndex,
    Stage,
    Staged,
    StageFailed,
    Unshared,
    Unstage,
)
from whispurrnet.extensions.filesync.paths import OWN
from whispurrnet.store.object import CHUNK_LOG2, Header, Mode, leaf, object_id, top


class Killed(BaseException):
    """The process ends here."""


class Contents:
    """Bytes by the id of the object that they are."""

    def __init__(self) -> None:
        self.bytes: dict[bytes, bytes] = {}
        self.ids: dict[bytes, bytes] = {}

    def make(self, number: int) -> bytes:
        data = b"%d" % number + b"." * (number + 1)
        oid = object_id(Header(Mode.FIXED, CHUNK_LOG2, len(data)), top([leaf(data)]))
        self.bytes[oid], self.ids[data] = data, oid
        return oid


class Tree:
    """A real folder, as `folders.Disk` shows its own."""

    def __init__(self, root: Path, contents: Contents) -> None:
        self.root = root
        self.contents = contents
        self.count = 0

    @property
    def files(self) -> dict[str, tuple[bytes, bool, int]]:
        found = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(one for one in folders if one != OWN)
            for name in names:
                path = Path(folder, name)
                oid = self.contents.ids[path.read_bytes()]
                executable = bool(path.stat().st_mode & 0o100)
                found[str(path.relative_to(self.root))] = (oid, executable, 0)
        return dict(sorted(found.items()))

    def fits(self, path: str) -> bool:
        place = self.root / path
        if place.is_dir():
            return False
        return not any(
            parent.is_file() for parent in place.parents if parent.is_relative_to(self.root)
        )

    def write(self, path: str, oid: bytes, executable: bool) -> int:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        self.count += 1
        if self.count % 2:  # some programs write in place, and some rename over it
            place.write_bytes(self.contents.bytes[oid])
        else:
            new = place.with_name("new")
            new.write_bytes(self.contents.bytes[oid])
            new.replace(place)
        place.chmod(0o755 if executable else 0o644)
        return 0

    def remove(self, path: str) -> None:
        place = self.root / path
        place.unlink()
        for folder in place.parents:
            if folder == self.root or any(folder.iterdir()):
                break
            folder.rmdir()

    def tree(self) -> dict[str, Content]:
        return {path: entry[:2] for path, entry in self.files.items()}


class RealNode(Node):
    """One device with a real folder."""

    def __init__(self, number: int, world: World, root: Path, contents: Contents) -> None:
        root.mkdir()
        self.number, self.world, self.root = number, world, root
        self.disk = Tree(root, contents)  # type: ignore[assignment]
        self.journal: Journal | None = None
        self.start()

    def start(self) -> None:
        if self.journal is not None:
            self.journal.close()
        self.journal = Journal(self.root)
        files, stamps, self.remotes = self.journal.load()
        self.real = Disk(self.root, stamps)
        self.model = Model(self.world.config, self.number, files, self.remotes)
        self.work = deque()
        self.stages = {}
        self.told: deque[tuple[Event, dict[str, Stamp]]] = deque()
        self.stamps_now: dict[str, Stamp] = {}
        self.give(Tick())
        self.look()

    @property
    def busy(self) -> bool:
        return bool(self.work or self.stages or self.told)

    @property
    def seen(self) -> deque[tuple[Event, dict[str, Stamp]]]:  # type: ignore[override]
        return self.told

    def give(self, event: Event) -> None:
        assert self.journal is not None
        for effect in self.model.handle(event, self.world.now):
            match effect:
                case Save(files):
                    table = self.real.stamps
                    for file in files:
                        stamp = self.stamps_now.get(file.path) or table.get(file.path, ((), 0))[0]
                        table[file.path] = (stamp, file.seq)
                    keeping = Keeping()
                    keeping.files = {file.path: file for file in files}
                    self.journal.keep(keeping, table)
                case SaveIndex():
                    keeping = Keeping()
                    keeping.indexes.append(effect)
                    self.journal.keep(keeping, {})
                case SendIndex(peer, reset, upto, files):
                    self.world.post(self.number, peer, reset, upto, files)
                case Stage(oid):
                    self.stages[oid] = effect
                case Unstage(oid):
                    self.stages.pop(oid, None)
                    self.real.unstage(oid)
                case Apply() | Look():
                    self.work.append(effect)

    def look(self, only: str | None = None) -> None:
        index = self.model.index.files
        bases = {path: file.seq for path, file in index.items()}
        seen = self.real.scan(index) if only is None else self.real.look(only, index)
        self.tell(seen, bases)

    def tell(self, seen: Seen, bases: dict[str, int]) -> None:
        clock = self.world.clock(self.number)
        found = [
            Found(path, row[0], row[1], row[2], clock, bases.get(path, 0))
            for path, row in seen.found.items()
        ]
        gone = [Gone(path, clock, bases.get(path, 0)) for path in seen.gone]
        if found or gone:
            stamps = {path: row[-1] for path, row in seen.found.items()}
            self.told.append((Scanned(tuple(found), tuple(gone)), stamps))
        for path, reason in seen.unshared.items():
            self.told.append((Unshared(path, reason), {}))

    def next_seen(self) -> None:
        event, self.stamps_now = self.told.popleft()
        self.give(event)
        for found in event.found if isinstance(event, Scanned) else ():
            file, stamp = self.model.index.files.get(found.path), self.stamps_now[found.path]
            if file is not None and (file.oid, file.executable) == (found.oid, found.executable):
                if found.base == file.seq:
                    self.real.stamps[found.path] = (stamp, file.seq)
            elif found.path in self.model.unshared:
                self.real.ignore(found.path, stamp)
        self.stamps_now = {}

    def next_work(self, cut: int = 9) -> None:
        effect = self.work.popleft()
        if isinstance(effect, Look):
            self.look(effect.path)
            return
        assert isinstance(effect, Apply)
        if cut == 0:
            return
        exchange, sync = disk_module.exchange, disk_module.sync_folder
        try:
            if cut == 1:
                disk_module.exchange = kill
            if cut <= 2:
                disk_module.sync_folder = kill
            reason = self.real.apply(effect)
        except Killed:
            return
        finally:
            disk_module.exchange, disk_module.sync_folder = exchange, sync
        if cut > 2:
            self.stamps_now = dict(self.real.fresh)
            path = effect.file.path
            self.give(NotApplied(path, reason) if reason else Applied(path))
            self.stamps_now = {}

    def next_stage(self, rng: Random) -> None:
        stage = self.stages.pop(rng.choice(list(self.stages)))
        try:
            done = bool(stage.path) and self.real.stage(stage.path, stage.oid)
        except OSError:
            done = False
        if not done:
            for peer in stage.peers:
                tree = (
                    self.world.nodes[peer].disk.files
                    if self.world.linked(self.number, peer)
                    else {}
                )
                if any(entry[0] == stage.oid for entry in tree.values()):
                    data = self.disk.contents.bytes[stage.oid]  # type: ignore[attr-defined]
                    (self.real.staged / stage.oid.hex()).write_bytes(data)
                    done = True
        self.give(Staged(stage.oid) if done else StageFailed(stage.oid, "nobody has it now"))


def kill(*_: object) -> None:
    """In the place of a step on the disk."""
    raise Killed
