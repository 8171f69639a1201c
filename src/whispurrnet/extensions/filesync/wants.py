"""The versions that are wanted here, each in its phase, and what wakes those that rest.

A want's life: new -> stage (its content is to come) -> staging -> apply -> applying -> done; or it
rests: blocked by something that must change first, or failed and tried again later.

Invariants: a want is in the queue of its phase, and in no other; what rests has a reason.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from whispurrnet.base.timers import Timers
from whispurrnet.extensions.filesync.index import fold
from whispurrnet.extensions.filesync.record import File

Phase = Literal["new", "stage", "staging", "apply", "applying", "blocked", "retry"]
RESTING: Final = ("blocked", "retry")


class Want(msgspec.Struct):
    """A version that is to be put in place."""

    file: File
    keep: bool
    """Whether what is here must be kept under another name."""
    whose: str
    """Of whom we heard of it."""
    phase: Phase = "new"
    reason: str = ""
    failures: int = 0


class Wants:
    """All wants of a folder, by path.

    Args:
        retry_s: Seconds until what failed is tried again; doubled each time.
        retry_max_s: The longest of these.
    """

    def __init__(self, retry_s: float, retry_max_s: float) -> None:
        self._retry_s = retry_s
        self._retry_max_s = retry_max_s
        self.all: dict[str, Want] = {}
        self.queues: dict[str, dict[str, None]] = {"new": {}, "stage": {}, "apply": {}}
        self.timers: Timers[str] = Timers()
        self._need: dict[bytes, dict[str, None]] = {}
        self._blocking: dict[str | bytes, dict[str, None]] = {}

    def next(self, phase: Literal["new", "stage", "apply"]) -> str | None:
        """Take the path that has been longest in a phase, or None."""
        queue = self.queues[phase]
        if not queue:
            return None
        path = next(iter(queue))
        del queue[path]
        return path

    def waiting(self, phase: Literal["new", "stage", "apply"]) -> int:
        """How many are in a phase."""
        return len(self.queues[phase])

    def needing(self, oid: bytes) -> list[Want]:
        """The wants of a content."""
        return [self.all[path] for path in self._need.get(oid, ())]

    def add(self, want: Want) -> None:
        """Another want, at the beginning of its life."""
        path = want.file.path
        self.all[path] = want
        if want.file.live:
            self._need.setdefault(want.file.oid, {})[path] = None
        self.enter(path, "new")

    def drop(self, path: str) -> Want | None:
        """Forget a want; return it, or None when there is none."""
        want = self.all.get(path)
        if want is None:
            return None
        self.enter(path, "blocked")
        self.timers.cancel(path)
        del self.all[path]
        oid = want.file.oid
        if oid:
            del self._need[oid][path]
            if not self._need[oid]:
                del self._need[oid]
            self.unblock(oid)
        self.unblock(fold(path) + "/")
        return want

    def enter(self, path: str, phase: Phase) -> None:
        """A want comes to another phase."""
        want = self.all[path]
        if want.phase in self.queues:
            self.queues[want.phase].pop(path, None)
        want.phase = phase
        if phase in self.queues:
            self.queues[phase][path] = None
        if phase not in RESTING:
            want.reason = ""
            self.timers.cancel(path)

    def block(self, path: str, by: str | bytes | None, reason: str) -> None:
        """A want rests until `unblock(by)`, or until it is renewed; so nobody waits for it."""
        self.enter(path, "blocked")
        want = self.all[path]
        want.reason = reason
        if all(other.phase in RESTING for other in self.needing(want.file.oid)):
            self.unblock(want.file.oid)
        self.unblock(fold(path) + "/")
        if by is not None:
            self._blocking.setdefault(by, {})[path] = None

    def unblock(self, by: str | bytes) -> None:
        """What was in the way of some has changed."""
        for path in self.blocked(by):
            self.enter(path, "new")

    def blocked(self, by: str | bytes) -> list[str]:
        """What is blocked by this; it is so no more."""
        paths = self._blocking.pop(by, {})
        return [path for path in paths if path in self.all and self.all[path].phase == "blocked"]

    def fail(self, path: str, reason: str, now: float) -> None:
        """A want failed: try it again later."""
        self.enter(path, "retry")
        want = self.all[path]
        want.reason = reason
        wait_s = self._retry_s * 2 ** min(want.failures, 20)
        want.failures += 1
        self.timers.set(path, now + min(wait_s, self._retry_max_s))
        self.unblock(fold(path) + "/")

    def renew(self, path: str) -> None:
        """Try a want that rests again now; others are left as they are."""
        if path in self.all and self.all[path].phase in RESTING:
            self.enter(path, "new")
