"""The second act: twelve nodes are one mesh. A message finds its listeners, and the mesh heals."""

from __future__ import annotations

import itertools

from whispurrnet.demo.cast import Cast, DemoError
from whispurrnet.demo.slow_path import SlowPath
from whispurrnet.demo.stage import Stage

KNOWS = {"gina": "erin", "hugo": "bob", "iris": "gina", "jack": "frank", "kate": "hugo",
         "liam": "jack"}  # fmt: skip
"""Who comes later, and the one whose ticket each has."""

INTENT, OTHER = "moon/phase", "tide/height"
LISTENERS, OTHERS = ("bob", "frank", "iris", "kate"), ("dave", "gina")
"""Those who hold the intent, and those who hold another; all the rest hold none."""

BACKLOG, WAITING_MIN = 12_500, 10_000
WHISPER_BYTES = 2048
ALARM = "fire"
SLOW_BYTES_PER_S = 8 * 2**20

NEEDED, MOST = 3, 6
"""With fewer neighbours than this a node of this demonstration is in need; more it never has."""


class Mesh:
    """What happens among many nodes.

    Args:
        stage: Where it is played; the nodes of the first act stand on it.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.casts = stage.casts
        self._killed: tuple[Cast, ...] = ()
        self._before: dict[str, frozenset[str]] = {}
        """By label, who were its neighbours before the kill."""

    async def play(self) -> None:
        """Every step, in order."""
        step = self.stage.step
        await step("six more come, each with the ticket of one", self._grow())
        await step("they are one mesh", self._join())
        await step("a resonance to those who hold its intent", self.resonate())
        await step("an emergency on a slow path", self.overtake())
        await step("kill the two who are needed most (SIGKILL)", self._kill())
        await step("the mesh heals", self.heal())
        await step("a broadcast reaches everyone that is up", self.broadcast())

    @property
    def _up(self) -> list[Cast]:
        return [cast for cast in self.casts.values() if cast.alive]

    async def _grow(self) -> str:
        waves: list[list[str]] = [[]]
        for label, known in KNOWS.items():  # who is known must be there first
            if known in waves[-1]:
                waves.append([])
            waves[-1].append(label)
        for wave in waves:
            for label in wave:
                ticket = self.casts[KNOWS[label]].ticket
                self.stage.cast(label, **{"lan.enabled": False, "bootstrap": (ticket,)})
            await self.stage.start(wave)
        return ", ".join(f"{label} by {known}" for label, known in KNOWS.items())

    def _reached(self) -> int:
        """How many of those who are up can be reached from one of them, by way of neighbours."""
        ids = {cast.id: cast for cast in self._up}
        waiting, reached = list(ids)[:1], set[str]()
        while waiting:
            id = waiting.pop()
            if id in ids and id not in reached:
                reached.add(id)
                waiting += ids[id].neighbours
        return len(reached)

    async def _join(self) -> str:
        up = self._up
        await self.stage.until(
            lambda: (
                self._reached() == len(up) and all(len(cast.neighbours) >= NEEDED for cast in up)
            )
        )
        most = max(len(cast.neighbours) for cast in up)
        if most > MOST:
            raise DemoError(f"a node has {most} neighbours, more than its settings allow")
        pairs = sum(len(cast.neighbours) for cast in up) // 2
        return f"{len(up)} nodes, {pairs} pairs of neighbours, {NEEDED} to {MOST} each"

    # Listeners

    async def resonate(self) -> str:
        """Alice speaks to an intent that four others hold."""
        up, text = self._up, "the moon is full"
        for label in LISTENERS:
            self.casts[label].order("join", intent=INTENT)
        for label in OTHERS:
            self.casts[label].order("join", intent=OTHER)
        await self.stage.report(up)  # whoever answers has done what came before
        alice = self.casts["alice"]
        alice.order("resonate", intent=INTENT, text=text)
        await self.stage.until(lambda: text in alice.spread)
        await self._carried(alice.spread[text]["id"])
        for cast in up:
            told = [text] if cast.label in LISTENERS else []
            if cast.told.get(INTENT, []) != told or len(cast.told) > len(told):
                raise DemoError(f"{cast.label} heard {cast.told}")
        silent = len(up) - 1 - len(LISTENERS)
        return (
            f"{len(LISTENERS)} heard it, once; the other {silent} carried it and heard nothing, "
            f"{len(OTHERS)} of them with another intent"
        )

    async def _carried(self, id: str) -> None:
        """Wait until a message has been at everyone who is up."""
        up = self._up
        while not all(id in cast.carried for cast in up):
            await self.stage.report(up, [id])
        await self.stage.report(up, [id])  # what it told its node's user was told before this

    # Urgency

    async def overtake(self) -> str:
        """Two nodes of another network, whose only path is slow, and a queue in front of it."""
        own = {"network_secret": "of mona and nils", "lan.enabled": False}
        nils = self.stage.cast("nils", **own)
        await self.stage.start(("nils",))
        async with SlowPath(nils.ticket, SLOW_BYTES_PER_S) as path:
            mona = self.stage.cast("mona", **own, listen=(), bootstrap=(path.ticket,))
            await self.stage.start(("mona",))
            await self.stage.until(lambda: bool(mona.peers and nils.peers))
            mona.order("backlog", to=nils.name, count=BACKLOG, size=WHISPER_BYTES)
            mona.order("emergency", text=ALARM)
            await self.stage.until(lambda: len(nils.heard) > BACKLOG)
            waiting = mona.spread[ALARM]["queued"]
            for cast in (mona, nils):
                await cast.stop()
            await self.stage.until(lambda: not (mona.alive or nils.alive))
        del self.casts["mona"], self.casts["nils"]
        return overtaken(nils.heard, waiting)

    # Healing

    def _short_without(self, dead: tuple[Cast, ...]) -> list[Cast]:
        """Who would be in need without these."""
        ids = {cast.id for cast in dead}
        rest = [cast for cast in self._up if cast not in dead]
        return [cast for cast in rest if len(cast.neighbours - ids) < NEEDED]

    async def _kill(self) -> str:
        pairs = itertools.combinations([cast for cast in self._up if cast.label != "alice"], 2)
        self._killed = max(pairs, key=lambda pair: len(self._short_without(pair)))
        self._before = {cast.label: cast.neighbours for cast in self._up}
        for cast in self._killed:
            cast.kill()
        await self.stage.until(lambda: not any(cast.alive for cast in self._killed))
        return " and ".join(cast.label for cast in self._killed)

    async def heal(self) -> str:
        """Who lost a neighbour finds another."""
        up, dead = self._up, {cast.id for cast in self._killed}
        bereft = [cast for cast in up if self._before[cast.label] & dead]
        if not bereft:
            raise DemoError("nobody was a neighbour of the dead")

        def healed() -> bool:
            return self._reached() == len(up) and all(
                len(cast.neighbours) >= NEEDED and not cast.neighbours & dead for cast in up
            )

        await self.stage.until(healed)
        found = [cast for cast in bereft if cast.neighbours - self._before[cast.label]]
        short = [cast for cast in bereft if len(self._before[cast.label] - dead) < NEEDED]
        if not set(short) <= set(found):
            raise DemoError("a node has neighbours enough without having found any")
        return (
            f"{len(bereft)} had lost a neighbour; {len(short)} of them had fewer than {NEEDED} "
            f"left, and have found others; all {len(up)} are one mesh"
        )

    async def broadcast(self) -> str:
        """Alice speaks to everyone."""
        up, alice, text = self._up, self.casts["alice"], "is everyone well?"
        alice.order("broadcast", text=text)
        await self.stage.until(lambda: text in alice.spread)
        await self._carried(alice.spread[text]["id"])
        for cast in up:
            if cast.told.get("BROADCAST", []) != ([] if cast is alice else [text]):
                raise DemoError(f"{cast.label} heard {cast.told}")
        return f"{len(up) - 1} of {len(up) - 1} others heard it, once"


def overtaken(heard: list[str], waiting: int) -> str:
    """Judge an order of arrival.

    Args:
        heard: Everything that was heard, in order.
        waiting: How many whispers were not yet sent when the emergency was raised.

    Raises:
        DemoError: The emergency came after one of them, or a whisper was lost.
    """
    place = heard.index(ALARM)
    if [text for text in heard if text != ALARM] != [str(n) for n in range(BACKLOG)]:
        raise DemoError("a whisper was lost, or came twice, or out of order")
    if waiting < WAITING_MIN:
        raise DemoError(f"only {waiting} whispers waited when the emergency was raised")
    if BACKLOG - place < waiting:
        raise DemoError(f"the emergency came after {place} of {BACKLOG} whispers")
    return (
        f"{waiting} whispers waited when it was raised: it came before all of them, as number "
        f"{place + 1} of {BACKLOG + 1}"
    )
