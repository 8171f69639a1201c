"""One overlay: the neighbours of one shard of a realm, and what spreads among them.

It puts the gossip cores together: who is a neighbour (`membership`), what spreads (`spread`), what
walks before it spreads (`stem`), and what that is worth (`standing`, which all overlays of a node
share). Bodies of frames come in, and go out through its `Host`.

    GOSSIP = shard u8 | kind u8 | rest     kinds 1 to 15 are those of `gossip.spread`
    STEM 16   body                         a message that nobody announces yet
    LOAD 17   bits u8                      the stamps that this node asks for
    VIEW   = shard u8 | a message of `gossip.membership`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.gossip import membership, spread, stem
from whispurrnet.gossip.contact import Contact
from whispurrnet.gossip.membership import Membership
from whispurrnet.gossip.silence import Silence
from whispurrnet.gossip.spread import Spread
from whispurrnet.gossip.spread_frames import IHAVE, PUSH
from whispurrnet.gossip.stamp import Difficulty
from whispurrnet.gossip.standing import Standing, Verdict
from whispurrnet.gossip.stem import Stem
from whispurrnet.session.pool import Rng
from whispurrnet.stack.checker import Checker, Message
from whispurrnet.stack.config import GossipConfig
from whispurrnet.wire import frame

STEM, LOAD = 16, 17
_BRINGS = (PUSH, IHAVE, STEM)
STEM_PRIORITY, CONTROL_PRIORITY, URGENT_PRIORITY = 5, 6, 10

CHOOSY_ABOVE = 2
"""With so few neighbours a small fault of one is borne: a worse one is better than none."""

LOAD_S = 5.0
"""How often neighbours may be told of the stamps that are asked for, in seconds."""

CONTROL_PER_S, CONTROL_BURST = 100, 1000
"""Frames besides messages that are read of one neighbour."""


class Host(Protocol):
    """What an overlay wants of the stack."""

    def send(self, peer: int, type: int, body: bytes, priority: int) -> None:
        """Let a frame wait for a peer."""
        ...

    def call(self, contact: Contact, now: float) -> None:
        """Reach a node that may become a neighbour."""
        ...

    def release(self, peer: int, now: float) -> None:
        """This overlay needs the session with a peer no longer."""
        ...

    def seek(self, shard: int, now: float) -> None:
        """The overlay of a shard is in need, and knows nobody to call."""
        ...

    def neighbour(self, peer: int, *, active: bool) -> None:
        """A peer became a neighbour, or is none any more."""
        ...

    def deliver(self, message: Message, hop: int, now: float) -> None:
        """A message is in the open that was not before."""
        ...

    def shut_out(self, peer: int, now: float) -> None:
        """A peer did so much harm that its session ends."""
        ...

    def count(self, name: str, n: int = 1) -> None:
        """Note that something happened."""
        ...


class Overlay:
    """The neighbours of one shard.

    Args:
        shard: Its number.
        config: Settings of gossip.
        checker: Says what a message is, and whether it may be passed on.
        difficulty: The stamps that are asked for in this shard.
        standing: What peers are worth.
        rng: Chance, which must not be guessable.
        wall_s: Unix time in seconds.
        host: Does what the overlay wants.
    """

    def __init__(
        self,
        shard: int,
        config: GossipConfig,
        checker: Checker,
        difficulty: Difficulty,
        standing: Standing,
        rng: Rng,
        wall_s: Callable[[], int],
        host: Host,
    ) -> None:
        self.shard = shard
        self.standing = standing
        self.difficulty = difficulty
        self.membership = Membership(config.membership, rng, wall_s)
        self.spread = Spread(config.spread, checker, rng)
        self.stem = Stem(config.stem, rng)
        self._silence = Silence(config.silence)
        self._checker = checker
        self._host = host
        self._outbound: dict[int, bool] = {}
        self._control: dict[int, TokenBucket] = {}
        self._active: dict[int, None] = {}
        self._muted: dict[int, None] = {}
        """Whose gossip was not heard when its standing was looked at the last time."""
        self._told_bits = difficulty.config.base_bits
        self._tell_at: float | None = None
        self._head = bytes((shard,))
        self._due: float | None = None
        self._changed = True
        """Whether `_due` has to be found anew, because a core was told something."""

    @property
    def neighbours(self) -> tuple[int, ...]:
        """Who is in the active view, and friends."""
        return tuple(self._active)

    @property
    def deadline(self) -> float | None:
        """When something is due."""
        if self._changed:
            self._changed = False
            cores = (self.membership.deadline, self.spread.deadline, self.stem.deadline)
            others = (self._silence.deadline, self._tell_at)
            dues = (due for due in (*cores, *others) if due is not None)
            self._due = min(dues, default=None)
        return self._due

    # Peers

    def me(self, key: bytes, contact: Contact | None, now: float) -> None:
        """Our static key, and what others may be told of us; None: nothing."""
        self._from_membership(self.membership.handle(membership.Me(key, contact), now), now)

    def consider(
        self, contact: Contact, now: float, *, is_first: bool = False, is_shared: bool = True
    ) -> None:
        """A node was found that may become a neighbour (see `membership.Consider`)."""
        event = membership.Consider(contact, is_first, is_shared)
        self._from_membership(self.membership.handle(event, now), now)

    def up(self, event: membership.Up, now: float) -> None:
        """A session with a peer that takes part began, or the peer has another key."""
        self._outbound[event.peer] = event.outbound
        self._control.setdefault(event.peer, TokenBucket(CONTROL_PER_S, CONTROL_BURST))
        self._from_membership(self.membership.handle(event, now), now)
        self._judge(event.peer, now)  # what its key did before is not forgotten

    def down(self, peer: int, now: float) -> None:
        """It ended."""
        if self._outbound.pop(peer, None) is not None:
            del self._control[peer]
            self._muted.pop(peer, None)
            self._from_membership(self.membership.handle(membership.Down(peer), now), now)
            self._leave(peer, now)

    def unreachable(self, key: bytes, now: float) -> None:
        """A node that was to be called did not answer."""
        self._from_membership(self.membership.handle(membership.Failed(key), now), now)

    # Messages

    def publish(
        self, id: bytes, body: bytes, expires_at: float, now: float, *, direct: bool
    ) -> None:
        """Spread a message of ours, at once or after a walk."""
        if direct:
            self._from_spread(self.spread.handle(spread.Publish(body), now), now)
        else:
            self._from_stem(self.stem.handle(stem.Own(id, body, expires_at), now), now)

    def view(self, peer: int, body: bytes, now: float) -> None:
        """A message of membership came.

        Raises:
            ProtocolError: It is malformed, or out of place.
        """
        if peer not in self._control:
            return
        if not self._control[peer].take(1, now):
            self._fault(peer, "flood", now)
            return
        try:
            effects = self.membership.handle(membership.Arrived(peer, body), now)
        except ProtocolError:
            self._fault(peer, "malformed", now)
            raise
        self._from_membership(effects, now)

    def gossip(self, peer: int, body: bytes, now: float) -> None:
        """The body of a GOSSIP frame came, without the shard.

        Raises:
            ProtocolError: It is malformed.
        """
        if peer not in self._control:
            return
        if peer in self._muted and self._is_muted(peer, now):
            self.standing.allow(peer, len(body), now)  # whoever goes on and on is shown the door
            self._judge(peer, now)
            return
        kind = body[0] if body else 0
        if kind in _BRINGS:
            self._silence.spoke(peer, now)
        if kind == PUSH and self.spread.expects(peer):
            allowed = True  # we asked for it, and for no more than so much
        elif kind in (STEM, PUSH):
            allowed = self.standing.allow(peer, len(body), now)
        else:
            allowed = self._control[peer].take(1, now)
            if not allowed:
                self.standing.fault(peer, "flood", now)
            else:
                allowed = self.standing.allow(peer, len(body), now, messages=0)
        if not allowed:
            self._host.count("gossip_refused")
            self._judge(peer, now)
            return
        try:
            if kind == STEM:
                self._on_stem(peer, body[1:], now)
            elif kind == LOAD:
                self._on_load(peer, body, now)
            else:
                self._from_spread(self.spread.handle(spread.Arrived(peer, body), now), now)
        except ProtocolError:
            self._fault(peer, "malformed", now)
            raise

    def _on_stem(self, peer: int, body: bytes, now: float) -> None:
        item = self._checker.inspect(body, now)
        if self.spread.has(item.id):
            return
        if item.id not in self.stem:
            try:
                self._checker.admit(item, body, now)
            except ProtocolError as error:
                if not isinstance(error, spread.Unwelcome):
                    self._fault(peer, "invalid", now)
                return
        arrived = stem.Arrived(peer, item.id, body, item.expires_at)
        self._from_stem(self.stem.handle(arrived, now), now)

    def _on_load(self, peer: int, body: bytes, now: float) -> None:
        if len(body) != 2:
            raise ProtocolError("a neighbour tells of its load in another form")
        self.difficulty.heard(peer, body[1], now)

    # Time

    def tick(self, now: float) -> None:
        """Do what is due."""
        for core, take in (
            (self.membership, self._from_membership),
            (self.spread, self._from_spread),
            (self.stem, self._from_stem),
        ):
            due = core.deadline
            if due is not None and due <= now:
                take(core.handle(Tick(), now), now)  # type: ignore[arg-type]
        if self._tell_at is not None and self._tell_at <= now:
            self._tell_at, self._changed = None, True
            self._told_bits = self.difficulty.bits(now)
            for peer in self._active:
                self._tell(peer)
        if self._silence.deadline is not None and self._silence.deadline <= now:
            self._changed = True
            silent = self._silence.judge(lambda peer: self.standing.score(peer, now), now)
            if silent:
                self._host.count("gossip_grafts")
                event = membership.Graft(silent)
                self._from_membership(self.membership.handle(event, now), now)

    def _tell(self, peer: int) -> None:
        body = self._head + bytes((LOAD, self._told_bits))
        self._host.send(peer, frame.GOSSIP, body, CONTROL_PRIORITY)

    # What the cores want

    def _from_membership(self, effects: Sequence[membership.Effect], now: float) -> None:
        self._changed = True
        for effect in effects:
            match effect:
                case membership.Send(peer, body):
                    self._host.send(peer, frame.VIEW, self._head + body, CONTROL_PRIORITY)
                case membership.Dial(contact):
                    if self.standing.greylisted(contact.key, now):
                        self.unreachable(contact.key, now)
                    else:
                        self._host.call(contact, now)
                case membership.Active(peer):
                    self._enter(peer, now)
                case membership.Inactive(peer):
                    self._leave(peer, now)
                case membership.Release(peer):
                    self._host.release(peer, now)
                case membership.Seek():
                    self._host.seek(self.shard, now)

    def _enter(self, peer: int, now: float) -> None:
        if peer in self._active:
            return
        self._active[peer] = None
        self.standing.entered(peer, now)
        self._silence.enter(peer, now)
        self._host.neighbour(peer, active=True)
        add = stem.Add(peer, self._outbound.get(peer, False))
        self._from_stem(self.stem.handle(add, now), now)
        self._from_spread(self.spread.handle(spread.Add(peer), now), now)
        if self._told_bits != self.difficulty.config.base_bits:
            self._tell(peer)

    def _leave(self, peer: int, now: float) -> None:
        if peer not in self._active:
            return
        del self._active[peer]
        self.difficulty.forget(peer)
        self._silence.leave(peer)
        self._from_stem(self.stem.handle(stem.Remove(peer), now), now)
        self._from_spread(self.spread.handle(spread.Remove(peer), now), now)
        self._host.neighbour(peer, active=False)

    def _from_spread(self, effects: Sequence[spread.Effect], now: float) -> None:
        self._changed = True
        host = self._host
        for effect in effects:
            match effect:
                case spread.Send(peer, data, priority):
                    host.send(peer, frame.GOSSIP, self._head + data, priority)
                case spread.Deliver(_, hop, item):
                    self._from_stem(self.stem.handle(stem.Fluffed(item.id), now), now)
                    assert isinstance(item, Message), "what the checker gave"
                    host.deliver(item, hop, now)
                    if self._tell_at is None and self.difficulty.bits(now) != self._told_bits:
                        self._tell_at = now + LOAD_S
                case spread.Useful(peer):
                    self.standing.useful(peer, now)
                    self._silence.useful(now)
                case spread.Fault(peer, kind):
                    self._fault(peer, kind, now)

    def _from_stem(self, effects: Sequence[stem.Effect], now: float) -> None:
        self._changed = True
        for effect in effects:
            match effect:
                case stem.Relay(peer, body):
                    data = self._head + bytes((STEM,)) + body
                    self._host.send(peer, frame.GOSSIP, data, STEM_PRIORITY)
                case stem.Fluff(body, _):
                    self._from_spread(self.spread.handle(spread.Publish(body), now), now)

    # Standing

    def _fault(self, peer: int, kind: str, now: float) -> None:
        self.standing.fault(peer, kind, now)
        self._host.count("gossip_faults")
        self._judge(peer, now)

    def _is_muted(self, peer: int, now: float) -> bool:
        """Faults fade: whether a muted peer still is."""
        if self.standing.verdict(peer, now) >= Verdict.MUTE:
            return True
        del self._muted[peer]
        return False

    def _judge(self, peer: int, now: float) -> None:
        verdict = self.standing.verdict(peer, now)
        if verdict >= Verdict.MUTE:
            self._muted[peer] = None
        if verdict >= Verdict.CLOSE:
            self._host.shut_out(peer, now)
        elif peer in self._active and (
            verdict >= Verdict.MUTE
            or (verdict >= Verdict.LEAVE and len(self._active) > CHOOSY_ABOVE)
        ):
            self._from_membership(self.membership.handle(membership.Ban(peer), now), now)
