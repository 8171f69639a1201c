"""A lab of network namespaces: two nodes, a slow proxy between them, lost packets, a cable.

    A  --- cable --- PROXY --- B        every byte takes 100 ms each way inside PROXY

Each is a namespace of its own with its own processes. Every packet that reaches any of them is
dropped with a probability of 5 %, by nftables (`numgen random`), so both directions of both hops
lose. The cable is pulled by taking PROXY's end of it down: A sees no carrier.

Nothing outside these namespaces is touched, and they are removed at the end.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PORT = 9000
DELAY_S = 0.1
"""Each way: a round trip through the proxy takes at least twice as long."""

LOSS_PER_MILLE = 50
PROXY_A, NODE_A = "10.77.1.1", "10.77.1.2"
PROXY_B, NODE_B = "10.77.2.1", "10.77.2.2"

RETRANSMIT = "net.ipv4.tcp_rto_max_ms=5000"
"""TCP asks every 5 s whether the cable is back; else it waits for up to 2 minutes after a cut.

Kernels before 6.15 have no such setting, and wait.
"""

PATIENCE = "net.ipv4.tcp_retries2=188"
"""TCP gives up after a quarter of an hour, as it does without `RETRANSMIT`.

It counts retries: with the usual 15, one every 5 s, it would give up after 61.2 s. A cable that is
pulled for a minute, on a busy machine for a little more, would then end a session that lives on.
"""

RULES = f"""
table inet lab {{
    chain arriving {{
        type filter hook input priority 0; policy accept;
        iif lo accept
        meta l4proto tcp counter numgen random mod 1000 < {LOSS_PER_MILLE} counter drop
    }}
}}
"""


def sh(*words: str, text: str | None = None) -> str:
    """Run a command; an error says what it said."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


class Actor:
    """The handle of a process that answers one line of JSON with another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def hear(self) -> dict[str, Any]:
        """The next line it says."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the actor has ended"
        return json.loads(line)

    async def order(self, do: str, **what: Any) -> dict[str, Any]:
        """Give an order, and wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        answer = await self.hear()
        assert "error" not in answer, answer
        return answer


@asynccontextmanager
async def process(*words: str, limit_s: float = 10.0) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process; it is asked to end, then made to."""
    child = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 24,
    )
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), limit_s)
        except TimeoutError:
            child.kill()
            await child.wait()


class Lab:
    """Three namespaces and what runs in them."""

    def __init__(self, name: str) -> None:
        self.names = {place: f"wn-{name}-{place}" for place in "apb"}
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Lab:
        try:
            self._build()
            await self._start_proxy()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def _build(self) -> None:
        for name in self.names.values():
            sh("ip", "netns", "add", name)
            self._exits.callback(sh, "ip", "netns", "delete", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
            inside = ("ip", "netns", "exec", name, "sysctl", "-qw")
            subprocess.run([*inside, RETRANSMIT], check=False, capture_output=True)
            sh(*inside, PATIENCE)
        a, p, b = (self.names[place] for place in "apb")
        for node, device, theirs, ours in ((a, "pa", NODE_A, PROXY_A), (b, "pb", NODE_B, PROXY_B)):
            sh("ip", "-n", p, "link", "add", device, "type", "veth", "peer", "up0", "netns", node)
            sh("ip", "-n", p, "addr", "add", f"{ours}/24", "dev", device)
            sh("ip", "-n", node, "addr", "add", f"{theirs}/24", "dev", "up0")
            sh("ip", "-n", p, "link", "set", device, "up")
            sh("ip", "-n", node, "link", "set", "up0", "up")
        for name in self.names.values():
            sh("ip", "netns", "exec", name, "nft", "-f", "-", text=RULES)

    async def _start_proxy(self) -> None:
        words = [str(HERE / "proxy.py"), PROXY_A, str(PORT), NODE_B, str(PORT), str(DELAY_S)]
        child = await self._exits.enter_async_context(self._run("p", *words, limit_s=0))
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"

    def _run(self, place: str, *words: str, limit_s: float = 10.0) -> Any:
        inside = ("ip", "netns", "exec", self.names[place])
        return process(*inside, sys.executable, *words, limit_s=limit_s)

    async def node(self, place: str, settings: dict[str, Any], loop: str) -> tuple[Actor, str]:
        """Start a node at `a` or `b`; its ticket."""
        words = [str(HERE / "actor.py"), json.dumps(settings), loop]
        actor = Actor(await self._exits.enter_async_context(self._run(place, *words)))
        return actor, (await actor.hear())["ticket"]

    def pull(self) -> None:
        """Pull the cable between A and the proxy."""
        sh("ip", "-n", self.names["p"], "link", "set", "pa", "down")

    def plug(self) -> None:
        """Put it back."""
        sh("ip", "-n", self.names["p"], "link", "set", "pa", "up")

    def carrier(self) -> bool:
        """Whether A sees that its cable is plugged in at the other end."""
        shown = sh("ip", "-n", self.names["a"], "-j", "link", "show", "up0")
        return "NO-CARRIER" not in json.loads(shown)[0]["flags"]

    def patience_s(self, place: str) -> float:
        """How long TCP goes on without an answer before it gives a connection up, in seconds.

        Source: Linux, `tcp_model_timeout` in net/ipv4/tcp_timer.c.
        """
        inside = ("ip", "netns", "exec", self.names[place], "sysctl", "-en")
        most = sh(*inside, "net.ipv4.tcp_rto_max_ms").strip() or "120000"
        retries = int(sh(*inside, "net.ipv4.tcp_retries2"))
        wait_s, given_s = 0.2, 0.0
        for _ in range(retries + 1):
            given_s += wait_s
            wait_s = min(2 * wait_s, int(most) / 1000)
        return given_s

    def packets(self, place: str) -> tuple[int, int]:
        """How many packets have reached a namespace, and how many of them were dropped."""
        shown = sh("ip", "netns", "exec", self.names[place], "nft", "-j", "list", "ruleset")
        counts = [
            part["counter"]["packets"]
            for item in json.loads(shown)["nftables"]
            for part in item.get("rule", {}).get("expr", ())
            if "counter" in part
        ]
        arrived, dropped = counts
        return arrived, dropped
