"""Whom we gossip with, and whom we could: the two views of HyParView, and their caps.

The *active* view is a handful of peers with whom we have a session and who have us in theirs. The
*passive* view is a list of contacts to call when one of those is lost. Both are what somebody who
wants to surround us would fill with his own, so neither lets any one source have too much of it:

- of the active view, those who called us, those of one network (IPv4 /24, IPv6 /48) and those whom
  one member invited have a share each; friends stand outside and do not count;
- of the passive view, so have those of one network, and whatever one neighbour told us.

Source: Leitao, Pereira, Rodrigues, "HyParView" (2007), section 4; MESH.md 1.4, "Overlay"; the share
of each source is the idea of Bitcoin Core's `addrman` (Heilman et al., "Eclipse Attacks", 2015).
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.gossip.contact import Contact, Rng, pick, prefix_of, sample

LIFETIME_S_MAX = 8 * 24 * 3600
"""A contact that would hold for longer than this, in seconds, is not believed."""


# The active view


class Guard:
    """How much somebody may ask of us; it outlives his sessions."""

    __slots__ = ("acts", "messages", "shuffles")

    def __init__(self, messages: TokenBucket, acts: TokenBucket, shuffles: TokenBucket) -> None:
        self.messages = messages
        """Of any kind."""
        self.acts = acts
        """Those that change the active view."""
        self.shuffles = shuffles
        """Walks that bring contacts."""


class Link:
    """A peer with whom there is a session."""

    __slots__ = (
        *("active", "asking", "contact", "friend", "guard", "inviter", "join_heard", "join_sent"),
        *("key", "outbound", "peer", "prefix", "repaired_at", "since", "stale", "unanswered"),
        *("urgent", "walks"),
    )

    def __init__(self, peer: int, key: bytes, guard: Guard, walks: TokenBucket) -> None:
        self.peer = peer
        self.key = key
        self.guard = guard
        self.walks = walks
        """How many new nodes we may tell it of."""
        self.contact: Contact | None = None
        self.outbound = False
        """Whether we called."""
        self.prefix = ""
        self.inviter = b""
        self.friend = False
        self.active = False
        self.asking = False
        """Whether a place is kept for it, because we asked whether it takes us."""
        self.unanswered = 0
        """How many answers it owes us."""
        self.urgent = False
        """Whether what we asked last was urgent."""
        self.stale = 0
        """How many of those are to what we asked before we pruned it: they mean nothing now."""
        self.since = 0.0
        """When it became active, in seconds."""
        self.join_sent = False
        self.join_heard = False
        self.repaired_at = float("-inf")
        """When it was last told that it is not in our view, in seconds."""

    @property
    def source(self) -> bytes:
        """Who tells us what this peer tells: its network, or itself."""
        return self.prefix.encode() or self.key


class ActiveView:
    """The peers we gossip with, those we have asked, and the room there is.

    Args:
        size: At most so many, friends not counted.
        outbound_min: So many places are only for those we called.
        per_prefix: At most so many of one network.
        per_inviter: At most so many invited by one member.
    """

    def __init__(self, size: int, outbound_min: int, per_prefix: int, per_inviter: int) -> None:
        self.size = size
        self.outbound_min = outbound_min
        self.per_prefix = per_prefix
        self.per_inviter = per_inviter
        self.members: dict[int, Link] = {}
        self.friends: dict[int, Link] = {}
        self.asking: dict[int, Link] = {}

    @property
    def links(self) -> list[Link]:
        """All who are active, friends first."""
        return [*self.friends.values(), *self.members.values()]

    @property
    def outbound_lacking(self) -> int:
        """How many more we should call, those asked counted as had."""
        return self.outbound_min - sum(one.outbound for one in self._taken())

    @property
    def lacking(self) -> int:
        """How many more there should be, those asked counted as had.

        We look for no more than lies between what we must call and what there is room for: the
        rest is room for others, or nobody would find any.
        """
        return (self.size + self.outbound_min) // 2 - len(self._taken())

    def add(self, link: Link) -> None:
        """Make a peer active; the caller has seen that it fits."""
        link.active = True
        (self.friends if link.friend else self.members)[link.peer] = link

    def remove(self, link: Link) -> None:
        """Take a peer out."""
        link.active = False
        self.friends.pop(link.peer, None)
        self.members.pop(link.peer, None)

    def ask(self, link: Link) -> None:
        """Keep a place for a peer; the caller has seen that it fits."""
        link.asking = True
        self.asking[link.peer] = link

    def unask(self, link: Link) -> None:
        """Keep the place no longer."""
        link.asking = False
        self.asking.pop(link.peer, None)

    def fits(self, link: Link, without: Link | None = None) -> bool:
        """Whether there is room for a peer, or would be `without` another."""
        if link.friend:
            return True
        others = [one for one in self._taken() if one is not link and one is not without]
        if len(others) >= self.size:
            return False
        inbound = sum(not one.outbound for one in others)
        if not link.outbound and inbound >= self.size - self.outbound_min:
            return False
        if link.prefix and not self.prefix_fits(link.prefix, others):
            return False
        invited = sum(one.inviter == link.inviter for one in others)
        return not link.inviter or invited < self.per_inviter

    def prefix_fits(self, prefix: str, others: Sequence[Link] | None = None) -> bool:
        """Whether there is room for one more of this network."""
        taken = self._taken() if others is None else others
        return not prefix or sum(one.prefix == prefix for one in taken) < self.per_prefix

    def victim(self, link: Link, rng: Rng) -> Link | None:
        """Who might make room for a peer: one of the newer half of those whose leaving helps.

        Whoever stands long is safe: a crowd of newcomers pushes out one another.
        """
        helps = [one for one in self.members.values() if self.fits(link, without=one)]
        helps.sort(key=lambda one: one.since)
        return pick(helps[len(helps) // 2 :], rng)

    def check(self) -> None:
        """Assert what must be true."""
        taken = self._taken()
        assert len(taken) <= self.size
        assert len({one.peer for one in taken}) == len(taken), "nobody is both asked and a member"
        assert sum(not one.outbound for one in taken) <= self.size - self.outbound_min
        for one in taken:
            assert not one.friend
            assert one.active != one.asking
            if one.prefix:
                assert sum(each.prefix == one.prefix for each in taken) <= self.per_prefix
            if one.inviter:
                assert sum(each.inviter == one.inviter for each in taken) <= self.per_inviter
        assert all(one.friend and one.active for one in self.friends.values())

    def _taken(self) -> list[Link]:
        return [*self.members.values(), *self.asking.values()]


# The passive view


FOUND = b"found"
"""The source of contacts that others are not told of: they get a share of the view."""


class Entry(msgspec.Struct):
    """A contact, and who told us."""

    contact: Contact
    source: bytes
    prefix: str
    is_first: bool = False
    """Called before others: it was good to us before."""
    is_shared: bool = True
    """Others may be told of it."""


def newest(entries: Sequence[Entry]) -> list[Entry]:
    """Of several keys at one place, the one that holds for longest."""
    ends: dict[tuple[str, ...], int] = {}
    for entry in entries:
        at = entry.contact.addresses
        ends[at] = max(ends.get(at, 0), entry.contact.expires_s)
    return [one for one in entries if one.contact.expires_s == ends[one.contact.addresses]]


class PassiveView:
    """Contacts to call when one is needed.

    Args:
        limit: At most so many; a quarter of that from one source, an eighth of one network.
        rng: Chance.
    """

    def __init__(self, limit: int, rng: Rng) -> None:
        assert limit > 0, "a passive view holds at least one"
        self.limit = limit
        self.share = max(1, limit // 4)
        self.per_prefix = max(1, limit // 8)
        self._rng = rng
        self._entries: dict[bytes, Entry] = {}
        self._purge_at_s = 0
        """Unix time: nothing expires before."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def is_private(self, key: bytes) -> bool:
        """Whether nobody may be told of this contact."""
        entry = self._entries.get(key)
        return entry is not None and not entry.is_shared

    @property
    def entries(self) -> list[Entry]:
        """All there is: a copy."""
        return list(self._entries.values())

    def add(
        self,
        contact: Contact,
        source: bytes,
        wall_s: int,
        *,
        spare: Sequence[bytes] = (),
        is_direct: bool = False,
        is_first: bool = False,
        is_shared: bool = True,
    ) -> bool:
        """Take a contact in, if it is good and there is a place for it.

        What is known stays: a new address is believed only from the node itself, so that nobody
        can lead us astray by naming another's key.

        Args:
            contact: Whom.
            source: Who told; empty for ourselves, whose share has no bound.
            wall_s: Unix time in seconds.
            spare: Keys to give up first.
            is_direct: The node itself said it.
            is_first: Call it before others.
            is_shared: Others may be told of it.

        Returns:
            Whether it is new here.
        """
        known = self._entries.get(contact.key)
        if not wall_s < contact.expires_s <= wall_s + LIFETIME_S_MAX:
            return False
        if known is not None:
            same = known.contact.addresses == contact.addresses
            if (same and known.contact.expires_s < contact.expires_s) or is_direct:
                known.contact = contact
                self._purge_at_s = min(self._purge_at_s, contact.expires_s)
            known.is_first = known.is_first or is_first
            known.is_shared = known.is_shared or is_shared
            return False
        prefix = prefix_of(contact)
        if prefix is None or not self._make_room(source, prefix, spare):
            return False
        self._entries[contact.key] = Entry(contact, source, prefix, is_first, is_shared)
        self._purge_at_s = min(self._purge_at_s, contact.expires_s)
        return True

    def discard(self, key: bytes) -> None:
        """Forget a contact."""
        self._entries.pop(key, None)

    def purge(self, wall_s: int) -> None:
        """Forget what has expired."""
        if wall_s < self._purge_at_s:
            return
        for key, entry in list(self._entries.items()):
            if entry.contact.expires_s <= wall_s:
                del self._entries[key]
        ends = [entry.contact.expires_s for entry in self._entries.values()]
        self._purge_at_s = min(ends, default=wall_s + LIFETIME_S_MAX)

    def sample(self, count: int, but: Container[bytes] = ()) -> list[Contact]:
        """At most `count` contacts at random that others may be told of, but not these."""
        fitting = (
            entry.contact
            for key, entry in self._entries.items()
            if key not in but and entry.is_shared
        )
        return sample(fitting, count, self._rng)

    def _make_room(self, source: bytes, prefix: str, spare: Sequence[bytes]) -> bool:
        """Give up another entry if need be: one of the same source, or of the largest."""
        entries = self._entries
        if prefix:
            alike = sum(entry.prefix == prefix for entry in entries.values())
            if alike >= self.per_prefix:
                return False
        counts: dict[bytes, int] = {}
        for entry in entries.values():
            counts[entry.source] = counts.get(entry.source, 0) + 1
        if source and counts.get(source, 0) >= self.share:
            self._give_up(source)
        elif len(entries) >= self.limit:
            gone = next((key for key in spare if key in entries), None)
            if gone is None:
                self._give_up(max(counts, key=lambda one: counts[one]))
            else:
                del entries[gone]
        return True

    def _give_up(self, source: bytes) -> None:
        keys = [key for key, entry in self._entries.items() if entry.source == source]
        gone = pick(keys, self._rng)
        assert gone is not None, "a source that is counted has an entry"
        del self._entries[gone]
