"""Moving objects between nodes: what we want of others, and what others want of us.

Each node is both. An object is wanted by its id: sources say what they have of it, its pages are
proven by the id, its chunks by the pages. So who serves need not be trusted, and several serve at
once. The messages are in `messages`; the fetching side in `fetching` and below it, the serving
side in `serving`, small objects in `small`.

Requests and answers are sent at once; pages and chunks are pulled when a session has room for them.

Invariants:
    - what is stored was verified; what is served was looked up, for this peer;
    - memory, tables and what a peer may ask for are bounded;
    - who sends what nobody asked for breaks the protocol; who sends what is wrong is blamed.
"""

from __future__ import annotations

from whispurrnet.base.errors import ProtocolError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.store import messages
from whispurrnet.store import transfer_events as events
from whispurrnet.store.fetching import Fetching
from whispurrnet.store.guest import Parts
from whispurrnet.store.purse import Purse
from whispurrnet.store.serving import Serving
from whispurrnet.store.shopping import Shopping
from whispurrnet.store.transfer_config import Config, Rng
from whispurrnet.store.transfer_events import Done, Effect, Event, Passed


class Transfer:
    """The moving of objects, of one node.

    Args:
        config: Its settings.
        rng: Chance.
    """

    def __init__(self, config: Config, rng: Rng) -> None:
        self.config = config
        self._purse = Purse(config, rng)
        self._last_ticket = 0
        self._serving = Serving(config, self._ticket)
        self._fetching = Fetching(self._purse)
        self._shopping = Shopping(self._purse, self._ticket)
        self._up: dict[int, None] = {}
        self._now = 0.0

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds; at once, if sending has led to something."""
        now = self._now
        if self._serving.later:
            return now
        due = (
            self._serving.deadline(now),
            self._fetching.deadline(now),
            self._shopping.deadline(now),
        )
        return min((at for at in due if at is not None), default=None)

    @property
    def fetching(self) -> int:
        """How many objects are being fetched."""
        return len(self._fetching)

    @property
    def held_bytes(self) -> int:
        """How much is asked for and not stored, in bytes."""
        return self._purse.used

    @property
    def served_bytes(self) -> int:
        """How much is read for others and not sent, in bytes."""
        return self._serving.held

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            UsageError: A priority is out of range; nothing has changed.
            LimitError: Too much is being fetched; nothing has changed.
            ProtocolError: The peer broke the protocol; that message has changed nothing.
        """
        self._now = now
        effects = self.drain()
        try:
            self._react(event, now, effects)
        except WhispurrError:
            self._serving.later = effects  # what came before goes with the next event
            raise
        self._fetching.share(now, effects)
        self._shopping.share(now, effects)
        for effect in effects:
            if isinstance(effect, Done) and effect.complete:
                self._serving.news.completed(effect.oid, now)
        return effects

    def _react(self, event: Event, now: float, effects: list[Effect]) -> None:
        match event:
            case events.Arrived(peer, body):
                if peer in self._up:
                    self._arrived(peer, body, now, effects)
            case events.Stored(oid, indexes):
                written = self._fetching.stored(oid, indexes, now, effects)
                self._serving.news.stored(oid, written, now)
            case events.ReadDone(ticket, chunks, text):
                self._serving.read(ticket, chunks, text, effects)
            case Tick():
                self._serving.tick(now, effects)
                self._fetching.tick(now, effects)
                self._shopping.tick(now, effects)
            case events.Up() | events.Down() | events.Recheck() | events.SetLimits():
                self._changed(event, now, effects)
            case events.Fetch() | events.AddSource() | events.Stop() | events.FetchSmall():
                self._wanted(event, now, effects)
            case _:
                self._answered(event, now, effects)

    def priority(self, peer: int) -> int | None:
        """How urgent what there is to `pull` for a peer is, 0 to 4; None if there is nothing."""
        return self._serving.priority(peer, self._now)

    def pull(self, peer: int, room: int) -> Parts:
        """The next frame for a peer, its header included, in parts; none if none fits.

        What follows from that, such as reading on, comes with the next event; `drain` gives it at
        once, and the `deadline` asks for it.

        Args:
            peer: Who.
            room: How many bytes there are for it.
        """
        return self._serving.pull(peer, room, self._now)

    def drain(self) -> list[Effect]:
        """The effects of having sent something."""
        later, self._serving.later = self._serving.later, []
        return later

    def _arrived(self, peer: int, body: bytes, now: float, effects: list[Effect]) -> None:
        kind = body[0] if body else -1
        if kind in {messages.DATA, messages.PACKED}:
            self._fetching.data(peer, body, now, effects)
        elif kind == messages.MESSAGES:
            for message in messages.decode(body):
                self._message(peer, message, now, effects)
        elif kind == messages.SMALL:
            self._shopping.came(peer, messages.read_small(body), now, effects)
        else:
            raise ProtocolError("a frame of objects of a kind that is not known")

    def _message(
        self, peer: int, message: messages.Message, now: float, effects: list[Effect]
    ) -> None:
        match message:
            case messages.Request():
                self._serving.request(peer, message, now, effects)
            case messages.AskPage():
                self._serving.ask_page(peer, message, now, effects)
            case messages.Cancel():
                self._serving.cancel(peer, message, effects)
            case messages.AskSmall():
                self._serving.ask_small(peer, message, effects)
            case messages.Have() | messages.Lacking() | messages.PageIs() | messages.Refused():
                self._fetching.told(peer, message, now, effects)
            case messages.NotHere(oids):
                self._shopping.lacks(peer, oids, now, effects)
            case _:
                effects.append(Passed(peer, message))

    def _wanted(
        self,
        event: events.Fetch | events.AddSource | events.Stop | events.FetchSmall,
        now: float,
        effects: list[Effect],
    ) -> None:
        match event:
            case events.Fetch():
                self._fetching.fetch(event, now, effects)
            case events.AddSource(oid, peer):
                self._fetching.add_source(oid, peer, now, effects)
            case events.Stop(oid):
                self._fetching.stop(oid, now, effects)
            case events.FetchSmall(peer, oids):
                self._shopping.want(peer, oids, now, effects)

    def _changed(
        self,
        event: events.Up | events.Down | events.Recheck | events.SetLimits,
        now: float,
        effects: list[Effect],
    ) -> None:
        match event:
            case events.Up(peer):
                if peer not in self._up:
                    self._up[peer] = None
                    self._serving.up(peer)
                    self._shopping.up(peer)
                    self._fetching.up(peer, now, effects)
            case events.Down(peer):
                self._up.pop(peer, None)
                self._serving.down(peer, effects)
                self._shopping.down(peer, effects)
                self._fetching.down(peer, now, effects)
            case events.Recheck(oid):
                self._serving.recheck(oid, effects)
            case events.SetLimits(down=down, up=up, up_peer=up_peer):
                self._purse.down.limit(down, now)
                self._purse.hungry = True
                self._serving.limit(up, up_peer, now, effects)

    def _answered(
        self,
        event: events.Looked
        | events.Paged
        | events.SmallRead
        | events.SmallStored
        | events.StoreFailed,
        now: float,
        effects: list[Effect],
    ) -> None:
        match event:
            case events.Looked(ticket, found, allowed):
                self._serving.looked(ticket, found, allowed, effects)
            case events.Paged(ticket, page):
                self._serving.paged(ticket, page, effects)
            case events.SmallRead(ticket, objects):
                self._serving.read_small(ticket, objects, effects)
            case events.SmallStored(ticket, text):
                self._shopping.stored(ticket, text, now, effects)
            case events.StoreFailed(oid, text):
                self._fetching.store_failed(oid, text, now, effects)

    def _ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket

    def check_invariants(self) -> None:
        """Assert what must be true; tests call it after each event."""
        self._serving.check_invariants()
        self._fetching.check_invariants()
        self._shopping.check_invariants()
