"""Whole nodes that misbehave: they hold valid keys, make valid sessions, and then do as they like.

An `Adversary` sits in a `Node`: it sees every event before the stack, every frame in the clear,
and every effect before the world, and may change, drop or add. It also acts by itself, on a clock
of its own (`every`), with frames that no honest stack would send (`send`). A new kind is a
subclass and a line in `KINDS`; the share of nodes that a scenario gives it has the same name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from whispurrnet.base.errors import LimitError
from whispurrnet.sim.world import World
from whispurrnet.stack import events
from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack
from whispurrnet.wire import frame

FRAMES_KEPT = 64
NOTES_MAX = 200_000

_FRAMES = (
    *(frame.DIRECT, frame.STREAM, frame.FRAGMENT, frame.PEER),
    *(frame.GOSSIP, frame.VIEW, frame.RENDEZVOUS, frame.OBJECT),
)
"""The types that a liar fills with nonsense."""


class Adversary:
    """Behaves like an honest node until a subclass says otherwise.

    Args:
        rng: Its own chance.
        targets: The honest nodes of the world, by name.
        from_s: When it begins to misbehave.
    """

    kind: ClassVar[str] = ""

    def __init__(self, rng: Random, targets: Sequence[str], from_s: float = 0.0) -> None:
        self.rng = rng
        self.targets = tuple(targets)
        self.from_s = from_s
        self.world: World
        self.name = ""
        self.stack: Stack

    def enter(self, world: World, name: str, stack: Stack) -> None:
        """Take a node over; called once, when it has been added."""
        self.world, self.name, self.stack = world, name, stack
        world.later(max(0.0, self.from_s - world.now), self._wake)

    def begin(self) -> None:
        """The time to misbehave has come: the place to call `every`."""

    def on_event(self, event: events.Event, now: float) -> Sequence[events.Event]:
        """What the stack gets to handle instead of `event`."""
        return (event,)

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Which frames, by type and body, the cores see instead of the one that arrived."""
        return ((type, body),)

    def on_effects(self, effects: list[events.Effect], now: float) -> list[events.Effect]:
        """What is done instead of what the stack wants done."""
        return effects

    @property
    def lives(self) -> list[Live]:
        """Its sessions at the moment."""
        return [record.live for record in self.stack.roster if record.live is not None]

    @property
    def here(self) -> bool:
        """Whether its node still runs."""
        return self.world.nodes.get(self.name) is self.stack

    def send(self, live: Live, type: int, body: bytes) -> None:
        """Send a frame in a session, whatever it holds."""
        if len(live.notes) < FRAMES_KEPT:
            live.notes.append(frame.encode(type, body))
            self.stack.links.dirty[live.link] = live
            self.world.inject(self.name, events.Flush())

    def every(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something again and again, as long as the node runs."""

        def again() -> None:
            if self.here:
                act()
                self.world.later(seconds, again)

        self.world.later(seconds * self.rng.random(), again)

    def _wake(self) -> None:
        if self.here:
            self.begin()


class Liar(Adversary):
    """Sends what is malformed, and true things with one byte changed."""

    kind = "liar"

    def __init__(self, rng: Random, targets: Sequence[str], from_s: float = 0.0) -> None:
        super().__init__(rng, targets, from_s)
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=FRAMES_KEPT)

    def begin(self) -> None:
        """A lie each two seconds."""
        self.every(2.0, self.lie)

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Remember what truth looks like."""
        self._heard.append((type, body))
        return ((type, body),)

    def lie(self) -> None:
        """Tell one peer something untrue."""
        if not (lives := self.lives):
            return
        live = self.rng.choice(lives)
        if self._heard and self.rng.random() < 0.5:
            type, body = self.rng.choice(self._heard)
            at = self.rng.randrange(len(body)) if body else 0
            changed = bytes((body[at] ^ 1 << self.rng.randrange(8),)) if body else b"\0"
            self.send(live, type, body[:at] + changed + body[at + 1 :])
        else:
            body = self.rng.randbytes(self.rng.randrange(1, 200))
            self.send(live, self.rng.choice(_FRAMES), body)


class Flooder(Adversary):
    """Sends two hundred whispers a second to everyone, and all gossip it hears again and again."""

    kind = "flooder"
    rate: ClassVar[int] = 200
    size: ClassVar[int] = 1024

    def __init__(self, rng: Random, targets: Sequence[str], from_s: float = 0.0) -> None:
        super().__init__(rng, targets, from_s)
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=FRAMES_KEPT)

    def begin(self) -> None:
        """Ten bursts a second."""
        self.every(0.1, self.burst)

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Keep what can be sent on."""
        if type not in {frame.DIRECT, frame.PEER, frame.STREAM, frame.FRAGMENT}:
            self._heard.append((type, body))
        return ((type, body),)

    def burst(self) -> None:
        """A tenth of a second of flood."""
        for live in self.lives:
            for _ in range(self.rate // 10):
                if self._heard and self.rng.random() < 0.5:
                    self.send(live, *self.rng.choice(self._heard))
                    continue
                body = self.rng.randbytes(self.size)
                try:
                    self.stack.post_unacknowledged(live, 1, body, 5)
                except LimitError:
                    break  # the peer reads no more
            self.stack.links.dirty[live.link] = live
        self.world.inject(self.name, events.Flush())


class Eclipser(Adversary):
    """One of many that call the same nodes, so as to be all that those ever see."""

    kind = "eclipser"
    calls_per_s: ClassVar[int] = 4

    def begin(self) -> None:
        """Call one after the other."""
        self._waiting = list(self.targets)
        self.rng.shuffle(self._waiting)
        self.every(1.0 / self.calls_per_s, self.call)

    def call(self) -> None:
        """Call the next node that is there."""
        while self._waiting:
            target = self._waiting.pop()
            if target in self.world.nodes:
                self.world.connect(self.name, target)
                return


class Replayer(Adversary):
    """Says again what others said, to everybody, and sends sealed bytes a second time."""

    kind = "replayer"

    def __init__(self, rng: Random, targets: Sequence[str], from_s: float = 0.0) -> None:
        super().__init__(rng, targets, from_s)
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=FRAMES_KEPT)
        self._on = False

    def begin(self) -> None:
        """Two frames a second."""
        self._on = True
        self.every(0.5, self.replay)

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Keep what can be said again."""
        self._heard.append((type, body))
        return ((type, body),)

    def on_effects(self, effects: list[events.Effect], now: float) -> list[events.Effect]:
        """Now and then write a record twice: the other end of this one session must notice."""
        if not self._on or self.rng.random() > 0.1:
            return effects
        twice: list[events.Effect] = []
        for effect in effects:
            twice.append(effect)
            if isinstance(effect, events.Write):
                twice.append(effect)
        return twice

    def replay(self) -> None:
        """Say something of before to somebody."""
        if self._heard and (lives := self.lives):
            self.send(self.rng.choice(lives), *self.rng.choice(self._heard))


