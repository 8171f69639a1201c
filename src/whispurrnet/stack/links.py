"""From a link to a peer: the handshake, the greeting, and the end of a session.

A link is in one of three states: shaking hands, waiting for the peer's hello, or live. Whatever
goes wrong on it closes it; a peer that broke the protocol is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import (
    AuthError,
    LimitError,
    NetworkError,
    ProtocolError,
    UsageError,
    WhispurrError,
)
from whispurrnet.crypto.kex import kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.direct import courier
from whispurrnet.session import channel, handshake
from whispurrnet.session.channel import Channel
from whispurrnet.session.mux import Mux
from whispurrnet.session.record import suite_of
from whispurrnet.stack import events, greeting, moving
from whispurrnet.stack.live import Live, Tail
from whispurrnet.stack.moving import Moving
from whispurrnet.stack.opening import Opening
from whispurrnet.stack.roster import Record
from whispurrnet.stack.sessions import Sessions
from whispurrnet.stack.shared import LINK, Shared
from whispurrnet.stack.vouching import persona_of
from whispurrnet.trust.policy import Verdict
from whispurrnet.wire import frame

SUITE = "Noise_{}hfs+psk3_25519+{}_ChaChaPoly_SHA256, records {}"
PAIRWISE = "pairwise"

SLOW_BYTES_PER_S, SLOW_BYTES_BURST = 64 * 1024, 256 * 1024
"""What is read of a peer that the policy slows down."""


class Links(Sessions):
    """Every link of a node.

    Args:
        shared: What the parts of the stack share.
        read: Takes the frames of a live session.
    """

    def __init__(self, shared: Shared, read: moving.Reader) -> None:
        super().__init__(shared)
        self._read = read
        self.moving = Moving(shared, self, read)

    # Opening

    def up(self, event: events.LinkUp, now: float) -> None:
        """A link is open: start the handshake."""
        shared = self._shared
        # Those we asked for are bounded by the pool; strangers must not be able to keep them out.
        if event.dial is None and len(self.states) >= shared.config.links_max:
            shared.count("links_refused")
            if not self.make_room(now):
                shared.out.append(events.Close(event.link, abort=True))
                return
        opening = Opening(event, now + shared.handshake.timeout_s)
        if event.dial is None:
            opening.core = self._responder(opening, event)
        elif not self._call(opening, event):
            shared.out.append(events.Close(event.link, abort=True))
            return
        self.states[event.link] = opening
        shared.timers.set((LINK, event.link), opening.deadline)
        if event.dial is not None:
            self._shake(opening, handshake.Begin(), now)

    def _responder(self, opening: Opening, event: events.LinkUp) -> handshake.Responder:
        shared = self._shared

        def find_psk(matches: Callable[[Secret], bool]) -> Secret | None:
            pinned = shared.pins.find_psk(matches)
            met = (record.psk for record in shared.roster if record.psk is not None)
            opening.psk = (
                shared.invites.find(matches, shared.wall())
                or (pinned[1] if pinned is not None else None)
                or next((psk for psk in met if matches(psk)), None)
            )
            return opening.psk

        return handshake.Responder(
            shared.handshake,
            shared.identities,
            shared.gate,
            find_psk,
            remote=event.address.encode(),
            binding=event.binding,
            entropy=shared.entropy,
            wall=shared.wall,
        )

    def _call(self, opening: Opening, event: events.LinkUp) -> bool:
        """Prepare our side of a link we asked for; False when nobody wants it any more."""
        shared = self._shared
        found = shared.calls.dialled(event.dial) if event.dial is not None else None
        if found is None and event.dial is not None:
            beside = shared.calls.taken(event.dial)
            opening.beside = event.dial
            found = (b"", beside) if beside is not None else None
        if found is None:
            return False
        opening.dial, call = found
        opening.psk, opening.invited = call.psk, call.invited
        opening.core = handshake.Initiator(
            shared.handshake,
            self.identity_for(opening.dial, call),
            remote_key=call.static_key,
            expected_id=call.expected_id,
            psk=call.psk,
            binding=event.binding,
            entropy=shared.entropy,
            wall=shared.wall,
        )
        return True

    def data(self, event: events.LinkData, now: float) -> None:
        """Bytes arrived on a link that is not live yet, or is no longer."""
        opening = self.states.get(event.link)
        if isinstance(opening, Tail):
            self.moving.old_path(opening, event.data, now)
            return
        if not isinstance(opening, Opening) or opening.silent:
            return
        if opening.live is None:
            data = self.claim(opening, event.data, now)
            if data:
                self._shake(opening, handshake.Arrived(data), now)
        else:
            self._await_hello(opening, opening.live, event.data, now)

    def _shake(self, opening: Opening, event: handshake.Event, now: float) -> None:
        shared = self._shared
        for effect in opening.core.handle(event, now):
            match effect:
                case handshake.Write(data):
                    opening.answered = True
                    shared.out.append(events.Write(opening.link.link, data))
                case handshake.Established():
                    self._established(opening, effect, now)
                case handshake.Refused(error):
                    if error is None:
                        shared.count("handshakes_ignored")
                        opening.silent = True  # keep swallowing until the deadline, say nothing
                    else:
                        self._fail(opening, error, now)

    def _established(self, opening: Opening, done: handshake.Established, now: float) -> None:
        shared, link = self._shared, opening.link
        initiator = opening.dial is not None
        live = Live(link=link.link, peer=0, initiator=initiator, keys=done.keys)
        live.channel = Channel(
            shared.config.channel,
            done.keys,
            initiator=initiator,
            level=done.level,
            entropy=shared.entropy,
            now=now,
            suite=suite_of(done.features),
        )
        live.mux = Mux(shared.config.mux, initiator=initiator)
        live.address, live.path = link.address, link.path
        live.level, live.pattern, live.since_s = int(done.level), done.pattern, now
        live.suite = SUITE.format(done.pattern, kem(done.level).name, live.channel.suite)
        live.opener = (done.identity.proof if initiator else done.proof).static_key
        opening.live, opening.proof, opening.used_psk = live, done.proof, done.psk
        opening.deadline = now + shared.handshake.timeout_s
        shared.timers.set((LINK, link.link), opening.deadline)
        if not done.binding_matches:
            text = "the TLS around a link ends in between: somebody there sees sealed bytes only"
            shared.out.append(events.Warned(text))
        if done.proof.id in {identity.id for identity in shared.identities}:
            self._fail(opening, UsageError("that address is this node itself"), now)
            return
        if done.identity not in shared.identities:
            self._fail(opening, NetworkError("our identity was replaced meanwhile"), now)
            return
        call = shared.calls.get(opening.dial) if opening.dial else None
        live.friend = call is not None and call.keep
        try:
            more = self.moving.asks(opening, done.proof.id) if initiator else ()
        except NetworkError as error:
            self._fail(opening, error, now)
            return
        live.notes.append(self.hello(live, *more, invited=initiator and opening.invited))
        live.ours = done.identity.id
        self.dirty[live.link] = live
        if done.rest:
            self._await_hello(opening, live, done.rest, now)

    # Greeting

    def _await_hello(self, opening: Opening, live: Live, data: bytes, now: float) -> None:
        """The first frame must be a hello; what follows it belongs to the session."""
        shared = self._shared
        try:
            effects = live.channel.handle(channel.Arrived(data), now)
            for n, effect in enumerate(effects):
                match effect:
                    case channel.FrameIn(frame.PEER, body):
                        messages = opening.take_hello(greeting.decode(body))
                        if opening.asks and moving.word(messages) is None:
                            continue  # what the peer says to the session that we hold follows
                        live = self._decided(opening, live, messages, now)
                        self._read(live, effects[n + 1 :], now)
                        return
                    case channel.Left(reason):
                        known = shared.roster.find(opening.proof.id) if opening.proof else None
                        stays = reason in (greeting.DUPLICATE, greeting.LATER)
                        if stays and known is not None and known.live:
                            self.reached_already(opening, known, now)
                        why = greeting.REASONS.get(reason, "the peer said goodbye")
                        raise NetworkError(why)
                    case channel.FrameIn():
                        raise ProtocolError("a message came before the hello")
                    case _:
                        pass
        except WhispurrError as error:
            if self.states.get(live.link) is live:  # it has greeted, and then broke the protocol
                shared.count("protocol_errors")
                self.close(live, "the peer broke the protocol", now)
            else:
                self._fail(opening, error, now)
            return
        self.dirty[live.link] = live

    def _decided(
        self, opening: Opening, live: Live, messages: list[greeting.Greeting], now: float
    ) -> Live:
        """The peer has said enough: the session begins, or one that lives goes on here."""
        said = moving.word(messages)
        if said is not None:
            moved = self.moving.decide(opening, live, said, now)
            if moved is not None:
                return moved
        record = self._greeted(opening, live, now, is_decided=said is not None)
        for message in messages:
            if message is not said:
                self.told(record, message, now)
        return live

    def told(self, record: Record, message: greeting.Greeting, now: float) -> None:
        """The peer says something of itself, after its hello (see `Sessions.told`)."""
        if isinstance(message, greeting.Moved) and record.live is not None:
            self.moving.told(record.live)
        else:
            super().told(record, message, now)

    def _greeted(self, opening: Opening, live: Live, now: float, *, is_decided: bool) -> Record:
        shared, proof, hello = self._shared, opening.proof, opening.hello
        assert proof is not None and hello is not None
        if opening.dial and shared.calls.get(opening.dial) is None:
            raise NetworkError("the call was given up meanwhile")
        persona = persona_of(shared, opening, live, hello.persona)
        record = shared.roster.find(proof.id, persona)
        if record is None:
            if not self.has_place(now):
                self.say_goodbye(live, greeting.FULL, now)
                raise LimitError("this node has as many peers as `max_peers` allows")
            record, gone = shared.roster.add(proof)
            if gone is not None:
                shared.out += shared.courier.handle(courier.Forget(gone.handle), now)
                shared.out.append(events.PeerForgotten(gone.handle))
        elif shared.verdict(record, now) is Verdict.REFUSE:
            self.say_goodbye(live, greeting.REVOKED, now)
            raise LimitError("this peer broke the protocol too often; it is refused for a while")
        elif record.live and not is_decided and not self.moving.gives_way(record, live, now):
            self.reached_already(opening, record, now)
            self.say_goodbye(live, greeting.DUPLICATE, now)
            raise NetworkError(greeting.REASONS[greeting.DUPLICATE])
        elif record.live is not None:
            self.say_goodbye(record.live, greeting.DUPLICATE, now)
            self.end(record.live, greeting.REASONS[greeting.DUPLICATE], now, replaced=True)
        shared.roster.rename(record, proof)
        if opening.dial is None and opening.psk is not None:
            opening.invited = live.invited = shared.invites.redeem(opening.psk)
        self._learn(record, opening, live, hello, persona, now)
        return record

    def _learn(
        self,
        record: Record,
        opening: Opening,
        live: Live,
        hello: greeting.Hello,
        persona: bytes | None,
        now: float,
    ) -> None:
        """Take the session as that of this peer."""
        shared = self._shared
        if opening.invited:
            record.psk = live.keys.export(PAIRWISE)
        if persona is not None:
            shared.roster.set_persona(record, persona)
            psk = record.psk if opening.invited else None
            shared.pins.seen(persona, shared.wall(), psk=psk)
            shared.out.append(events.PinsChanged())
        shared.out += shared.courier.handle(courier.Up(record.handle), now)
        record.live, live.peer = live, record.handle
        if shared.verdict(record, now) is Verdict.SLOW:
            live.ration = TokenBucket(SLOW_BYTES_PER_S, SLOW_BYTES_BURST)
        record.take_hello(hello, now)
        live.kept = bool(hello.capabilities & greeting.KEEP)
        self.states[live.link] = self.dirty[live.link] = live
        shared.timers.set((LINK, live.link), live.channel.deadline or now)
        shared.count("sessions")
        shared.out.append(events.PeerUp(record.handle))
        record.shown = (live.ours,)
        self.introduce(live, now)
        if opening.beside is not None:
            self.moving.ended(opening, ok=True, reason="", now=now)
        elif opening.dial is not None:
            call = shared.calls.get(opening.dial)
            if call is not None:
                call.psk, call.invited = record.psk, False
            record.target = opening.dial
            shared.calls.learn(opening.dial, hello.addresses, now)
            shared.out += shared.calls.connected(opening.dial, live.address, now)
            shared.out += shared.calls.answered(opening.dial, record.handle, now)
        shared.out += shared.calls.met(record.static_key, record.handle, now)
        for watcher in self.watchers:
            watcher.up(record, live, now)

    # Ending

    def down(self, event: events.LinkDown, now: float) -> None:
        """A link is gone."""
        match self.states.get(event.link):
            case Opening() as opening:
                self._shake_off(opening, event.reason, now)
            case Live() as live:
                self.end(live, event.reason, now)
            case Tail() as tail:
                self.moving.lost(tail, event.reason, now)
            case None:
                self.gone(event.link, now)

    def _shake_off(self, opening: Opening, reason: str, now: float) -> None:
        if opening.live is None:
            opening.core.handle(handshake.Closed(), now)
        if opening.dial is None:
            self.drop(opening.link.link)
            return
        self._fail(opening, NetworkError(f"{opening.link.address} closed the link: {reason}"), now)

    def overdue(self, link: int, now: float) -> None:
        """A link's deadline has come."""
        match self.states.get(link):
            case Opening() as opening:
                if opening.live is None:
                    opening.core.handle(handshake.Closed(), now)
                self._fail(opening, NetworkError(self._no_answer(opening)), now)
            case Live() as live:
                self.heartbeat(live, now)
            case Tail() as tail:
                self.moving.lost(tail, "the old path was too slow", now)
            case None:
                pass

    def _no_answer(self, opening: Opening) -> str:
        seconds = self._shared.handshake.timeout_s
        return (
            f"{opening.link.address} accepted the connection but did not answer within "
            f"{seconds:g} s: a node answers only those who know its current key and network "
            "secret and speak its version; ask for a fresh ticket, or compare `whispurr version`"
        )

    def _fail(self, opening: Opening, error: WhispurrError, now: float) -> None:
        """Give a link up before it is live."""
        shared = self._shared
        shared.count("handshakes_failed")
        live = opening.live
        if live is not None and isinstance(error, (NetworkError, LimitError)):
            shared.out.append(events.Close(opening.link.link))
        else:
            shared.out.append(events.Close(opening.link.link, abort=True))
        self.drop(opening.link.link)
        if opening.dial is None:
            return
        self.moving.ended(opening, ok=False, reason=str(error), now=now)
        if opening.beside is not None:
            return
        call = shared.calls.get(opening.dial)
        # who is called for ever is called again: a forger in between must not be able to stop that
        lasting = call is not None and call.persistent and not isinstance(error, UsageError)
        if isinstance(error, (AuthError, UsageError)) and not lasting:
            shared.out += shared.calls.give_up(opening.dial, error, now)
        else:
            shared.out += shared.calls.failed(opening.dial, error, now, at=opening.link.address)
