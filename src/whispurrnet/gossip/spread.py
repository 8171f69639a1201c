"""Spreading a message to everybody: push it to three, announce it to the rest, ask for what lacks.

A node that publishes pushes its message to all neighbours. Whoever gets it for the first time
announces it to all of its neighbours but three, and then pushes it to those three; none of them
has announced it, so hardly a push is wasted. Who heard an announcement and gets no push asks for
the message (`gossip.wants`). What all of this misses is found by comparing (`gossip.repair`). What
the frames look like is told in `gossip.spread_frames`.

Source: MESH.md 1.4; GossipSub v1.1 (announcing, promises, flood publishing).

Invariants:
    - a message is delivered, and forwarded, once at most;
    - no push leaves with a hop above `hops_max`, nor with a message that has expired;
    - what a peer announces, asks and compares is bounded, in size and in rate;
    - a frame that breaks the protocol changes nothing, and is a `Fault` of who sent it.
"""

from __future__ import annotations

from math import inf
from typing import Final

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.gossip.batch import Batch, Batches
from whispurrnet.gossip.cache import Cache, Held
from whispurrnet.gossip.repair import Repair, Rounds
from whispurrnet.gossip.seen import Seen
from whispurrnet.gossip.spread_events import (
    COUNTS,
    Add,
    Arrived,
    Checker,
    Config,
    Deliver,
    Effect,
    Event,
    Fault,
    FaultKind,
    Item,
    Publish,
    Remove,
    Rng,
    Send,
    Sync,
    Unwelcome,
    Useful,
)
from whispurrnet.gossip.spread_frames import (
    CONTROL,
    IDS_MAX,
    IHAVE,
    IWANT,
    ONLY_ANNOUNCED,
    PAYLOAD,
    PUSH,
    SYNC,
    SYNCED,
    URGENT,
    ids,
    iwant,
    push,
)
from whispurrnet.gossip.wants import Announcer, Patience, Wants

__all__ = [
    "Add",
    "Arrived",
    "Checker",
    "Config",
    "Deliver",
    "Effect",
    "Event",
    "Fault",
    "FaultKind",
    "Item",
    "Publish",
    "Remove",
    "Rng",
    "Send",
    "Spread",
    "Sync",
    "Tick",
    "Unwelcome",
    "Useful",
]

HAVE_MAX = 1024
"""How much one comparison may lead us to announce to a neighbour."""

_NOBODY: Final[dict[int, None]] = {}


class _Link(Batch):
    """What is known of a neighbour."""

    __slots__ = ("announcer", "comparing", "eager", "serving")

    def __init__(self, announcer: Announcer, config: Config) -> None:
        super().__init__(announcer.peer)
        self.announcer = announcer
        self.eager = TokenBucket(config.pushed_per_s, config.pushed_burst)
        self.serving = TokenBucket(config.served_bytes_per_s, 2 * config.served_bytes_per_s)
        self.comparing = TokenBucket(1, 64)


