"""The address book: by which addresses a peer was reached, or is said to be reachable.

Anybody may say anything about addresses, so what was only heard never pushes out what worked:
peers that were reached once are kept in a table of their own, and within a peer an address that
worked outlives any number of claims.

Invariants:
    - at most `peers_max` peers that were reached, and as many that were only heard of;
    - at most `addresses_max` addresses a peer;
    - an address that worked is evicted only by one that worked later, or by its age.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from enum import IntEnum

import msgspec

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import UsageError

ADDRESS_BYTES_MAX = 255


class Source(IntEnum):
    """Who says that a peer is at an address; more is better."""

    HEARD = 0
    """Somebody else: a beacon of the local network, gossip."""
    TOLD = 1
    """The peer itself, in an authenticated session."""
    GIVEN = 2
    """The user: a ticket, a setting."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the address book."""

    peers_max: int = 1_000
    """Peers that were reached, and peers that were only heard of: so many of each."""

    addresses_max: int = 16
    """Addresses of one peer."""

    age_max_s: float = 86_400.0
    """An address neither heard of nor reached for so long is forgotten, in seconds."""


class Entry(msgspec.Struct, frozen=True):
    """What is known of one address of one peer. Times are monotonic seconds."""

    address: str
    source: Source
    heard_at: float
    """When it was last named."""
    worked_at: float | None = None
    """When it last led to the peer."""
    failed_at: float | None = None
    failures: int = 0
    """Failures since it last worked."""


