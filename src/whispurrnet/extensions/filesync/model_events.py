"""What the model of a folder hears, and what it asks for."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync.record import File

FILES_MAX = 1_000_000
"""How many paths one folder may have, the deleted ones too."""

BATCH_FILES, BATCH_BYTES = 1_000, 200_000
"""How many files travel in one message, and about how many bytes."""


class Config(msgspec.Struct, frozen=True):
    """How the model of a folder behaves."""

    files_max: int = FILES_MAX
    batch_files: int = BATCH_FILES
    batch_bytes: int = BATCH_BYTES
    stages_max: int = 64
    """Contents that are fetched, or wait to be put in place, at a time."""
    changes_max: int = 64
    """Changes to the folder that are under way at a time."""
    retry_s: float = 1.0
    """Seconds until what failed is tried again; doubled each time."""
    retry_max_s: float = 300.0


# Events


class Up(msgspec.Struct, frozen=True):
    """A peer that may take part is there."""

    peer: int
    device: int
    """What its folder is called in histories."""
    name: str
    """For people."""
    have: int
    """Up to where it knows our index; 0: nothing."""


class Down(msgspec.Struct, frozen=True):
    """A peer is gone."""

    peer: int


class Index(msgspec.Struct, frozen=True):
    """A part of a peer's index: what it has now, in the order in which it changed."""

    peer: int
    reset: bool
    """Forget what it said before."""
    upto: int
    """All its changes up to this number have been told."""
    files: tuple[File, ...]


class Sent(msgspec.Struct, frozen=True):
    """The last `SendIndex` to a peer has arrived there."""

    peer: int


class Found(msgspec.Struct, frozen=True):
    """A file was seen on the disk that is not as the index says."""

    path: str
    oid: bytes
    size: int
    executable: bool
    changed_ms: int
    base: int
    """The `seq` of our version when the disk was looked at, or 0; a later one makes this void."""


class Gone(msgspec.Struct, frozen=True):
    """A file that the index has was not on the disk."""

    path: str
    changed_ms: int
    base: int


class Scanned(msgspec.Struct, frozen=True):
    """What one look at the disk has shown."""

    found: tuple[Found, ...] = ()
    gone: tuple[Gone, ...] = ()


class Unshared(msgspec.Struct, frozen=True):
    """Something on the disk cannot be shared; an empty reason: that is over."""

    path: str
    reason: str


class Staged(msgspec.Struct, frozen=True):
    """A content lies ready to be put in place."""

    oid: bytes


class StageFailed(msgspec.Struct, frozen=True):
    """A content could not be had."""

    oid: bytes
    reason: str


class Applied(msgspec.Struct, frozen=True):
    """An `Apply` is done: the disk is as asked."""

    path: str


class NotApplied(msgspec.Struct, frozen=True):
    """An `Apply` was not done: nothing was changed."""

    path: str
    reason: str


Event: TypeAlias = (
    Up
    | Down
    | Index
    | Sent
    | Scanned
    | Unshared
    | Staged
    | StageFailed
    | Applied
    | NotApplied
    | Tick
)

# Effects


class Save(msgspec.Struct, frozen=True):
    """Keep these versions of ours, before anything that follows."""

    files: tuple[File, ...]


class SaveIndex(msgspec.Struct, frozen=True):
    """Keep what a device said it has."""

    device: int
    reset: bool
    upto: int
    files: tuple[File, ...]


class SendIndex(msgspec.Struct, frozen=True):
    """Tell a peer what we have; `Sent` follows when it has it."""

    peer: int
    reset: bool
    upto: int
    files: tuple[File, ...]


class Stage(msgspec.Struct, frozen=True):
    """Bring a content to where it can be put in place from, and check it."""

    oid: bytes
    size: int
    path: str
    """A file of ours that has this content, or empty."""
    peers: tuple[int, ...]
    """Who has it."""


class Unstage(msgspec.Struct, frozen=True):
    """A content that lies ready, or is on its way, is not needed any more."""

    oid: bytes


class Apply(msgspec.Struct, frozen=True):
    """Make the disk show a version, if it still shows `expected`: else change nothing."""

    file: File
    expected: File | None
    keep_as: str
    """Where the old content must stay as a file of its own, or empty; what lies there already, and
    is as the index says, is left as it is."""


class Look(msgspec.Struct, frozen=True):
    """Look at this path again."""

    path: str


Effect: TypeAlias = Save | SaveIndex | SendIndex | Stage | Unstage | Apply | Look


# Status


class Item(msgspec.Struct, frozen=True):
    """Something that is not the same everywhere, and why."""

    path: str
    here: str
    """How it is in this folder."""
    there: str
    """How it is elsewhere, in other words than `here`."""
    reason: str


class Totals(msgspec.Struct, frozen=True):
    """How the folder is, in figures."""

    files: int
    bytes: int
    wanted: int
    """Paths that are to change here."""
    wanted_bytes: int
    kept: int
    """Files that were kept of a conflict."""
    unshared: int
    """Things on the disk that are not shared."""
    behind: int
    """Paths that connected peers do not have as we do."""
