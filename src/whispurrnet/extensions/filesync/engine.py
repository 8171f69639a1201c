"""What runs the model of one folder: the queue of its events, the thread that has the disk.

One task gives events to the model, one after the other, and does what it asks: what is to be kept
is kept before anything else is done. Contents come each in a task of their own. It knows no node:
who sends and who gets is told at construction.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from whispurrnet.base.errors import HostError, ProtocolError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync import model_events as events
from whispurrnet.extensions.filesync import status
from whispurrnet.extensions.filesync.disk import Disk, Seen
from whispurrnet.extensions.filesync.journal import Journal, Keeping, Stamp
from whispurrnet.extensions.filesync.model import Model

ResultT = TypeVar("ResultT")

SCAN_SHARE = 20
"""A look at the folder may take a twentieth of the time."""

BATCH = 256
"""Events that are handled together: what they ask to be kept is forced to the disk once."""


class Outside(Protocol):
    """What an engine needs of the world."""

    async def send(self, part: events.SendIndex) -> bool:
        """Tell a peer a part of the index; whether it has it."""
        ...

    async def get(self, oid: bytes, size: int, peers: tuple[int, ...], to: Path) -> None:
        """Bring a content into a file.

        Raises:
            WhispurrError: It cannot be had; says why.
        """
        ...

    def fault(self, peer: int, reason: str) -> None:
        """A peer broke the protocol, and is let go."""
        ...


class Engine:
    """Runs one folder.

    Args:
        folder: It is there.
        key: To be kept in it, if given.
        outside: Who sends and who gets.
        scan_s: Seconds between two looks; longer for a folder that takes long to look at.
    """

    def __init__(
        self, folder: Path, key: bytes | None, outside: Outside, *, scan_s: float = 1.0
    ) -> None:
        self.folder = folder
        self._key = key
        self._outside = outside
        self._scan_s = scan_s
        self._queue: asyncio.Queue[tuple[events.Event, dict[str, Stamp]]] = asyncio.Queue()
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._stages: dict[bytes, asyncio.Task[None]] = {}
        self._look_now = asyncio.Event()
        self._scanned = 0
        self.changes = 0
        """Counts up whenever something may be different."""
        self.trouble = ""
        """What keeps the folder from being kept in step at all, or empty."""

    async def start(self) -> None:
        """Read the index, and begin to look.

        Raises:
            HostError: The folder cannot be written, or another process has it.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="filesync")
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._spawn(self._work())
        self._spawn(self._scan_again_and_again())

    def _open(self) -> None:
        self.journal = Journal(self.folder)
        if self._key is not None:
            self.journal.keep_key(self._key)
        files, stamps, remotes = self.journal.load()
        self._disk = Disk(self.folder, stamps)
        self._disk.prune(time.time())
        self.model = Model(events.Config(), self.journal.device, files, remotes)

    async def stop(self) -> None:
        """End all that is under way; what was begun goes on the next time."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)
        self.journal.close()

    def give(self, event: events.Event, stamps: dict[str, Stamp] | None = None) -> None:
        """Something happened."""
        self._queue.put_nowait((event, stamps or {}))

    async def settled(self, peers: int) -> None:
        """Wait until so many peers take part, and nothing is to be done here or there.

        Raises:
            HostError: The folder cannot be kept in step; says why.
        """
        seen = self._scanned + 2
        while True:
            if self.trouble:
                raise HostError(self.trouble)
            quiet = self._scanned >= seen and self._queue.empty()
            if quiet and len(self.model.peers.lines) >= peers and status.settled(self.model):
                return
            self._look_now.set()
            await asyncio.sleep(0.02)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """What this machine refuses stops the folder, and is told; nothing else is expected."""
        try:
            await work
        except (WhispurrError, OSError) as error:
            self.trouble = str(error)
            self.changes += 1

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # The model

    async def _work(self) -> None:
        while True:
            batch = [await self._next()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            doing: list[events.Effect] = []
            keeping = Keeping()
            for event, stamps in batch:
                self._handle(event, stamps, keeping, doing)
            self.changes += 1
            if keeping:
                await self._in_thread(partial(self.journal.keep, keeping, self._disk.stamps))
            for effect in doing:
                await self._perform(effect)
            applies = [effect for effect in doing if isinstance(effect, events.Apply)]
            if applies:
                self._spawn(self._apply(applies))

    async def _next(self) -> tuple[events.Event, dict[str, Stamp]]:
        """The next event, or a tick when it is time for one."""
        wait_s = None
        if (deadline := self.model.deadline) is not None:
            wait_s = max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(wait_s):
                return await self._queue.get()
        except TimeoutError:
            return Tick(), {}

    def _handle(
        self,
        event: events.Event,
        stamps: dict[str, Stamp],
        keeping: Keeping,
        doing: list[events.Effect],
    ) -> None:
        """Give an event to the model; sort what is to be kept from what is to be done."""
        try:
            effects = self.model.handle(event, time.monotonic())
        except ProtocolError as error:
            self._fault(event, error)
            return
        table = self._disk.stamps
        for effect in effects:
            match effect:
                case events.Save(files):
                    for file in files:
                        stamp = stamps.get(file.path) or table.get(file.path, ((), 0))[0]
                        table[file.path] = (stamp, file.seq)
                        keeping.files[file.path] = file
                case events.SaveIndex():
                    keeping.indexes.append(effect)
                case _:
                    doing.append(effect)
        if isinstance(event, events.Scanned):
            self._note_stamps(event, stamps, keeping)

    def _fault(self, event: events.Event, error: ProtocolError) -> None:
        match event:
            case events.Up(peer) | events.Index(peer):
                self._outside.fault(peer, str(error))
                self.give(events.Down(peer))
            case _:
                raise error

    async def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.SendIndex():
                self._spawn(self._send(effect))
            case events.Stage(oid):
                self._stages[oid] = self._spawn(self._stage(effect))
            case events.Unstage(oid):
                if (task := self._stages.pop(oid, None)) is not None:
                    task.cancel()
                await self._in_thread(lambda: self._disk.unstage(oid))
            case events.Look(path):
                self._spawn(self._look(path))
            case events.Apply() | events.Save() | events.SaveIndex():
                pass  # together with others, in `_work`

    def _note_stamps(
        self, event: events.Scanned, stamps: dict[str, Stamp], keeping: Keeping
    ) -> None:
        """What was found as the index has it, under another stamp; and what is not shared."""
        for found in event.found:
            stamp = stamps[found.path]
            file = self.model.index.files.get(found.path)
            if file is not None and (file.oid, file.executable) == (found.oid, found.executable):
                if found.base == file.seq and self._disk.stamps.get(found.path) != (
                    stamp,
                    file.seq,
                ):
                    self._disk.stamps[found.path] = (stamp, file.seq)
                    keeping.files[found.path] = file
            elif found.path in self.model.unshared:
                self._disk.ignore(found.path, stamp)

    # The disk

    async def _scan_again_and_again(self) -> None:
        while True:
            start = time.monotonic()
            bases = self._bases()
            seen = await self._in_thread(lambda: self._disk.scan(self.model.index.files))
            self._tell(seen, bases)
            self._scanned += 1
            took_s = time.monotonic() - start
            self._look_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self._scan_s, SCAN_SHARE * took_s)):
                    await self._look_now.wait()

    def _bases(self) -> dict[str, int]:
        return {path: file.seq for path, file in self.model.index.files.items()}

    def _tell(self, seen: Seen, bases: dict[str, int]) -> None:
        now_ms = time.time_ns() // 1_000_000
        found = [
            events.Found(path, oid, size, executable, changed_ms, bases.get(path, 0))
            for path, (oid, size, executable, changed_ms, _) in seen.found.items()
        ]
        gone = [events.Gone(path, now_ms, bases.get(path, 0)) for path in seen.gone]
        if found or gone:
            stamps = {path: row[-1] for path, row in seen.found.items()}
            self.give(events.Scanned(tuple(found), tuple(gone)), stamps)
        for path, reason in seen.unshared.items():
            if self.model.unshared.peek(path) != (reason or None):
                self.give(events.Unshared(path, reason))
        if seen.unsettled:
            self._look_now.set()

    async def _look(self, path: str) -> None:
        bases: dict[str, int] = {}

        def work() -> Seen:
            file = self.model.index.files.get(path)
            bases[path] = file.seq if file is not None else 0
            return self._disk.look(path, self.model.index.files)

        self._tell(await self._in_thread(work), bases)

    async def _apply(self, changes: list[events.Apply]) -> None:
        told = await self._in_thread(lambda: self._disk.apply_all(changes))
        for change, (reason, fresh) in zip(changes, told, strict=True):
            path = change.file.path
            self.give(events.NotApplied(path, reason) if reason else events.Applied(path), fresh)

    async def _stage(self, effect: events.Stage) -> None:
        oid, reason = effect.oid, ""
        try:
            near = False
            if effect.path:
                near = await self._in_thread(lambda: self._disk.stage(effect.path, oid))
            if not near:
                to = self._disk.staged / oid.hex()
                await self._outside.get(oid, effect.size, effect.peers, to)
        except (WhispurrError, OSError) as error:
            reason = str(error) or type(error).__name__
        if self._stages.get(oid) is asyncio.current_task():
            del self._stages[oid]
        self.give(events.StageFailed(oid, reason) if reason else events.Staged(oid))

    async def _send(self, part: events.SendIndex) -> None:
        if await self._outside.send(part):
            self.give(events.Sent(part.peer))
