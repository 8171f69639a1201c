"""What others have announced and we lack: whom to ask for it, and when.

Whoever announces a message to us does not push it, but another may; so a message is asked for
only after a while. Then one of those who announced it is asked, and if it does not come the next
one, and so on. Who was asked has promised: if it brings nothing of it in time, that is counted
against it, even if another brought it all; not if it is merely slow, or brings it second.

Source: MESH.md 1.4, "IWANT". The promises are GossipSub's, "gossip promises" of v1.1.

Invariants:
    - nobody fills more of the table than `per_peer_max` ids, nor is asked for more than
      `window` ids at a time;
    - each id is wanted of somebody who is still there, and asked for at most `tries` times;
    - the queues are in the order of their times.
"""

from __future__ import annotations

from collections import deque
from math import inf

import msgspec


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait and how much to ask; see `spread.Config`."""

    after_s: float
    after_announced_s: float
    tries: int
    unserved_s: float
    per_peer_max: int
    window: int


class Announcer:
    """What one peer has announced and what it was asked for."""

    __slots__ = ("announced", "asked", "brought_at", "peer")

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.brought_at = -inf
        """When it last sent something it was asked for, in seconds."""
        self.announced: dict[bytes, Want] = {}
        self.asked: dict[bytes, float] = {}
        """When each answer should have come, in seconds."""


class Want:
    """One message that is announced and not there."""

    __slots__ = ("announcers", "due", "id", "late", "next", "soon", "tries")

    def __init__(self, id: bytes) -> None:
        self.id = id
        self.announcers: dict[int, None] = {}
        self.due = inf
        self.next = 0
        """Which of the announcers is to be asked; counted round."""
        self.tries = 0
        self.late = False
        """Found by reconciliation: nobody else is waiting for it to be pushed."""
        self.soon = False
        """Somebody only announces it, so others only announce it too."""


class Wants:
    """The messages that are announced and not there.

    Args:
        patience: Its settings.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.given_up = 0
        """How many messages nobody brought."""
        self._wants: dict[bytes, Want] = {}
        self._peers: dict[int, Announcer] = {}
        self._soon: deque[tuple[float, Want]] = deque()
        self._later: deque[tuple[float, Want]] = deque()
        self._promises: deque[tuple[float, Announcer, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._wants)

    @property
    def deadline(self) -> float:
        """When somebody is to be asked or has not served, in seconds; infinity if never."""
        due = inf
        for queue in (self._soon, self._later):
            while queue and queue[0][1].due != queue[0][0]:
                queue.popleft()
            if queue and queue[0][0] < due:
                due = queue[0][0]
        promises = self._promises
        while promises and promises[0][1].asked.get(promises[0][2]) != promises[0][0]:
            promises.popleft()
        return min(due, promises[0][0]) if promises else due

    def add(self, peer: int) -> Announcer:
        """Begin to hear of a peer, which must be new."""
        assert peer not in self._peers, "a peer is added once"
        announcer = self._peers[peer] = Announcer(peer)
        return announcer

    def remove(self, peer: int) -> None:
        """Forget a peer, and what only it had announced."""
        announcer = self._peers.pop(peer)
        announcer.asked.clear()
        for want in announcer.announced.values():
            del want.announcers[peer]
            if not want.announcers:
                del self._wants[want.id]
                want.due = inf

    def announced(
        self, announcer: Announcer, id: bytes, now: float, *, soon: bool, late: bool = False
    ) -> bool:
        """A peer has a message that we lack.

        Args:
            announcer: The peer.
            id: 16 bytes, of a message that is not there.
            now: Monotonic time in seconds.
            soon: Nobody will push it, so there is little to wait for.
            late: It was found by reconciliation.

        Returns:
            False if the peer has announced too much: it is not taken.
        """
        announced = announcer.announced
        if id in announced:
            return True
        if len(announced) >= self.patience.per_peer_max:
            return False
        want = self._wants.get(id)
        if want is None:
            want = self._wants[id] = Want(id)
            want.late = late
        announced[id] = want
        want.announcers[announcer.peer] = None
        if soon:
            want.soon = True
            due = now + self.patience.after_announced_s
            if due < want.due and not want.tries:
                want.due = due
                self._soon.append((due, want))
        elif want.due == inf:
            want.due = now + self.patience.after_s
            self._later.append((want.due, want))
        return True

    def brought(self, announcer: Announcer, id: bytes, now: float) -> bool:
        """A peer sent a message. Return whether it was asked for it."""
        if announcer.asked.pop(id, None) is None:
            return False
        announcer.brought_at = now
        return True

    def settle(self, id: bytes) -> Want | None:
        """A message is there. Return what was known of it, the peers that had announced it."""
        want = self._wants.pop(id, None)
        if want is not None:
            want.due = inf
            for peer in want.announcers:
                del self._peers[peer].announced[id]
        return want

    def asks(self, now: float) -> dict[int, list[bytes]]:
        """Whom to ask for what now; they are taken to be asked."""
        asks: dict[int, list[bytes]] = {}
        for queue in (self._soon, self._later):
            while queue and queue[0][0] <= now:
                due, want = queue.popleft()
                if want.due == due:
                    self._ask(want, asks, now)
        return asks

    def unserved(self, now: float) -> list[int]:
        """Who was asked and has brought nothing for `unserved_s`, each once."""
        guilty: dict[int, None] = {}
        promises = self._promises
        while promises and promises[0][0] <= now:
            due, announcer, id = promises.popleft()
            if announcer.asked.get(id) == due:
                del announcer.asked[id]
                if announcer.brought_at < due - self.patience.unserved_s:
                    guilty[announcer.peer] = None
        return list(guilty)

    def _ask(self, want: Want, asks: dict[int, list[bytes]], now: float) -> None:
        patience = self.patience
        if want.tries >= patience.tries:
            self.given_up += 1
            self.settle(want.id)
            return
        peers = list(want.announcers)
        first = want.next % len(peers)
        for place in (*range(first, len(peers)), *range(first)):
            announcer = self._peers[peers[place]]
            if len(announcer.asked) < patience.window and want.id not in announcer.asked:
                want.next = place + 1
                want.tries += 1
                asks.setdefault(announcer.peer, []).append(want.id)
                due = now + patience.unserved_s
                announcer.asked[want.id] = due
                self._promises.append((due, announcer, want.id))
                break
        want.due = now + patience.after_s
        self._later.append((want.due, want))

    def check_invariants(self) -> None:
        """Assert what must be true; tests call it."""
        patience = self.patience
        for announcer in self._peers.values():
            assert len(announcer.announced) <= patience.per_peer_max
            assert len(announcer.asked) <= patience.window
            for id, want in announcer.announced.items():
                assert self._wants[id] is want and announcer.peer in want.announcers
        for id, want in self._wants.items():
            assert want.id == id and want.announcers and want.tries <= patience.tries
            assert want.due < inf, "who wants waits for something"
            assert all(id in self._peers[peer].announced for peer in want.announcers)
        for queue in (self._soon, self._later):
            times = [due for due, _ in queue]
            assert times == sorted(times)
