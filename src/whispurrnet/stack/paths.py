"""Peers that a relay carries are tried directly: what `nat.punch` wants done, and how it ended.

A direct attempt is a dial beside the pool (`Calls.beside`); one over WebRTC is begun by
`stack.signalling`, in the session that the relay carries. If either makes a link, the session goes
over to it (`stack.moving`).

Addresses that a peer tells of itself are dialled only if they are no closer than where we are:
nobody may lead us into our own house. Those the user gave are dialled as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from whispurrnet.base.errors import NetworkError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import punch
from whispurrnet.nat.punch import Attempt, Method, Punch
from whispurrnet.session.pool import Rng
from whispurrnet.stack import events, greeting
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.moving import RELAYED, WEBRTC
from whispurrnet.stack.reach import Reach, reach
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import Shared
from whispurrnet.stack.signalling import Signalling

RELAY_MARK = "/relay/"


class Paths:
    """The attempts of one node to reach its peers directly.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
        signalling: Makes links over WebRTC.
        rng: Chance that needs no secrecy.
    """

    def __init__(self, shared: Shared, links: Links, signalling: Signalling, rng: Rng) -> None:
        self._shared = shared
        self._signalling = signalling
        self._core = Punch(shared.config.punch, rng)
        self._dials: dict[int, int] = {}
        """The peer of each dial of ours that has not ended."""
        self._heard: list[tuple[int, bool, str]] = []
        """What came of attempts over WebRTC, until the next `tick`."""
        links.moving.listeners.append(self._dial_ended)
        links.moving.watchers.append(self._went_over)
        signalling.ended = self._webrtc_ended

    @property
    def deadline(self) -> float | None:
        """When something is due."""
        return 0.0 if self._heard else self._core.deadline

    # For people to see

    def attempts(self, peer: int) -> tuple[Attempt, ...]:
        """What was tried for a peer, the oldest first."""
        return self._core.attempts(peer)

    def tries(self, peer: int) -> Method | None:
        """What is being tried for a peer now."""
        return self._core.tries(peer)

    def next_at(self, peer: int) -> float | None:
        """When the next round of a peer begins, in monotonic seconds."""
        return self._core.next_at(peer)

    def force(self, event: events.TryPath, now: float) -> None:
        """Try for a better path to a peer now, whatever wait is left."""
        record = self._shared.roster.get(event.peer)
        if record is not None and record.live is not None and record.live.path == RELAYED:
            self._relayed(record, record.live, now)
            self._handle(punch.Try(event.peer), now)

    # Sessions: see `Watcher`

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        self._moved(record, live, now)
        if live.path == RELAYED:
            done = Attempt("relay", live.address, True, "", 0.0, now)
            self._handle(punch.Noted(record.handle, done), now)

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """Whoever we have a session with is tried, a member of our realm or not."""

    def down(self, record: Record, now: float) -> None:
        """It ended."""
        self._handle(punch.Settled(record.handle), now)

    def renamed(self, record: Record, now: float) -> None:
        """A connected peer has another key: where it is has not changed."""

    def shun(self, key: bytes) -> None:
        """Only peers that are connected are tried."""

    def spare(self, now: float) -> bool:
        """No session is kept for this."""
        return False

    def heard(self, record: Record, now: float) -> None:
        """More is known of where a connected peer is."""
        if record.live is not None and record.live.path == RELAYED:
            self._relayed(record, record.live, now)

    def changed(self, now: float) -> None:
        """Our own addresses changed."""
        for record in self._shared.roster:
            self.heard(record, now)
        self._handle(punch.Changed(), now)

    def _went_over(self, record: Record, live: Live, now: float) -> None:
        """A session goes on by this path: whoever tried for it has succeeded."""
        if live.path != RELAYED and self._core.tries(record.handle) is not None:
            self._handle(punch.Ended(record.handle, True), now)
        elif live.path != RELAYED:  # the other side tried
            method: Method = "webrtc" if live.path == WEBRTC else "direct"
            done = Attempt(method, live.address, True, "", 0.0, now)
            self._handle(punch.Noted(record.handle, done), now)
        self._moved(record, live, now)

    def _moved(self, record: Record, live: Live, now: float) -> None:
        """A session has this path from now on."""
        if live.path == RELAYED:
            self._relayed(record, live, now)
            return
        self._handle(punch.Settled(record.handle), now)
        if live.path == WEBRTC:
            self._signalling.joined(record.handle, now)

    def _relayed(self, record: Record, live: Live, now: float) -> None:
        webrtc = self._shared.config.webrtc and bool(record.capabilities & greeting.WEBRTC)
        known = punch.Relayed(record.handle, self._direct(record, now), webrtc, live.initiator)
        self._handle(known, now)

    def _direct(self, record: Record, now: float) -> tuple[str, ...]:
        """Where a peer can be called directly, as far as we may."""
        shared, calls = self._shared, self._shared.calls
        told = [*record.addresses, *calls.book.dial_order(record.static_key, now)]
        told = [one for one in told if one not in shared.direct]  # at home there as here: it is us
        lives = (other.live for other in shared.roster)
        called = [live.address for live in lives if live is not None and live.initiator]
        ours = min(map(reach, (*shared.addresses, *called)), default=Reach.WORLD)
        found = [one for one in told if RELAY_MARK not in one and reach(one) >= ours]
        for target in calls.targets(record.target, record.static_key):
            call = calls.get(target)
            if call is not None and call.keep:
                found += [one for one in call.addresses if RELAY_MARK not in one]
        return tuple(dict.fromkeys(found))

    # The core

    def tick(self, now: float) -> None:
        """Do what is due."""
        heard, self._heard = self._heard, []
        for peer, ok, reason in heard:
            if self._core.tries(peer) == "webrtc":
                self._handle(punch.Ended(peer, ok, reason), now)
        due = self._core.deadline
        if due is not None and due <= now:
            self._handle(Tick(), now)

    def _handle(self, event: punch.Event, now: float) -> None:
        for effect in self._core.handle(event, now):
            record = self._shared.roster.get(effect.peer)
            if record is None or record.live is None:
                continue  # it is settled before anything else happens
            match effect:
                case punch.Direct(peer, addresses):
                    dial = self._shared.calls.beside(record)
                    self._dials[dial] = peer
                    self._shared.out.append(events.Dial(dial, addresses))
                case punch.Webrtc(peer):
                    if not self._signalling.begin(peer, now):
                        self._heard.append((peer, False, "an attempt is under way already"))

    def failing(
        self, otherwise: Callable[[events.DialFailed, float], None]
    ) -> Callable[[events.DialFailed, float], None]:
        """Who takes the failure of a dial: `otherwise`, unless it was beside the pool."""

        def failed(event: events.DialFailed, now: float) -> None:
            if self._shared.calls.taken(event.dial) is None:
                otherwise(event, now)
            else:
                self._dial_ended(event.dial, 0, ok=False, reason=event.reason, now=now)

        return failed

    def _dial_ended(self, dial: int, known: int, ok: bool, reason: str, now: float) -> None:
        peer = self._dials.pop(dial, None)
        if peer is None:
            if not ok:
                self._signalling.fell(dial, NetworkError(reason), now)
            return
        record = self._shared.roster.get(peer)
        if record is not None and ok and record.live is not None:
            self._shared.calls.book.worked(record.static_key, record.live.address, now)
        self._handle(punch.Ended(peer, ok, reason), now)

    def _webrtc_ended(self, peer: int, ok: bool, reason: str, offered: bool) -> None:
        """An attempt over WebRTC is over; it is taken note of when the time is told."""
        del offered
        self._heard.append((peer, ok, reason))
