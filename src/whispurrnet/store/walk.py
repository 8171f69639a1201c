"""Fetching a collection and all that it names, however deep, children before parents.

A collection names objects and other collections (`store.manifest`). The walk asks for a bounded
number of them at a time, the deepest first, and calls a collection complete when all below it is
stored. Who drives it fetches what it needs, or says that it is here already: a walk that was cut
off is begun again, and asks anew for everything, which then costs a look into the store each.

A tree is what a stranger made. It may name a million objects, be deeper than any folder, name one
collection so often that nobody could unpack it, or lie about sizes. Each of these ends the walk
with a reason. A collection that is named twice is walked once.

Invariants:
    - at most `window` objects are asked for at a time, and none twice at the same time;
    - 41 bytes are kept of each object that is named and not yet asked for, nothing of files that
      are here, and one total of each collection that is complete;
    - a collection is complete after all below it, and once;
    - a walk that can ask for nothing and is not complete has gone round in a circle, and fails.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from whispurrnet.store.walk_events import (
    KEY_BYTES,
    RECORD,
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
    Progress,
    listing,
)
from whispurrnet.wire.ids import ObjectId

__all__ = [
    "Begin",
    "Complete",
    "Effect",
    "Event",
    "Failed",
    "Have",
    "Limits",
    "Listed",
    "Listing",
    "Lost",
    "Need",
    "Progress",
    "Walk",
    "listing",
]

_FILE: Final = b"\x00"
_COLLECTION: Final = b"\x01"


class _Total(NamedTuple):
    """What is below something that is stored, with itself."""

    size: int
    entries: int
    bytes: int
    height: int


class _Asked:
    """What was asked for."""

    __slots__ = ("depth", "parents", "size")

    def __init__(self, size: int | None, depth: int) -> None:
        self.size = size
        self.depth = depth
        self.parents: dict[bytes, int] = {}
        """Which collections wait for it, and how often each names it."""


class _Opened:
    """A collection that is here, and not all below it."""

    __slots__ = (
        "at",
        "depth",
        "entries",
        "height",
        "parents",
        "records",
        "size",
        "waiting",
        "weight",
    )

    def __init__(self, asked: _Asked, size: int, records: bytes) -> None:
        self.depth = asked.depth
        self.parents = asked.parents
        self.size = size
        self.records = records
        self.at = 0
        """The next record to look at."""
        self.waiting = 0
        """How many of those before it are not stored."""
        self.entries = 1
        self.weight = size
        self.height = 1


class Walk:
    """The fetching of one collection.

    Args:
        root: Its id.
        limits: How large it may be.
    """

    def __init__(self, root: ObjectId, limits: Limits | None = None) -> None:
        self.root = root
        self.limits = limits or Limits()
        self.over = False
        """Whether it is complete or has failed; then nothing happens any more."""
        self._root = bytes(root) + _COLLECTION
        self._asked: dict[bytes, _Asked] = {}
        self._opened: dict[bytes, _Opened] = {}
        self._stack: list[bytes] = []
        """Those of the opened that have more to be asked for; the last one opened first."""
        self._done: dict[bytes, _Total] = {}
        self._entries = self._bytes = self._entries_done = self._bytes_done = 0

    @property
    def deadline(self) -> float | None:
        """Nothing is ever due: who fetches has its own times."""
        return None

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self._entries, self._entries_done, self._bytes, self._bytes_done)

    def handle(self, event: Event, now: float = 0.0) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        What was not asked for is passed over.
        """
        effects: list[Effect] = []
        if self.over:
            return effects
        match event:
            case Begin():
                if not self._asked and not self._opened:
                    self._entries = 1
                    self._ask(self._root, None, 1, effects)
            case Have(oid, size):
                self._have(oid, size, effects)
            case Listed(oid, size, listed):
                self._listed(oid, size, listed, effects)
            case Lost(oid, text):
                if oid + _FILE in self._asked or oid + _COLLECTION in self._asked:
                    self._fail(oid, text, effects)
        self._fill(effects)
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        if self.over:
            return
        assert len(self._asked) <= self.limits.window
        assert not self._asked.keys() & self._opened.keys()
        assert not self._done.keys() & (self._asked.keys() | self._opened.keys())
        waiting = dict.fromkeys(self._opened, 0)
        waits = [one.parents for one in self._asked.values()]
        waits += [one.parents for one in self._opened.values()]
        for parents in waits:
            for parent, times in parents.items():
                waiting[parent] += times
        for key, opened in self._opened.items():
            assert opened.waiting == waiting[key]
            assert opened.waiting or key in self._stack
            assert (opened.at < len(opened.records)) <= (key in self._stack)

    # What is stored

    def _have(self, oid: bytes, size: int, effects: list[Effect]) -> None:
        asked = self._asked.get(oid + _FILE)
        if asked is None or not self._as_said(oid, asked, size, effects):
            return
        del self._asked[oid + _FILE]
        self._settle(asked.parents, _Total(size, 1, size, 0), effects)

    def _listed(self, oid: bytes, size: int, listed: Listing, effects: list[Effect]) -> None:
        key, limits = oid + _COLLECTION, self.limits
        asked = self._asked.get(key)
        if asked is None or not self._as_said(oid, asked, size, effects):
            return
        self._entries += len(listed.records) // RECORD.size
        self._bytes += listed.bytes + (size if asked.size is None else 0)
        if self._too_large(oid, self._entries, self._bytes, effects):
            return
        if len(self._opened) + len(self._done) >= limits.collections_max:
            self._fail(oid, f"it has more than {limits.collections_max} folders", effects)
            return
        del self._asked[key]
        self._opened[key] = _Opened(asked, size, listed.records)
        self._stack.append(key)

    def _as_said(self, oid: bytes, asked: _Asked, size: int, effects: list[Effect]) -> bool:
        if asked.size in (None, size):
            return True
        text = f"its folder says that it has {asked.size} bytes, and it has {size}"
        self._fail(oid, text, effects)
        return False

    def _too_large(self, oid: bytes, entries: int, size: int, effects: list[Effect]) -> bool:
        if entries > self.limits.entries_max:
            text = f"it has more than {self.limits.entries_max} files and folders"
        elif size > self.limits.bytes_max:
            text = f"it has more than {self.limits.bytes_max} bytes"
        else:
            return False
        self._fail(oid, text, effects)
        return True

    def _settle(self, parents: dict[bytes, int], total: _Total, effects: list[Effect]) -> None:
        """Something is stored with all below it; so may be what waited for it."""
        ready = [(parents, total)]
        while ready:
            parents, total = ready.pop()
            for key, times in parents.items():
                opened = self._opened[key]
                opened.waiting -= times
                self._count(opened, total, times)
                if not opened.waiting and opened.at >= len(opened.records):
                    ready += self._close(key, opened, effects)
                if self.over:
                    return

    def _count(self, opened: _Opened, total: _Total, times: int) -> None:
        opened.entries += total.entries * times
        opened.weight += total.bytes * times
        opened.height = max(opened.height, total.height + 1)
        self._entries_done += times
        self._bytes_done += total.size * times

    def _close(
        self, key: bytes, opened: _Opened, effects: list[Effect]
    ) -> list[tuple[dict[bytes, int], _Total]]:
        """A collection is complete, if it can be unpacked."""
        oid = ObjectId(key[:-1])
        total = _Total(opened.size, opened.entries, opened.weight, opened.height)
        if self._too_large(oid, total.entries, total.bytes, effects):
            return []
        if total.height > self.limits.depth_max:
            self._too_deep(oid, effects)
            return []
        del self._opened[key]
        self._done[key] = total
        effects.append(Complete(oid, total.entries, total.bytes))
        if key == self._root:
            self._entries_done += 1
            self._bytes_done += total.size
            self._stop()
        return [(opened.parents, total)]

    # What is needed

    def _fill(self, effects: list[Effect]) -> None:
        """Ask for more, the deepest first."""
        while not self.over and self._stack and len(self._asked) < self.limits.window:
            key = self._stack[-1]
            opened = self._opened.get(key)
            if opened is None or opened.at >= len(opened.records):
                self._stack.pop()
                if opened is not None:
                    opened.records, opened.at = b"", 0
                    if not opened.waiting:
                        for parents, total in self._close(key, opened, effects):
                            self._settle(parents, total, effects)
                continue
            self._next(key, opened, effects)
        if not (self.over or self._asked or self._stack) and self._opened:
            self._fail(self.root, "it contains itself", effects)

    def _next(self, parent: bytes, opened: _Opened, effects: list[Effect]) -> None:
        """Look at the next thing that a collection names."""
        oid, kind, size = RECORD.unpack_from(opened.records, opened.at)
        key = opened.records[opened.at : opened.at + KEY_BYTES]
        opened.at += RECORD.size
        total = self._done.get(key)
        one = self._asked.get(key) or self._opened.get(key)
        known = total or one
        if known is not None and known.size not in (None, size):
            self._fail(ObjectId(oid), "two folders say different things of its size", effects)
        elif total is not None:
            self._count(opened, total, 1)
        elif kind and opened.depth >= self.limits.depth_max:
            self._too_deep(oid, effects)
        else:
            if one is None:
                one = self._ask(key, size, opened.depth + 1, effects)
            one.parents[parent] = one.parents.get(parent, 0) + 1
            opened.waiting += 1

    def _ask(self, key: bytes, size: int | None, depth: int, effects: list[Effect]) -> _Asked:
        asked = self._asked[key] = _Asked(size, depth)
        effects.append(Need(ObjectId(key[:-1]), size, key.endswith(_COLLECTION)))
        return asked

    # The end

    def _too_deep(self, oid: bytes, effects: list[Effect]) -> None:
        text = f"it has more than {self.limits.depth_max} folders within one another"
        self._fail(oid, text, effects)

    def _fail(self, oid: bytes, text: str, effects: list[Effect]) -> None:
        effects.append(Failed(ObjectId(oid), text))
        self._stop()

    def _stop(self) -> None:
        self.over = True
        self._asked.clear()
        self._opened.clear()
        self._stack.clear()
        self._done.clear()
