"""Who is known to this node in this run: one record a peer, found by any of its names.

A record outlives the sessions and the ephemeral identities of its peer, so queues and streams
of messages carry on. It is bounded: the peer heard of longest ago, if not connected, makes room,
and one for whom messages wait does so last, or strangers who come and go could empty its queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import LimitError
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.ephemeral import Proof
from whispurrnet.stack.greeting import PRESENT, Hello
from whispurrnet.stack.live import Live
from whispurrnet.trust.chain import Member
from whispurrnet.wire.ids import PeerId

NAMES_PER_RECORD = 8
"""How many ids of one peer are remembered: those it took last, and none of another peer's."""


ROTATIONS_PER_S, ROTATIONS_BURST = 0.1, 10
"""How often a peer may change its identity: each change costs us three checks."""


PRESENCES_PER_S, PRESENCES_BURST = 0.5, 20
"""How often a peer may tell how it is doing."""


MOVES_PER_S, MOVES_BURST = 0.2, 8
"""How often a session may change its path because the peer wants it."""


COMINGS_PER_S, COMINGS_BURST = 1.0, 20
"""How often a peer may come again while a session with it stands."""


class Record:
    """One peer."""

    __slots__ = (
        "addresses",
        "capabilities",
        "comings",
        "handle",
        "id",
        "ids",
        "last_seen_s",
        "live",
        "member",
        "moves",
        "news",
        "persona",
        "presence",
        "profile",
        "proof",
        "psk",
        "rotations",
        "shown",
        "target",
    )

    def __init__(self, handle: int, proof: Proof) -> None:
        self.handle = handle
        self.proof = proof
        self.id: PeerId = proof.id
        self.ids: list[PeerId] = []
        """Those that lead to it, the oldest first."""
        self.persona: bytes | None = None
        self.live: Live | None = None
        self.profile = ""
        self.capabilities = 0
        """What it says it can do; see `greeting`."""
        self.member: Member | None = None
        """What it has shown, in the session it has, of its membership in our realm."""
        self.addresses: tuple[str, ...] = ()
        """Where it says it can be reached."""
        self.psk: Secret | None = None
        self.presence = PRESENT
        """How it says it is doing, and a note; told again in each session."""
        self.news = TokenBucket(PRESENCES_PER_S, PRESENCES_BURST)
        self.moves = TokenBucket(MOVES_PER_S, MOVES_BURST)
        self.comings = TokenBucket(COMINGS_PER_S, COMINGS_BURST)
        self.rotations = TokenBucket(ROTATIONS_PER_S, ROTATIONS_BURST)
        self.shown: tuple[bytes, ...] = ()
        """Our own ids by which it knows us, oldest first."""
        self.target: bytes | None = None
        """Under which name the pool calls it, if it does."""
        self.last_seen_s = 0.0

    @property
    def deeds(self) -> bytes:
        """Under which name evidence of it is kept: one that it cannot change in this run."""
        return self.persona or self.handle.to_bytes(8, "big")

    @property
    def static_key(self) -> bytes:
        """The key that a handshake to this peer needs."""
        return self.proof.static_key

    def take_hello(self, hello: Hello, now: float) -> None:
        """The peer told of itself at the beginning of a session."""
        self.profile, self.capabilities = hello.profile, hello.capabilities
        self.addresses, self.presence, self.member = hello.addresses, PRESENT, None
        self.last_seen_s = now


class Roster:
    """The records, and the names that lead to them.

    Args:
        limit: How many there may be.
        queued: How many messages wait for the peer with this number.
    """

    def __init__(self, limit: int, queued: Callable[[int], int] = lambda _: 0) -> None:
        self._limit = limit
        self._queued = queued
        self._records: dict[int, Record] = {}
        self._by_id: dict[PeerId, int] = {}
        self._by_persona: dict[bytes, int] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def get(self, handle: int) -> Record | None:
        """The record with this number."""
        return self._records.get(handle)

    def reached(self, static_key: bytes) -> bool:
        """Whether the peer with this key is connected."""
        return any(record.live is not None and record.static_key == static_key for record in self)

    def find(self, id: PeerId, persona: bytes | None = None) -> Record | None:
        """The record of a peer, by its long-term identity or any ephemeral one."""
        handle = self._by_persona.get(persona) if persona is not None else None
        if handle is None:
            handle = self._by_id.get(id)
        record = self._records.get(handle) if handle is not None else None
        if record is not None and persona is not None and record.persona not in (None, persona):
            return None
        return record

    def add(self, proof: Proof) -> tuple[Record, Record | None]:
        """A new record; and the one that made room for it, if one had to.

        Raises:
            LimitError: Every peer that is known is connected.
        """
        gone = None
        if len(self._records) >= self._limit:
            idle = (record for record in self._records.values() if record.live is None)
            gone = min(idle, key=self._worth, default=None)
            if gone is None:
                raise LimitError(f"{self._limit} peers are connected; no more are taken")
            self._remove(gone)
        record = Record(self._next, proof)
        self._next += 1
        self._records[record.handle] = record
        self._name(record)
        return record, gone

    def rename(self, record: Record, proof: Proof) -> None:
        """The peer took a new ephemeral identity; the old id still leads to it."""
        record.proof = proof
        record.id = proof.id
        self._name(record)

    def set_persona(self, record: Record, persona: bytes) -> None:
        """The peer proved this long-term identity."""
        assert record.persona in (None, persona)
        record.persona = persona
        self._by_persona[persona] = record.handle

    def _worth(self, record: Record) -> tuple[bool, float]:
        """The order of keeping: the smallest goes first."""
        return self._queued(record.handle) > 0, record.last_seen_s

    def _name(self, record: Record) -> None:
        """The id of a record leads to it; of its earlier ones, only the last few still do."""
        if record.id in record.ids:
            record.ids.remove(record.id)
        record.ids.append(record.id)
        self._by_id[record.id] = record.handle
        if len(record.ids) > NAMES_PER_RECORD:
            self._unname(record, record.ids.pop(0))

    def _unname(self, record: Record, id: PeerId) -> None:
        if self._by_id.get(id) == record.handle:
            del self._by_id[id]

    def _remove(self, record: Record) -> None:
        del self._records[record.handle]
        for id in record.ids:
            self._unname(record, id)
        if record.persona is not None:
            self._by_persona.pop(record.persona, None)
