"""Containers that cannot grow without limit: every table a peer can fill is one of these.

`LruDict` bounds how much is remembered, `TokenBucket` bounds how often something is done. Both
cost well under a microsecond an operation, because they stand on the path of every message.

Invariants: an `LruDict` never holds more than `limit` entries, not even within a call's result;
a `TokenBucket` never holds more than `burst` tokens nor fewer than none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruDict(Generic[Key, Value]):
    """A mapping that evicts the entry least recently used once it holds `limit` entries.

    `get` and `put` count as use; `in`, `peek` and the listings do not.
    """

    # An OrderedDict, not a dict: deleting from the front of a dict again and again leaves holes
    # that each search for the oldest key walks over, so a peer could make eviction slow.

    __slots__ = ("_entries", "limit")

    def __init__(self, limit: int) -> None:
        assert limit > 0, "an LruDict holds at least one entry"
        self.limit = limit
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._entries))

    def get(self, key: Key) -> Value | None:
        """The value of `key`, which becomes the most recently used, or None."""
        entries = self._entries
        if key in entries:
            entries.move_to_end(key)
            return entries[key]
        return None

    def peek(self, key: Key) -> Value | None:
        """The value of `key`, whose place in the order does not change, or None."""
        return self._entries.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Store `value` as the most recently used, evicting one entry when the limit is passed."""
        entries = self._entries
        if key in entries:
            entries[key] = value
            entries.move_to_end(key)
            return
        if len(entries) >= self.limit:
            entries.popitem(last=False)
        entries[key] = value

    def pop(self, key: Key) -> Value | None:
        """Forget `key`; return what was stored, or None."""
        return self._entries.pop(key, None)

    def pop_oldest(self) -> tuple[Key, Value] | None:
        """Forget the entry least recently used; return it, or None when there is none."""
        return self._entries.popitem(last=False) if self._entries else None

    def items(self) -> list[tuple[Key, Value]]:
        """The entries, least recently used first: a copy, so the caller may change the mapping."""
        return list(self._entries.items())

    def keys(self) -> list[Key]:
        """The keys, least recently used first: a copy."""
        return list(self._entries)

    def values(self) -> list[Value]:
        """The values, least recently used first: a copy."""
        return list(self._entries.values())

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


class TokenBucket:
    """Permission to do something `rate` times a second, and `burst` times at once.

    The bucket is full at first. Time that goes back adds nothing.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        assert rate >= 0 and burst > 0, "a bucket has a rate and room for tokens"
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._at: float | None = None

    def take(self, n: float, now: float) -> bool:
        """Take `n` tokens if they are there; otherwise take none.

        Args:
            n: How many; more than `burst` is never there.
            now: Monotonic time in seconds.
        """
        tokens = self._fill(now)
        if tokens < n:
            return False
        self._tokens = tokens - n
        return True

    def wait_s(self, n: float, now: float) -> float | None:
        """Seconds until `n` tokens are there, 0 if they are now, None if they never will be."""
        missing = n - self._fill(now)
        if missing <= 0:
            return 0.0
        if n > self.burst or self.rate == 0:
            return None
        return missing / self.rate

    def _fill(self, now: float) -> float:
        at = self._at
        if at is None or now > at:
            self._at = now
            if at is not None:
                self._tokens = min(self.burst, self._tokens + (now - at) * self.rate)
        return self._tokens