class Book:
    """Addresses learnt, their age and success, and the order in which to dial them.

    Peers are keyed by their static key, which is what a dialler must know.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._reached: LruDict[bytes, dict[str, Entry]] = LruDict(self.config.peers_max)
        self._heard: LruDict[bytes, dict[str, Entry]] = LruDict(self.config.peers_max)

    def __len__(self) -> int:
        return len(self._reached) + len(self._heard)

    def __contains__(self, peer: object) -> bool:
        return peer in self._reached or peer in self._heard

    def learn(self, peer: bytes, addresses: Iterable[str], source: Source, now: float) -> bool:
        """Note that `peer` is said to be at these addresses.

        Args:
            peer: Its static key.
            addresses: As text; of more than `addresses_max` only the first are read.
            source: Who says so.
            now: Monotonic time in seconds.

        Returns:
            Whether one of them is new.

        Raises:
            UsageError: An address is empty or longer than 255 characters; nothing has changed.
        """
        taken = list(itertools.islice(addresses, self.config.addresses_max))
        for address in taken:
            if not 0 < len(address) <= ADDRESS_BYTES_MAX:
                raise UsageError(f"not an address: {address[:70]!r}; it has 1 to 255 characters")
        if not taken:
            return False
        entries = self._of(peer)
        if entries is None:
            entries = {}
            self._heard.put(peer, entries)
        new = False
        for address in taken:
            old = entries.get(address)
            if old is None:
                new = self._insert(entries, Entry(address, source, now)) or new
            else:
                entries[address] = msgspec.structs.replace(
                    old, source=max(old.source, source), heard_at=now
                )
        self._check(peer)
        return new

    def worked(self, peer: bytes, address: str, now: float) -> None:
        """Note that dialling `address` led to `peer`, who proved its key."""
        entries = self._of(peer) or {}
        old = entries.get(address) or Entry(address, Source.HEARD, now)
        entries.pop(address, None)
        entry = msgspec.structs.replace(old, heard_at=now, worked_at=now, failures=0)
        self._insert(entries, entry)
        self._heard.pop(peer)
        self._reached.put(peer, entries)
        self._check(peer)

    def failed(self, peer: bytes, address: str, now: float) -> None:
        """Note that dialling `address` did not lead to `peer`; unknown ones are ignored."""
        entries = self._of(peer)
        if entries is not None and (old := entries.get(address)) is not None:
            entries[address] = msgspec.structs.replace(
                old, failed_at=now, failures=old.failures + 1
            )

    def dial_order(self, peer: bytes, now: float) -> tuple[str, ...]:
        """The addresses of `peer`, best first; none if it is not known.

        First those that worked the last time, the latest first; then those not tried yet, by who
        named them and how lately; then those that failed, the fewest failures first.
        """
        entries = self._of(peer) or {}
        fresh = [entry for entry in entries.values() if not self._is_old(entry, now)]
        return tuple(entry.address for entry in sorted(fresh, key=_rank))

    def entries(self, peer: bytes) -> tuple[Entry, ...]:
        """All that is known of a peer's addresses, best first."""
        reached, heard = self._reached.peek(peer), self._heard.peek(peer)
        return tuple(sorted((reached or heard or {}).values(), key=_rank))

    def peers(self) -> tuple[bytes, ...]:
        """Every known peer: those that were reached first, the most lately used first."""
        return (*reversed(self._reached.keys()), *reversed(self._heard.keys()))

    def move(self, old: bytes, new: bytes, now: float) -> None:
        """A peer took a new key in an authenticated session: its addresses are now under `new`."""
        entries = self._of(old)
        if entries is None or old == new:
            return
        was_reached = old in self._reached
        self.forget(old)
        for entry in (self._of(new) or {}).values():
            self._insert(entries, entries.pop(entry.address, entry))
        was_reached = was_reached or new in self._reached
        self.forget(new)
        kept = {address: e for address, e in entries.items() if not self._is_old(e, now)}
        if kept:
            (self._reached if was_reached else self._heard).put(new, kept)
            self._check(new)

    def forget(self, peer: bytes) -> None:
        """Forget a peer; unknown ones are ignored."""
        self._reached.pop(peer)
        self._heard.pop(peer)

    def expire(self, now: float) -> int:
        """Forget every address past its age, and peers that have none left; how many went.

        Call it now and then: `dial_order` leaves old addresses out by itself.
        """
        gone = 0
        for table in (self._reached, self._heard):
            for peer, entries in table.items():
                for address, entry in list(entries.items()):
                    if self._is_old(entry, now):
                        del entries[address]
                        gone += 1
                if not entries:
                    table.pop(peer)
        return gone

    def _of(self, peer: bytes) -> dict[str, Entry] | None:
        entries = self._reached.get(peer)
        return entries if entries is not None else self._heard.get(peer)

    def _is_old(self, entry: Entry, now: float) -> bool:
        # What the user gave stays: it may be the only way back after a long absence.
        return entry.source < Source.GIVEN and now - entry.heard_at > self.config.age_max_s

    def _insert(self, entries: dict[str, Entry], entry: Entry) -> bool:
        """Add an entry, evicting the worst one when there are too many."""
        if len(entries) >= self.config.addresses_max:
            worst = max(entries.values(), key=_worth)
            if _worth(worst) < _worth(entry):
                return False
            del entries[worst.address]
        entries[entry.address] = entry
        return True

    def _check(self, peer: bytes) -> None:
        if __debug__:
            entries = self._reached.peek(peer) or self._heard.peek(peer)
            assert entries, "a peer in the book has an address"
            assert len(entries) <= self.config.addresses_max
            assert not (peer in self._reached and peer in self._heard)


def _rank(entry: Entry) -> tuple[int, float, float, float]:
    """The order of dialling, smallest first."""
    if entry.failures:
        return (2, entry.failures, -(entry.worked_at or 0.0), entry.failed_at or 0.0)
    if entry.worked_at is not None:
        return (0, -entry.worked_at, 0.0, 0.0)
    return (1, -entry.source, -entry.heard_at, 0.0)


def _worth(entry: Entry) -> tuple[int, int, float]:
    """The order of keeping: the largest goes first."""
    if entry.worked_at is not None:
        return (0, 0, -entry.worked_at)
    return (1, -entry.source, -entry.heard_at)
