"""The messages that can be served to others, until they expire.

`items` has them in the order in which they are compared with what others hold. When there is too
much, what came first goes first.

Source: MESH.md 1.4, "IWANT" and "Anti-entropy".

Invariants:
    - the bodies are never more than `bytes_max` bytes together;
    - `items` holds exactly the messages that are held;
    - what has expired is never served, and kept for at most 10 s more.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

import msgspec

from whispurrnet.wire.items import ID_BYTES, Items

GRID_S = 0.25
"""Messages that expire so close to one another are forgotten together, in seconds."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """A message that can be served."""

    body: bytes
    expires_at: float
    """Monotonic time in seconds."""
    stamped_s: int
    """Unix time in seconds; the same wherever the message is."""
    urgent: bool


class Cache:
    """The messages of the last minutes.

    Args:
        bytes_max: How much may be held, in bytes of bodies.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self._items = Items()
        self._unsorted: dict[bytes, Held] = {}  # what `_items` still lacks
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        self._expiring: dict[int, dict[bytes, None]] = {}  # by the end of their `GRID_S`
        self.deadline: float | None = None
        """When something has to be forgotten, in monotonic seconds."""

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, id: object) -> bool:
        return id in self._held

    @property
    def items(self) -> Items:
        """What is held, by time and by id, of which zeros make 32 bytes. Sorted when asked for."""
        for id, held in self._unsorted.items():
            self._items.add(held.stamped_s, id.ljust(ID_BYTES, b"\x00"))
        self._unsorted.clear()
        return self._items

    def bodies(self) -> list[bytes]:
        """All that is held, the oldest first."""
        return [held.body for held in self._held.values()]

    def get(self, id: bytes, now: float) -> Held | None:
        """The message with this id, unless it has expired."""
        held = self._held.get(id)
        return None if held is None or held.expires_at <= now else held

    def serves(self, id: bytes, now: float) -> bool:
        """Whether there is a message with this id that has not expired."""
        return self.get(id, now) is not None

    def put(self, id: bytes, held: Held) -> None:
        """Hold a message, unless it is held or larger than all that may be."""
        size = len(held.body)
        if id in self._held or size > self.bytes_max:
            return
        while self.bytes_held + size > self.bytes_max:
            self._forget(next(iter(self._held)))
        self._held[id] = held
        self.bytes_held += size
        end = ceil(held.expires_at / GRID_S)
        expiring = self._expiring.get(end)
        if expiring is None:
            expiring = self._expiring[end] = {}
            at = end * GRID_S
            self.deadline = at if self.deadline is None else min(self.deadline, at)
        expiring[id] = None
        self._unsorted[id] = held

    def expire(self, now: float) -> None:
        """Forget what has expired, to `GRID_S`."""
        if self.deadline is None or self.deadline > now:
            return
        for end in [end for end in self._expiring if end * GRID_S <= now]:
            for id in list(self._expiring[end]):
                self._forget(id)
        self.deadline = min(self._expiring) * GRID_S if self._expiring else None

    def _forget(self, id: bytes) -> None:
        held = self._held.pop(id)
        self.bytes_held -= len(held.body)
        end = ceil(held.expires_at / GRID_S)
        expiring = self._expiring[end]
        del expiring[id]
        if not expiring:
            del self._expiring[end]
        if self._unsorted.pop(id, None) is None:
            self._items.remove(held.stamped_s, id.ljust(ID_BYTES, b"\x00"))

    def check_invariants(self) -> None:
        """Assert what must be true; tests call it."""
        assert 0 <= self.bytes_held <= self.bytes_max
        assert self.bytes_held == sum(len(held.body) for held in self._held.values())
        assert sum(map(len, self._expiring.values())) == len(self._held)
        assert len(self._items) + len(self._unsorted) == len(self._held)
