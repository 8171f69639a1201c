"""Announcements that go together: one alone at once, those that follow it soon after, as one.

Source: MESH.md 1.4, "IHAVE is batched".

Invariants:
    - nothing waits for longer than `announce_s`, and never more than `ids_max` ids for one peer;
    - who has something waiting has a time at which it goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf

from whispurrnet.gossip.spread_events import Effect, Send
from whispurrnet.gossip.spread_frames import CONTROL, ONLY_ANNOUNCED, URGENT, ihave


class Batch:
    """What is to be announced to one peer."""

    __slots__ = ("open", "peer", "quiet_until", "waiting")

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.open = True
        """False once the peer is gone."""
        self.waiting: dict[bytes, int] = {}
        """The ids, with their flags."""
        self.quiet_until = 0.0


class Batches:
    """The announcements of one node.

    Args:
        announce_s: How long an announcement may wait for others, in seconds.
        ids_max: How many go together.
        is_held: Whether what is announced can still be had; asked just before it goes.
    """

    def __init__(
        self, announce_s: float, ids_max: int, is_held: Callable[[bytes, float], bool]
    ) -> None:
        self._announce_s = announce_s
        self._ids_max = ids_max
        self._is_held = is_held
        self._due: deque[tuple[float, Batch]] = deque()

    @property
    def deadline(self) -> float:
        """When something has to go, in seconds; infinity if nothing waits."""
        return self._due[0][0] if self._due else inf

    def announce(
        self,
        batches: Sequence[Batch],
        id: bytes,
        flags: int,
        urgent: bool,
        now: float,
        effects: list[Effect],
    ) -> None:
        """Announce one id to some peers; what is urgent never waits."""
        quiet_until = now + self._announce_s
        frame = ihave(flags, (id,))
        for batch in batches:
            if urgent or (now >= batch.quiet_until and not batch.waiting):
                batch.quiet_until = quiet_until
                effects.append(Send(batch.peer, frame, URGENT if urgent else CONTROL))
                continue
            if not batch.waiting:
                self._due.append((quiet_until, batch))
            batch.waiting[id] = flags
            if len(batch.waiting) >= self._ids_max:
                self._flush(batch, now, effects)

    def tick(self, now: float, effects: list[Effect]) -> None:
        """Send what has waited long enough."""
        while self._due and self._due[0][0] <= now:
            batch = self._due.popleft()[1]
            if batch.waiting and batch.open:
                self._flush(batch, now, effects)

    def _flush(self, batch: Batch, now: float, effects: list[Effect]) -> None:
        held = [(id, flag) for id, flag in batch.waiting.items() if self._is_held(id, now)]
        for flags in (0, ONLY_ANNOUNCED):
            ids = [id for id, flag in held if flag == flags]
            if ids:
                effects.append(Send(batch.peer, ihave(flags, ids), CONTROL))
        batch.waiting.clear()
        batch.quiet_until = now + self._announce_s

    def check_invariants(self, batches: Iterable[Batch]) -> None:
        """Assert what must be true; tests call it."""
        times = [due for due, _ in self._due]
        assert times == sorted(times)
        going = {id(batch) for _, batch in self._due}
        for batch in batches:
            assert len(batch.waiting) < self._ids_max
            assert not batch.waiting or id(batch) in going
