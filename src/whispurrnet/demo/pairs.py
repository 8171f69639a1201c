"""The first act: six nodes find each other, whisper, fail and recover."""

from __future__ import annotations

from whispurrnet.demo.cast import DemoError
from whispurrnet.demo.stage import Stage

MULTICAST = ("alice", "bob", "carol", "dave")
BOOTSTRAPPED = ("erin", "frank")
RING = (("alice", "bob"), ("bob", "carol"), ("carol", "dave"), ("dave", "alice"),
        ("alice", "erin"), ("erin", "alice"), ("frank", "alice"))  # fmt: skip
WHISPERS = 50
QUEUED = 25
CHUNKS = 1024


class Pairs:
    """What happens between two nodes at a time.

    Args:
        stage: Where it is played.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.casts = stage.casts
        for label in MULTICAST:
            stage.cast(label)
        self.casts["carol"].settings |= {
            "identity.long_term": True,
            "identity.state_dir": str(stage.folder / "carol"),
        }

    async def play(self) -> None:
        """Every step, in order."""
        step, start = self.stage.step, self.stage.start
        await step("start four nodes", start(MULTICAST))
        await step("find each other by multicast", self._meet())
        ticket = self.casts["alice"].ticket
        for label in BOOTSTRAPPED:
            self.stage.cast(label, **{"lan.enabled": False, "bootstrap": (ticket,)})
        await step("start two more, which know only alice", start(BOOTSTRAPPED))
        await step("reach her by her ticket", self._reach())
        await step("whispers go round", self.whisper_round())
        await step("kill carol (SIGKILL)", self._kill())
        await step("queue whispers for her", self._queue())
        await step("carol comes back", self._return())
        await step("what was queued arrives", self._drain())
        await step("rotate an identity in a stream", self._rotate())

    def _knows(self, one: str, other: str) -> bool:
        name = self.casts[other].name
        return any(peer["name"] == name for peer in self.casts[one].peers)

    async def _meet(self) -> str:
        pairs = [(a, b) for a in MULTICAST for b in MULTICAST if a != b]
        await self.stage.until(lambda: all(self._knows(a, b) for a, b in pairs))
        return f"{len(pairs) // 2} pairs, no address was given to anybody"

    async def _reach(self) -> str:
        await self.stage.until(
            lambda: all(
                self._knows("alice", label) and self._knows(label, "alice")
                for label in BOOTSTRAPPED
            )
        )
        return "erin and frank are connected to alice"

    async def whisper_round(self) -> str:
        """Everybody whispers to the next."""
        for sender, target in RING:
            for n in range(WHISPERS):
                text = f"{sender} to {target} {n}"
                self.casts[sender].order("whisper", to=self.casts[target].name, text=text)
        wanted = {
            target: [f"{s} to {t} {n}" for s, t in RING if t == target for n in range(WHISPERS)]
            for _, target in RING
        }
        await self.stage.until(
            lambda: (
                all(len(self.casts[t].heard) >= len(texts) for t, texts in wanted.items())
                and all(
                    f"{s} to {t} {n}" in self.casts[s].acknowledged
                    for s, t in RING
                    for n in range(WHISPERS)
                )
            )
        )
        for target, texts in wanted.items():
            heard = self.casts[target].heard
            if sorted(heard) != sorted(texts):
                raise DemoError(f"{target} heard something twice, or something else")
            for sender in {s for s, t in RING if t == target}:
                mine = [text for text in heard if text.startswith(f"{sender} ")]
                if mine != [f"{sender} to {target} {n}" for n in range(WHISPERS)]:
                    raise DemoError(f"whispers from {sender} to {target} came out of order")
        if not self.stage.console.is_terminal:
            self.stage.console.print(self.stage.table())
        times = sorted(ms for cast in self.casts.values() for ms in cast.acknowledged.values())
        median = times[len(times) // 2]
        return f"{len(times)} sent, acknowledged, in order, once; median {median:.1f} ms"

    async def _kill(self) -> str:
        self.casts["carol"].kill()
        await self.stage.until(
            lambda: not self.casts["carol"].alive and not self._knows("alice", "carol")
        )
        return "the others noticed"

    async def _queue(self) -> str:
        for n in range(QUEUED):
            self.casts["alice"].order("whisper", to=self.casts["carol"].name, text=f"queued {n}")
        return f"{QUEUED} wait at alice"

    async def _return(self) -> str:
        self.casts["carol"].heard.clear()
        before = self.casts["carol"].name
        await self.stage.start(("carol",))
        if self.casts["carol"].name != before:
            raise DemoError("carol came back as somebody else")
        return "same long-term identity, new ephemeral one"

    async def _drain(self) -> str:
        wanted = [f"queued {n}" for n in range(QUEUED)]
        alice, carol = self.casts["alice"], self.casts["carol"]
        await self.stage.until(
            lambda: len(carol.heard) >= QUEUED and all(t in alice.acknowledged for t in wanted)
        )
        if carol.heard != wanted:
            raise DemoError("what was queued came twice or out of order")
        return f"{QUEUED} of {QUEUED}, in order, once"

    async def _rotate(self) -> str:
        alice, bob = self.casts["alice"], self.casts["bob"]
        alice.order("stream", to=bob.name, chunks=CHUNKS, rotate_at=CHUNKS // 2)
        await self.stage.until(lambda: bool(alice.streams and bob.streams))
        sent, got = alice.streams[0], bob.streams[0]
        if (sent["size"], sent["sha256"]) != (got["size"], got["sha256"]):
            raise DemoError("the stream arrived changed")
        if alice.rotations != 1:
            raise DemoError("the identity did not rotate")
        return f"{got['size'] / 2**20:.0f} MiB, same hash, one rotation in the middle"
