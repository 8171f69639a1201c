"""What a version has seen: how many changes of each device went into it.

A history is a sorted tuple of (device, count) pairs. One that has all the counts of another, or
more, comes after it; if neither does, the two are rivals. A change is a dot (device, count), and
each dot is made once.

Source: Parker et al., "Detection of Mutual Inconsistency in Distributed Systems" (1983), for the
vectors; Almeida et al., "Scalable and Accurate Causality Tracking" (2014), for the dots.
"""

from __future__ import annotations

from typing import TypeAlias

History: TypeAlias = tuple[tuple[int, int], ...]
Dot: TypeAlias = tuple[int, int]


def covers(history: History, dot: Dot) -> bool:
    """Whether a history has seen a change."""
    return any(device == dot[0] and count >= dot[1] for device, count in history)


def after(a: History, b: History) -> bool:
    """Whether `a` has seen all that `b` has: it is the same, or newer."""
    if a == b:
        return True
    seen = dict(a)
    return all(seen.get(device, 0) >= count for device, count in b)


def union(a: History, b: History) -> History:
    """What the two have seen together."""
    seen = dict(a)
    for device, count in b:
        if seen.get(device, 0) < count:
            seen[device] = count
    return tuple(sorted(seen.items()))


def bump(history: History, device: int) -> History:
    """The history after one more change of a device."""
    seen = dict(history)
    seen[device] = seen.get(device, 0) + 1
    return tuple(sorted(seen.items()))
