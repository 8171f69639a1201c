"""What is remembered of a set, and of one peer about it (see `store.sync`).

Invariants:
    - what is wanted has a source that is there; the first of them is the one whose load it is;
    - what waits, here or for us, is bounded for each link.
"""

from __future__ import annotations

from enum import Enum

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.timers import Timers
from whispurrnet.store.sync_events import Config
from whispurrnet.store.sync_messages import OIDS_MAX, Entry
from whispurrnet.wire.items import Items
from whispurrnet.wire.reconcile import Reconciler

SKIPPED_MAX = 4096
"""How many objects of a source are remembered that it could not give."""
DESCRIBES_MAX = 4
"""How many messages of a peer that asks what objects are may wait."""


class State(Enum):
    """How we stand with a source."""

    IDLE = 0
    """Not asked, or refused."""
    OPENING = 1
    OPEN = 2


class Job(Enum):
    """What is done for a link at a given time."""

    OPEN = 0
    """Ask again; or its answer to that has not come."""
    ROUND = 1
    ANSWER = 2
    """An answer to a query has not come."""
    DESCRIBE = 3
    """A description has not come."""
    FLUSH = 4
    SERVE = 5


class Wanted:
    """An object that is being fetched."""

    __slots__ = ("entry", "sources")

    def __init__(self, entry: Entry, peer: int) -> None:
        self.entry = entry
        self.sources: dict[int, None] = {peer: None}

    @property
    def first(self) -> int:
        """Whose load it is."""
        return next(iter(self.sources))


class Shared:
    """One set.

    Args:
        id: 32 bytes.
        items: What is in it.
    """

    __slots__ = ("id", "items", "links", "sources", "wanted")

    def __init__(self, id: bytes, items: Items) -> None:
        self.id = id
        self.items = items
        self.sources: dict[int, None] = {}
        self.links: dict[int, Link] = {}
        """Peers that are up and follow us, or that we follow."""
        self.wanted: dict[bytes, Wanted] = {}

    def lose(self, oid: bytes, peer: int) -> bool:
        """A peer is no source of an object any more; whether nobody is, so it is not wanted."""
        wanted = self.wanted.get(oid)
        if wanted is None or peer not in wanted.sources:
            return False
        del wanted.sources[peer]
        self.links[peer].load.pop(oid, None)
        if wanted.sources:
            self.links[wanted.first].load[oid] = None
            return False
        del self.wanted[oid]
        return True

    def settle(self, oid: bytes) -> dict[int, None]:
        """An object is not wanted any more; return who had it."""
        wanted = self.wanted.pop(oid, None)
        if wanted is None:
            return {}
        self.links[wanted.first].load.pop(oid, None)
        return wanted.sources

    def check_invariants(self) -> None:
        """Assert what must be true; looks at everything."""
        for oid, wanted in self.wanted.items():
            assert wanted.sources and all(peer in self.links for peer in wanted.sources)
            assert oid in self.links[wanted.first].load
        assert sum(len(link.load) for link in self.links.values()) == len(self.wanted)
        for peer, link in self.links.items():
            assert link.peer == peer and (link.reads or peer in self.sources)
            link.check_invariants()


class Link:
    """One peer and one set.

    Args:
        peer: Who.
        shared: The set.
        config: Settings.
    """

    __slots__ = (
        "announced",
        "answer_due",
        "asked",
        "began_at",
        "behind",
        "described",
        "describes",
        "failures",
        "held",
        "learn",
        "left_until",
        "load",
        "nonce",
        "outbox",
        "peer",
        "queries",
        "query",
        "reads",
        "reads_since",
        "round",
        "shared",
        "skip",
        "state",
        "their_nonce",
        "unannounced",
    )

    def __init__(self, peer: int, shared: Shared, config: Config) -> None:
        self.peer, self.shared = peer, shared

        # We follow the peer.
        self.state = State.IDLE
        self.nonce = 0
        self.round: Reconciler | None = None
        """The comparison that goes on."""
        self.held: bytes | None = None
        """Our next query; it waits until less is being fetched."""
        self.answer_due = False
        """Whether a query of ours is not answered yet."""
        self.began_at = float("-inf")
        """When the last comparison began, in seconds."""
        self.behind = False
        """Whether something it announced was not taken."""
        self.learn: dict[bytes, None] = {}
        """What we lack, to be described."""
        self.asked: dict[bytes, None] = {}
        """What is being described."""
        self.load: dict[bytes, None] = {}
        """What is being fetched, and first of all from this peer."""
        self.skip: LruDict[bytes, float] = LruDict(SKIPPED_MAX)
        """What it is not asked for until this time, in seconds."""
        self.left_until = float("-inf")
        """Until when it is left for what it did, in seconds."""
        self.announced = TokenBucket(config.announced_per_s, 4 * config.announced_per_s)
        self.failures = TokenBucket(config.failures_max / 600, config.failures_max)

        # The peer follows us.
        self.reads = False
        self.reads_since = float("-inf")
        """When it said that it follows us, in seconds."""
        self.their_nonce = 0
        self.outbox: dict[bytes, Entry] = {}
        """What to announce to it."""
        self.unannounced = False
        """Whether there was more than that."""
        self.query: bytes | None = None
        """What it asked, to be answered when it is its turn."""
        self.describes: list[tuple[bytes, ...]] = []
        """What it wants described, likewise."""
        self.queries = TokenBucket(config.queries_per_s, 4 * config.queries_per_s)
        rate = config.described_per_s
        self.described = TokenBucket(rate, max(rate, 2 * OIDS_MAX))

    @property
    def busy(self) -> int:
        """How much of what it has we are about to get."""
        return len(self.load) + len(self.learn) + len(self.asked)

    def close(self, timers: Timers[tuple[Job, Link]]) -> None:
        """We follow no longer; what is wanted of it is not touched."""
        self.state, self.round, self.held, self.answer_due = State.IDLE, None, None, False
        self.behind = False
        self.learn.clear()
        self.asked.clear()
        for job in (Job.OPEN, Job.ROUND, Job.ANSWER, Job.DESCRIBE):
            timers.cancel((job, self))

    def shut(self, timers: Timers[tuple[Job, Link]]) -> None:
        """The peer follows no longer."""
        self.reads = self.unannounced = False
        self.query = None
        self.outbox.clear()
        self.describes.clear()
        for job in (Job.FLUSH, Job.SERVE):
            timers.cancel((job, self))

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert not self.learn.keys() & self.asked.keys()
        if self.state is not State.OPEN:
            assert self.round is None and not self.learn and not self.asked
        if self.round is None:
            assert self.held is None and not self.answer_due
        assert self.round is None or (self.held is not None) != self.answer_due
        assert len(self.describes) <= DESCRIBES_MAX
        if not self.reads:
            assert not self.outbox and not self.describes and self.query is None
