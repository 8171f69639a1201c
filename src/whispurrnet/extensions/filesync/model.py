"""A folder kept the same on several devices: the core.

Each device has an index: of each path the version that lies in its folder now, deleted ones too,
numbered in the order in which they changed. It tells its index to every peer, first all of it,
then what is new, and takes what holds over its own (`record.judge`). Nobody tells of what others
have, so whoever tells of a version can give it.

The disk may change at any time. What was seen there counts only for the version that it was seen
with (`base`), and what we change there is changed only where it still is what we think
(`Apply.expected`), so that an edit is never overwritten unseen.

Source: Syncthing, "Block Exchange Protocol v1" and "Understanding Synchronization", for an index
of what each device has, told in order; the rest is our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync.history import bump
from whispurrnet.extensions.filesync.index import LocalIndex, fold
from whispurrnet.extensions.filesync.model_events import (
    Applied,
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
    Staged,
    StageFailed,
    Unshared,
    Up,
)
from whispurrnet.extensions.filesync.paths import problem
from whispurrnet.extensions.filesync.peers import Peers, Remote
from whispurrnet.extensions.filesync.plan import Plan
from whispurrnet.extensions.filesync.record import DEVICES_MAX, File

UNSHARED_MAX = 10_000


class Model:
    """One folder on one device.

    Args:
        config: Its limits.
        device: The number by which this folder goes in histories: random, used by no other.
        files: Our index as it was saved.
        remotes: What others said they have, as it was saved.
    """

    def __init__(
        self,
        config: Config,
        device: int,
        files: Iterable[File] = (),
        remotes: dict[int, Remote] | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self.index = LocalIndex(files)
        self.peers = Peers(device, remotes if remotes is not None else {}, config.files_max)
        self.plan = Plan(config, device, self.index, self.peers)
        self.unshared: LruDict[str, str] = LruDict(UNSHARED_MAX)
        self._twins: LruDict[str, str] = LruDict(UNSHARED_MAX)  # unshared, by their folded names
        for remote in self.peers.remotes.values():
            for path in remote.files:
                self.plan.touch(path)

    @property
    def deadline(self) -> float | None:
        """When something that failed is tried again, in seconds."""
        return self.plan.deadline

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return what to do, in this order.

        Raises:
            ProtocolError: A peer broke the protocol; nothing has changed.
        """
        effects = list(self._react(event, now))
        effects += self.plan.run()
        saves, self.plan.saves = self.plan.saves, {}
        if saves:
            effects.insert(0, Save(tuple(saves.values())))
            for file in saves.values():
                if file.live:
                    self.unshared.pop(file.path)
                elif (twin := self._twins.pop(fold(file.path))) is not None:
                    effects.append(Look(twin))
        for peer in self.peers.lines:
            effects += self._tell(peer)
        return effects

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        plan = self.plan
        match event:
            case Up():
                self.peers.up(event, self.index.seq)
                plan.seek_sources()
            case Down():
                self.peers.down(event)
            case Index():
                device, paths = self.peers.take(event)
                for path in paths:
                    plan.touch(path)
                plan.seek_sources()
                remote = self.peers.remotes[device]
                yield SaveIndex(
                    device,
                    event.reset,
                    remote.upto,
                    tuple(remote.files[path] for path in paths if path in remote.files),
                )
            case Sent(peer):
                if peer in self.peers.lines:
                    self.peers.lines[peer].waiting = False
            case Scanned():
                yield from self._on_scanned(event)
            case Unshared(path, reason):
                self._unshare(path, reason)
            case Staged(oid):
                yield from plan.staged(oid)
            case StageFailed(oid, reason):
                plan.stage_failed(oid, reason, now)
            case Applied(path):
                yield from plan.applied(path)
            case NotApplied(path, reason):
                yield from plan.not_applied(path, reason, now)
            case Tick():
                plan.expire(now)

    def _tell(self, peer: int) -> Iterator[Effect]:
        """Tell a peer what is new, one message at a time."""
        line = self.peers.lines[peer]
        if line.waiting or (line.sent >= self.index.seq and not line.reset):
            return
        config = self.config
        files, upto = self.index.since(line.sent, config.batch_files, config.batch_bytes)
        yield SendIndex(peer, line.reset, upto, tuple(files))
        line.sent, line.reset, line.waiting = upto, False, True

    # The disk

    def _on_scanned(self, event: Scanned) -> Iterator[Effect]:
        """Take what was seen: names that only change their case first, then files, then gaps.

        A file that was renamed is found before it is gone, so others have it before they lose it.
        """
        names = {fold(found.path) for found in event.found}
        for gone in event.gone:
            if fold(gone.path) in names:
                yield from self._on_gone(gone)
        for found in event.found:
            yield from self._on_found(found)
        for gone in event.gone:
            if fold(gone.path) not in names:
                yield from self._on_gone(gone)

    def _on_found(self, found: Found) -> Iterator[Effect]:
        path = found.path
        here = self.index.files.get(path)
        if self._is_void(path, found.base):
            yield from self._look(path)
            return
        if here is not None and (here.oid, here.executable) == (found.oid, found.executable):
            self._unshare(path, "")
            self.plan.touch(path)
            return
        reason = self._cannot_share(path, here)
        self._unshare(path, reason)
        if not reason:
            self._change(here, found.path, found.oid, found.size, found.executable, found)

    def _on_gone(self, gone: Gone) -> Iterator[Effect]:
        here = self.index.files.get(gone.path)
        if self._is_void(gone.path, gone.base):
            yield from self._look(gone.path)
        elif here is not None and here.live:
            self._change(here, gone.path, b"", 0, False, gone)

    def _is_void(self, path: str, base: int) -> bool:
        """Whether what was seen is about an older version, or one that we are changing."""
        here = self.index.files.get(path)
        return path in self.plan.applying or base != (here.seq if here is not None else 0)

    def _look(self, path: str) -> Iterator[Effect]:
        """Look again, now or when the change that is under way is over."""
        if path in self.plan.applying:
            self.plan.look_later(path)
        else:
            yield Look(path)

    def _change(
        self,
        here: File | None,
        path: str,
        oid: bytes,
        size: int,
        executable: bool,
        seen: Found | Gone,
    ) -> None:
        history = bump(here.history if here is not None else (), self.device)
        self.plan.put(
            File(
                path=path,
                oid=oid,
                size=size,
                executable=executable,
                changed_ms=seen.changed_ms,
                history=history,
                author=self.device,
                count=dict(history)[self.device],
            )
        )

    def _cannot_share(self, path: str, here: File | None) -> str:
        if reason := problem(path):
            return reason
        if other := self.plan.colliding(path):
            return f"its name differs from {other!r} only in upper and lower case; rename one"
        if here is None and len(self.index) >= self.config.files_max:
            return f"the folder has more than {self.config.files_max} paths"
        if here is not None and len(bump(here.history, self.device)) > DEVICES_MAX:
            return f"it was changed on more than {DEVICES_MAX} devices"
        return ""

    def _unshare(self, path: str, reason: str) -> None:
        if reason:
            self.unshared.put(path, reason)
            self._twins.put(fold(path), path)
        else:
            self.unshared.pop(path)
