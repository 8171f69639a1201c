"""HyParView: whom to gossip with, and whom to call when one of them is lost.

Peers agree on each place in their active views: one asks (`Join`, `Neighbor`), the other answers,
and either may end it (`Prune`). All of it travels in sessions that stand already; a `Dial` is how
one comes to be. Contacts travel on random walks (`ForwardJoin`, `Shuffle`), whose answers go back
the way they came, so nobody calls a stranger only to answer, and nobody is told who asked.

What differs from the paper, and why:

- a walk never makes us call or take anybody, it only brings contacts: whom we call is drawn from
  the passive view alone, or a neighbour could fill the places that are for those *we* chose;
- whoever has few neighbours (`urgent`) may push out another, but only now and then, and never
  those who stand long;
- whoever refuses or prunes gives contacts (peer exchange), and a pruned peer waits;
- members who bring too little give way to others (`Graft`), who must stand before they go.

Source: Leitao, Pereira, Rodrigues, "HyParView" (2007), section 4; GossipSub v1.1 (PX, backoff,
D_out); MESH.md 1.4, "Overlay".

Invariants (besides those of `gossip.views`):
    - the passive view never holds ourselves, an active peer, or what has expired;
    - nobody is called who is up or being called, and a peer in backoff is not taken;
    - a body is one message, and whoever would change our view too often breaks the protocol.
"""

from __future__ import annotations

from collections.abc import Callable

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.gossip.circle import FILL, PASSIVE_KEPT, SHUFFLE, Circle
from whispurrnet.gossip.contact import Contact, Rng
from whispurrnet.gossip.neighbours import (
    BODY_BYTES_MAX,
    OFFERED_MAX,
    Active,
    Arrived,
    Ban,
    Config,
    Consider,
    Dial,
    Down,
    Effect,
    Event,
    Failed,
    ForwardJoin,
    Graft,
    Inactive,
    Join,
    Me,
    Neighbor,
    NeighborReply,
    Prune,
    Release,
    Seek,
    Send,
    Shuffle,
    ShuffleReply,
    Up,
)
from whispurrnet.gossip.views import FOUND, Link
from whispurrnet.gossip.walks import Walks

__all__ = [
    "Active",
    "Arrived",
    "Ban",
    "Config",
    "Consider",
    "Contact",
    "Dial",
    "Down",
    "Effect",
    "Event",
    "Failed",
    "Graft",
    "Inactive",
    "Me",
    "Membership",
    "Release",
    "Seek",
    "Send",
    "Tick",
    "Up",
]


