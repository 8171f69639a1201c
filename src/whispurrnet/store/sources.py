"""The peers that an object is fetched from: who is asked, who rests, who is not asked again.

A peer that is wanted is asked as soon as it is up. One that stalls rests and is tried again, a few
times; one that lies is banned for this object. Of each that is not asked it is known why, in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import ProtocolError
from whispurrnet.store import packing
from whispurrnet.store.messages import AskPage, Cancel, Message, Request, encode
from whispurrnet.store.source import Source
from whispurrnet.store.transfer_config import Config
from whispurrnet.store.transfer_events import Effect, Send
from whispurrnet.wire.ids import ObjectId

SEND_PRIORITY = 5
"""Requests and answers go beside whispers, so that data never waits for them."""
TRIES_MAX = 3
"""How often a source that stalls is tried."""
RETIRED_MAX = 256


def send(effects: list[Effect], peer: int, *messages: Message) -> None:
    """Send these messages in one frame."""
    effects.append(Send(peer, encode(*messages), SEND_PRIORITY))


class Line:
    """A peer that is up, and the numbers under which we ask it for objects."""

    __slots__ = ("_next", "peer", "refs", "retired")

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.refs: dict[int, ObjectId] = {}
        self.retired: LruDict[int, int] = LruDict(RETIRED_MAX)
        """Numbers we ask under no more, and how many bytes may still come for each."""
        self._next = 0

    def open(self, oid: ObjectId) -> int:
        """A number for an object."""
        self._next = (self._next + 1) % (1 << 32)
        self.refs[self._next] = oid
        return self._next

    def close(self, source: Source) -> None:
        """Nothing more is wanted under a source's number; what is on its way is let pass."""
        del self.refs[source.ref]
        coming = sum(asked.left for asked in source.asked.values())
        self.retired.put(source.ref, coming + sum(source.late.values()))

    def late(self, ref: int, n: int) -> None:
        """So many bytes came under a number that is not in use.

        Raises:
            ProtocolError: Nobody asked for them.
        """
        left = self.retired.get(ref)
        if left is None or left < n:
            raise ProtocolError("a peer sends chunks that nobody asked for")
        self.retired.put(ref, left - n)


class Sources:
    """The sources of one object.

    Args:
        oid: The object.
        lines: All peers that are up; shared, and changed elsewhere.
        config: Its settings.
        priority: How urgent the object is, for the sources to know.
    """

    def __init__(
        self, oid: ObjectId, lines: dict[int, Line], config: Config, priority: int
    ) -> None:
        self.oid = oid
        self.priority = priority
        self.outlined = False
        """Whether the first page is here; until then it is asked for at once."""
        self.words: dict[int, str] = {}
        """Why a peer is not asked."""
        self.unpacks = config.pack and packing.available()
        """Whether they may send packed chunks."""
        self._lines = lines
        self._config = config
        self._wanted: dict[int, None] = {}
        self._open: dict[int, Source] = {}
        self._resting: dict[int, float] = {}
        self._tries: dict[int, int] = {}
        self._out: dict[int, bool] = {}  # not tried again; True: whatever anybody says
        self._refused: dict[int, None] = {}  # say that they do not have it

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Source]:
        return iter(list(self._open.values()))

    def get(self, peer: int) -> Source | None:
        """The source that a peer is at present."""
        return self._open.get(peer)

    def add(self, peer: int, now: float, effects: list[Effect]) -> None:
        """A peer may have the object."""
        if peer not in self._wanted and len(self._wanted) >= self._config.sources_max:
            return
        self._wanted[peer] = None
        self._tries.pop(peer, None)
        if not self._out.get(peer):
            self._out.pop(peer, None)
            self.up(peer, now, effects)

    @property
    def wanted(self) -> int:
        """How many peers may have it, also those that are not asked now."""
        return len(self._wanted)

    @property
    def hope(self) -> bool:
        """Whether one of them may still send something."""
        return any(peer not in self._out and peer not in self._refused for peer in self._wanted)

    def up(self, peer: int, now: float, effects: list[Effect]) -> None:
        """A peer is up: ask it what it has, if it is wanted."""
        if peer not in self._wanted or peer in self._out or peer in self._open:
            return
        line = self._lines.get(peer)
        if line is None:
            self.words[peer] = "it is not connected"
            return
        self.words.pop(peer, None)
        self._resting.pop(peer, None)
        self._refused.pop(peer, None)
        source = self._open[peer] = Source(peer, line.open(self.oid), now)
        told: list[Message] = [Request(source.ref, self.oid, (), self.priority, self.unpacks)]
        if not self.outlined and not any(other.pages for other in self):
            source.pages[0] = now
            told.append(AskPage(source.ref, self.oid, 0))
        send(effects, peer, *told)

    def down(self, peer: int) -> Source | None:
        """A peer is gone; return the source that it was."""
        self._resting.pop(peer, None)
        if peer in self._wanted and peer not in self._out:
            self.words[peer] = "the connection to it ended"
        return self._open.pop(peer, None)

    def rest(
        self,
        source: Source,
        word: str,
        now: float,
        effects: list[Effect],
        *,
        refused: bool = False,
    ) -> None:
        """A source is left alone for a while, or if that was often until somebody names it again.

        Args:
            source: Which.
            word: Why.
            now: Monotonic time in seconds.
            effects: Is told to tell it, unless it has `refused` and knows.
            refused: Whether it says that it does not have the object.
        """
        peer = source.peer
        self._close(source, effects, cancel=not refused)
        self.words[peer] = word
        if refused:
            self._refused[peer] = None
        self._tries[peer] = self._tries.get(peer, 0) + 1
        if self._tries[peer] < TRIES_MAX:
            self._resting[peer] = now + self._config.rest_s
        else:
            self._out[peer] = False

    def useful(self, source: Source) -> None:
        """A source has sent what was wanted."""
        self._tries.pop(source.peer, None)

    def ban(self, source: Source, word: str, effects: list[Effect]) -> None:
        """A source is not asked again for this object."""
        self._close(source, effects)
        self.words[source.peer] = word
        if self._config.ban:
            self._out[source.peer] = True
        else:
            self._resting[source.peer] = 0.0

    def wake(self, now: float, effects: list[Effect]) -> None:
        """Try those again that have rested."""
        for peer, at in list(self._resting.items()):
            if at <= now:
                del self._resting[peer]
                self.up(peer, now, effects)

    def close_all(self, effects: list[Effect]) -> None:
        """The object is not fetched any more."""
        for source in self:
            self._close(source, effects)

    def why(self) -> str:
        """Why nobody is asked, in words."""
        if not self._wanted:
            return "no source is known"
        if not self.words:
            return "no source has the missing part"
        counts: dict[str, int] = {}
        for word in self.words.values():
            counts[word] = counts.get(word, 0) + 1
        told = [word if n == 1 else f"{word} ({n} times)" for word, n in counts.items()]
        return f"of {len(self._wanted)} sources: " + "; ".join(told)

    def _close(self, source: Source, effects: list[Effect], *, cancel: bool = True) -> None:
        del self._open[source.peer]
        line = self._lines.get(source.peer)
        if line is not None:
            line.close(source)
            if cancel:
                send(effects, source.peer, Cancel(source.ref, ()))

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert len(self._wanted) <= self._config.sources_max
        assert self._open.keys() <= self._wanted.keys() & self._lines.keys()
        assert not self._open.keys() & self._resting.keys()
        for peer, source in self._open.items():
            assert self._lines[peer].refs[source.ref] == self.oid
            source.check_invariants()
