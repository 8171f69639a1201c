"""A laboratory of NATs: two home networks with the same private range, and a public network.

    A 192.168.1.2 --- NAT 198.51.100.2 ---+
                                          +--- 198.51.100.10 .. .21   PUBLIC
    B 192.168.1.2 --- NAT 198.51.100.3 ---+

Each of the five is a network namespace. A and B have the very same address, so who dials the
other's private address reaches itself. The public one carries our relays, our STUN and coturn:
`RELAY`, `RELAY_2`, `STUN_2` (the second address of `RELAY` for RFC 5780), `TURN` and `TURN_2`.

What a NAT does is nftables, by kind:

    full    cone: the same outer port for all destinations, and whoever sends there gets in
    port    port-restricted cone, the usual home router: in gets only who was sent to
    sym     symmetric: another outer port for each destination; in gets only who was sent to
    none    no UDP at all: nothing but TCP passes

Three traps of such labs, and what is done here: a packet of the peer that comes before ours would
leave an entry in the NAT's own table that clashes with our mapping, so the outer side drops what it
did not ask for; coturn gives an allocation up when there is no way to a peer's private address, so
the public network has a way that swallows what goes there; `ip link add br` means `broadcast`, so
names come after `name`.

Names hold the number of the process: several may run at once, and what one that died left behind is
removed by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interop.lab import HERE, Actor, process, sh

PREFIX = "wn-nat-"
PLACES = ("pub", "na", "nb", "a", "b")
KINDS = {"full": "full cone", "port": "port-restricted cone", "sym": "symmetric", "none": "blocked"}
"""What each kind is called by `whispurr nat`."""

OUTER = {"a": "198.51.100.2", "b": "198.51.100.3"}
HOME = "192.168.1.2"
RELAY, STUN_2, RELAY_2, TURN, TURN_2 = (f"198.51.100.{n}" for n in (10, 11, 12, 20, 21))
PORT = 9000
TURN_SECRET = "the secret of the laboratory"
_COUNT = itertools.count()


def rules(kind: str, outer: str) -> str:
    """What a NAT of this kind does, for nft."""
    cone = kind in {"full", "port"}
    arriving = 'iifname "wan" ip protocol udp dnat to udp dport map @outer' if cone else ""
    leaving = {
        "full": "update @outer { udp sport : ip saddr . udp sport } snat to " + outer,
        "port": "update @outer { udp sport : ip saddr . udp sport } snat to " + outer,
        "sym": "masquerade fully-random",
        "none": "drop",
    }[kind]
    anybody = 'iifname "wan" ip protocol udp ct status dnat accept' if kind == "full" else ""
    stop = 'oifname "wan" ip protocol udp drop' if kind == "none" else ""
    leaving = "" if kind == "none" else f'oifname "wan" ip protocol udp {leaving}'
    return f"""
        table ip lab {{
            map outer {{
                type inet_service : ipv4_addr . inet_service
                flags dynamic,timeout
                timeout 5m
                size 4096
            }}
            chain arriving {{
                type nat hook prerouting priority dstnat
                {arriving}
            }}
            chain leaving {{
                type nat hook postrouting priority srcnat
                {leaving}
                oifname "wan" masquerade
            }}
            chain passing {{
                type filter hook forward priority 0
                {stop}
                {anybody}
                iifname "wan" ct state established,related accept
                iifname "wan" drop
            }}
            chain own {{
                type filter hook input priority 0
                iifname "wan" ct state new drop
            }}
        }}
    """


class NatLab:
    """The five namespaces and what runs in them."""

    def __init__(self, a: str, b: str) -> None:
        self.kinds = {"a": a, "b": b}
        self._tag = f"{PREFIX}{os.getpid()}-{next(_COUNT)}-"
        self._exits = AsyncExitStack()

    def name(self, place: str) -> str:
        """The namespace of a place."""
        return self._tag + place

    def inside(self, place: str) -> tuple[str, ...]:
        """How a command is run at a place."""
        return ("ip", "netns", "exec", self.name(place))

    async def __aenter__(self) -> NatLab:
        sweep()
        self._exits.callback(self._remove)
        try:
            self._build()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def _remove(self) -> None:
        for place in PLACES:
            remove(self.name(place))

    def _build(self) -> None:
        for place in PLACES:
            sh("ip", "netns", "add", self.name(place))
        self._batch("pub", _public())
        for side in "ab":
            router, home = "n" + side, side
            self._batch(
                router,
                f"link set lo up\n"
                f"link add name wan type veth peer name w{side} netns {self.name('pub')}\n"
                f"link add name lan type veth peer name eth0 netns {self.name(home)}\n"
                f"addr add {OUTER[side]}/24 dev wan\naddr add 192.168.1.1/24 dev lan\n"
                f"link set wan up\nlink set lan up\n",
            )
            self._batch("pub", f"link set w{side} master net up\n")
            self._batch(
                home,
                f"link set lo up\naddr add {HOME}/24 dev eth0\nlink set eth0 up\n"
                "route add default via 192.168.1.1\n",
            )
            sh(*self.inside(router), "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.become(side, self.kinds[side])

    def _batch(self, place: str, lines: str) -> None:
        sh("ip", "-n", self.name(place), "-batch", "-", text=lines)

    def become(self, side: str, kind: str) -> None:
        """From now on the NAT of this side is of another kind; what passes it already is cut."""
        self.kinds[side] = kind
        sh(*self.inside("n" + side), "nft", "flush", "ruleset")
        sh(*self.inside("n" + side), "nft", "-f", "-", text=rules(kind, OUTER[side]))

    # What runs there

    async def actor(self, place: str, settings: dict[str, Any], loop: str = "asyncio") -> Actor:
        """Start a node (`nat_actor.py`) at a place; its first line is read by the caller."""
        words = (sys.executable, str(HERE / "nat_actor.py"), json.dumps(settings), loop)
        words = (*self.inside(place), *words)
        return Actor(await self._exits.enter_async_context(process(*words, limit_s=5.0)))

    async def child(self, place: str, *words: str) -> asyncio.subprocess.Process:
        """Start a program at a place; it is killed with the lab."""
        return await self._exits.enter_async_context(_daemon(*self.inside(place), *words))

    async def run(self, place: str, *words: str, limit_s: float = 30.0) -> tuple[int, str]:
        """Run a program at a place; its exit code, and what it said."""
        child = await asyncio.create_subprocess_exec(
            *self.inside(place),
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            out, _ = await asyncio.wait_for(child.communicate(), limit_s)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode is not None
        return child.returncode, out.decode(errors="replace")

    async def coturn(self, folder: Path, config: str = "") -> None:
        """Start coturn on `TURN` and `TURN_2`, with time-limited credentials of `TURN_SECRET`."""
        path = folder / "turnserver.conf"
        path.write_text(config or coturn_config(folder))
        words = ("turnserver", "-c", str(path))
        await self._exits.enter_async_context(_daemon(*self.inside("pub"), *words))
        log = folder / "coturn.log"
        async with asyncio.timeout(10):
            while not log.exists() or "Total General servers" not in log.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def coturn_config(folder: Path) -> str:
    """The settings of coturn in this lab."""
    return "\n".join(
        (
            f"listening-ip={TURN}",
            f"listening-ip={TURN_2}",
            f"relay-ip={TURN}",
            "listening-port=3478",
            "alt-listening-port=3479",
            "min-port=50000",
            "max-port=50200",
            "use-auth-secret",
            f"static-auth-secret={TURN_SECRET}",
            "realm=whispurr",
            "fingerprint",
            "no-cli",
            "no-tls",
            "no-dtls",
            "no-multicast-peers",
            f"userdb={folder / 'turndb'}",
            f"pidfile={folder / 'coturn.pid'}",
            f"log-file={folder / 'coturn.log'}",
            "simple-log",
            "",
        )
    )


def needs_coturn() -> None:
    """Skip the test where coturn is not installed, and say so; in CI that is a failure."""
    if shutil.which("turnserver") is None:
        reason = "coturn is not here: apt-get install coturn"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@asynccontextmanager
async def _daemon(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _public() -> str:
    """The public network: a bridge, its addresses, and a way that swallows all else."""
    lines = ["link set lo up", "link add name net type bridge", "link set net up"]
    lines += [f"addr add {ip}/24 dev net" for ip in (RELAY, STUN_2, RELAY_2, TURN, TURN_2)]
    lines += [
        "link add name sink type bridge",
        "addr add 203.0.113.1/24 dev sink",
        "link set sink up",
        "neigh add 203.0.113.2 lladdr 02:00:00:00:00:01 nud permanent dev sink",
        "route add default via 203.0.113.2",
    ]
    return "\n".join(lines) + "\n"


def remove(name: str) -> None:
    """Remove a namespace, and end what runs in it."""
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, check=False)
    for pid in found.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def sweep() -> None:
    """Remove what tests that died have left behind."""
    shown = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False)
    for name in (line.split()[0] for line in shown.stdout.splitlines() if line.strip()):
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            remove(name)
