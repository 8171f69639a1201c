"""Folders on simulated disks: users who edit, links that break, processes that die, one core each.

A disk is a tree of contents; a change to it is atomic, and everything between two changes can be
the moment of a crash. What a model asked for is done later, in the order in which it asked for
changes to the disk, and between them users edit. A look at the disk is told later, too.

The ledger knows every content that was ever written, and which of them a user replaced or deleted
where they lay in front of them. Nothing else may be missing in the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from random import Random

from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync.model import Model
from whispurrnet.extensions.filesync.model_events import (
    Applied,
    Apply,
    Config,
    Down,
    Effect,
    Event,
    Found,
    Gone,
    Index,
    Look,
    NotApplied,
    Save,
    SaveIndex,
    Scanned,
    SendIndex,
    Sent,
    Stage,
    Staged,
    StageFailed,
    Unstage,
    Up,
)
from whispurrnet.extensions.filesync.peers import Remote
from whispurrnet.extensions.filesync.record import File

Content = tuple[bytes, bool]
PATHS = ["a", "b.txt", "c", "d", "d/x", "d/y.txt", "d/x/z", "e/f"]
CASES = ["A", "D/X", "e/F"]
SETTLE_ROUNDS = 60


class Disk:
    """Files by path: content, whether executable, and a stamp that every change renews."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, bool, int]] = {}
        self.stamp = 0

    def fits(self, path: str) -> bool:
        """Whether a file can be put there."""
        head = path
        while "/" in head:
            head = head.rpartition("/")[0]
            if head in self.files:
                return False
        return not any(other.startswith(path + "/") for other in self.files)

    def write(self, path: str, oid: bytes, executable: bool) -> int:
        assert self.fits(path)
        self.stamp += 1
        self.files[path] = (oid, executable, self.stamp)
        return self.stamp

    def remove(self, path: str) -> None:
        del self.files[path]

    def tree(self) -> dict[str, Content]:
        return {path: entry[:2] for path, entry in sorted(self.files.items())}


class Ledger:
    """What was ever written, and what users replaced who had it in front of them."""

    def __init__(self) -> None:
        self.make: Callable[[int], bytes] = lambda number: sha256(b"%d" % number).digest()
        self.written: dict[bytes, str] = {}
        self.replaced: dict[bytes, None] = {}

    def new(self, path: str) -> bytes:
        oid = self.make(len(self.written))
        self.written[oid] = path
        return oid

    def replace(self, entry: tuple[bytes, bool, int] | None) -> None:
        if entry is not None:
            self.replaced[entry[0]] = None


