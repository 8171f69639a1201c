"""A session goes on over another link: from a relay to a direct path, with nothing lost.

Both sides make the new link, shake hands on it, and greet. Who called says with its hello which
session the link is for (`Moves`); who was called decides, so the two never disagree: it says the
same, or goodbye, or that the new link is a session of its own and ends the older one. If the
session moves, each side sends `Moved` on the old link after all else and on the new one waits for
the peer's word that all of it has arrived. So whatever travels in the session, whispers and
requests, streams, gossip and objects, arrives once and in order, and no core hears of the move.

Who decides goes by rank: a direct path is better than a relay. A better one takes the session
over; a worse one is refused while the older link gives signs of life; of two of one rank the older
is a leftover, unless both were made at the same time. A peer that names no session has none: it
comes back, and what we hold of it is a leftover, however good its path was.

If both sides ask at once, on two links, that of the side which opened the session stays.

Invariants:
    - a session has at most two links, and sends on one of them;
    - what arrives on the new link before the old one has ended is words about the move only;
    - whoever moves too often is refused, and so keeps its older path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from whispurrnet.base.errors import AuthError, NetworkError, ProtocolError, WhispurrError
from whispurrnet.session import channel, handshake
from whispurrnet.stack import events, greeting
from whispurrnet.stack.live import Live, Tail
from whispurrnet.stack.opening import Opening
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import LINK, Shared
from whispurrnet.stack.vouching import persona_of
from whispurrnet.wire import frame
from whispurrnet.wire.ids import PeerId

if TYPE_CHECKING:
    from whispurrnet.stack.links import Links

SESSION = "moving-session"

RELAYED: Final = "relay"
WEBRTC: Final = "webrtc"
"""The paths of a link that a third node carries, and of one that the older session arranged."""

MOVE_S = 15.0
"""How long what is on its way on the old path may take to arrive, in seconds."""

QUIET = 1.5
"""An older link on which nothing was heard for so many heartbeats is a leftover."""

Verdict: TypeAlias = Literal["move", "anew", "refuse", "later"]

Reader: TypeAlias = Callable[[Live, Sequence[channel.Effect], float], None]
"""Takes what arrived on a live session."""

Ended: TypeAlias = Callable[[int, int, bool, str, float], None]
"""Takes the number of a dial beside the pool, the peer's handle or 0, how it ended, and when."""


def rank(path: str) -> int:
    """How good a path is: a higher number is better."""
    return 0 if path == RELAYED else 1


def gains(old: str, new: str) -> bool:
    """Whether a session gains by a path: a better one, or WebRTC, which both agreed on in it."""
    return rank(new) > rank(old) or (new == WEBRTC and old != WEBRTC)


def session_of(live: Live) -> bytes:
    """What both sides call a session, whichever links it has had."""
    return bytes(live.keys.export(SESSION))


def newcomer_wins(old: Live, new: Live, now: float, glare_s: float) -> bool:
    """Which of two sessions with one peer stays: the same answer on both sides.

    Made from both ends at once, the better path stays, and of two that are alike `keep_first`
    decides. Otherwise the older one is a leftover of a broken path.
    """
    if new.path == WEBRTC:
        return True  # both agreed on it in the older session
    if old.initiator == new.initiator or now - old.since_s > glare_s:
        return True
    if rank(old.path) != rank(new.path):
        return rank(new.path) > rank(old.path)
    return not handshake.keep_first(old.opener, new.opener, old.keys.hash, new.keys.hash)


