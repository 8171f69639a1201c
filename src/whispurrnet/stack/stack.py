"""The whole node as one core: every core, and the routes between them.

The simulator runs this very class. The shell does four things for it: it hands over events, it
performs effects, it calls again with `Flush` when `wants_flush` holds and with `Tick` when
`deadline` has come. It holds no protocol of its own: what looks like logic here is a missing
core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import (
    AuthError,
    LimitError,
    NetworkError,
    ProtocolError,
    WhispurrError,
)
from whispurrnet.base.machine import Tick
from whispurrnet.direct import courier
from whispurrnet.identity.persona import Persona
from whispurrnet.session import channel, mux
from whispurrnet.session.pool import Rng
from whispurrnet.stack import events, greeting, resting
from whispurrnet.stack.belonging import Holding
from whispurrnet.stack.calls import Call
from whispurrnet.stack.config import Config
from whispurrnet.stack.exchange import Exchange
from whispurrnet.stack.finding import Finding
from whispurrnet.stack.gossiping import Gossiping
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.meeting import Meeting
from whispurrnet.stack.members import MEMBER
from whispurrnet.stack.parts import Part
from whispurrnet.stack.paths import Paths
from whispurrnet.stack.relaying import Relaying
from whispurrnet.stack.shared import BEACON_CALL, LINK, RETIRE, ROTATE, Shared
from whispurrnet.stack.signalling import Signalling
from whispurrnet.stack.streaming import Streaming
from whispurrnet.trust.evidence import Kind
from whispurrnet.trust.pins import Pins
from whispurrnet.wire import frame


class Stack:
    """One node, without sockets, clock or chance of its own.

    Args:
        config: Settings of every core.
        entropy: Gives that many random bytes.
        wall: Unix time in milliseconds.
        rng: Chance that needs no secrecy.
        now: Monotonic time in seconds.
        persona: The long-term identity, if there is one.
        pins: Whom we know already.
        holding: Our key in a closed realm, and how we belong to it; without one, a new key.
    """

    def __init__(
        self,
        config: Config,
        *,
        entropy: Callable[[int], bytes],
        wall: Callable[[], int],
        rng: Rng,
        now: float,
        persona: Persona | None = None,
        pins: Pins | None = None,
        holding: Holding | None = None,
    ) -> None:
        self.shared = Shared(
            config,
            entropy=entropy,
            wall=wall,
            rng=rng,
            persona=persona,
            pins=pins,
            holding=holding,
            now=now,
        )
        self.links = Links(self.shared, self._read)
        self.resting = self.links.resting
        self.resting.begin(now)
        self._finding = Finding(self.shared)
        self._streaming = Streaming(self.shared, self.links)
        self.gossiping = Gossiping(self.shared, self.links, rng, now)
        self.meeting = Meeting(self.shared, self.links)
        self.exchange = Exchange(self.shared, self.links, rng)
        self.signalling = Signalling(self.shared, self.links)
        self.relaying = Relaying(self.shared, self.links, self._moved)
        self.paths = Paths(self.shared, self.links, self.signalling, rng)
        self.links.watchers += (self.gossiping, self.meeting, self.exchange, self.signalling)
        self.links.watchers.append(self.paths)
        self._parts: tuple[Part, ...] = (
            *(self._finding, self.gossiping, self.meeting, self.exchange),
            *(self.signalling, self.relaying, self.paths),
        )
        self.roster = self.shared.roster
        self.courier = self.shared.courier
        self._routes = self._table()

    def _table(self) -> dict[type, Callable[[Any, float], None]]:
        """Who takes which event."""
        return {
            events.LinkData: self._on_data,
            events.Flush: self._on_flush,
            events.Tick: self._on_tick,
            events.LinkUp: self.links.up,
            events.LinkDown: self.links.down,
            events.LinkPaused: self.links.paused,
            events.LinkResumed: self.links.resumed,
            events.DialFailed: self.paths.failing(self._finding.dial_failed),
            events.Datagram: self._finding.datagram,
            events.Suspended: self.links.suspended,
            events.Connect: self._on_connect,
            events.StopWaiting: self._on_stop_waiting,
            events.Disconnect: self._on_disconnect,
            events.Listening: self._on_listening,
            events.WriteStream: self._streaming.write,
            events.Consumed: self._streaming.consumed,
            events.OpenStream: self._streaming.open,
            events.FinishStream: self._streaming.finish,
            events.ResetStream: self._streaming.reset,
            events.PingPeer: self._on_ping,
            events.Anchors: self.gossiping.anchored,
            events.Listen: self.gossiping.listen,
            events.Unlisten: self.gossiping.unlisten,
            events.Resonate: self.gossiping.speaking.resonate,
            events.Broadcast: self.gossiping.speaking.broadcast,
            events.Register: self.meeting.register,
            events.Withdraw: self.meeting.withdraw,
            events.FindName: self.meeting.find,
            events.Solved: self.gossiping.speaking.solved,
            events.RotateIdentity: self._on_rotate,
            events.Invite: self._on_invite,
            events.Farewell: self.links.farewell,
            events.SetPresence: self.links.set_presence,
            events.Sleep: self.links.resting.sleep,
            events.Wake: self.links.resting.wake,
            **self.exchange.routes,
            **self.signalling.routes,
            **self.relaying.routes,
            events.TryPath: self.paths.force,
            **dict.fromkeys(
                (events.Post, events.Ask, events.Answer, events.Abandon, events.MarkRead),
                self._on_direct,
            ),
        }

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is wanted."""
        due, first = self.shared.timers.deadline, self.shared.courier.deadline
        if due is None or (first is not None and first < due):
            due = first
        for part in self._parts:
            other = part.deadline
            if other is not None and (due is None or other < due):
                due = other
        return due

    @property
    def wants_flush(self) -> bool:
        """Whether something waits to be sealed and can be sent."""
        return bool(self.links.dirty)

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            UsageError: The application asked for what cannot be.
            LimitError: A queue is full; nothing has changed.
        """
        if type(event) in resting.ACTIVITY:
            self.resting.stir(now)
        self._routes[type(event)](event, now)
        effects, self.shared.out = self.shared.out, []
        return effects

    # What arrives

    def _on_data(self, event: events.LinkData, now: float) -> None:
        live = self.links.states.get(event.link)
        if not isinstance(live, Live):
            self.links.data(event, now)
            return
        try:
            effects = live.channel.handle(channel.Arrived(event.data), now)
            if effects:
                self._read(live, effects, now)
        except WhispurrError as error:
            self._broken(live, error, now)
        if live.channel.over or event.link not in self.links.states:
            return
        if live.ration is not None:
            self._slow_down(live, live.ration, len(event.data), now)
        if live.link not in self.links.dirty and not live.paused and self._pending(live):
            self.links.dirty[live.link] = live

    def _broken(self, live: Live, error: WhispurrError, now: float) -> None:
        """End a session whose peer broke the protocol, and remember it.

        What does not authenticate is not the peer's doing: somebody in between may have changed
        it, and must not be able to have an honest peer refused.
        """
        self.shared.count("protocol_errors")
        record = self.roster.get(live.peer)
        if record is not None and not isinstance(error, AuthError):
            deed = Kind.FLOODED if isinstance(error, LimitError) else Kind.MALFORMED
            self.shared.evidence.note(record.deeds, deed, now)
        self.links.close(live, "the peer broke the protocol", now)

    def _slow_down(self, live: Live, ration: TokenBucket, size: int, now: float) -> None:
        """Read no more from a slowed peer until its ration allows it."""
        if not ration.take(min(size, ration.burst), now):
            wait_s = ration.wait_s(min(size, ration.burst), now) or 0.0
            self.shared.out.append(events.Hold(live.link, wait_s))

    def _pending(self, live: Live) -> bool:
        return not live.idle(self.courier)

    def _read(self, live: Live, effects: Sequence[channel.Effect], now: float) -> None:
        """Hand what arrived on a session to the cores it is for."""
        for effect in effects:
            if self.links.states.get(live.link) is not live:
                return  # a core has ended the session
            if type(effect) is channel.FrameIn:
                self._on_frame(live, effect.type, effect.body, now)
            elif isinstance(effect, channel.Rtt):
                self.relaying.measured(live, effect.seconds, now)
            elif isinstance(effect, channel.Left):
                self.links.left(live, effect.reason, now)
                return
            elif isinstance(effect, channel.Rekeyed):
                self.shared.count("rekeys")
        if self.links.states.get(live.link) is live:
            self.links.dirty.setdefault(live.link, live)

    def _on_frame(self, live: Live, type_: int, body: bytes, now: float) -> None:
        shared = self.shared
        match type_:
            case frame.DIRECT:
                shared.out += self.courier.handle(courier.Arrived(live.peer, body), now)
            case frame.STREAM:
                self._streaming.tell(live, live.mux.handle(mux.Arrived(body), now))
            case frame.FRAGMENT:
                whole = live.joiner.add(body, now)
                if whole is not None and whole[0] != frame.DIRECT:
                    raise ProtocolError("only direct messages are ever long enough to be cut")
                if whole is not None:
                    self._on_frame(live, frame.DIRECT, whole[1], now)
            case frame.PEER:
                record = shared.roster.get(live.peer)
                assert record is not None
                for message in greeting.decode(body):
                    self.links.told(record, message, now)
            case frame.GOSSIP:
                self.gossiping.arrived(live, body, now)
            case frame.VIEW:
                self.gossiping.viewed(live, body, now)
            case frame.RENDEZVOUS:
                self.meeting.arrived(live, body, now)
            case frame.OBJECT:
                self.exchange.arrived(live, body, now)
            case frame.RELAY:
                self.relaying.arrived(live, body, now)
            case frame.SIGNAL:
                self.signalling.arrived(live, body, now)
            case _:
                shared.count("unknown_protocols")

    # What leaves

    def _on_flush(self, event: events.Flush, now: float) -> None:
        if self.resting.asleep and self.resting.active:
            self.resting.stir(now)  # what was posted the short way
        for live in list(self.links.dirty.values()):
            if live.paused or (live.hold_s and self.resting.holds(live, now)):
                del self.links.dirty[live.link]
                continue
            budget = self.shared.config.flush_bytes
            try:
                while budget > 0 and (record := live.next_record(self.courier, now)) is not None:
                    budget -= len(record)
                    self.shared.out.append(events.Write(live.link, record))
            except WhispurrError:
                self.links.close(live, "the session has reached its limit", now)
                continue
            self._streaming.tell(live, live.mux.drain())
            if budget > 0:
                del self.links.dirty[live.link]
                if live.hold_s and budget < self.shared.config.flush_bytes:
                    self.resting.sent(live, now)
        self.shared.out += self.courier.drain()
        self.exchange.sent(now)

    def _mark(self, peer: int) -> None:
        """This peer's session has something to send."""
        record = self.roster.get(peer)
        if record is not None and record.live is not None and not record.live.paused:
            self.links.dirty[record.live.link] = record.live

    def _on_direct(self, event: courier.Event, now: float) -> None:
        self.shared.out += self.courier.handle(event, now)
        self._mark(event.peer)  # type: ignore[union-attr]

    def post_unacknowledged(self, live: Live, kind: int, body: bytes, lane: int) -> None:
        """The short way of a `Post` that wants no receipt, for a peer that is connected."""
        self.courier.post_unacknowledged(live.peer, kind, body, lane)
        self.resting.active = True
        if not live.paused:
            self.links.dirty[live.link] = live

    # Time

    def _on_tick(self, event: Tick, now: float) -> None:
        shared = self.shared
        for name, key in shared.timers.expire(now):
            if name == LINK:
                assert isinstance(key, int)
                self.links.overdue(key, now)
            elif name == ROTATE:
                self._on_rotate(events.RotateIdentity(), now)
            elif name == RETIRE:
                shared.previous = [i for i in shared.previous if i.id != key]
            elif name == MEMBER:
                assert isinstance(key, int)
                self.links.members.expire(key, now)
            elif name in resting.TIMERS:
                assert isinstance(key, int)
                self.resting.due(name, self.links.states.get(key), now)
            elif name == BEACON_CALL:
                assert isinstance(key, Call)
                self._finding.call_found(key, now)
        due = shared.courier.deadline
        if due is not None and due <= now:
            shared.out += self.courier.handle(Tick(), now)
            for record in self.roster:
                if record.live is not None and self._pending(record.live):
                    self._mark(record.handle)
        for part in self._parts:
            part.tick(now)

    def _on_listening(self, event: events.Listening, now: float) -> None:
        self._finding.listening(event, now)
        self._moved(now)
        self.paths.changed(now)

    def _moved(self, now: float) -> None:
        self.relaying.readdress()
        self.gossiping.moved(now)
        self.meeting.moved(now)

    def _on_connect(self, event: events.Connect, now: float) -> None:
        self._finding.connect(event, now)
        self.links.members.redeem(event)

    def _on_stop_waiting(self, event: events.StopWaiting, now: float) -> None:
        self.shared.out += self.shared.calls.waits_no_more(event.ref, now)

    def _on_disconnect(self, event: events.Disconnect, now: float) -> None:
        record = self.roster.get(event.peer)
        if record is None:
            return
        if record.live is not None:
            self.links.leave(record.live, greeting.CLOSED, now)
        self.links.shun(record)
        self.links.call_no_more(record, NetworkError("the connection was closed here"), now)

    # Identity

    def _on_rotate(self, event: events.RotateIdentity, now: float) -> None:
        shared = self.shared
        old = shared.identity
        shared.identity = shared.new_identity()
        shared.previous = [old, *shared.previous][:4]
        shared.timers.set((RETIRE, old.id), now + shared.config.identity.overlap_s)
        shared.timers.set((ROTATE, 0), now + shared.config.identity.lifetime_s)
        for record in self.roster:
            if record.live is not None:
                self.links.announce_identity(record.live)
        self._finding.announce(now)
        self._moved(now)
        shared.count("rotations")
        shared.out.append(events.Rotated(old.id, shared.identity.id))

    def _on_invite(self, event: events.Invite, now: float) -> None:
        psk = self.shared.invites.issue(self.shared.wall())
        self.shared.out.append(events.Invited(event.ref, psk))

    # Small things

    def _on_ping(self, event: events.PingPeer, now: float) -> None:
        live = self._streaming.live(event.peer)
        live.channel.handle(channel.Ping(), now)
        self.links.dirty[live.link] = live
