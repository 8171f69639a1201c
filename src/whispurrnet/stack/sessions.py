"""The sessions of a node: what is said in them by the stack itself, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from whispurrnet.base.errors import (
    AuthError,
    LimitError,
    NetworkError,
    ProtocolError,
    UsageError,
)
from whispurrnet.base.machine import Tick
from whispurrnet.direct import courier
from whispurrnet.identity.ephemeral import Ephemeral, Proof, verify_predecessor, verify_successor
from whispurrnet.session import channel, handshake
from whispurrnet.stack import events, greeting
from whispurrnet.stack.calls import Call
from whispurrnet.stack.live import Live, Tail
from whispurrnet.stack.members import Members
from whispurrnet.stack.opening import Opening
from whispurrnet.stack.resting import Resting
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import LINK, Shared
from whispurrnet.trust.evidence import Kind
from whispurrnet.wire import frame

CHANNEL_BINDING = "channel-binding"

State: TypeAlias = Opening | Live | Tail


class Watcher(Protocol):
    """Who hears of sessions."""

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        ...

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """A connected peer is admitted to our closed realm, or no longer: `Belonging.admits`."""
        ...

    def down(self, record: Record, now: float) -> None:
        """It ended."""
        ...

    def renamed(self, record: Record, now: float) -> None:
        """A connected peer has another key from now on."""
        ...

    def shun(self, key: bytes) -> None:
        """Bring no session with this peer about, unless somebody asks for it."""
        ...

    def spare(self, now: float) -> bool:
        """Somebody else wants in: end a session that nobody needs, if there is one."""
        ...


class Sessions:
    """Every link by its state, and what is done to those that are live.

    Args:
        shared: What the parts of the stack share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.states: dict[int, State] = {}
        self.dirty: dict[int, Live] = {}
        """Sessions with something to send."""
        self.watchers: list[Watcher] = []
        """Who hears of sessions that begin and end."""
        self.claim: Callable[[Opening, bytes, float], bytes] = lambda opening, data, now: data
        """May take an inbound link by its first bytes; returns what the handshake is to read."""
        self.gone: Callable[[int, float], None] = lambda link, now: None
        """Hears of the end of links that are in no state here."""
        self.awaits_another: Callable[[Live, float], bool] = lambda live, now: False
        """Ends a session that was replaced, if the peer is about to tell by what."""
        self.members = Members(shared, self._whisper, self._admitted)

        self.resting = Resting(shared, self._whisper, self.dirty)

    # What the stack itself says

    def hello(self, live: Live, *more: greeting.Greeting, invited: bool = False) -> bytes:
        """The frame that opens a session; `invited` says that we came by an invite of the peer."""
        shared = self._shared
        live.applied = invited and self.members.wants_in
        role = greeting.INITIATOR if live.initiator else greeting.RESPONDER
        binding = live.keys.export(CHANNEL_BINDING)
        message = greeting.Hello(
            greeting.VERSION,
            shared.config.profile,
            self.capabilities | greeting.KEEP * live.friend,
            int(shared.config.channel.heartbeat_s * 1000),
            shared.addresses[: greeting.ADDRESSES_MAX],
            shared.persona.prove(binding, role) if shared.persona else None,
        )
        return frame.encode(
            frame.PEER, greeting.encode(message, *more, *self.members.opening(live))
        )

    @property
    def capabilities(self) -> int:
        """What every hello says that we can do."""
        gossip = self._shared.config.gossip
        return (
            greeting.GOSSIPS * gossip.on
            | greeting.SHARED * gossip.share
            | greeting.MEETS * self._shared.config.meeting_place
            | greeting.OBJECTS
            | greeting.RELAYS * self._shared.config.relay.on
            | greeting.MAPPED * self._shared.config.mapped
            | greeting.WEBRTC * self._shared.config.webrtc
            | greeting.CLOSED_REALM * self._shared.belonging.is_closed
        )

    def _rotation(self, old: Ephemeral) -> bytes:
        """The frame that moves a session from one of our old identities to the current one."""
        new = self._shared.identity
        message = greeting.Rotate(
            new.proof.encode(), old.sign_successor(new.proof), new.sign_predecessor(old.proof)
        )
        return frame.encode(frame.PEER, greeting.encode(message))

    def announce_identity(self, live: Live) -> None:
        """Tell a peer that we go by another identity from now on, if it knows us by an old one."""
        shared, record = self._shared, self._shared.roster.get(live.peer)
        holder = next((known for known in shared.identities if known.id == live.ours), None)
        if record is None or holder is None or holder is shared.identity:
            return
        live.notes.append(self._rotation(holder))
        live.free_at = 0.0  # or who hears the new beacon first would call a stranger
        live.ours = shared.identity.id
        valid = {identity.id for identity in shared.identities}
        record.shown = (*(id for id in record.shown if id in valid), live.ours)
        self.dirty[live.link] = live

    def identity_for(self, target: bytes, call: Call) -> Ephemeral:
        """Who we are to a target: whom it knows already, so that it finds its record of us.

        What we have become since is said inside the session.
        """
        shared = self._shared
        for record in shared.roster:
            if record.target == target or record.static_key == call.static_key:
                known = (i for ours in record.shown for i in shared.identities if i.id == ours)
                return next(known, shared.identity)
        return shared.identity

    def set_presence(self, event: events.SetPresence, now: float) -> None:
        """Tell every peer how we are doing.

        Raises:
            UsageError: There is no such presence, or the note is too long.
        """
        if event.state not in greeting.PRESENCE_STATES:
            raise UsageError(
                f"no presence is called {event.state!r}; take one of "
                + ", ".join(greeting.PRESENCE_STATES)
            )
        if len(event.note) > greeting.PRESENCE_NOTE_MAX:
            raise UsageError(f"a note has at most {greeting.PRESENCE_NOTE_MAX} characters")
        self._shared.presence = (event.state, event.note)
        for record in self._shared.roster:
            if record.live is not None:
                self.announce_presence(record.live)

    def introduce(self, live: Live, now: float) -> None:
        """Say at the beginning of a session what the hello does not."""
        self.announce_identity(live)
        if self._shared.presence != greeting.PRESENT:
            self.announce_presence(live)
        self.resting.up(live, now)

    def announce_presence(self, live: Live) -> None:
        """Tell a peer how we are doing."""
        message = greeting.Presence(*self._shared.presence)
        live.notes.append(frame.encode(frame.PEER, greeting.encode(message)))
        self.dirty[live.link] = live

    def told(self, record: Record, message: greeting.Greeting, now: float) -> None:
        """The peer says something of itself, after its hello.

        Raises:
            ProtocolError: The message is out of place, or does not authenticate.
            LimitError: The peer does this too often.
        """
        if isinstance(message, greeting.Belong | greeting.Apply | greeting.Grant):
            if record.live is not None:
                self.members.told(record, record.live, message, now)
            return
        if isinstance(message, greeting.Asleep):
            self.resting.told(record, message, now)
            return
        if not isinstance(message, greeting.Presence):
            self.rename(record, message, now)
            return
        if not record.news.take(1, now):
            raise LimitError("a peer changes its presence too often")
        record.presence = (message.state, message.note)
        self._shared.out.append(events.PeerPresence(record.handle, *record.presence))

    def rename(self, record: Record, message: greeting.Greeting, now: float) -> None:
        """The peer takes a new ephemeral identity inside its session.

        Raises:
            ProtocolError: The message is out of place, or does not authenticate.
            LimitError: The peer does this too often.
        """
        shared = self._shared
        if not isinstance(message, greeting.Rotate):
            raise ProtocolError("a second hello")
        if not record.rotations.take(1, now):
            raise LimitError("a peer changes its identity too often")
        try:
            old, new = record.proof, Proof.decode(message.proof)
            new.verify(shared.wall())
            verify_successor(old, new, message.signature)
            verify_predecessor(old, new, message.consent)
        except AuthError as error:
            shared.evidence.note(record.deeds, Kind.FORGED, now)
            raise ProtocolError("a peer's new identity is forged") from error
        targets = shared.calls.targets(record.target, record.static_key)
        shared.roster.rename(record, new)
        for target in targets:
            shared.calls.renamed(target, new.static_key)
        shared.out.append(events.PeerRenamed(record.handle, old.id, new.id))
        for watcher in self.watchers:
            watcher.renamed(record, now)

    def _whisper(self, live: Live, message: greeting.Greeting) -> None:
        live.notes.append(frame.encode(frame.PEER, greeting.encode(message)))
        self.dirty[live.link] = live

    def _admitted(self, record: Record, live: Live, now: float) -> None:
        for watcher in self.watchers:
            watcher.admitted(record, live, now)

    # Ending

    def heartbeat(self, live: Live, now: float) -> None:
        """A live link's deadline has come: ping, offer new keys, or notice that it is dead."""
        for effect in live.channel.handle(Tick(), now):
            if isinstance(effect, channel.Dead):
                self.close(live, "no sign of life for three heartbeats", now)
                return
        if live.channel.control_pending:
            self.dirty[live.link] = live
        live.joiner.expire(now)
        record = self._shared.roster.get(live.peer)
        if record is not None:
            self._shared.evidence.note(record.deeds, Kind.DELIVERED, now)
        due = live.channel.deadline
        if due is not None:
            self._shared.timers.set((LINK, live.link), due)

    def left(self, live: Live, reason: int, now: float) -> None:
        """The peer said goodbye."""
        shared = self._shared
        why = greeting.REASONS.get(reason, greeting.REASONS[greeting.CLOSED])
        record = shared.roster.get(live.peer)
        if reason == greeting.DUPLICATE and self.awaits_another(live, now):
            return
        self.close(live, why, now, abort=False)
        final = (greeting.CLOSED, greeting.REVOKED, greeting.PRUNED)
        if reason in final and record is not None:
            if reason != greeting.PRUNED:
                self.shun(record)
            self.call_no_more(record, NetworkError(why), now)

    def reached_already(self, opening: Opening, record: Record, now: float) -> None:
        """Our call led to a peer that had called us: it is not to be called again and again."""
        calls, target = self._shared.calls, opening.dial
        if not target:
            return
        if record.target in (None, target):
            record.target = target
            self._shared.out += calls.connected(target, opening.link.address, now)
        self._shared.out += calls.answered(target, record.handle, now)

    def call_no_more(self, record: Record, error: NetworkError, now: float) -> None:
        """Give up every call that leads to a peer."""
        calls = self._shared.calls
        for target in calls.targets(record.target, record.static_key):
            self._shared.out += calls.give_up(target, error, now)
        record.target = None

    def shun(self, record: Record) -> None:
        """Somebody said goodbye for good: the mesh must not bring the two together again."""
        for watcher in self.watchers:
            watcher.shun(record.static_key)

    def suspended(self, event: events.Suspended, now: float) -> None:
        """The application stops reading from a peer, or reads on."""
        record = self._shared.roster.get(event.peer)
        if record is not None and record.live is not None:
            record.live.channel.handle(channel.Suspended(event.on), now)

    def farewell(self, event: events.Farewell, now: float) -> None:
        """Say goodbye to everyone."""
        for record in self._shared.roster:
            if record.live is not None:
                self.leave(record.live, greeting.SHUTTING_DOWN, now)

    def say_goodbye(self, live: Live, reason: int, now: float) -> None:
        """Say goodbye on a session, whatever else waits for it."""
        live.channel.handle(channel.Leave(reason), now)
        self._shared.out.append(events.Write(live.link, live.channel.seal([], 0, now)))

    def leave(self, live: Live, reason: int, now: float) -> None:
        """Say goodbye and end the session."""
        self.say_goodbye(live, reason, now)
        self.close(live, greeting.REASONS[reason], now, abort=False)

    def close(self, live: Live, reason: str, now: float, *, abort: bool = True) -> None:
        """Close the link and end the session."""
        self._shared.out.append(events.Close(live.link, abort=abort))
        self.end(live, reason, now, closed=True)

    def end(
        self, live: Live, reason: str, now: float, *, replaced: bool = False, closed: bool = False
    ) -> None:
        """A session is over, and its streams with it; its messages wait for the next one."""
        shared = self._shared
        self.drop(live.link)
        tail, live.tail = live.tail, None
        if tail is not None:
            self.drop(tail.link)
            shared.out.append(events.Close(tail.link, abort=True))
        if replaced and not closed:
            shared.out.append(events.Close(live.link))
        record = shared.roster.get(live.peer)
        if record is None or record.live is not live:
            return
        record.live, record.last_seen_s = None, now
        self.members.forget(record)
        for effect in shared.courier.handle(courier.Down(record.handle), now):
            shared.out.append(effect)
        shared.out.append(events.PeerDown(record.handle, reason))
        for watcher in self.watchers:
            watcher.down(record, now)
        for target in shared.calls.targets(record.target, record.static_key):
            if not replaced:
                shared.out += shared.calls.lost(target, now)

    def paused(self, event: events.LinkPaused, now: float) -> None:
        """The buffer of a link is full: seal nothing more for it."""
        del now
        live = self.states.get(event.link)
        if isinstance(live, Live):
            live.paused = True
            self.dirty.pop(live.link, None)
            if live.tail is not None:
                live.tail.full = True

    def resumed(self, event: events.LinkResumed, now: float) -> None:
        """It has room again."""
        del now
        live = self.states.get(event.link)
        if isinstance(live, Live):
            if live.tail is not None:
                live.tail.full = False
            if live.tail is None or live.tail.go:
                live.paused = False
                self.dirty[live.link] = live

    def has_place(self, now: float) -> bool:
        """Whether one more peer may be here, perhaps because a session that nobody needs ends."""
        connected = sum(record.live is not None for record in self._shared.roster)
        if connected < self._shared.config.pool.peers_max:
            return True
        return any(watcher.spare(now) for watcher in self.watchers)

    def make_room(self, now: float) -> bool:
        """Give up the oldest link of a stranger who has not said what is worth an answer.

        Or else some hundred connections on which nothing is said would keep everybody out.
        """
        for link, state in self.states.items():
            if isinstance(state, Opening) and state.dial is None and not state.answered:
                state.core.handle(handshake.Closed(), now)
                self._shared.out.append(events.Close(link, abort=True))
                self.drop(link)
                return True
        return False

    def drop(self, link: int) -> None:
        """Forget a link."""
        self.states.pop(link, None)
        self.dirty.pop(link, None)
        self._shared.timers.cancel((LINK, link))
