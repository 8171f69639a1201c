"""The circle of one node: its views and what is done to them, whatever the cause.

`membership` hears what happens and decides; here are the steps it decides on: taking somebody into
the active view and out of it, asking, looking for more, and learning and telling contacts. Each
leaves its effects in `out`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.timers import Timers
from whispurrnet.gossip.contact import Contact, Rng, pick, sample
from whispurrnet.gossip.neighbours import (
    OFFERED_MAX,
    Active,
    Config,
    Dial,
    Effect,
    Inactive,
    Join,
    Message,
    Neighbor,
    Prune,
    Release,
    Seek,
    Send,
    codec,
)
from whispurrnet.gossip.rests import Rests
from whispurrnet.gossip.views import ActiveView, Guard, Link, PassiveView, newest

REMEMBERED_MAX = 1024
"""Keys whose account outlives the session."""

PASSIVE_KEPT = 8
"""So many contacts are kept also when they do not answer: it may be we who are cut off."""

KEPT_MAX = 8
"""Sessions we began, were refused in, and keep while we are in need."""

DOUBLINGS_MAX = 4
DOUBLINGS_ALONE_MAX = 1
"""How often the pause between two looks for more is doubled; less often without any neighbour, as
long as there is somebody to call."""

GRAFTS_MAX = 2
"""How many neighbours are called at a time in the place of others."""

FILL = "fill"
SHUFFLE = "shuffle"


class Circle:
    """See the module."""

    def __init__(self, config: Config, rng: Rng, wall_s: Callable[[], int]) -> None:
        self.config = config
        self.rng = rng
        self.wall_s = wall_s
        self.codec = codec()
        self.out: list[Effect] = []
        self.me: Contact | None = None
        self.ours: LruDict[bytes, None] = LruDict(8)
        """Our keys."""
        self.links: dict[int, Link] = {}
        self.by_key: dict[bytes, Link] = {}
        self.view = ActiveView(
            config.active, config.outbound_min, config.per_prefix, config.per_inviter
        )
        self.passive = PassiveView(config.passive, rng)
        self.dialling: dict[bytes, Contact] = {}
        self.timers: Timers[int | bytes | str] = Timers()
        """Of a peer that was asked, of a key that is called, and `FILL` and `SHUFFLE`."""
        self.grafts: dict[bytes, Link] = {}
        """Keys that are called in the place of a member, who leaves once they stand."""
        self.rests = Rests(config)
        self._guards: LruDict[bytes, Guard] = LruDict(REMEMBERED_MAX)
        self._evictions = TokenBucket(1 / config.evict_s, config.evict_burst)
        self._kept: dict[int, Link] = {}
        self._tries = 0
        self._filled_at = float("-inf")

    def check(self) -> None:
        """Assert what must be true."""
        self.view.check()
        wall_s = self.wall_s()
        for entry in self.passive.entries:
            key = entry.contact.key
            assert key not in self.ours and entry.contact.expires_s > wall_s
            assert key not in self.by_key or not self.by_key[key].active
        assert len(self.passive) <= self.config.passive
        assert len(self.dialling) <= self.config.dials_max
        assert not any(key in self.by_key for key in self.dialling), "who is up is not called"
        assert len(self.grafts) <= GRAFTS_MAX
        assert all(key in self.dialling or key in self.by_key for key in self.grafts)
        assert len(self.links) == len(self.by_key)
        assert len(self._kept) <= KEPT_MAX
        assert all(one.outbound and not one.active for one in self._kept.values())
        assert all(link.peer in self.timers for link in self.view.asking.values())
        assert all(key in self.timers for key in self.dialling)

    def guard(self, key: bytes) -> Guard:
        """The account of a key."""
        guard = self._guards.get(key)
        if guard is None:
            config = self.config
            guard = Guard(
                TokenBucket(config.messages_per_s, config.messages_burst),
                TokenBucket(config.acts_per_s, config.acts_burst),
                TokenBucket(config.shuffles_per_s, config.shuffles_burst),
            )
            self._guards.put(key, guard)
        return guard

    def send(self, link: Link, message: Message) -> None:
        """Send a message to a peer."""
        self.out.append(Send(link.peer, self.codec.encode_all([message])))

    # Taking in and out

    def activate(self, link: Link, now: float) -> None:
        """Take a peer into the active view; it fits, and is no member."""
        self.timers.cancel(link.peer)
        self.view.unask(link)
        self.unkeep(link)
        self.passive.discard(link.key)
        self.view.add(link)
        link.since = now
        self._tries = 0
        if SHUFFLE not in self.timers:
            self.timers.set(SHUFFLE, now + self.config.shuffle_s * self.rng.random())
        self.out.append(Active(link.peer))

    def deactivate(self, link: Link, now: float) -> None:
        """Take a peer out of the active view; perhaps it is called again one day."""
        self.view.remove(link)
        self._tries = 0
        self.out.append(Inactive(link.peer))
        if link.contact is not None:
            self.learn(link.contact, link.source, is_direct=True)
        self.soon(now)

    def prune(self, link: Link, now: float, *, offer: bool = True, evicted: bool = False) -> None:
        """Take an active peer out of the view, and tell it."""
        self.send_prune(link, now, offer=offer, evicted=evicted)
        self.deactivate(link, now)
        self.keep(link)

    def send_prune(
        self, link: Link, now: float, *, offer: bool = True, evicted: bool = False
    ) -> None:
        """Tell a peer that it is not in the view, and to wait: less if there is but no room."""
        backoff_s = int(self.config.evicted_backoff_s if evicted else self.config.prune_backoff_s)
        self.rests.back_off(link.key, now + backoff_s)
        link.stale = link.unanswered
        contacts = self.offer(link.key, OFFERED_MAX) if offer else ()
        self.send(link, Prune(contacts, backoff_s))

    def make_room(self, link: Link, now: float) -> bool:
        """Push out a member for a peer in need, if that may be."""
        victim = self.view.victim(link, self.rng)
        if victim is None or not self._evictions.take(1, now):
            return False
        self.prune(victim, now, evicted=True)
        return True

    def keep(self, link: Link) -> None:
        """Of a session we began that is not active: release it, unless we are in need."""
        self.grafts.pop(link.key, None)
        if link.outbound and not link.active:
            self._kept[link.peer] = link
            if len(self._kept) > KEPT_MAX:
                self._release(next(iter(self._kept)))

    def unkeep(self, link: Link) -> None:
        """Do not release it: it has ended, is needed, or is not ours any more."""
        self._kept.pop(link.peer, None)

    def forget(self, link: Link) -> None:
        """A session has ended."""
        self.view.unask(link)
        self.timers.cancel(link.peer)
        self.unkeep(link)
        self.grafts.pop(link.key, None)
        del self.links[link.peer], self.by_key[link.key]

    def _release(self, peer: int) -> None:
        del self._kept[peer]
        self.out.append(Release(peer))

    # Asking

    def rest(self, key: bytes, now: float, *, polite: bool = False) -> None:
        """Do not ask this key for a while (see `Rests.rest`)."""
        self.grafts.pop(key, None)
        self.rests.rest(key, now, polite=polite)

    def may_ask(self, link: Link, now: float) -> bool:
        """Whether a peer can be asked now."""
        if link.active or link.asking or not self._is_rested(link.key, now):
            return False
        return self.view.fits(link)

    def ask(self, link: Link, now: float) -> None:
        """Ask a peer, and keep a place for it."""
        self.unkeep(link)
        self.view.ask(link)
        self.timers.set(link.peer, now + self.config.neighbor_timeout_s)
        self.request(link)

    def request(self, link: Link, *, urgent: bool = False) -> None:
        """Ask a peer: with a `Join` if we know nobody else here."""
        link.unanswered += 1
        link.urgent = urgent or self.is_short
        if link.join_sent or any(one is not link for one in self.view.links):
            self.send(link, Neighbor(link.urgent, self.me))
        else:
            link.join_sent = True
            self.send(link, Join(self.me))

    def _is_rested(self, key: bytes, now: float) -> bool:
        return self.rests.is_rested(key, now, alone=not self.view.links, urgent=self.is_short)

    # Looking for more

    @property
    def is_short(self) -> bool:
        """Whether we are in need: few neighbours, or hardly any of our own choice.

        Who called us is no comfort: a crowd of callers must not make us modest.
        """
        view, enough = self.view, self.config.outbound_min
        chosen = len(view.friends) + sum(one.outbound for one in view.members.values())
        return len(view.links) < max(1, enough) or chosen < enough // 2

    @property
    def _lacking(self) -> int:
        """How many more to look for, besides those who are asked or called."""
        return max(self.view.outbound_lacking, self.view.lacking) - len(self.dialling)

    def soon(self, now: float) -> None:
        """Something has changed: if we are in need, look for more at once, or a second later."""
        if self.is_short:
            step_s = 0.2 * self.config.promote_s
            due_at = max(now, self._filled_at + step_s) + step_s * self.rng.random()
            self.timers.set(FILL, due_at)

    def settle(self, now: float) -> None:
        """After each event: look for more later, and release what is not needed."""
        if self._lacking <= 0:
            self.timers.cancel(FILL)
        elif FILL not in self.timers:
            is_hopeful = (self.passive or self.links) and not self.view.links
            doublings = DOUBLINGS_ALONE_MAX if is_hopeful else DOUBLINGS_MAX
            pause_s = self.config.promote_s * 2 ** min(self._tries, doublings)
            due_at = now + pause_s * (0.8 + 0.4 * self.rng.random())
            self.timers.set(FILL, min(due_at, self._rest_ends_at(now)))
        if not self.is_short:
            for peer in list(self._kept):
                self._release(peer)

    def _rest_ends_at(self, now: float) -> float:
        """When the first of those who rest may be asked, if we are in need."""
        keys = [*self.by_key, *(entry.contact.key for entry in self.passive.entries)]
        alone = not self.view.links
        return self.rests.next_end(keys, now, alone=alone) if self.is_short else inf

    def fill(self, now: float) -> None:
        """Look for more: in sessions we began, in the passive view, at last among callers."""
        self._filled_at = now
        self._ask_idle(now, outbound=True)
        while self._lacking > 0 and len(self.dialling) < self.config.dials_max:
            contact = self._candidate(now)
            if contact is None:
                self._ask_idle(now, outbound=False)
                if self.is_short and not self.dialling:
                    self.out.append(Seek())
                break
            self._dial(contact, now)
        if not self.is_short or not (self.dialling or self.view.asking):
            self._tries += 1

    def _dial(self, contact: Contact, now: float) -> None:
        self.dialling[contact.key] = contact
        self.timers.set(contact.key, now + self.config.dial_timeout_s)
        self.out.append(Dial(contact))

    def _ask_idle(self, now: float, *, outbound: bool) -> None:
        for link in self.links.values():
            lacking = self._lacking if outbound else self.view.lacking - len(self.dialling)
            if lacking <= 0:
                return
            if link.outbound == outbound and self.may_ask(link, now):
                self.ask(link, now)

    def _candidate(self, now: float) -> Contact | None:
        """Whom to call."""
        good = [
            entry
            for entry in self.passive.entries
            if entry.contact.key not in self.by_key
            and entry.contact.key not in self.dialling
            and self._is_rested(entry.contact.key, now)
            and self.view.prefix_fits(entry.prefix)
        ]
        good = newest(good)
        chosen = pick([entry for entry in good if entry.is_first] or good, self.rng)
        return None if chosen is None else chosen.contact

    # Exchanging one for another

    def graft(self, peers: Sequence[int], now: float) -> None:
        """Call others in the place of these, the first of them first; friends stay."""
        for peer in peers:
            member = self.view.members.get(peer)
            if member is None or member in self.grafts.values():
                continue
            if len(self.grafts) >= GRAFTS_MAX or len(self.dialling) >= self.config.dials_max:
                return
            contact = self._candidate(now)
            if contact is None:
                return
            self.grafts[contact.key] = member
            self._dial(contact, now)

    def ask_in_place(self, link: Link, now: float) -> None:
        """Ask a peer for whom there may be no room before another leaves."""
        self.timers.set(link.peer, now + self.config.neighbor_timeout_s)
        self.request(link, urgent=True)

    def make_way(self, link: Link, now: float) -> None:
        """A peer takes us: whoever it was called in the place of, if anybody, goes now."""
        member = self.grafts.pop(link.key, None)
        if member is None or member.peer not in self.view.members or link.active:
            return
        if self.view.fits(link, without=member):
            self.prune(member, now)

    # Contacts

    def learn(
        self,
        contact: Contact,
        source: bytes,
        *,
        spare: Sequence[bytes] = (),
        is_direct: bool = False,
        is_first: bool = False,
        is_shared: bool = True,
    ) -> bool:
        """Remember a contact (see `PassiveView.add`); return whether it is new."""
        if contact.key in self.ours:
            return False
        link = self.by_key.get(contact.key)
        if link is not None:
            if is_direct:
                link.contact = contact
            if link.active:
                return False
        return self.passive.add(
            contact,
            source,
            self.wall_s(),
            spare=spare,
            is_direct=is_direct,
            is_first=is_first,
            is_shared=is_shared,
        )

    def learn_all(
        self, contacts: Sequence[Contact], link: Link, now: float, spare: Sequence[bytes] = ()
    ) -> None:
        """Remember what a peer told us, of others or of itself."""
        is_new = False
        for contact in contacts:
            is_direct = contact.key == link.key
            is_new |= self.learn(contact, link.source, spare=spare, is_direct=is_direct)
        if is_new:
            self.soon(now)

    def offer(self, key: bytes, count: int) -> tuple[Contact, ...]:
        """Contacts for whoever has this key: half from the active view, as far as there are."""
        near = sample(self._near(key), count, self.rng)
        far = self.passive.sample(count, but=(key,))
        return tuple((near[: count // 2] + far + near[count // 2 :])[:count])

    def offer_near(self, key: bytes, count: int) -> list[Contact]:
        """Contacts from the active view."""
        return sample(self._near(key), count, self.rng)

    def _near(self, key: bytes) -> list[Contact]:
        wall_s = self.wall_s()
        return [
            one.contact
            for one in self.view.links
            if one.contact is not None and one.contact.expires_s > wall_s and one.key != key
        ]
