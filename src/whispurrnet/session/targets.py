"""The targets of the pool: in which phase each one is, and what follows from that.

    wanted ──> queued ──> dialling ──> connected
                 ^           │             │
                 └─ waiting <┴─────────────┘

A target that waits or is dialled has a timer; a queued one stands in one of two queues, of which
that of the persistent targets is served first. Here nothing is decided: see `session.pool`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from whispurrnet.base.timers import Timers

_CHECKED_MAX = 64
"""With more targets than this, the invariants that look at each of them are left out."""


class Phase(Enum):
    """Where a target stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    DIALLING = "dialling"
    CONNECTED = "connected"


class Target:
    """A wanted target, or a peer that called."""

    __slots__ = (
        "addresses",
        "connected_at",
        "due_at",
        "failures",
        "left",
        "persistent",
        "phase",
        "wanted",
    )

    def __init__(self, addresses: tuple[str, ...], *, wanted: bool, persistent: bool) -> None:
        self.addresses = addresses
        self.wanted = wanted
        self.persistent = persistent
        self.phase: Phase | None = None
        """None only while it goes from one to another."""
        self.failures = 0
        self.connected_at = 0.0
        self.due_at = 0.0
        """When the wait ends."""
        self.left: dict[str, None] = {}
        """The addresses of the dial under way that may yet answer."""


class Targets:
    """All targets of one pool."""

    def __init__(self) -> None:
        self._targets: dict[bytes, Target] = {}
        self._timers: Timers[bytes] = Timers()
        self._queues: dict[bool, dict[bytes, None]] = {True: {}, False: {}}  # ordered sets
        self.wanted = 0
        self.dialling = 0
        self.connected = 0

    @property
    def deadline(self) -> float | None:
        """When a wait or a dial ends, in seconds."""
        return self._timers.deadline

    @property
    def absent(self) -> int:
        """How many persistent targets are neither connected nor being dialled."""
        waiting = sum(
            target.persistent and target.phase is Phase.WAITING for target in self._targets.values()
        )
        return waiting + len(self._queues[True])

    def get(self, key: bytes) -> Target | None:
        """The target of this name."""
        return self._targets.get(key)

    def add(self, key: bytes, target: Target) -> None:
        """Take a new target, whose phase is set next."""
        self._targets[key] = target
        self.wanted += target.wanted

    def remove(self, key: bytes) -> Target:
        """Forget a target."""
        target = self._targets[key]
        self.leave_phase(key, target)
        del self._targets[key]
        self.wanted -= target.wanted
        return target

    def leave_phase(self, key: bytes, target: Target) -> None:
        """End whatever the target is at; another phase is set next."""
        match target.phase:
            case Phase.WAITING:
                self._timers.cancel(key)
            case Phase.QUEUED:
                del self._queues[target.persistent][key]
            case Phase.DIALLING:
                self._timers.cancel(key)
                self.dialling -= 1
                target.left = {}
            case Phase.CONNECTED:
                self.connected -= 1
            case None:
                pass
        target.phase = None

    def queue(self, key: bytes, target: Target) -> None:
        """Let the target stand in line for a dial."""
        self.leave_phase(key, target)
        target.phase = Phase.QUEUED
        self._queues[target.persistent][key] = None

    def wait(self, key: bytes, target: Target, due_at: float) -> None:
        """Let the target wait until `due_at`, in seconds."""
        self.leave_phase(key, target)
        target.phase = Phase.WAITING
        target.due_at = due_at
        self._timers.set(key, due_at)

    def dial(self, key: bytes, target: Target, addresses: list[str], until: float) -> None:
        """The target is being dialled, until `until` in seconds at most."""
        self.leave_phase(key, target)
        target.phase = Phase.DIALLING
        target.left = dict.fromkeys(addresses)
        self.dialling += 1
        self._timers.set(key, until)

    def connect(self, key: bytes, target: Target, now: float) -> None:
        """The target is connected."""
        self.leave_phase(key, target)
        target.phase = Phase.CONNECTED
        target.connected_at = now
        self.connected += 1

    def set_wanted(self, target: Target, *, wanted: bool, persistent: bool) -> None:
        """Note that a target that is not queued is wanted, or no longer so."""
        assert target.phase is not Phase.QUEUED
        self.wanted += wanted - target.wanted
        target.wanted, target.persistent = wanted, persistent

    def first(self) -> tuple[bytes, Target] | None:
        """Who is next in line."""
        for queue in (self._queues[True], self._queues[False]):
            if queue:
                key = next(iter(queue))
                return key, self._targets[key]
        return None

    def expire(self, now: float) -> Iterator[tuple[bytes, Target]]:
        """Those whose wait or dial is over at `now`; their phase is the caller's to set."""
        for key in list(self._timers.expire(now)):
            yield key, self._targets[key]

    def spare(self) -> bytes | None:
        """A target that may make room: not persistent, not connected, the longest wanted."""
        for key, target in self._targets.items():
            if target.wanted and not target.persistent and target.phase is not Phase.CONNECTED:
                return key
        return None

    def check(self) -> None:
        """Assert the invariants."""
        if len(self._targets) > _CHECKED_MAX:
            return
        phases = [target.phase for target in self._targets.values()]
        assert None not in phases
        assert phases.count(Phase.DIALLING) == self.dialling
        assert phases.count(Phase.CONNECTED) == self.connected
        assert sum(target.wanted for target in self._targets.values()) == self.wanted
        for key, target in self._targets.items():
            assert target.wanted or target.phase is Phase.CONNECTED
            timed = target.phase in (Phase.WAITING, Phase.DIALLING)
            assert (key in self._timers) == timed
            for persistent, queue in self._queues.items():
                queued = target.phase is Phase.QUEUED and target.persistent == persistent
                assert (key in queue) == queued
            assert bool(target.left) == (target.phase is Phase.DIALLING)
        assert len(self._timers) + sum(map(len, self._queues.values())) <= len(self._targets)
