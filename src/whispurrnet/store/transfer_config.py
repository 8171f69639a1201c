"""What the moving of objects is set by (see `store.transfer`)."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the moving of objects."""

    fetches_max: int = 1024
    """How many objects may be fetched at a time."""

    active_max: int = 64
    """Of how many of them chunks are asked for at a time; the others wait for their turn."""

    sources_max: int = 32
    """How many sources one object may have."""

    window_min: int = 8
    """How many chunks are asked of a source ahead, at least."""

    window_max: int = 64
    """And at most."""

    unstored_bytes: int = 8 * 1024 * 1024
    """How much of one object may be waiting for the disk, in bytes: it is lost with the power."""

    memory_bytes: int = 64 * 1024 * 1024
    """How much of all objects may be asked for and not stored, in bytes."""

    size_max: int = 1 << 40
    """Larger objects are not fetched, in bytes."""

    page_wait_s: float = 5.0
    """How long to wait for a page before another source is asked, in seconds."""

    slow_factor: float = 3.0
    """A chunk that takes this many times the median is asked of another source, too."""

    stall_s: float = 15.0
    """A source that was asked and sends nothing for so long is left alone, in seconds."""

    rest_s: float = 15.0
    """After this time it is tried again, in seconds; three times."""

    source_wait_s: float = 60.0
    """How long to wait for a source when there is none, in seconds; then the fetch has failed."""

    hopeless_wait_s: float = 5.0
    """How long, when all sources have said that they do not have it, or have lied, in seconds."""

    endgame: int = 8
    """The last chunks of an object, so many, are asked of two sources."""

    read_ahead: int = 8
    """How many chunks of 256 KiB are read from the disk ahead, of one object for one peer."""

    held_bytes: int = 32 * 1024 * 1024
    """How much is held in memory for all peers together, in bytes."""

    refs_max: int = 64
    """How many objects one peer may ask for at a time; the idlest makes room for a new one."""

    have_s: float = 1.0
    """How often a peer is told what else there is of an object that is still coming, in seconds."""

    serve: bool = True
    """Whether others get anything at all."""

    pack: bool = True
    """Whether chunks of public objects may be packed, if the extra `zstd` is installed."""

    check: bool = True
    """For the simulator only: False is a node that believes what it gets."""

    ban: bool = True
    """For the simulator only: False is a node that asks a liar again."""

    double: bool = True
    """For the simulator only: False is a node that waits for a slow source."""


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...