class Node:
    """One device: a disk, what was saved, and the model while the process lives."""

    def __init__(self, number: int, world: World) -> None:
        self.number = number
        self.world = world
        self.disk = Disk()
        self.saved: dict[str, File] = {}
        self.stamps: dict[str, tuple[int, int]] = {}  # path: stamp on the disk, seq of the version
        self.remotes: dict[int, Remote] = {}
        self.start()

    def start(self) -> None:
        """The process starts, from what was saved."""
        remotes = {
            device: Remote(dict(remote.files), remote.upto)
            for device, remote in self.remotes.items()
        }
        self.model = Model(self.world.config, self.number, self.saved.values(), remotes)
        self.work: deque[Effect] = deque()
        self.stages: dict[bytes, Stage] = {}
        self.ready: dict[bytes, None] = {}
        self.seen: deque[tuple[Scanned, dict[str, int]]] = deque()
        self.fresh: dict[str, int] = {}
        self.unshared: dict[str, int] = {}
        self.give(Tick())
        self.look()

    def crash(self, rng: Random) -> None:
        """The process dies, in the middle of a change to the disk if there is one."""
        if self.work and rng.random() < 0.7:
            self.next_work(cut=rng.randrange(3))
        for peer in list(self.world.links_of(self.number)):
            self.world.cut(self.number, peer)
        self.start()

    def give(self, event: Event) -> None:
        effects = self.model.handle(event, self.world.now)
        for effect in effects:
            match effect:
                case Save(files):
                    for file in files:
                        self.saved[file.path] = file
                        stamp = self.fresh.get(file.path) or self.stamps.get(file.path, (0, 0))[0]
                        self.stamps[file.path] = (stamp, file.seq)
                case SaveIndex(device, reset, upto, files):
                    remote = self.remotes.setdefault(device, Remote({}))
                    if reset:
                        remote.files = {}
                    remote.files |= {file.path: file for file in files}
                    remote.upto = upto
                case SendIndex(peer, reset, upto, files):
                    self.world.post(self.number, peer, reset, upto, files)
                case Stage(oid):
                    self.stages[oid] = effect
                case Unstage(oid):
                    self.ready.pop(oid, None)
                    self.stages.pop(oid, None)
                case Apply() | Look():
                    self.work.append(effect)

    # The disk

    def look(self, only: str | None = None) -> None:
        """See how the disk is now; it is told later."""
        found, gone, stamps = [], [], {}
        paths = {**dict.fromkeys(self.disk.files), **dict.fromkeys(self.saved)}
        for path in paths if only is None else [only]:
            entry = self.disk.files.get(path)
            stamp, seq = self.stamps.get(path, (0, 0))
            if entry is None:
                if path in self.saved and self.saved[path].live:
                    gone.append(Gone(path, self.world.clock(self.number), seq))
            elif only is None and self.unshared.get(path) == entry[2]:
                continue
            elif entry[2] != stamp or not self.saved[path].live:
                clock = self.world.clock(self.number)
                found.append(Found(path, entry[0], 1, entry[1], clock, seq))
                stamps[path] = entry[2]
        if found or gone:
            self.seen.append((Scanned(tuple(found), tuple(gone)), stamps))

    def next_seen(self) -> None:
        event, self.fresh = self.seen.popleft()
        self.give(event)
        for found in event.found:  # the same content as before, under a new stamp
            file = self.saved.get(found.path)
            if file is not None and (file.oid, file.executable) == (found.oid, found.executable):
                self.stamps[found.path] = (self.fresh[found.path], file.seq)
            if found.path in self.model.unshared:
                self.unshared[found.path] = self.fresh[found.path]
        self.fresh = {}

    def next_work(self, cut: int = 9) -> None:
        effect = self.work.popleft()
        if isinstance(effect, Look):
            self.look(effect.path)
            return
        assert isinstance(effect, Apply)
        done = self.apply(effect, cut)
        if cut >= 3:
            if not done:
                self.fresh = {}
            self.give(Applied(effect.file.path) if done else NotApplied(effect.file.path, "busy"))
            self.fresh = {}

    def apply(self, effect: Apply, cut: int) -> bool:
        path, disk = effect.file.path, self.disk
        entry = disk.files.get(path)
        expected = effect.expected if effect.expected is not None and effect.expected.live else None
        if expected is None:
            if entry is not None:
                return False
        elif entry is None or self.stamps[path] != (entry[2], expected.seq):
            return False
        if effect.file.live and effect.file.oid not in self.ready:
            return False
        if cut <= 0:
            return False
        kept = disk.files.get(effect.keep_as)
        if kept is not None:
            if self.stamps.get(effect.keep_as, (0, 0))[0] != kept[2]:
                return False
        elif effect.keep_as:
            if not disk.fits(effect.keep_as):
                return False
            assert entry is not None
            self.fresh[effect.keep_as] = disk.write(effect.keep_as, entry[0], entry[1])
        if cut <= 1:
            return False
        if effect.file.live:
            if not disk.fits(path):
                return False
            self.fresh[path] = disk.write(path, effect.file.oid, effect.file.executable)
        else:
            disk.files.pop(path, None)
        return True

    def next_stage(self, rng: Random) -> None:
        stage = self.stages.pop(rng.choice(list(self.stages)))
        near = any(entry[0] == stage.oid for entry in self.disk.files.values())
        far = any(
            self.world.linked(self.number, peer)
            and any(entry[0] == stage.oid for entry in self.world.nodes[peer].disk.files.values())
            for peer in stage.peers
        )
        if near or far:
            self.ready[stage.oid] = None
            self.give(Staged(stage.oid))
        else:
            self.give(StageFailed(stage.oid, "nobody has it now"))

    @property
    def busy(self) -> bool:
        return bool(self.work or self.stages or self.seen)


