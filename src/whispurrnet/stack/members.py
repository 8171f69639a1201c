"""Memberships, as they pass between two nodes of a closed realm.

Who called shows its membership in its first frame; who was called shows its own only to a member,
so nobody can learn by a mere call that a node is one. Who has an invite asks for a membership, in
the session that the invite opened or in one that stood already, and whoever gave the invite signs
one: once.

A membership that is not good here and now is no fault: a clock may be wrong, or the realm another.
The session goes on, outside of gossip.
"""

from __future__ import annotations

from collections.abc import Callable

from whispurrnet.base.errors import AuthError, LimitError, ProtocolError
from whispurrnet.crypto.hash import equal
from whispurrnet.crypto.keys import Secret
from whispurrnet.stack import events, greeting
from whispurrnet.stack.live import Live
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import Shared
from whispurrnet.trust import chain

MEMBER = "member"
LOOK_S = 3600.0
"""How often, at least, to look whether a membership has expired: the clock of the wall may jump."""

_NO_MEMBER = (
    "the node that invited us can make nobody a member of this realm; "
    "ask the founder, or a member that may invite, for an invite"
)
_NOT_GOOD = (
    "the membership that we were given is not good; compare membership.founder, network_secret and "
    "the clocks of both nodes, and ask for a new invite"
)


class Members:
    """Who of our peers belongs to the realm.

    Args:
        shared: What the parts of the stack share.
        whisper: Says something to a peer.
        admitted: A peer belongs to the realm, or does so no longer.
    """

    def __init__(
        self,
        shared: Shared,
        whisper: Callable[[Live, greeting.Greeting], None],
        admitted: Callable[[Record, Live, float], None],
    ) -> None:
        self._shared = shared
        self._whisper = whisper
        self._admitted = admitted

    @property
    def wants_in(self) -> bool:
        """Whether an invite is to be made good by a membership."""
        return self._shared.belonging.is_closed and not self._shared.belonging.is_founder

    def opening(self, live: Live) -> tuple[greeting.Greeting, ...]:
        """What is said with the hello of a session."""
        belonging = self._shared.belonging
        if not belonging.is_closed or not live.initiator:
            return ()
        said: list[greeting.Greeting] = []
        shown = belonging.show(_binding(live), greeting.INITIATOR)
        if shown is not None:
            said.append(shown)
        if live.applied:
            said.append(belonging.ask(_binding(live), greeting.INITIATOR))
        return tuple(said)

    def redeem(self, event: events.Connect) -> None:
        """Ask for a membership in a session that stood already when we got the invite for it."""
        for record in self._shared.roster:
            live = record.live
            if live is None or event.psk is None or not self.wants_in:
                continue
            if record.static_key == event.static_key or (
                event.persona is not None and record.persona == event.persona
            ):
                live.applied = True
                role = _ours(live)
                ask = self._shared.belonging.ask(_binding(live), role, event.psk)
                self._whisper(live, ask)

    def told(
        self,
        record: Record,
        live: Live,
        message: greeting.Belong | greeting.Apply | greeting.Grant,
        now: float,
    ) -> None:
        """A peer speaks of membership.

        Raises:
            ProtocolError: It is malformed, or was not asked for.
            LimitError: The peer does this too often.
        """
        if not self._shared.belonging.is_closed:
            return
        if not record.rotations.take(1, now):
            raise LimitError("a peer speaks too often of its membership")
        match message:
            case greeting.Belong():
                self._belongs(record, live, message, now)
            case greeting.Apply():
                self._applies(live, message)
            case greeting.Grant():
                self._granted(live, message)

    def forget(self, record: Record) -> None:
        """The session of a peer ended: in the next it shows its membership again."""
        record.member = None
        self._shared.timers.cancel((MEMBER, record.handle))

    def expire(self, peer: int, now: float) -> None:
        """Look whether the membership of a peer is over."""
        record = self._shared.roster.get(peer)
        if record is None or record.member is None or record.live is None:
            return
        if record.member.expires_s > self._shared.wall() // 1000:
            self._watch(record, now)
            return
        record.member = None
        self._admitted(record, record.live, now)

    # What peers say

    def _belongs(self, record: Record, live: Live, message: greeting.Belong, now: float) -> None:
        shared, before = self._shared, record.member
        try:
            record.member = shared.belonging.check(message, _binding(live), _theirs(live))
        except AuthError:
            shared.count("memberships_refused")
            return
        self._watch(record, now)
        if before is None and not live.initiator:
            self._show(live)
        if before is None or before.branch != record.member.branch:
            self._admitted(record, live, now)

    def _watch(self, record: Record, now: float) -> None:
        assert record.member is not None
        left_s = max(0.0, record.member.expires_s - self._shared.wall() / 1000)
        self._shared.timers.set((MEMBER, record.handle), now + min(left_s, LOOK_S))

    def _applies(self, live: Live, message: greeting.Apply) -> None:
        shared, binding = self._shared, _binding(live)
        if not self._is_invited(live, message, binding):
            shared.count("memberships_refused")
            return
        try:
            answer = shared.belonging.grant(message, binding, _theirs(live))
            shared.count("members_let_in")
        except (AuthError, LimitError):
            answer = greeting.Grant(b"")
        self._whisper(live, answer)

    def _is_invited(self, live: Live, message: greeting.Apply, binding: bytes) -> bool:
        """Whether the peer has an invite of ours, which is used up by asking."""
        if not message.invite:
            invited, live.invited = live.invited, False
            return invited
        invites = self._shared.invites

        def matches(psk: Secret) -> bool:
            return equal(message.invite, chain.invite_mac(psk, binding, message.key))

        psk = invites.find(matches, self._shared.wall())
        return psk is not None and invites.redeem(psk)

    def _granted(self, live: Live, message: greeting.Grant) -> None:
        shared = self._shared
        if not live.applied:
            raise ProtocolError("a peer gave us a membership that we did not ask for")
        live.applied = False
        if not message.chain:
            shared.out.append(events.Warned(_NO_MEMBER))
            return
        try:
            is_better = shared.belonging.accept(message)
        except AuthError:
            shared.out.append(events.Warned(_NOT_GOOD))
            return
        if is_better:
            shared.out.append(events.MembershipChanged())
            for record in shared.roster:
                if record.live is not None and (record.live.initiator or record.member):
                    self._show(record.live)

    def _show(self, live: Live) -> None:
        shown = self._shared.belonging.show(_binding(live), _ours(live))
        if shown is not None:
            self._whisper(live, shown)


def _ours(live: Live) -> int:
    return greeting.INITIATOR if live.initiator else greeting.RESPONDER


def _theirs(live: Live) -> int:
    return greeting.RESPONDER if live.initiator else greeting.INITIATOR


def _binding(live: Live) -> bytes:
    """What only this channel has."""
    return live.keys.export("membership")
