"""What has been seen: the ids of messages, for as long as their messages could come again.

There are two generations: ids are added to the young one and looked for in both. When the young
one is old enough, and nothing in the old one could be accepted any more, the old one is forgotten
and the young one takes its place. Nothing is ever searched for what has expired.

Source: MESH.md 1.4, "On arrival", with one thing put right: generations of 300 s alone could
forget an id 300 s after it came, and its message may be accepted for 360 s.

Invariants:
    - an id is remembered for `span_s`, and until its message has expired, unless too many come;
    - there are never more than `ids_max` ids.
"""

from __future__ import annotations


class Seen:
    """The ids that have been seen.

    Args:
        span_s: How long an id is remembered at least, in seconds.
        ids_max: How many are remembered at most. If half as many come within one span, the older
            ones are forgotten too early.
    """

    __slots__ = (
        "_old",
        "_old_until",
        "_turn_at",
        "_young",
        "_young_until",
        "ids_max",
        "overflows",
        "span_s",
    )

    def __init__(self, span_s: float, ids_max: int) -> None:
        assert ids_max >= 2, "there are two generations"
        self.span_s = span_s
        self.ids_max = ids_max
        self.overflows = 0
        """How often ids were forgotten too early."""
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._young_until = 0.0  # when the last message of this generation expires
        self._old_until = 0.0
        self._turn_at = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, id: object) -> bool:
        return id in self._young or id in self._old

    def add(self, id: bytes, expires_at: float, now: float) -> None:
        """Remember an id.

        Args:
            id: 16 bytes.
            expires_at: From when on its message is not accepted, in monotonic seconds.
            now: Monotonic time in seconds.
        """
        if now >= self._turn_at:
            self.turn(now)
        if len(self._young) >= self.ids_max // 2:
            self.overflows += 1 if self._old else 0
            self._rotate(now)
        self._young.add(id)
        self._young_until = max(self._young_until, expires_at)

    def turn(self, now: float) -> None:
        """Forget what need not be remembered; call it now and then when nothing is added."""
        if now < self._turn_at:
            return
        if now < self._old_until and self._old:
            self._turn_at = self._old_until
        else:
            self._rotate(now)

    def _rotate(self, now: float) -> None:
        self._old, self._old_until = self._young, self._young_until
        self._young, self._young_until = set(), now
        self._turn_at = now + self.span_s