class World:
    """Some devices, the links between them, and the users in front of them."""

    def __init__(
        self,
        rng: Random,
        count: int,
        config: Config,
        paths: list[str],
        make: Callable[[int, World], Node] | None = None,
    ) -> None:
        self.rng = rng
        self.now = 0.0
        self.config = config
        self.paths = paths
        self.ledger = Ledger()
        self.skew = [rng.randrange(-5_000, 5_000) for _ in range(count)]
        self.links: dict[tuple[int, int], deque[Index]] = {}
        self.nodes: list[Node] = []
        for number in range(count):
            self.nodes.append((make or Node)(number, self))

    def clock(self, number: int) -> int:
        return max(0, 1_700_000_000_000 + int(self.now * 1000) + self.skew[number])

    # Links

    def linked(self, a: int, b: int) -> bool:
        return (a, b) in self.links

    def links_of(self, number: int) -> list[int]:
        return [b for a, b in self.links if a == number]

    def join(self, a: int, b: int) -> None:
        if a == b or self.linked(a, b):
            return
        self.links[a, b], self.links[b, a] = deque(), deque()
        for here, there in ((a, b), (b, a)):
            known = self.nodes[there].remotes.get(here)
            have = known.upto if known is not None else 0
            self.nodes[here].give(Up(there, there, f"n{there}", have))

    def cut(self, a: int, b: int) -> None:
        if self.linked(a, b):
            del self.links[a, b], self.links[b, a]
            self.nodes[a].give(Down(b))
            self.nodes[b].give(Down(a))

    def post(self, a: int, b: int, reset: bool, upto: int, files: tuple[File, ...]) -> None:
        self.links[a, b].append(Index(a, reset, upto, files))

    def deliver(self, a: int, b: int) -> None:
        index = self.links[a, b].popleft()
        self.nodes[b].give(index)
        if self.linked(a, b):
            self.nodes[a].give(Sent(b))

    # Users

    def edit(self) -> None:
        """Somebody does something to a file."""
        rng, ledger = self.rng, self.ledger
        disk = rng.choice(self.nodes).disk
        path = rng.choice(list(disk.files)) if disk.files and rng.random() < 0.5 else ""
        path = path or rng.choice(self.paths)
        entry = disk.files.get(path)
        kind = rng.random()
        if kind < 0.6 or entry is None:
            if disk.fits(path):
                ledger.replace(entry)
                disk.write(path, ledger.new(path), entry[1] if entry else False)
        elif kind < 0.75:
            ledger.replace(entry)
            disk.remove(path)
        elif kind < 0.93:
            target = rng.choice(self.paths)
            disk.remove(path)
            if not disk.fits(target):
                target = path
            if target != path:
                ledger.replace(disk.files.get(target))
            disk.write(target, entry[0], entry[1])
        else:
            disk.write(path, entry[0], not entry[1])

    # Time

    def step(self, kind: str) -> None:
        rng = self.rng
        node = rng.choice(self.nodes)
        match kind:
            case "edit":
                self.edit()
            case "look":
                node.look()
            case "join":
                self.join(node.number, rng.randrange(len(self.nodes)))
            case "cut":
                self.cut(node.number, rng.randrange(len(self.nodes)))
            case "crash":
                node.crash(rng)
            case "later":
                self.now += rng.choice([0.01, 1.0, 30.0])
                self.tick()
            case _:
                self.work()

    def tick(self) -> None:
        for node in self.nodes:
            if node.model.deadline is not None and node.model.deadline <= self.now:
                node.give(Tick())

    def work(self) -> bool:
        """Do one thing that waits to be done."""
        rng = self.rng
        chances = []
        for node in self.nodes:
            for queue, act in (
                (node.work, node.next_work),
                (node.seen, node.next_seen),
                (node.stages, lambda node=node: node.next_stage(rng)),
            ):
                if queue:
                    chances.append(act)
        for (a, b), line in self.links.items():
            if line:
                chances.append(lambda a=a, b=b: self.deliver(a, b))
        if chances:
            rng.choice(chances)()
        return bool(chances)

    def settle(self) -> None:
        """Nobody edits any more, all are linked, and everything that waits is done."""
        for a in range(len(self.nodes)):
            for b in range(a):
                self.join(a, b)
        for _ in range(SETTLE_ROUNDS):
            for node in self.nodes:
                node.look()
            quiet = not any(node.busy for node in self.nodes) and not any(self.links.values())
            steps = 0
            while self.work():
                steps += 1
                assert steps < 20_000, "it never comes to rest"
            self.now += 400.0
            self.tick()
            if quiet and not any(node.busy for node in self.nodes):
                return
        raise AssertionError("it never comes to rest")