class Membership:
    """The views of one node in one overlay.

    Args:
        config: Settings.
        rng: Chance; it picks whom to call, so nobody should be able to foretell it.
        wall_s: Gives unix time in seconds.
    """

    def __init__(self, config: Config | None, rng: Rng, wall_s: Callable[[], int]) -> None:
        self.config = config or Config()
        self._circle = Circle(self.config, rng, wall_s)
        self.walks = Walks(self._circle)

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        return self._circle.timers.deadline

    @property
    def active(self) -> tuple[int, ...]:
        """Who is in the active view, friends first, then in the order they came."""
        return tuple(one.peer for one in self._circle.view.links)

    @property
    def passive(self) -> tuple[Contact, ...]:
        """Whom we could call."""
        return tuple(entry.contact for entry in self._circle.passive.entries)

    @property
    def unknown(self) -> int:
        """How many messages of an unknown type were left out."""
        return self._circle.codec.unknown

    def since(self, peer: int) -> float | None:
        """When a peer became active, in monotonic seconds; None if it is not."""
        link = self._circle.links.get(peer)
        return link.since if link is not None and link.active else None

    def anchors(self, count: int = 2) -> tuple[Contact, ...]:
        """Those we called and who stand longest: to be called first at the next start.

        Only those who agreed that others are told of them: it will be written down.
        """
        good = [one for one in self._circle.view.members.values() if one.outbound]
        good.sort(key=lambda one: one.since)
        wall_s = self._circle.wall_s()
        contacts = [one.contact for one in good if one.contact is not None]
        return tuple([one for one in contacts if one.expires_s > wall_s][:count])

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            ProtocolError: The peer broke the protocol; the views have not changed.
        """
        circle = self._circle
        circle.out = []
        circle.passive.purge(circle.wall_s())
        self._react(event, now)
        circle.settle(now)
        if __debug__:
            circle.check()
        return circle.out

    def _react(self, event: Event, now: float) -> None:
        match event:
            case Arrived(peer, body):
                link = self._circle.links.get(peer)
                if link is not None:
                    self._arrived(link, body, now)
            case Up():
                self._up(event, now)
            case Down(peer):
                link = self._circle.links.get(peer)
                if link is not None:
                    self._down(link, now)
            case Failed(key):
                self._failed(key, now)
            case Ban(peer):
                self._ban(peer, now)
            case Consider():
                self._consider(event, now)
            case Graft(peers):
                self._circle.graft(peers, now)
            case Me(key, contact):
                self._circle.me = contact
                self._circle.ours.put(key, None)
                self._circle.passive.discard(key)
            case Tick():
                for name in list(self._circle.timers.expire(now)):
                    self._expired(name, now)

    def _consider(self, event: Consider, now: float) -> None:
        circle = self._circle
        source, is_first = b"" if event.is_shared else FOUND, event.is_first
        is_new = circle.learn(event.contact, source, is_first=is_first, is_shared=event.is_shared)
        if is_first and circle.is_short:
            circle.timers.set(FILL, now)
        elif is_new:
            circle.soon(now)

    # Sessions

    def _up(self, up: Up, now: float) -> None:
        circle = self._circle
        link, same = circle.links.get(up.peer), circle.by_key.get(up.key)
        if same is not None and same is not link:  # two handles turned out to be one peer
            self._down(same, now)
        called = circle.dialling.pop(up.key, None)
        circle.timers.cancel(up.key)
        if link is not None:
            self._renew(link, up, now)
            return
        walks = TokenBucket(self.config.walks_per_s, 10 * self.config.walks_per_s)
        link = Link(up.peer, up.key, circle.guard(up.key), walks)
        if up.outbound and not circle.passive.is_private(up.key):
            link.contact = called
        _describe(link, up)
        circle.links[up.peer] = circle.by_key[up.key] = link
        if link.friend:
            circle.grafts.pop(up.key, None)
            self._befriend(link, now)
        elif link.key in circle.grafts and link.outbound:
            circle.ask_in_place(link, now)
        elif called is not None or link.outbound:
            circle.grafts.pop(up.key, None)
            if circle.may_ask(link, now):
                circle.ask(link, now)
            else:
                circle.keep(link)

    def _renew(self, link: Link, up: Up, now: float) -> None:
        """Another session took the place of the first, or the peer is known better now."""
        circle = self._circle
        was_active = link.active
        circle.grafts.pop(link.key, None)
        circle.grafts.pop(up.key, None)
        circle.view.remove(link)
        circle.view.unask(link)
        circle.unkeep(link)
        circle.timers.cancel(link.peer)
        if link.key != up.key:
            del circle.by_key[link.key]
            link.key, link.guard, link.contact = up.key, circle.guard(up.key), None
            circle.by_key[up.key] = link
            circle.passive.discard(up.key)
        _describe(link, up)
        if was_active and circle.view.fits(link):
            circle.view.add(link)
        elif was_active:
            circle.prune(link, now)
        elif link.friend:
            self._befriend(link, now)
        else:
            circle.keep(link)

    def _befriend(self, link: Link, now: float) -> None:
        """Friends are always active; whether they take us too is for them to say."""
        self._circle.activate(link, now)
        self._circle.request(link)

    def _down(self, link: Link, now: float) -> None:
        if link.asking or link.key in self._circle.grafts:
            self._circle.rest(link.key, now)
        if link.active:
            self._circle.deactivate(link, now)
        self._circle.forget(link)

    def _failed(self, key: bytes, now: float) -> None:
        circle = self._circle
        if circle.dialling.pop(key, None) is None:
            return
        circle.timers.cancel(key)
        if len(circle.passive) > PASSIVE_KEPT:
            circle.passive.discard(key)
        circle.rest(key, now)
        circle.soon(now)

    def _ban(self, peer: int, now: float) -> None:
        circle = self._circle
        link = circle.links.get(peer)
        if link is None or link.friend:
            return
        circle.timers.cancel(peer)
        circle.view.unask(link)
        circle.rests.back_off(link.key, now + self.config.prune_backoff_s)
        if link.active:
            circle.prune(link, now, offer=False)
        circle.keep(link)

    # Messages

    def _arrived(self, link: Link, body: bytes, now: float) -> None:
        if not link.guard.messages.take(1, now):
            raise ProtocolError("a peer floods us with messages about the overlay")
        if len(body) > BODY_BYTES_MAX:
            raise ProtocolError(f"a peer sent more than {BODY_BYTES_MAX} bytes about the overlay")
        messages = self._circle.codec.decode_all(body)
        if len(messages) > 1:
            raise ProtocolError("a peer sent several messages about the overlay in one body")
        for message in messages:
            match message:
                case Join(me):
                    self._on_join(link, me, now)
                case Neighbor(urgent, me):
                    self._vet(link, me, now)
                    self._on_question(link, urgent, me, now)
                case NeighborReply():
                    self._on_reply(link, message, now)
                case Prune():
                    self._on_prune(link, message, now)
                case ForwardJoin():
                    self.walks.on_forward_join(link, message, now)
                case Shuffle():
                    self.walks.on_shuffle(link, message, now)
                case ShuffleReply():
                    self.walks.on_reply(link, message, now)

    def _vet(self, link: Link, me: Contact | None, now: float) -> None:
        """Refuse those who ask too often, or in the name of another."""
        if me is not None and me.key != link.key:
            raise ProtocolError("a peer gave the contact of another as its own")
        if not link.guard.acts.take(1, now):
            raise ProtocolError("a peer joins, asks or prunes too often")

    def _on_join(self, link: Link, me: Contact | None, now: float) -> None:
        if link.join_heard:
            raise ProtocolError("a peer joined twice in one session")
        self._vet(link, me, now)
        link.join_heard = True
        self._on_question(link, True, me, now)
        if me is not None:
            self.walks.announce(link, me, now)

    def _on_question(self, link: Link, urgent: bool, me: Contact | None, now: float) -> None:
        circle = self._circle
        if me is not None:
            circle.learn_all((me,), link, now)
        accepted = link.active
        if not accepted and not circle.rests.in_backoff(link.key, now):
            accepted = circle.view.fits(link) or (urgent and circle.make_room(link, now))
        contacts = circle.offer(link.key, OFFERED_MAX)
        circle.send(link, NeighborReply(accepted, circle.me, contacts))
        if accepted and not link.active:
            circle.activate(link, now)

    def _on_reply(self, link: Link, reply: NeighborReply, now: float) -> None:
        circle = self._circle
        if not link.unanswered:
            raise ProtocolError("a peer answered what was not asked")
        if reply.me is not None and reply.me.key != link.key:
            raise ProtocolError("a peer gave the contact of another as its own")
        link.unanswered -= 1
        circle.view.unask(link)
        circle.timers.cancel(link.peer)
        if reply.me is not None:
            circle.learn_all((reply.me,), link, now)
        accepted, in_backoff = reply.accepted, circle.rests.in_backoff(link.key, now)
        if link.stale:
            accepted, link.stale = False, link.stale - 1
        if accepted and not in_backoff:
            circle.make_way(link, now)
        if link.active:
            pass  # it had asked us too, and was taken; or it is a friend
        elif not accepted:
            circle.rest(link.key, now, polite=not link.urgent)
            circle.keep(link)
            circle.soon(now)
        elif circle.view.fits(link) and not in_backoff:
            circle.activate(link, now)
        else:  # the answer came too late
            circle.send_prune(link, now, evicted=True)
            circle.keep(link)
        circle.learn_all(reply.contacts, link, now)

    def _on_prune(self, link: Link, prune: Prune, now: float) -> None:
        circle = self._circle
        self._vet(link, None, now)
        if prune.backoff_s:
            circle.rests.back_off(link.key, now + prune.backoff_s)
        if link.active and not link.friend:
            circle.deactivate(link, now)
            circle.keep(link)
        circle.learn_all(prune.contacts, link, now)

    # Time

    def _expired(self, name: int | bytes | str, now: float) -> None:
        circle = self._circle
        if name == FILL:
            circle.fill(now)
        elif name == SHUFFLE:
            self.walks.shuffle(now)
        elif isinstance(name, bytes):
            self._failed(name, now)
        elif isinstance(name, int) and name in circle.links:
            link = circle.links[name]
            circle.view.unask(link)
            circle.rest(link.key, now)
            circle.keep(link)
            circle.soon(now)


def _describe(link: Link, up: Up) -> None:
    link.outbound, link.friend = up.outbound, up.friend
    link.prefix, link.inviter = up.prefix, up.inviter
    link.contact = up.contact or link.contact