class Moving:
    """The sessions of a node that change their link.

    Args:
        shared: What the parts of the stack share.
        links: The links.
        read: Takes what arrived in a session.
    """

    def __init__(self, shared: Shared, links: Links, read: Reader) -> None:
        self._shared = shared
        self._links = links
        self._read = read
        self.asked: dict[int, int] = {}
        """How many links of ours wait for the word of a peer, by its handle."""
        self._early: dict[int, None] = {}
        """Peers that have ended the old path before their word on the new one was here."""
        self.listeners: list[Ended] = []
        """Who hears how dials beside the pool ended."""
        shared.calls.fell = self._fell
        links.awaits_another = self.left
        self.watchers: list[Callable[[Record, Live, float], None]] = []
        """Who hears of sessions that have another path from now on."""

    # Asking

    def asks(self, opening: Opening, proof_id: PeerId) -> tuple[greeting.Greeting, ...]:
        """What is said with our hello on a link that we asked for: which session we hold.

        Raises:
            NetworkError: The link is for a better path, and is none any more.
        """
        record = self._shared.roster.find(proof_id)
        if record is None or record.live is None:
            return ()
        if opening.beside is not None and not self.is_wanted(record.live, opening.link.path):
            raise NetworkError("a better path was found meanwhile")
        opening.asks = session_of(record.live)
        opening.peer = record.handle
        self.asked[record.handle] = self.asked.get(record.handle, 0) + 1
        return (greeting.Moves(opening.asks),)

    def is_wanted(self, live: Live, path: str) -> bool:
        """Whether a session would gain by this path, and can move now."""
        return gains(live.path, path) and live.tail is None

    def left(self, live: Live, now: float) -> bool:
        """A peer said that another link took over; whether it is about to say by which session.

        Then nobody need be called meanwhile.
        """
        if live.peer not in self.asked:
            return False
        self._shared.out.append(events.Close(live.link))
        reason = greeting.REASONS[greeting.DUPLICATE]
        self._links.end(live, reason, now, replaced=True, closed=True)
        return True

    def _lost(self, peer: int, now: float) -> None:
        """Nothing came of the link for which the older session ended: the pool may call again."""
        record, calls = self._shared.roster.get(peer), self._shared.calls
        if record is not None and record.live is None and peer not in self.asked:
            for target in calls.targets(record.target, record.static_key):
                self._shared.out += calls.lost(target, now)

    def settled(self, opening: Opening) -> None:
        """The word of the peer came, or will not come."""
        if opening.asks:
            opening.asks = b""
            self._early.pop(opening.peer, None)
            left = self.asked.pop(opening.peer, 0) - 1
            if left > 0:
                self.asked[opening.peer] = left

    # Deciding

    def decide(self, opening: Opening, new: Live, said: greeting.Moves, now: float) -> Live | None:
        """One side spoke of a session: go on with it over this link.

        Returns:
            The session that goes on; None if this link is to be a new one.

        Raises:
            NetworkError: The older link stays.
            ProtocolError: The peer says what it may not.
        """
        assert opening.proof is not None
        record = self._shared.roster.find(opening.proof.id)
        if opening.dial is not None:  # we asked, the peer has decided
            asked = opening.asks
            if not asked or said.session not in (b"", asked):
                raise ProtocolError("a peer speaks of a session that we did not ask about")
            if not said.session:
                self.settled(opening)
                return None
            old = None if record is None else record.live
            if record is None or old is None or session_of(old) != asked or old.tail is not None:
                raise NetworkError("the session ended, or went elsewhere, meanwhile")
            self._vouch(record, opening, new)
            live = self.move(record, opening, new, now)
            self._links.reached_already(opening, record, now)
            return live
        verdict = self.judge(record, new, said.session, now)
        if verdict == "anew":
            new.notes.append(_note(greeting.Moves(b"")))
            return None
        if verdict == "move" and record is not None:
            self._vouch(record, opening, new)
            return self.move(record, opening, new, now)
        reason = greeting.LATER if verdict == "later" else greeting.DUPLICATE
        self._links.say_goodbye(new, reason, now)
        raise NetworkError(greeting.REASONS[reason])

    def _vouch(self, record: Record, opening: Opening, new: Live) -> None:
        """See that the peer is on the new link all that it was on the old one.

        Raises:
            AuthError: It shows another long-term identity or none, or the link is weaker.
        """
        assert opening.hello is not None and record.live is not None
        persona = persona_of(self._shared, opening, new, opening.hello.persona)
        if persona != record.persona or new.level < record.live.level:
            raise AuthError("the new link shows less of the peer than the session did")

    def judge(self, record: Record | None, new: Live, asked: bytes, now: float) -> Verdict:
        """What becomes of a link whose other side says that it holds a session with us."""
        begun, glare_s = self._begun(asked), self._shared.config.glare_s
        if begun is not None:  # the peer was faster: it holds what is about to stand here
            return "anew" if newcomer_wins(begun, new, now, glare_s) else "refuse"
        old = None if record is None else record.live
        if record is None or old is None or session_of(old) != asked or self._is_leftover(old, now):
            return "anew"
        if rank(new.path) < rank(old.path):
            return "refuse"
        if not record.moves.take(1, now):
            self._shared.count("moves_refused")
            return "later"
        if not gains(old.path, new.path):
            return "anew" if self._is_better(old, new, now) else "refuse"
        if old.tail is not None or old.channel.heartbeat.suspended:
            return "later"
        if rank(new.path) == rank(old.path) and self._is_fresh(old, now):
            return "later"
        if old.initiator and self.asked.get(record.handle):
            return "later"  # ours is on its way too, and we opened the session
        return "move"

    def _begun(self, asked: bytes) -> Live | None:
        """The session that is about to stand on a link of ours, if it is this one."""
        openings = [one for one in self._links.states.values() if isinstance(one, Opening)]
        lives = [one.live for one in openings if one.dial is not None and one.live is not None]
        return next((live for live in lives if session_of(live) == asked), None)

    def _is_better(self, old: Live, new: Live, now: float) -> bool:
        """Whether a link of the same rank replaces that of a session which the peer holds, too."""
        glare_s = self._shared.config.glare_s
        if self._is_fresh(old, now):
            return False
        if old.initiator == new.initiator and now - old.since_s <= glare_s:
            return False
        return newcomer_wins(old, new, now, glare_s)

    def _is_fresh(self, old: Live, now: float) -> bool:
        """Whether a session has just moved."""
        return old.moved_s is not None and now - old.moved_s <= self._shared.config.glare_s

    def gives_way(self, record: Record, new: Live, now: float) -> bool:
        """Whether a session ends for a new one, whose maker named none that it holds."""
        if not new.initiator and not record.comings.take(1, now):
            return False
        assert record.live is not None
        return newcomer_wins(record.live, new, now, self._shared.config.glare_s)

    def _is_leftover(self, old: Live, now: float) -> bool:
        """Whether nothing was heard for so long that the link may be dead."""
        heartbeat = old.channel.heartbeat
        usual_s = max(self._shared.config.channel.heartbeat_s, old.sleeps_s)
        return not heartbeat.suspended and now - heartbeat.heard_at > QUIET * usual_s

    # Moving

    def move(self, record: Record, opening: Opening, new: Live, now: float) -> Live:
        """Go on over the new link; returns the session.

        Args:
            record: The peer.
            opening: The new link.
            new: What the handshake on it made.
            now: Monotonic time in seconds.
        """
        live, links, shared = record.live, self._links, self._shared
        assert live is not None and live.tail is None
        is_early = record.handle in self._early
        self.settled(opening)
        if not new.initiator:
            new.notes.append(_note(greeting.Moves(session_of(live))))
        for note in new.notes:
            self._write(new.link, new.channel, note, now)
        links.dirty.pop(new.link, None)
        links.dirty.pop(live.link, None)
        tail = live.tail = Tail(live)
        links.states[tail.link] = tail
        shared.timers.set((LINK, tail.link), now + MOVE_S)
        self._write(tail.link, tail.channel, _note(greeting.Moved()), now)
        before, live.link, live.channel = live.path, new.link, new.channel
        live.address, live.path, live.moved_s = new.address, new.path, now
        live.level, live.pattern, live.suite = new.level, new.pattern, new.suite
        live.paused = True  # until the peer has what is on its way
        links.states[live.link] = live
        links.resting.moved(live, now)
        shared.timers.set((LINK, live.link), live.channel.deadline or now)
        shared.count("moves")
        shared.out.append(events.PathChanged(record.handle, before, live.path))
        for watcher in self.watchers:
            watcher(record, live, now)
        self.ended(opening, ok=True, reason="", now=now)
        if is_early:
            self._arrived(tail, now)
        return live

    def old_path(self, tail: Tail, data: bytes, now: float) -> None:
        """Bytes arrived on the path that a session leaves."""
        live = tail.live
        try:
            for effect in tail.channel.handle(channel.Arrived(data), now):
                if live.tail is not tail or tail.ended:
                    return
                match effect:
                    case channel.FrameIn(frame.PEER, body) if _is_end(body):
                        self._arrived(tail, now)
                    case channel.Left(reason):
                        self._links.left(live, reason, now)
                    case _:
                        self._read(live, [effect], now)
        except WhispurrError:
            self._shared.count("protocol_errors")
            if live.tail is tail:
                self._links.close(live, "the peer broke the protocol", now)

    def _arrived(self, tail: Tail, now: float) -> None:
        """All that the peer sent on the old path is here."""
        tail.ended = True
        self._shared.out.append(events.Close(tail.link))
        self._write(tail.live.link, tail.live.channel, _note(greeting.Moved()), now)
        self._finish(tail)

    def told(self, live: Live) -> None:
        """The peer has all that we sent on the old path, or has ended it.

        Raises:
            ProtocolError: The session does not move.
        """
        tail = live.tail
        if tail is None and live.peer in self.asked:
            self._early[live.peer] = None
            return
        if tail is None or tail.go:
            raise ProtocolError("a peer speaks of a move that is none")
        tail.go = True
        live.paused = tail.full
        if not live.paused:
            self._links.dirty[live.link] = live
        self._finish(tail)

    def _finish(self, tail: Tail) -> None:
        if tail.ended and tail.go:
            tail.live.tail = None
            self._links.drop(tail.link)

    def lost(self, tail: Tail, reason: str, now: float) -> None:
        """The old path is gone, or takes too long."""
        if tail.live.tail is tail and not tail.ended:
            self._shared.count("moves_broken")
            self._links.close(tail.live, f"the move to another path broke off: {reason}", now)

    def ended(self, opening: Opening, *, ok: bool, reason: str, now: float) -> None:
        """A link beside the pool became the path of a session, or failed."""
        did_ask = bool(opening.asks)
        self.settled(opening)
        if did_ask and not ok:
            self._lost(opening.peer, now)
        if opening.beside is not None:
            self.report(opening.beside, opening.peer, ok=ok, reason=reason, now=now)

    def _fell(self, dial: int, reason: str, now: float) -> None:
        self.report(dial, 0, ok=False, reason=reason, now=now)

    def report(self, dial: int, peer: int, *, ok: bool, reason: str, now: float) -> None:
        """Tell how a dial beside the pool ended."""
        for listener in self.listeners:
            listener(dial, peer, ok, reason, now)

    def _write(self, link: int, over: channel.Channel, note: bytes, now: float) -> None:
        self._shared.out.append(events.Write(link, over.seal([note], len(note), now)))


def _note(message: greeting.Greeting) -> bytes:
    return frame.encode(frame.PEER, greeting.encode(message))


def _is_end(body: bytes) -> bool:
    return any(isinstance(message, greeting.Moved) for message in greeting.decode(body))


def word(messages: Sequence[greeting.Greeting]) -> greeting.Moves | None:
    """What greetings say about a move."""
    return next((one for one in messages if isinstance(one, greeting.Moves)), None)
