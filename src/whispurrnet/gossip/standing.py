"""Standing: what each peer's gossip was worth, how much of it is taken, and what follows.

Two token buckets a link bound what a peer may send, whatever it is worth. A score, known to nobody
but us, says whether it stays in our view, is listened to, or is shown the door:

    score = 0.5 * first deliveries (at most 100) / 100 + 0.2 * minutes in view (at most 60) / 60
            - 10 * invalid^2 - unserved^2 / 16 - 5 * surplus^2 - 5 * penalty^2

Deliveries and faults fade, by 3 % a second; they are computed when asked for, so there is no timer.
`surplus` counts who came into the view before it from the same prefix, beyond `per_prefix`: those
who were there first lose nothing to those who crowd in. What a peer is worth makes up for little,
and its faults add up as squares: one message that is not authentic is forgiven in 100 seconds,
three at once end the link. Below -40 its key is refused for an hour. Faults are remembered by key
past the end of a session, so that hanging up is no cure; a fresh key is one, which is what stamps
and realms are for.

Source: MESH.md 1.4 "Peer score" and "Spam and Sybil"; the shape is that of GossipSub 1.1 (libp2p
specs, pubsub/gossipsub/gossipsub-v1.1.md, "Peer Scoring"), without P3.

Invariants:
    - a peer's own deeds change its record only, but for the place it takes in its prefix;
    - no score is above 0.7;
    - what is remembered past a session is bounded (`remembered_max`).
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from statistics import median
from typing import Final, Literal, TypeAlias

import msgspec

from whispurrnet.base.bounded import LruDict, TokenBucket

__all__ = ["FAULTS", "Config", "Standing", "Verdict"]

Fault: TypeAlias = Literal["invalid", "unserved", "penalty"]

FAULTS: Final[dict[str, tuple[Fault, float]]] = {
    "invalid": ("invalid", 1.0),
    "unserved": ("unserved", 1.0),
    "malformed": ("penalty", 1.0),
    "expired": ("penalty", 0.1),  # clocks differ, and queues are long
    "flood": ("penalty", 0.01),  # a tenth too much costs the view, half too much the link
}
"""What a fault of each kind counts as, and how much: a message that is not authentic; one that was
announced, asked for and never sent; bytes that break the protocol; a message past its time; one
more than is taken."""

FORGOTTEN: Final = 0.05
"""What has faded below this is not felt, so that an old fault does not keep a score below zero."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the standing of peers."""

    messages_per_s: float = 20.0
    """How many messages a second a peer may send."""

    messages_burst: float = 100.0
    """How many at once."""

    bytes_per_s: float = 256 * 1024.0
    """How many bytes of gossip a second a peer may send."""

    bytes_burst: float = 1024 * 1024.0
    """How many at once; nothing longer is taken."""

    keep_per_s: float = 0.97
    """What is left of deliveries and faults after a second."""

    per_prefix: int = 2
    """How many peers of one prefix in the view cost nobody anything."""

    leave_below: float = 0.0
    """Who has less leaves the active view."""

    mute_below: float = -10.0
    """Whose gossip is neither heard nor told any more."""

    close_below: float = -40.0
    """Whose link is closed, and whose key is greylisted."""

    greylist_s: float = 3600.0
    """How long a key is refused, in seconds."""

    remembered_max: int = 4096
    """How many keys are greylisted, and how many past peers' faults are remembered."""


class Verdict(IntEnum):
    """What follows from a score; the higher, the worse, each with all before it."""

    KEEP = 0
    LEAVE = 1
    """It leaves the active view."""
    MUTE = 2
    """No gossip either way."""
    CLOSE = 3
    """The link ends, and its key is refused for an hour."""


class _Deeds:
    """What fades: deliveries and faults, as they were at a time."""

    __slots__ = ("at", "first", "invalid", "penalty", "unserved")

    def __init__(self, now: float) -> None:
        self.at = now
        self.first = 0.0
        self.invalid = 0.0
        self.unserved = 0.0
        self.penalty = 0.0

    def fade(self, keep_per_s: float, now: float) -> None:
        if now > self.at:
            kept = keep_per_s ** (now - self.at)
            self.at = now
            self.first *= kept
            self.invalid *= kept
            self.unserved *= kept
            self.penalty *= kept

    def count(self, fault: Fault, weight: float) -> None:
        match fault:
            case "invalid":
                self.invalid += weight
            case "unserved":
                self.unserved += weight
            case "penalty":
                self.penalty += weight

    @property
    def cost(self) -> float:
        """What the faults take from the score: 0 once they have faded."""
        return (
            10 * _felt(self.invalid) ** 2
            + _felt(self.unserved) ** 2 / 16
            + 5 * _felt(self.penalty) ** 2
        )


class _Link:
    """One peer that is there."""

    __slots__ = ("bytes", "deeds", "entered_at", "key", "messages", "prefix")

    def __init__(self, key: bytes, prefix: str, deeds: _Deeds, config: Config) -> None:
        self.key = key
        self.prefix = prefix
        self.deeds = deeds
        self.entered_at = inf
        """When it came into the active view; infinite while it is not in it."""
        self.messages = TokenBucket(config.messages_per_s, config.messages_burst)
        self.bytes = TokenBucket(config.bytes_per_s, config.bytes_burst)


