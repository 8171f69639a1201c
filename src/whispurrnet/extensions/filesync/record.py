"""One path at one version, and which of two versions holds.

    here            there           so
    newer           older           nothing to do
    older           newer           take it
    rivals, same content            one history of both
    rivals, one has seen the change that made the other's content: that one holds
    rivals otherwise: what lives holds over what is deleted, then the later change; the loser
                                    keeps its content under another name, then takes the winner

Both sides judge alike, and only the side that loses acts: it has what must be kept. What it makes
is a change of its own, so no two contents ever have one history. A history that covers a change
means: its content is here, or somebody who saw it replaced it, or it was kept under another name.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from whispurrnet.extensions.filesync.history import Dot, after, covers, union

DEVICES_MAX = 64
"""How many devices may have changed one file."""

PATH_BYTES_MAX = 4096
SIZE_MAX = 1 << 44
COUNT_MAX = 2**63 - 1
MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999."""

OID_BYTES = 32
_NAME_BYTES_MAX = 255
_MARK = ".conflict-"

_Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
_Device = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
_Pairs = Annotated[tuple[tuple[_Device, _Count], ...], Meta(min_length=1, max_length=DEVICES_MAX)]


class File(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A path at one version; deleted if `oid` is empty."""

    path: Annotated[str, Meta(min_length=1, max_length=PATH_BYTES_MAX)]
    oid: Annotated[bytes, Meta(max_length=OID_BYTES)]
    size: Annotated[int, Meta(ge=0, le=SIZE_MAX)]
    executable: bool
    changed_ms: Annotated[int, Meta(ge=0, le=MS_MAX)]
    """When the content came to be, by the clock of its author; Unix time in milliseconds."""
    history: _Pairs
    author: _Device
    count: _Count
    """With the author: the change that made this content."""
    seq: Annotated[int, Meta(ge=0, le=COUNT_MAX)] = 0
    """Its place in the index of whoever sent it."""

    @property
    def live(self) -> bool:
        """Whether there is a file at all."""
        return bool(self.oid)

    @property
    def dot(self) -> Dot:
        """The change that made this content."""
        return self.author, self.count


class Verdict(enum.Enum):
    """What a peer's version means for ours."""

    NOTHING = enum.auto()
    """Ours is the same, or newer, or holds."""
    TAKE = enum.auto()
    """Theirs is newer."""
    JOIN = enum.auto()
    """The content is the same: one history of both."""
    YIELD = enum.auto()
    """Theirs holds, and ours is known to it."""
    KEEP = enum.auto()
    """Theirs holds, and ours must be kept under another name."""


def same(a: File | None, b: File | None) -> bool:
    """Whether two versions look the same on a disk."""
    if a is None or b is None:
        one = a or b
        return one is None or not one.live
    return a.oid == b.oid and (a.executable == b.executable or not a.live)


def judge(here: File | None, there: File) -> Verdict:
    """Which of two versions of a path holds; see the top of this module."""
    if here is None:
        return Verdict.TAKE
    newer, older = after(there.history, here.history), after(here.history, there.history)
    if newer != older:
        return Verdict.TAKE if newer else Verdict.NOTHING
    if same(here, there):
        return Verdict.NOTHING if newer else Verdict.JOIN
    if newer:  # one history of two contents: an index was put back from a copy
        return _yielding(here, there) if _rank(there) > _rank(here) else Verdict.NOTHING
    seen_there, seen_here = covers(there.history, here.dot), covers(here.history, there.dot)
    if seen_there != seen_here:
        return Verdict.YIELD if seen_there else Verdict.NOTHING
    if _rank(there) < _rank(here):
        return Verdict.NOTHING
    return Verdict.YIELD if seen_there else _yielding(here, there)


def _yielding(here: File, there: File) -> Verdict:
    return Verdict.KEEP if here.live and here.oid != there.oid else Verdict.YIELD


def _rank(file: File) -> tuple[bool, int, bytes, bool, Dot]:
    return file.live, file.changed_ms, file.oid, file.executable, file.dot


def joined(a: File, b: File) -> File:
    """Two rivals of one content as one version, the same whoever joins them."""
    newest = max(a, b, key=lambda file: (file.changed_ms, file.dot))
    return msgspec.structs.replace(newest, history=union(a.history, b.history))


def kept_name(file: File) -> str:
    """The path under which the loser of a conflict is kept, the same whoever keeps it.

    `report.txt` becomes `report.conflict-<author>-<date>-<content>.txt`.
    """
    folder, slash, name = file.path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    when = datetime.fromtimestamp(file.changed_ms / 1000, UTC).strftime("%Y%m%d-%H%M%S")
    mark = f"{_MARK}{file.author:016x}"[: len(_MARK) + 6] + f"-{when}-{file.oid[:4].hex()}"
    tail = mark + dot + ending
    if len(tail.encode()) > _NAME_BYTES_MAX // 2:
        stem, tail = name, mark
    room = _NAME_BYTES_MAX - len(tail.encode())
    return folder + slash + stem.encode()[:room].decode(errors="ignore") + tail


def is_kept(path: str) -> bool:
    """Whether a path is one that `kept_name` makes."""
    return _MARK in path.rpartition("/")[2]
