"""Random walks: how contacts travel. They teach, and never change the active view.

A `ForwardJoin` tells of somebody new; where it ends, and at one hop before, it is remembered. A
`Shuffle` brings a few contacts to whoever is at its end, who answers with others. The answer goes
back over the same peers, each of whom remembers two numbers of it: nobody has to call the one who
began, and the message does not say who that is.

Source: Leitao, Pereira, Rodrigues, "HyParView" (2007), sections 4.2 and 4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whispurrnet.base.bounded import LruDict
from whispurrnet.gossip.circle import SHUFFLE, Circle
from whispurrnet.gossip.contact import Contact, pick, sample
from whispurrnet.gossip.neighbours import CONTACTS_MAX, ForwardJoin, Prune, Shuffle, ShuffleReply
from whispurrnet.gossip.views import Link

WALKS_MAX = 256
"""Shuffles whose answer is awaited, our own and those we passed on."""


class Walk:
    """A shuffle under way: whom the answer comes from, and whom it goes to."""

    __slots__ = ("next", "previous", "sent")

    def __init__(self, previous: int | None, next: int, sent: tuple[bytes, ...] = ()) -> None:
        self.previous = previous
        """None: it is ours."""
        self.next = next
        self.sent = sent
        """Keys of our passive view that were told; they make room for the answer."""


class Walks:
    """The walks that pass through one node."""

    def __init__(self, circle: Circle) -> None:
        self._circle = circle
        self._walks: LruDict[int, Walk] = LruDict(WALKS_MAX)
        self.sleeps: Callable[[int | None], bool] = lambda _: False
        """Whether a peer sleeps; None: we ourselves. No walk begins there or passes through."""

    def announce(self, link: Link, me: Contact, now: float) -> None:
        """Tell all neighbours of somebody new, who has joined through us."""
        for other in self._circle.view.links:
            if other is not link and other.walks.take(1, now):
                self._circle.send(other, ForwardJoin(me, self._circle.config.arwl))

    def on_forward_join(self, link: Link, message: ForwardJoin, now: float) -> None:
        """Somebody new: pass it on, or remember it."""
        contact, ttl = message.contact, min(message.ttl, self._circle.config.arwl)
        if not self._is_neighbour(link, now) or contact.key in self._circle.ours:
            return
        next = self._next(link, contact.key) if ttl else None
        if next is not None and next.walks.take(1, now):
            self._circle.send(next, ForwardJoin(contact, ttl - 1))
        else:
            ttl = 0
        if ttl in (0, self._circle.config.prwl):
            self._circle.learn_all((contact,), link, now)

    def shuffle(self, now: float) -> None:
        """Begin a shuffle, and think of the next."""
        circle, config = self._circle, self._circle.config
        link = self._pick(circle.view.links)
        if not circle.view.links:
            return
        pause_s = config.shuffle_s * (0.8 + 0.4 * circle.rng.random())
        circle.timers.set(SHUFFLE, now + pause_s)
        if link is None or self.sleeps(None):
            return
        ours = [] if circle.me is None else [circle.me]
        near = circle.offer_near(link.key, config.shuffle_active)
        far = circle.passive.sample(config.shuffle_passive, but=(link.key,))
        walk = int(circle.rng.random() * 2**53)
        self._walks.put(walk, Walk(None, link.peer, tuple(one.key for one in far)))
        contacts = sample((ours + near + far)[:CONTACTS_MAX], CONTACTS_MAX, circle.rng)
        circle.send(link, Shuffle(walk, config.shuffle_ttl, tuple(contacts)))

    def on_shuffle(self, link: Link, message: Shuffle, now: float) -> None:
        """A shuffle of another: pass it on, or answer it."""
        circle = self._circle
        if not self._is_neighbour(link, now) or not link.guard.shuffles.take(1, now):
            return
        ttl = min(message.ttl, circle.config.shuffle_ttl)
        ends = not ttl or message.walk in self._walks or self.sleeps(None)
        next = None if ends else self._next(link)
        if next is not None:
            self._walks.put(message.walk, Walk(link.peer, next.peer))
            circle.send(next, Shuffle(message.walk, ttl - 1, message.contacts))
            return
        ours = () if circle.me is None else (circle.me,)
        offered = (*ours, *circle.offer(link.key, CONTACTS_MAX - len(ours)))
        circle.send(link, ShuffleReply(message.walk, offered))
        circle.learn_all(message.contacts, link, now, [one.key for one in offered])

    def on_reply(self, link: Link, message: ShuffleReply, now: float) -> None:
        """An answer on its way back; one that we do not await is nobody's mistake."""
        walk = self._walks.peek(message.walk)
        if walk is None or walk.next != link.peer:
            return
        self._walks.pop(message.walk)
        if walk.previous is None:
            self._circle.learn_all(message.contacts, link, now, walk.sent)
            return
        previous = self._circle.links.get(walk.previous)
        if previous is not None:
            self._circle.send(previous, ShuffleReply(message.walk, message.contacts))

    def _is_neighbour(self, link: Link, now: float) -> bool:
        """Whether a walk of this peer is taken; if it wrongly thinks so, it is told."""
        if link.active:
            return True
        waited_s = now - link.repaired_at
        if not link.unanswered and waited_s >= self._circle.config.prune_backoff_s:
            link.repaired_at = now
            self._circle.send(link, Prune((), 0))
        return False

    def _next(self, link: Link, key: bytes = b"") -> Link | None:
        others = [one for one in self._circle.view.links if one is not link and one.key != key]
        return self._pick(others)

    def _pick(self, links: Sequence[Link]) -> Link | None:
        """One of them who does not sleep."""
        return pick([one for one in links if not self.sleeps(one.peer)], self._circle.rng)