class Standing:
    """The standing of each peer of one node.

    It cannot be driven: it is asked. Peers that are not there have a score of zero, nothing is
    taken from them, and what is told of them is ignored, for news of a link may come after its end.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self._links: dict[int, _Link] = {}
        self._seats: dict[str, dict[int, None]] = {}
        """Who is in the view from each prefix, first come first."""
        self._past: LruDict[bytes, _Deeds] = LruDict(self.config.remembered_max)
        self._greylist: LruDict[bytes, float] = LruDict(self.config.remembered_max)

    def __len__(self) -> int:
        """How many peers are there."""
        return len(self._links)

    # Coming and going

    def add(self, peer: int, key: bytes, prefix: str, now: float) -> None:
        """A link with a peer is there.

        Args:
            peer: Its handle; one that is there already is first removed.
            key: Its static key, by which faults are remembered and greylists kept.
            prefix: Its IPv4 /24 or IPv6 /48, or "" where that says nothing: of a friend, and on
                loopback or a private network.
            now: Monotonic time in seconds, here and in all other methods.
        """
        self.remove(peer, now)
        deeds = self._past.pop(key) or _Deeds(now)
        self._links[peer] = _Link(key, prefix, deeds, self.config)

    def remove(self, peer: int, now: float) -> None:
        """The link ended; faults that have not faded are remembered for its key."""
        self.left(peer)
        link = self._links.pop(peer, None)
        if link is None:
            return
        deeds = self._faded(link, now)
        deeds.first = 0.0
        if deeds.cost:
            self._past.put(link.key, deeds)

    def entered(self, peer: int, now: float) -> None:
        """The peer came into the active view: its minutes there count, and its place."""
        link = self._links.get(peer)
        if link is not None and link.entered_at == inf:
            link.entered_at = now
            if link.prefix:
                self._seats.setdefault(link.prefix, {})[peer] = None

    def left(self, peer: int) -> None:
        """The peer left the active view; the next time its minutes begin anew."""
        link = self._links.get(peer)
        if link is None or link.entered_at == inf:
            return
        link.entered_at = inf
        if link.prefix:
            seats = self._seats[link.prefix]
            del seats[peer]
            if not seats:
                del self._seats[link.prefix]

    # Deeds

    def allow(self, peer: int, size: int, now: float, *, messages: int = 1) -> bool:
        """Whether what came may be taken; if not, drop it: that is counted here as a fault.

        Args:
            peer: Who sent it.
            size: How many bytes it has.
            now: Monotonic time in seconds.
            messages: How many messages it is; 0 for announcements and the like.
        """
        link = self._links.get(peer)
        if link is None:
            return False
        if link.bytes.wait_s(size, now) == 0 and link.messages.take(messages, now):
            return link.bytes.take(size, now)
        self.fault(peer, "flood", now)
        return False

    def useful(self, peer: int, now: float) -> None:
        """The peer was the first to bring a message."""
        link = self._links.get(peer)
        if link is not None:
            self._faded(link, now).first += 1.0

    def invalid(self, peer: int, now: float) -> None:
        """It sent a message that is not authentic: it did not check, or made it."""
        self.fault(peer, "invalid", now)

    def unserved(self, peer: int, now: float) -> None:
        """It announced a message, was asked for it, and did not send it in time."""
        self.fault(peer, "unserved", now)

    def protocol(self, peer: int, now: float) -> None:
        """It sent bytes that break the protocol."""
        self.fault(peer, "malformed", now)

    def fault(self, peer: int, kind: str, now: float) -> None:
        """Count a fault; one that is too much greylists the peer's key.

        Args:
            peer: Who did it.
            kind: One of `FAULTS`.
            now: Monotonic time in seconds.

        Raises:
            KeyError: There is no such kind.
        """
        name, weight = FAULTS[kind]
        link = self._links.get(peer)
        if link is None:
            return
        deeds = self._faded(link, now)
        deeds.count(name, weight)
        if self.score(peer, now) < self.config.close_below:
            self._greylist.put(link.key, now + self.config.greylist_s)

    # Judgement

    def score(self, peer: int, now: float) -> float:
        """What a peer is worth: at most 0.7, below zero for faults; 0 of one who is not there."""
        link = self._links.get(peer)
        if link is None:
            return 0.0
        deeds = self._faded(link, now)
        minutes = max(0.0, now - link.entered_at) / 60
        return (
            0.5 * min(deeds.first, 100) / 100
            + 0.2 * min(minutes, 60) / 60
            - 5 * self._surplus(peer, link) ** 2
            - deeds.cost
        )

    def verdict(self, peer: int, now: float) -> Verdict:
        """What follows from a peer's score; a greylisted one is shown the door whatever it is."""
        link = self._links.get(peer)
        if link is None:
            return Verdict.KEEP
        score = self.score(peer, now)
        if score < self.config.close_below or self.greylisted(link.key, now):
            return Verdict.CLOSE
        if score < self.config.mute_below:
            return Verdict.MUTE
        return Verdict.LEAVE if score < self.config.leave_below else Verdict.KEEP

    def greylisted(self, key: bytes, now: float) -> bool:
        """Whether a key is refused: dial it not, and end its sessions."""
        until = self._greylist.peek(key)
        if until is not None and until <= now:
            self._greylist.pop(key)
            return False
        return until is not None

    def median(self, peers: tuple[int, ...], now: float) -> float:
        """The median of the peers' scores; 0 of nobody. Low for long, the view wants new ones."""
        return median(self.score(peer, now) for peer in peers) if peers else 0.0

    def _faded(self, link: _Link, now: float) -> _Deeds:
        link.deeds.fade(self.config.keep_per_s, now)
        return link.deeds

    def _surplus(self, peer: int, link: _Link) -> int:
        """How many of its prefix came into the view before it, beyond those that cost nothing."""
        seats = self._seats.get(link.prefix)
        if seats is None or peer not in seats:
            return 0
        return max(0, list(seats).index(peer) + 1 - self.config.per_prefix)


def _felt(value: float) -> float:
    return value if value >= FORGOTTEN else 0.0
