"""What is to change in our folder, in which order, and what stands in the way.

A want is a version of another device that holds over ours; `wants` has its life. What is the same
on the disk is settled at once.

The order follows from three rules. A content that another want needs is staged before the last
file that has it is overwritten. A file stands aside, under another name, for a folder that others
have in its place. Of two names that differ in case only, the second waits until the first is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from whispurrnet.extensions.filesync.history import after, bump, union
from whispurrnet.extensions.filesync.index import LocalIndex, fold, parents
from whispurrnet.extensions.filesync.model_events import Apply, Config, Effect, Look, Stage, Unstage
from whispurrnet.extensions.filesync.paths import problem
from whispurrnet.extensions.filesync.peers import Peers, Remote
from whispurrnet.extensions.filesync.record import (
    DEVICES_MAX,
    File,
    Verdict,
    joined,
    judge,
    kept_name,
    same,
)
from whispurrnet.extensions.filesync.wants import RESTING, Want, Wants


class Plan:
    """What is to change here.

    Args:
        config: The limits.
        device: Ours.
        index: What we have; changed here, and what changed is in `saves`.
        peers: What the others have.
    """

    def __init__(self, config: Config, device: int, index: LocalIndex, peers: Peers) -> None:
        self._config = config
        self._device = device
        self._index = index
        self._peers = peers
        self._wants = Wants(config.retry_s, config.retry_max_s)
        self.saves: dict[str, File] = {}
        self.applying: dict[str, Apply] = {}
        self._arriving: dict[str, str] = {}  # live paths of `applying`, by their folded names
        self._again: dict[str, None] = {}  # to be looked at when their `Apply` is over
        self._dirty: dict[str, None] = {}
        self._staging: dict[bytes, None] = {}
        self._ready: dict[bytes, None] = {}
        self._sourceless: dict[str, None] = {}

    @property
    def wants(self) -> dict[str, Want]:
        """What is wanted, by path."""
        return self._wants.all

    @property
    def deadline(self) -> float | None:
        """When something that failed is tried again."""
        return self._wants.timers.deadline

    def colliding(self, path: str) -> str:
        """Another live path of ours that differs in case only, or an empty text."""
        short = fold(path)
        other = self._index.folded.get(short) or self._arriving.get(short, path)
        return other if other != path else ""

    # What happened

    def touch(self, path: str) -> None:
        """Something about a path may be different."""
        self._dirty[path] = None

    def put(self, file: File) -> None:
        """We have another version."""
        file = self._index.put(file)
        self.saves.pop(file.path, None)
        self.saves[file.path] = file
        self.touch(file.path)
        short = fold(file.path)
        for key in (short, short + "/", *parents(short)):
            self._wants.unblock(key)

    def look_later(self, path: str) -> None:
        """The disk changed while we change it, too."""
        self._again[path] = None

    def seek_sources(self) -> None:
        """Somebody came, or has more: try again what nobody had."""
        waiting, self._sourceless = self._sourceless, {}
        for path in waiting:
            self._wants.renew(path)

    def staged(self, oid: bytes) -> Iterator[Effect]:
        """A content lies ready."""
        if oid not in self._staging:
            return
        del self._staging[oid]
        self._ready[oid] = None
        for want in self._wants.needing(oid):
            if want.phase == "staging":
                self._wants.enter(want.file.path, "new")
        self._wants.unblock(oid)
        yield from self._release(oid)

    def stage_failed(self, oid: bytes, reason: str, now: float) -> None:
        """A content could not be had."""
        if self._staging.pop(oid, oid) is None:
            for want in self._wants.needing(oid):
                self._wants.fail(want.file.path, reason, now)
            self._wants.unblock(oid)

    def applied(self, path: str) -> Iterator[Effect]:
        """The disk is as asked."""
        done = self._finish(path)
        if done is None:
            return
        here = self._index.files.get(path)
        if here is not done.expected:
            if path in self.wants:
                self._wants.enter(path, "new")
            self.touch(path)
            yield Look(path)
        else:
            if done.keep_as and here is not None:
                self._keep(here, done.keep_as)
            self.put(done.file)
            yield from self._drop(path)
        if self._again.pop(path, path) is None:
            yield Look(path)

    def not_applied(self, path: str, reason: str, now: float) -> Iterator[Effect]:
        """The disk was not as expected, or refused."""
        done = self._finish(path)
        if done is None:
            return
        self._again.pop(path, None)
        want = self.wants.get(path)
        blocked = self._wants.blocked(fold(path) + "/")
        if want is not None:
            self._wants.fail(path, reason, now)
            yield from self._release(want.file.oid)
        for waiting in blocked:
            if want is not None and want.file is done.file:
                self._wants.enter(waiting, "new")
            else:  # it was to stand aside for these
                self._wants.fail(waiting, reason, now)
        self.touch(path)
        yield Look(path)

    def expire(self, now: float) -> None:
        """Try again what is due."""
        for path in list(self._wants.timers.expire(now)):
            self._wants.renew(path)

    # What follows

    def run(self) -> Iterator[Effect]:
        """Decide, and ask for as much as may be under way at a time."""
        wants = self._wants
        while True:
            while self._dirty:
                path = next(iter(self._dirty))
                del self._dirty[path]
                yield from self._consider(path)
            if (fresh := wants.next("new")) is not None:
                yield from self._step(fresh)
            else:
                chosen = self._next()
                if chosen is None:
                    return
                yield from chosen

    def _next(self) -> Iterator[Effect] | None:
        """The next change to the disk, or the next content to stage, if there is room for one."""
        wants, config = self._wants, self._config
        if len(self.applying) < config.changes_max and (path := wants.next("apply")) is not None:
            return self._apply(path)
        if (
            len(self._staging) + wants.waiting("apply") < config.stages_max
            and (path := wants.next("stage")) is not None
        ):
            return self._stage(path)
        return None

    def _consider(self, path: str) -> Iterator[Effect]:
        """Find out which version is to be here."""
        if path in self.applying:
            return
        best: tuple[Verdict, Remote, File] | None = None
        for remote, there in list(self._peers.of(path)):
            here = self._index.files.get(path)
            verdict = judge(here, there)
            if verdict is Verdict.JOIN and here is not None:
                if len(union(here.history, there.history)) <= DEVICES_MAX:
                    self.put(joined(here, there))
                    return
            elif verdict is Verdict.TAKE and same(here, there):
                self.put(there)
                return
            elif verdict is not Verdict.NOTHING and (
                best is None or self._better(best[2], there, path)
            ):
                best = verdict, remote, there
        if best is None:
            yield from self._drop(path)
            return
        verdict, remote, file = best
        here = self._index.files.get(path)
        if verdict is not Verdict.TAKE and here is not None:
            history = bump(union(here.history, file.history), self._device)
            file = msgspec.structs.replace(file, history=history)
        yield from self._want(Want(file, verdict is Verdict.KEEP, remote.name), here)

    def _better(self, a: File, b: File, path: str) -> bool:
        """Whether `b` is rather to be taken than `a`: it is newer, can be had, or holds."""
        newer, older = after(b.history, a.history), after(a.history, b.history)
        had_a, had_b = self._can_be_had(a, path), self._can_be_had(b, path)
        if had_a != had_b and (newer == older or path not in self._index.files):
            return had_b
        return newer if newer != older else judge(a, b) in {Verdict.YIELD, Verdict.KEEP}

    def _can_be_had(self, file: File, path: str) -> bool:
        return not file.live or bool(
            file.oid in self._index.holders or self._peers.sources(path, file.oid)
        )

    def _want(self, want: Want, here: File | None) -> Iterator[Effect]:
        path = want.file.path
        old = self.wants.get(path)
        if old is not None and (old.file, old.keep) == (want.file, want.keep):
            if old.phase == "blocked":
                self._wants.enter(path, "new")
            return
        yield from self._drop(path)
        self._wants.add(want)

    def _step(self, path: str) -> Iterator[Effect]:
        """See what stands in the way of a want, and send it on."""
        want = self.wants[path]
        if len(want.file.history) > DEVICES_MAX:
            self._wants.block(path, None, f"it was changed on more than {DEVICES_MAX} devices")
        elif want.file.live:
            yield from self._step_live(path, want)
        else:
            self._wants.enter(path, "apply")

    def _step_live(self, path: str, want: Want) -> Iterator[Effect]:
        trouble = problem(path)
        if trouble:
            self._wants.block(path, None, trouble)
        elif other := self.colliding(path):
            why = f"its name differs from {other!r} only in upper and lower case; rename one"
            self._wants.block(path, fold(path), why)
        elif self._index.folders[fold(path)]:
            why = "a folder stands here; whoever has the file gives it another name"
            self._wants.block(path, fold(path), why)
        else:
            for folder in parents(path):
                holder = self._index.folded.get(fold(folder))
                if holder is not None:
                    self._wants.block(path, fold(folder) + "/", f"{holder!r} is a file here")
                    if holder == folder:
                        yield from self._stand_aside(folder)
                    return
            if want.file.oid in self._ready:
                self._wants.enter(path, "apply")
            elif want.file.oid in self._staging:
                self._wants.enter(path, "staging")
            else:
                self._wants.enter(path, "stage")

    def _stage(self, path: str) -> Iterator[Effect]:
        file = self.wants[path].file
        holder = next(iter(self._index.holders.get(file.oid, ())), "")
        sources = self._peers.sources(path, file.oid)
        if file.oid in self._ready or file.oid in self._staging:
            self._wants.enter(path, "apply" if file.oid in self._ready else "staging")
        elif holder or sources:
            self._wants.enter(path, "staging")
            self._staging[file.oid] = None
            yield Stage(file.oid, file.size, holder, sources)
        else:
            self._sourceless[path] = None
            self._wants.block(path, None, "nobody who is connected has it")

    def _apply(self, path: str) -> Iterator[Effect]:
        """Put a version in place, if nothing has come in between."""
        want = self.wants[path]
        file, here = want.file, self._index.files.get(path)
        if file.live and (file.oid not in self._ready or self.colliding(path)):
            self._wants.enter(path, "new")
            return
        if here is not None and here.live and here.oid != file.oid and self._wanted(here):
            self._wants.block(path, here.oid, "what is here is wanted under another name first")
            return
        keep_as = kept_name(here) if want.keep and here is not None and here.live else ""
        if keep_as and self.colliding(keep_as):
            self._wants.block(path, fold(keep_as), f"{keep_as!r} is taken; rename it")
            return
        yield self._begin(Apply(file, here, keep_as))

    def _wanted(self, here: File) -> bool:
        """Whether a content is needed elsewhere, and not safe yet."""
        if here.oid in self._ready or len(self._index.holders[here.oid]) > 1:
            return False
        needing = self._wants.needing(here.oid)
        return any(want.phase not in RESTING and want.file.path != here.path for want in needing)

    def _stand_aside(self, path: str) -> Iterator[Effect]:
        """Move a file to another name: a folder is to be where it is."""
        want, here = self.wants.get(path), self._index.files[path]
        if path in self.applying:
            return
        if want is not None and (want.phase not in RESTING or not want.file.live):
            return  # it goes away by itself, or changes first
        keep_as = kept_name(here)
        history = bump(here.history, self._device)
        if self.colliding(keep_as) or len(history) > DEVICES_MAX:
            return
        gone = File(
            path=path,
            oid=b"",
            size=0,
            executable=False,
            changed_ms=here.changed_ms,
            history=history,
            author=self._device,
            count=dict(history)[self._device],
        )
        yield self._begin(Apply(gone, here, keep_as))

    def _begin(self, apply: Apply) -> Apply:
        path = apply.file.path
        if path in self.wants:
            self._wants.enter(path, "applying")
        self.applying[path] = apply
        if apply.file.live:
            self._arriving[fold(path)] = path
        return apply

    def _finish(self, path: str) -> Apply | None:
        done = self.applying.pop(path, None)
        if done is not None:
            self._arriving.pop(fold(path), None)
        return done

    def _keep(self, here: File, name: str) -> None:
        """What was kept of a conflict is a file like any other."""
        old = self._index.files.get(name)
        if old is None or not old.live:
            history = bump(old.history if old is not None else (), self._device)
            count = dict(history)[self._device]
            self.put(
                msgspec.structs.replace(
                    here, path=name, history=history, author=self._device, count=count
                )
            )

    def _drop(self, path: str) -> Iterator[Effect]:
        """A want is no more."""
        want = self._wants.drop(path)
        if want is not None and want.file.live:
            yield from self._release(want.file.oid)

    def _release(self, oid: bytes) -> Iterator[Effect]:
        """A content that nobody is about to use need not lie there."""
        using = self._wants.needing(oid)
        if oid in self._ready and all(want.phase == "retry" for want in using):
            del self._ready[oid]
            yield Unstage(oid)
        elif oid in self._staging and not using:
            del self._staging[oid]
            yield Unstage(oid)
