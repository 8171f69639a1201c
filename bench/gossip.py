"""What every side of the gossip benchmark shares: the work, and who conducts it.

Ten nodes on loopback; each calls the next three, so that each has six neighbours. Node 0 publishes
messages of 1 KiB, each of which starts with its number. The figure is how many messages the
applications of the other nine have got a second: all of them, from just before the first is
published until the last receiver has the last one. A run that does not deliver every message to
every receiver has failed.

The nodes live in one process, or in ten. Each process is started here, is told by lines of JSON
what to do (see `Crew`), and tells how far its nodes are; a clock that all processes of a machine
share says when.

Some networks lose messages when they are asked for more than they can do. For these, what the
receivers tell is passed on to the publisher, which keeps no more than a window of messages on the
way to the slowest of them. Each side does what it is fastest with, and says what that is.

It imports nothing but the standard library, for it runs in two environments.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.common import result, say

NODES, CALLED = 10, 3
NEIGHBOURS = 2 * CALLED
SIZE = 1024
STALL_S = 30.0
"""After how long without a message this is no delivery any more."""
ROOT = Path(__file__).resolve().parent.parent

PROCESSES = {"gossip_one": 1, "gossip_ten": NODES}


class Work(NamedTuple):
    """How much one side does, and how many messages it may have on the way."""

    count: int
    window: int = 0
    """0: as many as it takes, with no other brake than its own."""
    note: str = ""
    """What is to be said about how it is set up."""


def body(number: int) -> bytes:
    """A message: its number, and zeros up to 1 KiB."""
    return number.to_bytes(8, "big").ljust(SIZE, b"\0")


class Tally:
    """What one node has got: tells the conductor now and then, and at the end.

    Args:
        node: Its number.
        work: How many messages there are, and the window, a quarter of which is told at once.
    """

    def __init__(self, node: int, work: Work) -> None:
        self._node = node
        self._count = work.count
        self._step = max(1, (work.window or 1024) // 4)
        self._seen = bytearray(work.count)
        self._got = 0

    def take(self, message: bytes) -> None:
        """A message has reached the application; one that comes again is not counted."""
        number = int.from_bytes(message[:8], "big")
        if not self._seen[number]:
            self._seen[number] = 1
            self._got += 1
            if self._got % self._step == 0 or self._got == self._count:
                say({"node": self._node, "got": self._got, "at": time.monotonic()})


class Told:
    """What the conductor tells this process, read by a thread; the process ends when it does.

    Attributes:
        taken: How many messages the slowest receiver has told of.
        wake: Called, in that thread, when that has changed.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.wake: Callable[[], object] = lambda: None
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            said = json.loads(line)
            if "taken" in said:
                self.taken = said["taken"]
                self.wake()
            else:
                self._lines.put(said)
        os._exit(0)

    def line(self) -> dict[str, Any]:
        """What it says next; this blocks."""
        return self._lines.get()


async def publish(
    told: Told,
    work: Work,
    send: Callable[[bytes], Awaitable[object]],
    more: Callable[[], Awaitable[object]],
) -> None:
    """Publish it all, as fast as `send` and the window let us; `more` waits for `told.wake`."""
    say({"started": time.monotonic()})
    for number in range(work.count):
        while work.window and number >= told.taken + work.window:
            await more()
        await send(body(number))


class Crew:
    """The processes that hold the nodes.

    A process is started with the number of its first node, how many nodes it has, the count and
    the window. It says `{"addresses": [...]}`; is told `{"dial": [[...], ...]}`, for each of its
    nodes whom to call; says `{"ready": true}` once they are joined; the first is told
    `{"publish": true}` and says `{"started": SECONDS}`; every receiver says
    `{"node": N, "got": N, "at": SECONDS}`; the first is told `{"taken": N}`.
    """

    def __init__(self, command: Sequence[str], processes: int, work: Work) -> None:
        each = NODES // processes
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._processes = [
            subprocess.Popen(
                [*command, str(first), str(each), str(work.count), str(work.window)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                text=True,
            )
            for first in range(0, NODES, each)
        ]
        for place, process in enumerate(self._processes):
            threading.Thread(target=self._hear, args=(place, process), daemon=True).start()

    def _hear(self, place: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._said.put({"process": place} | json.loads(line))
        self._said.put({"process": place, "ended": True})

    def tell(self, place: int, what: dict[str, Any]) -> None:
        """One line to one process."""
        pipe = self._processes[place].stdin
        assert pipe is not None
        pipe.write(json.dumps(what) + "\n")
        pipe.flush()

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """What any of them says next; raises `queue.Empty`."""
        said = self._said.get(timeout=timeout_s)
        if "ended" in said:
            raise SystemExit(f"process {said['process']} has ended; what it printed says why")
        return said

    def hear_all(self, what: str) -> list[Any]:
        """What each of them says once."""
        answers = [self.hear(60.0) for _ in self._processes]
        return [answer[what] for answer in sorted(answers, key=lambda said: said["process"])]

    def end(self) -> None:
        """Nobody is needed any more."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


@contextmanager
def crew(command: Sequence[str], processes: int, work: Work) -> Iterator[Crew]:
    """The processes, joined to one mesh."""
    them = Crew(command, processes, work)
    try:
        addresses = [address for some in them.hear_all("addresses") for address in some]
        each = NODES // processes
        for place in range(processes):
            nodes = range(place * each, (place + 1) * each)
            dial = [[addresses[(n + k + 1) % NODES] for k in range(CALLED)] for n in nodes]
            them.tell(place, {"dial": dial})
        them.hear_all("ready")
        yield them
    finally:
        them.end()


def measure(figure: str, command: Sequence[str], work: Work) -> dict[str, Any]:
    """One run: start the nodes, let the first publish, wait until all have got all."""
    processes = PROCESSES[figure]
    got = dict.fromkeys(range(1, NODES), 0)
    started = ended = 0.0
    taken = 0
    with crew(command, processes, work) as them:
        them.tell(0, {"publish": True})
        while min(got.values()) < work.count:
            try:
                said = them.hear(STALL_S)
            except queue.Empty:
                share = sum(got.values()) / (work.count * len(got)) * 100
                raise SystemExit(f"it stalled: {share:.1f} % delivered") from None
            if "started" in said:
                started = said["started"]
            elif said["node"] in got:
                got[said["node"]] = said["got"]
                ended = max(ended, said["at"])
                if work.window and taken < min(got.values()):
                    taken = min(got.values())
                    them.tell(0, {"taken": taken})
    count = sum(got.values())
    note = "100 % delivered"
    note += f"; at most {work.window} on the way" if work.window else ""
    note += f"; {work.note}" if work.note else ""
    return {figure: result(count / (ended - started), count, note)}