class Spread:
    """The spreading of the messages of one shard on one node.

    Args:
        config: Settings.
        checker: Tells messages from garbage.
        rng: Chooses neighbours.
    """

    def __init__(self, config: Config, checker: Checker, rng: Rng) -> None:
        assert 0 < config.announce_ids <= IDS_MAX and 0 <= config.served_hop <= config.hops_max
        self.config = config
        self.stats = dict.fromkeys(COUNTS, 0)
        self._checker = checker
        self._rng = rng
        self._links: dict[int, _Link] = {}
        self._eager = TokenBucket(config.pushed_per_s, config.pushed_burst)
        self._seen = Seen(config.seen_s, config.seen_max)
        self._cache = Cache(config.cache_bytes)
        self._repair = Repair(self._cache)
        self._wants = Wants(
            Patience(
                after_s=config.want_after_s,
                after_announced_s=config.want_after_announced_s,
                tries=config.want_tries if config.retry else 1,
                unserved_s=config.unserved_s,
                per_peer_max=config.announced_max,
                window=config.asked_max,
            )
        )
        self._batches = Batches(config.announce_s, config.announce_ids, self._cache.serves)
        self._rounds = Rounds(config.sync_s, rng)

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        due = min(self._rounds.deadline, self._wants.deadline, self._batches.deadline)
        if self._cache.deadline is not None:
            due = min(due, self._cache.deadline)
        return None if due == inf else due

    def held(self) -> list[bytes]:
        """The bodies of all messages that are kept, the oldest first."""
        return self._cache.bodies()

    def has(self, id: bytes) -> bool:
        """Whether a message has been in the open here."""
        return id in self._seen

    def expects(self, peer: int) -> int:
        """How many messages a neighbour was asked for and may send beyond what is its due."""
        link = self._links.get(peer)
        return 0 if link is None else len(link.announcer.asked)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            ProtocolError: What was to be published is no message; nothing has changed. What
                neighbours do wrong is not raised but a `Fault`.
        """
        effects: list[Effect] = []
        match event:
            case Arrived():
                link = self._links.get(event.peer)
                if link is not None:
                    self._arrived(link, event.data, now, effects)
            case Publish():
                self._publish(event.body, now, effects)
            case Tick():
                self._tick(now, effects)
            case Add():
                if event.peer not in self._links:
                    self._add(event.peer, now)
            case Remove():
                if event.peer in self._links:
                    self._remove(event.peer)
            case Sync():
                if event.peer in self._links:
                    query = self._repair.begin(event.peer)
                    effects.append(Send(event.peer, bytes((SYNC,)) + query, CONTROL))
        return effects

    # Messages

    def _arrived(self, link: _Link, data: bytes, now: float, effects: list[Effect]) -> None:
        kind = data[0] if data else 0
        if kind == PUSH:
            fault = self._pushed(link, data, now, effects)
        elif kind == IHAVE:
            fault = self._announced(link, data, now)
        elif kind == IWANT:
            fault = self._serve(link, data, now, effects)
        elif kind in (SYNC, SYNCED):
            fault = self._compare(link, kind, data[1:], now, effects)
        else:
            fault = "malformed"
        if fault is not None:
            effects.append(Fault(link.peer, fault))

    def _pushed(
        self, link: _Link, data: bytes, now: float, effects: list[Effect]
    ) -> FaultKind | None:
        if len(data) < 2 or (data[1] > self.config.hops_max and self.config.check_hops):
            return "malformed"
        hop, body = data[1], data[2:]
        try:
            item = self._checker.inspect(body, now)
        except ProtocolError:
            self.stats["refused"] += 1
            return "malformed"
        id, asked = item.id, link.announcer.asked
        if id in self._seen:
            if asked:
                self._wants.brought(link.announcer, id, now)
            if link.waiting:
                link.waiting.pop(id, None)
            self.stats["duplicates"] += 1
            return None
        if item.expires_at <= now:
            self.stats["expired"] += 1
            return "expired"
        try:
            self._checker.admit(item, body, now)
        except ProtocolError as error:
            self.stats["refused"] += 1
            return None if isinstance(error, Unwelcome) else "invalid"
        served = bool(asked) and self._wants.brought(link.announcer, id, now)
        self.stats["received"] += 1
        self.stats["repaired"] += served
        effects.append(Useful(link.peer))
        self._take(item, body, hop, link, served, now, effects)
        return None

    def _publish(self, body: bytes, now: float, effects: list[Effect]) -> None:
        item = self._checker.inspect(body, now)
        if item.id in self._seen or item.expires_at <= now:
            return
        self.stats["published"] += 1
        self._take(item, body, -1, None, False, now, effects)

    def _take(
        self,
        item: Item,
        body: bytes,
        hop: int,
        origin: _Link | None,
        served: bool,
        now: float,
        effects: list[Effect],
    ) -> None:
        """A message is here for the first time: remember it, forward it, deliver it."""
        id = item.id
        self._seen.add(id, item.expires_at, now)
        self._cache.put(id, Held(body, item.expires_at, item.stamped_s, item.urgent))
        want = self._wants.settle(id)
        announcers = _NOBODY if want is None else want.announcers
        targets = [
            link
            for link in self._links.values()
            if link is not origin and link.peer not in announcers
        ]
        config = self.config
        quiet = (
            (hop >= config.hops_max and config.check_hops)
            or len(body) > config.eager_bytes_max
            or (served and want is not None and (want.late or want.soon))
            or not (self._eager if origin is None else origin.eager).take(1, now)
        )
        if quiet:
            self._batches.announce(targets, id, ONLY_ANNOUNCED, item.urgent, now, effects)
        else:
            eager = targets
            if not item.urgent and (hop >= 0 or not config.flood_first):
                eager = self._choose(targets)
                self._batches.announce(targets, id, 0, False, now, effects)
            frame = push(min(hop + 1, 255), body)
            priority = URGENT if item.urgent else PAYLOAD
            effects += [Send(link.peer, frame, priority) for link in eager]
            self.stats["forwarded"] += len(eager)
        effects.append(Deliver(body, max(hop, 0), item))

    def _choose(self, targets: list[_Link]) -> list[_Link]:
        """Take some at random out of `targets`."""
        fanout, count, random = self.config.fanout, len(targets), self._rng.random
        chosen: list[_Link] = []
        while count and len(chosen) < fanout:
            at = int(random() * count)
            count -= 1
            chosen.append(targets[at])
            targets[at] = targets[count]
            targets.pop()
        return chosen

    # Announcements

    def _announced(self, link: _Link, data: bytes, now: float) -> FaultKind | None:
        named = ids(data, 2)
        if named is None:
            return "malformed"
        soon = bool(data[1] & ONLY_ANNOUNCED)
        fault: FaultKind | None = None
        for id in named:
            if id in self._seen:
                link.waiting.pop(id, None)
            elif not self._wants.announced(link.announcer, id, now, soon=soon):
                fault = "flood"
        return fault

    def _serve(
        self, link: _Link, data: bytes, now: float, effects: list[Effect]
    ) -> FaultKind | None:
        named = ids(data, 1)
        if named is None:
            return "malformed"
        for id in named:
            held = self._cache.get(id, now)
            if held is None:
                continue
            if not link.serving.take(len(held.body), now):
                break  # whoever asks for so much asks again, or others
            link.waiting.pop(id, None)
            frame = push(self.config.served_hop, held.body)
            effects.append(Send(link.peer, frame, URGENT if held.urgent else PAYLOAD))
            self.stats["served"] += 1
        return None

    # Comparing

    def _compare(
        self, link: _Link, kind: int, message: bytes, now: float, effects: list[Effect]
    ) -> FaultKind | None:
        if not link.comparing.take(1, now):
            return "flood"
        try:
            if kind == SYNC:
                answer = self._repair.answer(message)
                effects.append(Send(link.peer, bytes((SYNCED,)) + answer, CONTROL))
                return None
            compared = self._repair.take(link.peer, message)
        except ProtocolError:
            return "malformed"
        if compared is None:
            return None
        for id in compared.need:
            if id not in self._seen and not self._wants.announced(
                link.announcer, id, now, soon=True, late=True
            ):
                self._rounds.deadline = min(self._rounds.deadline, now + self.config.sync_s / 6)
                break  # there is more than may be asked for now
        for id in compared.have[:HAVE_MAX]:
            self._batches.announce([link], id, ONLY_ANNOUNCED, False, now, effects)
        if compared.query is not None:
            effects.append(Send(link.peer, bytes((SYNC,)) + compared.query, CONTROL))
        return None

    # Neighbours and time

    def _add(self, peer: int, now: float) -> None:
        self._links[peer] = _Link(self._wants.add(peer), self.config)
        self._rounds.add(peer, now)

    def _remove(self, peer: int) -> None:
        self._links.pop(peer).open = False
        self._rounds.remove(peer)
        self._wants.remove(peer)
        if self._repair.peer == peer:
            self._repair.stop()

    def _tick(self, now: float, effects: list[Effect]) -> None:
        self._batches.tick(now, effects)
        effects += [Fault(peer, "unserved") for peer in self._wants.unserved(now)]
        for peer, asked in self._wants.asks(now).items():
            self.stats["asked"] += len(asked)
            for at in range(0, len(asked), self.config.announce_ids):
                frame = iwant(asked[at : at + self.config.announce_ids])
                effects.append(Send(peer, frame, CONTROL))
        self._cache.expire(now)
        self._seen.turn(now)
        if (other := self._rounds.next(now)) is not None:
            effects.append(Send(other, bytes((SYNC,)) + self._repair.begin(other), CONTROL))

    def check_invariants(self) -> None:
        """Assert what must be true; tests call it after each event."""
        self._cache.check_invariants()
        self._wants.check_invariants()
        assert (self._rounds.deadline == inf) == (not self._links)
        assert self._repair.peer is None or self._repair.peer in self._links
        assert len(self._seen) <= self.config.seen_max
        self._batches.check_invariants(self._links.values())
