"""Which messages were sent in a simulation, who should have them, and who got them when."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from whispurrnet.sim.checks import Checks
from whispurrnet.sim.report import BINS, Bin, Figures, cdf, percentiles
from whispurrnet.sim.scenario import STAMP_BYTES, Work

MAGIC = b"WhispSim"
"""How the payloads of a workload begin; what hostile nodes make up begins otherwise."""


class Message:
    """One message of a workload."""

    def __init__(self, number: int, work: Work, payload: bytes) -> None:
        self.number = number
        self.work = work
        self.payload = payload
        self.sent = False
        self.author = ""
        self.life = 0
        self.target = ""
        """Whom a whisper is for."""
        self.at_s = 0.0
        self.due: dict[str, int] = {}
        """Who should get it, and in which life."""
        self.reached = 0
        """How many nodes were connected when it was sent, the author too."""
        self.got: dict[tuple[str, int], float] = {}
        """Who has it, in which life, and after how long, in seconds."""
        self.hop_max = 0


class Ledger:
    """All messages of a run.

    Args:
        works: The workloads of the scenario.
        rng: Where the contents come from.
        checks: Told of what should not be.
    """

    def __init__(self, works: tuple[Work, ...], rng: Random, checks: Checks) -> None:
        self.messages: list[Message] = []
        self._works = works
        self._checks = checks
        self._last: dict[tuple[str, int, str, int], int] = {}
        for work in works:
            for _ in range(work.count):
                number = len(self.messages)
                head = MAGIC + number.to_bytes(STAMP_BYTES - len(MAGIC), "big")
                payload = head + rng.randbytes(work.size_bytes - STAMP_BYTES)
                self.messages.append(Message(number, work, payload))

    def find(self, payload: bytes) -> Message | None:
        """The message that a payload claims to be, if it claims to be one of ours."""
        number = int.from_bytes(payload[len(MAGIC) : STAMP_BYTES], "big")
        if not payload.startswith(MAGIC) or number >= len(self.messages):
            return None
        return self.messages[number]

    def send(self, message: Message, author: str, life: int, at_s: float) -> None:
        """A message is on its way."""
        message.sent, message.author, message.life, message.at_s = True, author, life, at_s

    def got(self, node: str, life: int, payload: bytes, hop: int, now: float) -> None:
        """An honest node has got what an honest node, as it seems, has sent."""
        message = self.find(payload)
        if message is None or not message.sent:
            return
        if payload != message.payload:
            self._checks.breach("changed", now, node, f"message {message.number}")
        elif (node, life) in message.got:
            self._checks.breach("twice", now, node, f"message {message.number}")
        elif message.target and node != message.target:
            self._checks.breach("astray", now, node, f"message {message.number}")
        elif message.target:
            self._in_order(message, node, now)
        message.got.setdefault((node, life), now - message.at_s)
        message.hop_max = max(message.hop_max, hop)

    def acknowledged(self, node: str, number: int, now: float) -> None:
        """A whisper's author was told that it arrived."""
        if number >= len(self.messages):
            return
        message = self.messages[number]
        if message.author == node and message.target and not message.got:
            self._checks.breach("acknowledged", now, node, f"message {number} did not arrive")

    def _in_order(self, message: Message, node: str, now: float) -> None:
        lane = (message.author, message.life, node, message.work.priority)
        sent_before = self._last.get(lane)
        if sent_before is not None and (
            (self.messages[sent_before].at_s, sent_before) > (message.at_s, message.number)
        ):
            self._checks.breach("order", now, node, f"message {message.number}")
        self._last[lane] = message.number

    # What came of it

    def figures(self, alive: Callable[[str, int], bool], until_s: float) -> tuple[Figures, ...]:
        """The figures of each workload.

        Args:
            alive: Whether a node ran all the time since it had that life.
            until_s: How long the run took.
        """
        return tuple(
            self._figures(work, [m for m in self.messages if m.work is work], alive, until_s)
            for work in self._works
        )

    def _figures(
        self,
        work: Work,
        messages: list[Message],
        alive: Callable[[str, int], bool],
        until_s: float,
    ) -> Figures:
        latencies: list[float] = []
        ratios: list[float] = []
        due, made, beyond = 0, 0, 0
        bins = [[0, 0] for _ in range(BINS)]
        for message in messages:
            latencies += message.got.values()
            if message.target and not alive(message.author, message.life):
                continue
            wanted = [pair for pair in message.due.items() if alive(*pair)]
            have = sum(pair in message.got for pair in wanted)
            due, made = due + len(wanted), made + have
            beyond += len(message.got) - have
            if wanted:
                ratios.append(have / len(wanted))
            place = bins[min(BINS - 1, int(message.at_s / until_s * BINS))]
            place[0] += len(wanted)
            place[1] += have
        hops = [message.hop_max for message in messages if message.got]
        sent = sum(message.sent for message in messages)
        return Figures(
            kind=work.kind,
            messages=sent,
            unsent=len(messages) - sent,
            due=due,
            made=made,
            delivery=round(made / due, 6) if due else 1.0,
            worst=round(min(ratios, default=1.0), 6),
            beyond=beyond,
            ldh_mean=round(sum(hops) / len(hops), 3) if hops else 0.0,
            ldh_max=max(hops, default=0),
            latency_s=percentiles(latencies),
            cdf_s=cdf(latencies),
            over_time=tuple(
                Bin(round(n * until_s / BINS, 3), *counts)
                for n, counts in enumerate(bins)
                if counts[0]
            ),
        )
