"""WebRTC links between peers that have a session already: the signalling core and its routes.

An attempt runs inside the session; the peer connections themselves are the shell's. When the data
channel is open, the offerer's link comes up as the answer to a dial beside the pool
(`Calls.beside`), the answerer's as an inbound one, and the usual handshake runs on it: the new
session takes over from the old one by the usual rule (`stack.links`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from whispurrnet.base.errors import WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import signal
from whispurrnet.nat.signal import Signal
from whispurrnet.stack import events, greeting
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.roster import Record
from whispurrnet.stack.rtc_events import Policy
from whispurrnet.stack.shared import Shared
from whispurrnet.wire import frame

PATH = "webrtc"
"""How such links are called."""

PRIORITY = 7

Ended: TypeAlias = Callable[[int, bool, str, bool], None]
"""Hears of the end of each attempt: the peer, whether it went well, why not, whether we offered."""


class Signalling:
    """The WebRTC links of one node.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
    """

    def __init__(self, shared: Shared, links: Links) -> None:
        self._shared = shared
        self._links = links
        self._core = Signal(shared.config.signal, on=shared.config.webrtc, entropy=shared.entropy)
        self.ended: Ended | None = None
        """Hears of the end of each attempt."""
        self._numbers: dict[tuple[int, int], int] = {}  # (peer, attempt) to rtc
        self._attempts: dict[int, tuple[int, int]] = {}  # and back
        self._dials: dict[int, int] = {}  # rtc to the dial of an offerer
        self._next = 1
        self._policy: Policy = "all"
        """Of the attempt that is being begun."""

    @property
    def routes(self) -> dict[type, Callable[..., None]]:
        """Who takes which event."""
        return {
            events.TryWebrtc: self._try,
            events.RtcDescription: self._described,
            events.RtcFound: self._found,
            events.RtcOpened: self._opened,
            events.RtcFailed: self._failed,
        }

    @property
    def deadline(self) -> float | None:
        """When something is due."""
        return self._core.deadline

    def _try(self, event: events.TryWebrtc, now: float) -> None:
        self.begin(event.peer, now, event.policy)

    def begin(self, peer: int, now: float, policy: Policy = "all") -> bool:
        """Offer a connected peer a WebRTC link; False if it cannot be, or is being tried."""
        if not self._core.can_begin(peer):
            return False
        self._policy = policy
        self._handle(signal.Begin(peer), now)
        self._policy = "all"
        return True

    def able(self, peer: int) -> bool:
        """Whether an attempt with this peer may begin now."""
        return self._core.can_begin(peer)

    def tries(self, peer: int) -> bool:
        """Whether an attempt with this peer is under way."""
        return self._core.attempt(peer) is not None

    # Peers: see `Watcher`

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        able = bool(record.capabilities & greeting.WEBRTC)
        self._handle(signal.Up(record.handle, able), now)
        if live.path == PATH:
            self.joined(record.handle, now)

    def joined(self, peer: int, now: float) -> None:
        """A session with a peer runs through a WebRTC link."""
        self._handle(signal.Joined(peer), now)

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """Links are made with strangers to our closed realm, too."""

    def renamed(self, record: Record, now: float) -> None:
        """A peer's number stays."""

    def down(self, record: Record, now: float) -> None:
        """A session ended."""
        self._handle(signal.Down(record.handle), now)

    def shun(self, key: bytes) -> None:
        """Nobody is called by this."""

    def spare(self, now: float) -> bool:
        """No session is kept for signalling."""
        return False

    def arrived(self, live: Live, body: bytes, now: float) -> None:
        """The body of a SIGNAL frame.

        Raises:
            ProtocolError: It is malformed, or out of place.
        """
        late = self._core.late
        self._handle(signal.Arrived(live.peer, body), now)
        self._shared.meter.count("signals_late", self._core.late - late)

    def tick(self, now: float) -> None:
        """Do what is due."""
        due = self._core.deadline
        if due is not None and due <= now:
            self._handle(Tick(), now)

    # The shell

    def _described(self, event: events.RtcDescription, now: float) -> None:
        if event.rtc in self._attempts:
            self._handle(signal.Described(*self._attempts[event.rtc], event.sdp), now)

    def _found(self, event: events.RtcFound, now: float) -> None:
        if event.rtc in self._attempts:
            found = signal.Found(*self._attempts[event.rtc], event.candidate, event.mid)
            self._handle(found, now)

    def _opened(self, event: events.RtcOpened, now: float) -> None:
        if event.rtc in self._attempts:
            self._handle(signal.Opened(*self._attempts[event.rtc]), now)

    def _failed(self, event: events.RtcFailed, now: float) -> None:
        if event.rtc in self._attempts:
            self._handle(signal.Failed(*self._attempts[event.rtc], event.reason), now)

    def fell(self, dial: int, error: WhispurrError, now: float) -> None:
        """No session came about on the link of a dial beside the pool, perhaps one of ours."""
        for rtc, ours in list(self._dials.items()):
            if ours == dial:
                self._failed(events.RtcFailed(rtc, str(error)), now)

    # The core

    def _handle(self, event: signal.Event, now: float) -> None:
        for effect in self._core.handle(event, now):
            match effect:
                case signal.Send(peer, body):
                    self._send(peer, body)
                case signal.Start(peer, attempt, offer):
                    self._start(peer, attempt, offer)
                case signal.Accept(peer, attempt, sdp):
                    self._shared.out.append(events.RtcAccept(self._numbers[peer, attempt], sdp))
                case signal.Candidate(peer, attempt, candidate, mid):
                    rtc = self._numbers[peer, attempt]
                    self._shared.out.append(events.RtcCandidate(rtc, candidate, mid))
                case signal.Stop(peer, attempt):
                    self._shared.out.append(events.RtcStop(self._numbers[peer, attempt]))
                case signal.Ended():
                    self._end(effect)

    def _start(self, peer: int, attempt: int, offer: str) -> None:
        rtc, self._next = self._next, self._next + 1
        self._numbers[peer, attempt], self._attempts[rtc] = rtc, (peer, attempt)
        dial = None
        if not offer:
            dial = self._dials[rtc] = self._dial(peer)
        self._shared.count("rtc_attempts")
        self._shared.out.append(events.RtcStart(rtc, offer, dial, self._policy))

    def _dial(self, peer: int) -> int:
        """A dial to a peer that is connected already, for the link that may come."""
        record = self._shared.roster.get(peer)
        assert record is not None and record.live is not None, "signalling needs a session"
        return self._shared.calls.beside(record)

    def _end(self, effect: signal.Ended) -> None:
        peer, ok = effect.peer, effect.ok
        rtc = next(n for n, (one, _) in self._attempts.items() if one == peer)
        del self._numbers[self._attempts.pop(rtc)]
        dial = self._dials.pop(rtc, None)
        if dial is not None and not ok:
            self._shared.calls.taken(dial)
        if ok:
            self._shared.count("rtc_links")
        self._shared.out.append(events.RtcEnded(peer, ok, effect.reason))
        if self.ended is not None:
            self.ended(peer, ok, effect.reason, effect.offerer)

    def _send(self, peer: int, body: bytes) -> None:
        record = self._shared.roster.get(peer)
        if record is not None and record.live is not None:
            record.live.gossip.put(frame.SIGNAL, body, PRIORITY)
            if not record.live.paused:
                self._links.dirty[record.live.link] = record.live
