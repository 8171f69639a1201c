"""Gossip, as the stack sees it: one overlay for each shard, and what is for us in what spreads."""

from __future__ import annotations

from whispurrnet.base.errors import ProtocolError, UsageError
from whispurrnet.crypto.hash import hmac_sha256
from whispurrnet.gossip import membership
from whispurrnet.gossip.contact import Contact, prefix_of_host
from whispurrnet.gossip.envelope import (
    Realm,
    realm_key,
)
from whispurrnet.gossip.keyring import Keyring
from whispurrnet.gossip.ladder import EVERYONE
from whispurrnet.gossip.resonance import normalise
from whispurrnet.gossip.spread_events import COUNTS
from whispurrnet.gossip.stamp import Difficulty
from whispurrnet.gossip.standing import Standing
from whispurrnet.session.pool import Rng
from whispurrnet.stack import events, greeting
from whispurrnet.stack.candidates import Candidates
from whispurrnet.stack.checker import Checker, Message
from whispurrnet.stack.guests import Guests
from whispurrnet.stack.hearing import Hearing
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.overlay import Overlay
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import Shared
from whispurrnet.stack.speaking import Speaking
from whispurrnet.wire.address import parse as parse_address

ADDRESSES_MAX, ADDRESS_BYTES_MAX = 4, 200
"""What others are told of us."""


def _prefix(live: Live) -> str:
    """The network a peer is in, if that says anything about whose it is."""
    try:
        return "" if live.friend else prefix_of_host(parse_address(live.address).host)
    except UsageError:
        return ""


def _branch(record: Record) -> bytes:
    """Who answers for a member of a closed realm, because the founder let it in."""
    return record.member.branch if record.member is not None else b""


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one[name] + other[name] for name in COUNTS}