class Note(NamedTuple):
    """What an eavesdropper wrote down: when it heard which frame, and from whom."""

    at_s: float
    source: str
    type: int
    body: bytes


class Eavesdropper(Adversary):
    """Keeps to the protocol, and writes everything down."""

    kind = "eavesdropper"

    def __init__(self, rng: Random, targets: Sequence[str], from_s: float = 0.0) -> None:
        super().__init__(rng, targets, from_s)
        self.notes: list[Note] = []

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Write it down."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append(Note(now, self.world.far_end(self.name, live.link), type, body))
        return ((type, body),)


class BlackHole(Adversary):
    """Keeps its sessions, and swallows every message that is for it or to be passed on."""

    kind = "black_hole"

    def on_frame(
        self, live: Live, type: int, body: bytes, now: float
    ) -> Sequence[tuple[int, bytes]]:
        """Only greetings, and who is a neighbour of whom, get through."""
        if now >= self.from_s and type in {
            frame.DIRECT,
            frame.FRAGMENT,
            frame.STREAM,
            frame.GOSSIP,
        }:
            return ()
        return ((type, body),)


KINDS: dict[str, type[Adversary]] = {
    kind.kind: kind for kind in (Liar, Flooder, Eclipser, Replayer, Eavesdropper, BlackHole)
}
"""Every kind, by the name it has in a scenario."""
