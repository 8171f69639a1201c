"""Sleep: few words while nobody here needs the mesh, and peers who know of it.

A node that sleeps tells each peer how long it may be silent (`greeting.Asleep`). Both ends of such
a session then do two things: they ping no more often than that, so neither takes the other for
dead; and what can wait does so for `hold_s` at most and leaves in one record, so that a radio is
woken once and not for each word. What is urgent leaves at once, and so does what answers somebody
who has just spoken: its radio is on. Whatever the application does itself wakes the node.

Invariants:
    - nothing waits longer than `hold_s`, and nothing at all while both are awake;
    - a peer can stretch our patience to `HEARTBEAT_MAX_S`, and no further.

Source: seeds/004, "Power Efficiency" (FEATURES.md E20); DECISIONS section 1, `device`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.session import channel
from whispurrnet.stack import events, greeting
from whispurrnet.stack.live import Live
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import LINK, Shared
from whispurrnet.store import transfer_events

WAKE, DOZE, HELD = "wake", "doze", "held"
TIMERS: Final = frozenset((WAKE, DOZE, HELD))
"""The timers of this module."""

HEARTBEAT_MAX_S = 300.0
"""How long a peer may say that it will be silent; three times that, and it is taken for dead."""

URGENT = 8
"""What has this priority, or a higher one, does not wait."""

ANSWER_S = 1.0
"""So long after a word of the peer nothing waits: it listens now."""

HELD_MAX, HELD_BYTES_MAX = 256, 64 * 1024
"""With more than this waiting for one peer, it leaves at once."""

ACTIVITY: Final[frozenset[type]] = frozenset(
    (
        *(events.Post, events.Ask, events.OpenStream, events.WriteStream, events.MarkRead),
        *(events.Resonate, events.Broadcast, events.Connect, events.PingPeer, events.SetPresence),
        *(events.Register, events.FindName, transfer_events.Fetch),
    )
)
"""What only the application does: it wakes the node."""

Whisper: TypeAlias = Callable[[Live, greeting.Greeting], None]


class Resting:
    """The sleep of one node, and that of its peers.

    Args:
        shared: What the parts of the stack share.
        whisper: Has a greeting sent on a session.
        dirty: Sessions with something to send.
    """

    def __init__(self, shared: Shared, whisper: Whisper, dirty: dict[int, Live]) -> None:
        self._shared = shared
        self._whisper = whisper
        self._dirty = dirty
        self.asleep = False
        """Whether this node sleeps."""
        self.active = False
        """Whether the application did something lately."""
        self._before = greeting.PRESENT

    def begin(self, now: float) -> None:
        """The node starts: it falls asleep when nothing happens, if it is to."""
        after_s = self._shared.config.rest.after_s
        if after_s:
            self._shared.timers.set((DOZE, 0), now + after_s)

    # This node

    def sleep(self, event: events.Sleep, now: float) -> None:
        """Fall asleep, or go on sleeping for another time."""
        shared = self._shared
        shared.timers.cancel((WAKE, 0))
        if event.for_s is not None:
            shared.timers.set((WAKE, 0), now + event.for_s)
        self.active = False
        if not self.asleep:
            self._before = shared.presence
            self._become(("asleep", event.note), now, asleep=True)

    def wake(self, event: events.Wake, now: float) -> None:
        """Wake up, if it sleeps."""
        if self.asleep:
            self._shared.timers.cancel((WAKE, 0))
            self._become(self._before, now, asleep=False)
            self.begin(now)

    def stir(self, now: float) -> None:
        """The application did something."""
        self.active = True
        self.wake(events.Wake(), now)

    def _become(self, presence: tuple[str, str], now: float, *, asleep: bool) -> None:
        shared = self._shared
        self.asleep, shared.presence = asleep, presence
        beat_s = shared.config.rest.heartbeat_s if asleep else 0.0
        shared.beacon.interval_s = max(shared.beacon.config.interval_s, beat_s)
        for record in shared.roster:
            if record.live is not None:
                self._whisper(record.live, greeting.Presence(*presence))
                self._tell(record.live, now)
        shared.out.append(events.Rested(asleep))

    def up(self, live: Live, now: float) -> None:
        """A session began: the peer is to know that we sleep."""
        if self.asleep:
            self._tell(live, now)

    def moved(self, live: Live, now: float) -> None:
        """A session has another channel from now on."""
        self._adapt(live, now)

    def _tell(self, live: Live, now: float) -> None:
        beat_s = self._shared.config.rest.heartbeat_s if self.asleep else 0.0
        self._whisper(live, greeting.Asleep(int(beat_s * 1000)))
        self._adapt(live, now)

    # The others

    def told(self, record: Record, message: greeting.Asleep, now: float) -> None:
        """A peer falls asleep, or wakes.

        Raises:
            LimitError: It does so too often.
            ProtocolError: It has no session.
        """
        if record.live is None:
            raise ProtocolError("a peer without a session says that it sleeps")
        if not record.news.take(1, now):
            raise LimitError("a peer falls asleep and wakes too often")
        record.live.sleeps_s = min(message.heartbeat_ms / 1000, HEARTBEAT_MAX_S)
        self._adapt(record.live, now)

    def _adapt(self, live: Live, now: float) -> None:
        """Who sleeps has changed: what waits leaves now, and the heartbeat is another."""
        shared, heartbeat = self._shared, live.channel.heartbeat
        config = shared.config
        ours_s = config.rest.heartbeat_s if self.asleep else 0.0
        heartbeat.stretch(max(config.channel.heartbeat_s, ours_s, live.sleeps_s), now)
        live.channel.handle(channel.Suspended(heartbeat.suspended), now)  # it plans anew
        if live.channel.deadline is not None:
            shared.timers.set((LINK, live.link), live.channel.deadline)
        live.hold_s = config.rest.hold_s if self.asleep or live.sleeps_s else 0.0
        live.free_at = now
        self._release(live)

    def sleeps(self, peer: int | None) -> bool:
        """Whether a peer sleeps; None: we ourselves."""
        if peer is None:
            return self.asleep
        record = self._shared.roster.get(peer)
        return record is not None and record.live is not None and record.live.sleeps_s > 0

    # What waits

    def holds(self, live: Live, now: float) -> bool:
        """Whether what a session has to send is to wait; then its time comes by itself."""
        if now >= live.free_at or live.channel.heartbeat.heard_at + ANSWER_S > now:
            return False
        if self._presses(live):
            return False
        self._shared.timers.set((HELD, live.link), live.free_at)
        return True

    def sent(self, live: Live, now: float) -> None:
        """All that a session had to send has left: the next may wait."""
        live.free_at = now + live.hold_s
        self._shared.timers.cancel((HELD, live.link))

    def _presses(self, live: Live) -> bool:
        """Whether something urgent is among it, or somebody waits at the other end of it."""
        courier, peer = self._shared.courier, live.peer
        lanes = (courier.priority(peer), live.gossip.priority())
        return bool(
            live.channel.control_pending
            or live.fragments
            or live.mux.priority() is not None
            or (live.objects is not None and live.objects.waits())
            or any(lane is not None and lane >= URGENT for lane in lanes)
            or live.gossip.bytes > HELD_BYTES_MAX
            or not courier.has_room(peer, HELD_MAX, HELD_BYTES_MAX)
        )

    def _release(self, live: Live) -> None:
        self._shared.timers.cancel((HELD, live.link))
        if not live.paused:
            self._dirty[live.link] = live

    def due(self, name: str, live: object, now: float) -> None:
        """A timer of this module has come.

        Args:
            name: Which.
            live: What has its link's number now, if it is about a link.
            now: Monotonic time in seconds.
        """
        if name == HELD:
            if isinstance(live, Live):
                self._release(live)
        elif name == WAKE:
            self.wake(events.Wake(), now)
        elif self.active:
            self.active = False
            self.begin(now)
        elif not self.asleep:
            self.sleep(events.Sleep(), now)