class Gossiping:
    """What this node spreads, passes on and listens to. It is the `Host` of its overlays.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
        rng: Chance, which must not be guessable.
        now: Monotonic time in seconds.
    """

    def __init__(self, shared: Shared, links: Links, rng: Rng, now: float) -> None:
        self._shared = shared
        self._links = links
        self._rng = rng
        self._config = shared.config.gossip
        self.realm = Realm(realm_key(shared.config.network_secret))
        self.standing = Standing(self._config.standing)
        self.overlays: dict[int, Overlay] = {}
        self._shards: dict[int, int] = {}
        """How many intents keep a shard joined; the first, of what is for everyone, always is."""
        self._interests: dict[tuple[str, bytes | None], int] = {}
        self.speaking = Speaking(shared, self.realm, self._overlay_for)
        self.hearing = Hearing(shared, Keyring(self.realm), self.speaking, rng)
        self._past = dict.fromkeys(COUNTS, 0)
        """The counts of overlays that this node has left."""
        self._guests = Guests(self._config.guests, self._config.membership.per_inviter)
        self._idle: dict[int, None] = {}
        """Peers whose session nobody needs, the longest so first."""
        self._candidates = Candidates(shared)
        if self._config.on:
            self._join(0, now)

    # Shards

    def _overlay_for(self, intent: str, key: bytes | None, now: float) -> Overlay:
        """Where messages of an intent spread: to speak in a shard is to be part of it.

        Raises:
            UsageError: This node takes no part in gossip.
        """
        if not self._config.on:
            raise UsageError("gossip is switched off here; set gossip.enabled = true")
        shard = self._shard_of(intent, key)
        if shard not in self.overlays:
            self._join(shard, now)
        return self.overlays[shard]

    def _shard_of(self, intent: str, key: bytes | None) -> int:
        """The shard of an intent: all that begin alike are in one."""
        bits = self._config.shard_bits
        if not bits or intent == EVERYONE:
            return 0
        root = intent.split("#", maxsplit=1)[0].split("/", maxsplit=1)[0]
        base = self.realm.base if key is None else key
        return hmac_sha256(base, b"WN1 shard\0", root.encode())[0] >> (8 - bits)

    def _join(self, shard: int, now: float) -> None:
        self._shards[shard] = self._shards.get(shard, 0) + 1
        if shard in self.overlays:
            return
        shared, difficulty = self._shared, Difficulty(self._config.stamp)
        overlay = self.overlays[shard] = Overlay(
            shard,
            self._config,
            Checker(self.realm, shard, difficulty, shared.wall),
            difficulty,
            self.standing,
            self._rng,
            lambda: shared.wall() // 1000,
            self,
        )
        overlay.me(shared.identity.proof.static_key, self._contact(), now)
        overlay.membership.walks.sleeps = self._links.resting.sleeps
        for record in shared.roster:
            if record.live is not None and self._takes_part(record):
                self._introduce(overlay, record, record.live, now)

    def _quit(self, shard: int, now: float) -> None:
        self._shards[shard] -= 1
        if not self._shards[shard]:
            del self._shards[shard]
            overlay = self.overlays.pop(shard)
            self._past = _sum(self._past, overlay.spread.stats)
            for peer in overlay.neighbours:
                overlay.down(peer, now)

    # Ourselves

    def _contact(self) -> Contact | None:
        shared = self._shared
        fit = [text for text in shared.addresses if len(text) <= ADDRESS_BYTES_MAX]
        if not self._config.share or not fit:
            return None
        proof = shared.identity.proof
        return Contact(proof.static_key, tuple(fit[:ADDRESSES_MAX]), proof.not_after_s)

    def moved(self, now: float) -> None:
        """Our addresses or our identity changed."""
        contact, key = self._contact(), self._shared.identity.proof.static_key
        for overlay in self.overlays.values():
            overlay.me(key, contact, now)

    # Peers

    def _takes_part(self, record: Record) -> bool:
        gossips = bool(record.capabilities & greeting.GOSSIPS)
        return gossips and self._shared.belonging.admits(record)

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        if live.friend:
            self._candidates.forgive(record.static_key)
        if not self._takes_part(record) or not self._config.on:
            if self._shared.belonging.is_closed and not live.friend:
                self._idle[record.handle] = None  # strangers make room for members
            return
        self._idle.pop(record.handle, None)
        self.standing.add(record.handle, record.static_key, _prefix(live), now)
        if self.standing.greylisted(record.static_key, now):
            self.shut_out(record.handle, now)
            return
        if live.kept and not live.friend:
            self._guests.welcome(record.handle, _prefix(live), _branch(record))
        elif not live.friend:
            self._idle[record.handle] = None
        for overlay in list(self.overlays.values()):
            self._introduce(overlay, record, live, now)

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """A connected peer is admitted to our closed realm, or no longer."""
        self.down(record, now)
        self.up(record, live, now)

    def shun(self, key: bytes) -> None:
        """Somebody said goodbye for good: do not call it as a neighbour."""
        self._candidates.shun(key)

    def renamed(self, record: Record, now: float) -> None:
        """A connected peer has another key from now on."""
        if record.live is not None and self._takes_part(record):
            for overlay in list(self.overlays.values()):
                self._introduce(overlay, record, record.live, now)

    def _introduce(self, overlay: Overlay, record: Record, live: Live, now: float) -> None:
        contact = None
        fit = [text for text in record.addresses if len(text) <= ADDRESS_BYTES_MAX]
        if record.capabilities & greeting.SHARED and fit:
            addresses = tuple(fit[:ADDRESSES_MAX])
            contact = Contact(record.static_key, addresses, record.proof.not_after_s)
        event = membership.Up(
            record.handle,
            record.static_key,
            contact,
            live.initiator,
            _prefix(live),
            live.friend or record.handle in self._guests,
            _branch(record),
        )
        overlay.up(event, now)

    def down(self, record: Record, now: float) -> None:
        """A session ended."""
        self._idle.pop(record.handle, None)
        self._guests.leave(record.handle)
        for overlay in list(self.overlays.values()):
            overlay.down(record.handle, now)
        self.standing.remove(record.handle, now)

    def _despair(self, now: float) -> None:
        """Look who was called in vain."""
        hopeless, self._shared.calls.lost_hope = self._shared.calls.lost_hope, []
        for key in hopeless:
            for overlay in self.overlays.values():
                overlay.unreachable(key, now)

    def anchored(self, event: events.Anchors, now: float) -> None:
        """Nodes were good neighbours in an earlier run: they are called before all others."""
        for contact in event.contacts if self._config.on else ():
            self._candidates.trust(contact)
            self.overlays[0].consider(contact, now, is_first=True)

    def anchors(self) -> tuple[Contact, ...]:
        """The best of our neighbours, to be called first at the next start."""
        return self.overlays[0].membership.anchors() if self._config.on else ()

    # Frames

    def arrived(self, live: Live, body: bytes, now: float) -> None:
        """The body of a GOSSIP frame.

        Raises:
            ProtocolError: It is malformed.
        """
        overlay = self._overlay(body)
        if overlay is not None:
            overlay.gossip(live.peer, body[1:], now)

    def viewed(self, live: Live, body: bytes, now: float) -> None:
        """The body of a VIEW frame.

        Raises:
            ProtocolError: It is malformed.
        """
        overlay = self._overlay(body)
        if overlay is not None:
            overlay.view(live.peer, body[1:], now)

    def _overlay(self, body: bytes) -> Overlay | None:
        if len(body) < 2:
            raise ProtocolError("a frame of gossip without anything in it")
        return self.overlays.get(body[0])

    # Listening

    def listen(self, event: events.Listen, now: float) -> None:
        """Take up an interest."""
        self.hearing.keyring.listen(event.intent, key=event.key, threshold=event.threshold)
        where = (normalise(event.intent), event.key)
        if where not in self._interests and self._config.on:
            self._interests[where] = self._shard_of(*where)
            self._join(self._interests[where], now)
            for body in self.overlays[self._interests[where]].spread.held():
                self.hearing.catch_up(body, *where)

    def unlisten(self, event: events.Unlisten, now: float) -> None:
        """Give one up."""
        self.hearing.keyring.leave(event.intent, key=event.key)
        shard = self._interests.pop((normalise(event.intent), event.key), None)
        if shard is not None:
            self._quit(shard, now)

    def stats(self) -> dict[str, int]:
        """What became of the messages that spread through this node; see `spread.COUNTS`."""
        total = self._past
        for overlay in self.overlays.values():
            total = _sum(total, overlay.spread.stats)
        return total

    # The host of the overlays

    def send(self, peer: int, type: int, body: bytes, priority: int) -> None:
        """Let a frame wait for a peer."""
        record = self._shared.roster.get(peer)
        if record is not None and record.live is not None:
            self._shared.meter.count("gossip_dropped", record.live.gossip.put(type, body, priority))
            if not record.live.paused:
                self._links.dirty[record.live.link] = record.live

    def call(self, contact: Contact, now: float) -> None:
        """Reach a node that may become a neighbour."""
        self._candidates.call(contact, now)

    def seek(self, shard: int, now: float) -> None:
        """An overlay is in need, and knows nobody to call."""
        self._candidates.look(self.overlays[shard], now)

    def release(self, peer: int, now: float) -> None:
        """An overlay needs a session no longer: end the oldest of these, if there are many."""
        while len(self._idle) > self._config.idle_max and self.spare(now):
            pass

    def spare(self, now: float) -> bool:
        """End the session that nobody needs for longest."""
        for peer in list(self._idle):
            del self._idle[peer]
            record = self._shared.roster.get(peer)
            if record is None or record.live is None or record.live.friend:
                continue  # what we want for itself is not for the mesh to end
            if not self._shared.courier.queued(peer) and not record.live.mux.streams:
                self._shared.count("pruned")
                self._links.leave(record.live, greeting.PRUNED, now)
                return True
        return False

    def neighbour(self, peer: int, *, active: bool) -> None:
        """A peer became a neighbour, or is none any more."""
        if active:
            self._idle.pop(peer, None)
        elif self._is_neighbour(peer):
            return  # in another shard
        else:
            self.standing.left(peer)
            record = self._shared.roster.get(peer)
            if record is not None and record.live is not None and not record.live.kept:
                self._idle[peer] = None
        self._shared.out.append(events.Neighbour(peer, active))

    def _is_neighbour(self, peer: int) -> bool:
        return any(peer in overlay.neighbours for overlay in self.overlays.values())

    def shut_out(self, peer: int, now: float) -> None:
        """A peer did too much harm."""
        record = self._shared.roster.get(peer)
        if record is not None and record.live is not None:
            self._links.leave(record.live, greeting.REVOKED, now)

    def count(self, name: str, n: int = 1) -> None:
        """Note that something happened."""
        self._shared.meter.count(name, n)

    def deliver(self, message: Message, hop: int, now: float) -> None:
        """Hand on what is for us."""
        self.hearing.deliver(message, hop, now)

    # Time

    @property
    def deadline(self) -> float | None:
        """When an overlay has something to do."""
        due = self.hearing.deadline
        for overlay in self.overlays.values():
            other = overlay.deadline
            if other is not None and (due is None or other < due):
                due = other
        return due

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._despair(now)
        due = self.deadline
        if due is not None and due <= now:
            self.hearing.tick(now)
            for overlay in list(self.overlays.values()):
                overlay.tick(now)
