"""Evidence: what peers did, counted, and fading with time.

A count halves each `half_life_s`, so that a peer is judged by what it does now. Counts belong to
whatever key the caller takes: a long-term identity, or an ephemeral id when there is no other. New
ids cost nothing, so evidence slows a liar down and never proves anybody good: that is what pins
are for.

Invariants:
    - at most `peers_max` peers are remembered, those heard of last;
    - no count is below zero, and none grows by fading.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from whispurrnet.base.bounded import LruDict

_FORGOTTEN = 0.01
"""A count below this is none."""


class Kind(Enum):
    """What a peer did."""

    DELIVERED = "delivered"
    """It kept its session alive from one heartbeat to the next."""
    MALFORMED = "malformed"
    """It broke the protocol inside a session."""
    FORGED = "forged"
    """What it said of itself inside its session does not authenticate."""
    FLOODED = "flooded"
    """It passed a limit that honest peers keep."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the evidence."""

    half_life_s: float = 1_800.0
    """After so long half of a count is left, in seconds."""

    peers_max: int = 4_096
    """Peers remembered."""


class _Record:
    """The counts of one peer, as they stood at `at`."""

    __slots__ = ("at", "counts")

    def __init__(self, at: float) -> None:
        self.at = at
        self.counts: dict[Kind, float] = {}


class Evidence:
    """What peers did."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._records: LruDict[bytes, _Record] = LruDict(self.config.peers_max)

    def __len__(self) -> int:
        return len(self._records)

    def note(self, peer: bytes, kind: Kind, now: float, n: float = 1.0) -> None:
        """Count something a peer did.

        Args:
            peer: Whom to count it for.
            kind: What it did.
            now: Monotonic time in seconds.
            n: How often.
        """
        assert n >= 0, "evidence is never taken back"
        record = self._records.get(peer)
        if record is None:
            record = _Record(now)
            self._records.put(peer, record)
        self._fade(record, now)
        record.counts[kind] = record.counts.get(kind, 0.0) + n

    def counts(self, peer: bytes, now: float) -> dict[Kind, float]:
        """What is left of a peer's counts; empty when nothing is known."""
        record = self._records.peek(peer)
        if record is None:
            return {}
        self._fade(record, now)
        return dict(record.counts)

    def move(self, old: bytes, new: bytes, now: float) -> None:
        """A peer took a new id: what it did stays with it."""
        record = self._records.pop(old)
        if record is not None:
            self._fade(record, now)
            for kind, count in record.counts.items():
                self.note(new, kind, now, count)

    def forget(self, peer: bytes) -> None:
        """Forget what a peer did."""
        self._records.pop(peer)

    def _fade(self, record: _Record, now: float) -> None:
        if now <= record.at:
            return
        left = 0.5 ** ((now - record.at) / self.config.half_life_s)
        record.at = now
        record.counts = {
            kind: count * left
            for kind, count in record.counts.items()
            if count * left >= _FORGOTTEN
        }
