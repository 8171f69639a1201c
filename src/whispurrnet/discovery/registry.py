"""The registrations a rendezvous point keeps for others, for a while.

Invariants:
    - one registration for each name and owner; so many for an owner, a name, and in all;
    - what has expired is never handed out;
    - the registrations of a name are in the order of their numbers, which only grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from whispurrnet.base.timers import Timers
from whispurrnet.discovery.notices import (
    FULL,
    TOO_MANY,
    Discover,
    Refused,
    Register,
    Registrations,
)

_TAG_BYTES = 8
_NUMBER_BYTES = 8


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many registrations are kept."""

    per_owner: int = 16
    """Of one peer."""

    per_name: int = 256
    """Under one name."""

    total: int = 10_000
    """In all; some 13 MB when every contact is as long as it may be."""


class _Entry:
    __slots__ = ("contact", "expires_at", "number")

    def __init__(self, number: int, contact: bytes, expires_at: float) -> None:
        self.number = number
        self.contact = contact
        self.expires_at = expires_at


class _Name:
    """What is registered under one name."""

    __slots__ = ("entries", "number", "tag")

    def __init__(self, tag: bytes) -> None:
        self.tag = tag
        """Random; a cookie with another tag is of an earlier life and means nothing."""
        self.number = 0
        self.entries: dict[bytes, _Entry] = {}


class Registry:
    """The table of one rendezvous point.

    Args:
        bounds: How much it holds.
        entropy: Gives random bytes.
    """

    def __init__(self, bounds: Bounds, entropy: Callable[[int], bytes]) -> None:
        self.bounds = bounds
        self._entropy = entropy
        self._names: dict[bytes, _Name] = {}
        self._owned: dict[bytes, int] = {}
        self._timers: Timers[tuple[bytes, bytes]] = Timers()

    def __len__(self) -> int:
        return len(self._timers)

    @property
    def deadline(self) -> float | None:
        """When the next registration expires, in seconds."""
        return self._timers.deadline

    def answer(
        self, owner: bytes, asked: Register | Discover, now: float, ours: bytes | None = None
    ) -> Registrations | Refused | None:
        """Do what is asked; what to say to it. `ours`: see `discover`."""
        if isinstance(asked, Discover):
            return self.discover(owner, asked, now, ours)
        reason = self.register(owner, asked, now)
        return refusal(asked, reason) if reason else None

    def register(self, owner: bytes, asked: Register, now: float) -> int:
        """Keep a registration; return 0, or the reason why not (see `notices`)."""
        name = self._names.get(asked.name_key)
        old = None if name is None else name.entries.pop(owner, None)
        if old is None:
            if self._owned.get(owner, 0) >= self.bounds.per_owner:
                return TOO_MANY
            if len(self) >= self.bounds.total:
                return FULL
            if name is not None and len(name.entries) >= self.bounds.per_name:
                return FULL
            self._owned[owner] = self._owned.get(owner, 0) + 1
        if name is None:
            name = self._names[asked.name_key] = _Name(self._entropy(_TAG_BYTES))
        name.number += 1
        expires_at = now + asked.ttl_s
        name.entries[owner] = _Entry(name.number, asked.contact, expires_at)
        self._timers.set((asked.name_key, owner), expires_at)
        return 0

    def unregister(self, owner: bytes, name_key: bytes) -> None:
        """Forget a registration, if there is one."""
        name = self._names.get(name_key)
        if name is None or name.entries.pop(owner, None) is None:
            return
        self._timers.cancel((name_key, owner))
        if not name.entries:
            del self._names[name_key]
        self._owned[owner] -= 1
        if not self._owned[owner]:
            del self._owned[owner]

    def discover(
        self, owner: bytes, asked: Discover, now: float, ours: bytes | None = None
    ) -> Registrations:
        """Who is there under a name, except who asks.

        Args:
            owner: Who asks.
            asked: What for.
            now: The time, in seconds.
            ours: The sealed contact of this point itself, if it is there under that name too.
        """
        name = self._names.get(asked.name_key)
        found = [ours] if ours is not None and not asked.cookie else []
        if name is None:
            return Registrations(asked.name_key, tuple(found), b"")
        last = 0
        if len(asked.cookie) == _TAG_BYTES + _NUMBER_BYTES and asked.cookie.startswith(name.tag):
            last = int.from_bytes(asked.cookie[_TAG_BYTES:], "big")
        for entry in self._since(name, last, owner, now):
            if len(found) == asked.limit:
                break
            found.append(entry.contact)
            last = entry.number
        cookie = name.tag + last.to_bytes(_NUMBER_BYTES, "big")
        return Registrations(asked.name_key, tuple(found), cookie)

    def _since(self, name: _Name, last: int, owner: bytes, now: float) -> Iterator[_Entry]:
        for other, entry in name.entries.items():
            if entry.number > last and entry.expires_at > now and other != owner:
                yield entry

    def expire(self, now: float) -> None:
        """Forget what has expired."""
        for name_key, owner in list(self._timers.expire(now)):
            self.unregister(owner, name_key)

    def check_invariants(self) -> None:
        """Assert what must be true; looks at every registration."""
        bounds, owned = self.bounds, dict[bytes, int]()
        for name in self._names.values():
            assert 0 < len(name.entries) <= bounds.per_name
            numbers = [entry.number for entry in name.entries.values()]
            assert numbers == sorted(set(numbers)) and numbers[-1] <= name.number
            for owner in name.entries:
                owned[owner] = owned.get(owner, 0) + 1
        assert owned == self._owned
        assert all(count <= bounds.per_owner for count in owned.values())
        assert sum(owned.values()) == len(self) <= bounds.total


def refusal(asked: Register | Discover, reason: int) -> Refused:
    """No, and why (see `notices`)."""
    return Refused(asked.name_key, 1 if isinstance(asked, Register) else 3, reason)
