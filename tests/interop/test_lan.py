"""Finding each other on a local network that holds something back: machines in namespaces.

    A  --- cable --- B        one cable or two, and rules of nftables in between

Nothing outside these namespaces is touched, and they are removed at the end. The last test lets
avahi look for the service: another program, in another language, from the same RFCs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interop.lab import HERE, Actor, process, sh

pytestmark = pytest.mark.netns

NO_MULTICAST = """
table inet lan {
    chain arriving {
        type filter hook input priority 0; policy accept;
        ip daddr 224.0.0.0/4 counter drop
        ip6 daddr ff00::/8 meta l4proto udp counter drop
    }
}
"""
ONLY_MDNS = """
table inet lan {
    chain arriving {
        type filter hook input priority 0; policy accept;
        udp dport 9746 counter drop
    }
}
"""


class Net:
    """Machines, each a namespace of its own, and the cables between them."""

    def __init__(self) -> None:
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Net:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exits.aclose()

    def _name(self, place: str) -> str:
        return f"wn-lan-{os.getpid()}-{place}"

    def inside(self, place: str) -> tuple[str, ...]:
        """How a command is run on a machine."""
        return ("ip", "netns", "exec", self._name(place))

    def machine(self, place: str, rules: str = "") -> None:
        """Add a machine with nothing but loopback."""
        name = self._name(place)
        sh("ip", "netns", "add", name)
        self._exits.callback(sh, "ip", "netns", "delete", name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        if rules:
            sh(*self.inside(place), "nft", "-f", "-", text=rules)

    def cable(self, one: str, other: str, net: str, number: int = 0) -> None:
        """Put a cable between two machines: `.1` and `.2` of a network such as `10.78.1`.

        Without a network they have the IPv6 addresses that any interface has.
        """
        device, a, b = f"eth{number}", self._name(one), self._name(other)
        sh("ip", "-n", a, "link", "add", device, "type", "veth", "peer", device, "netns", b)
        for name, host in ((a, 1), (b, 2)):
            if net:
                sh("ip", "-n", name, "addr", "add", f"{net}.{host}/24", "brd", "+", "dev", device)
            sh("ip", "-n", name, "link", "set", device, "up")

    def pull_out(self, place: str, number: int = 0) -> None:
        """Take a cable away, and the interfaces at both its ends."""
        sh("ip", "-n", self._name(place), "link", "delete", f"eth{number}")

    def dropped(self, place: str) -> int:
        """How many packets a machine was kept from hearing."""
        ruleset = json.loads(sh(*self.inside(place), "nft", "-j", "list", "ruleset"))
        rules = [item["rule"] for item in ruleset["nftables"] if "rule" in item]
        parts = [part for rule in rules for part in rule["expr"] if "counter" in part]
        return sum(part["counter"]["packets"] for part in parts)

    async def run(self, place: str, *words: str) -> Actor:
        """Start one of our programs on a machine."""
        words = (*self.inside(place), sys.executable, *words)
        return Actor(await self._exits.enter_async_context(process(*words)))

    async def speaker(self, place: str, methods: str, loop: str = "asyncio") -> Actor:
        """Start somebody who speaks and hears."""
        actor = await self.run(place, str(HERE / "lan_actor.py"), place, methods, loop)
        up = await actor.hear()
        assert not up["failed"]
        return actor

    async def node(self, place: str, loop: str, **lan: Any) -> Actor:
        """Start a whole node that others may find."""
        settings = {
            "network_secret": "what the two of them share",
            "listen": ["/ip4/0.0.0.0/tcp/0"],
            "gateway": {"enabled": False},
            "lan": {"interval_s": 0.5, **lan},
        }
        actor = await self.run(place, str(HERE / "actor.py"), json.dumps(settings), loop)
        await actor.hear()
        return actor


async def hears(actor: Actor, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until an actor says something of a kind."""
    async with asyncio.timeout(30):
        while not what(said := await actor.hear()):
            pass
        return said


async def meet(*nodes: Actor) -> None:
    """Wait until each of two nodes is connected with the other."""
    async with asyncio.timeout(30):
        for node in nodes:
            while (await node.order("report"))["connected"] != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


def needs_mdns() -> None:
    pytest.importorskip("zeroconf", reason="the extra is not installed: whispurrnet[mdns]")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_broadcast_passes_where_multicast_does_not(loop: str) -> None:
    async def test() -> None:
        async with Net() as net:
            for place in "ab":
                net.machine(place, NO_MULTICAST)
            net.cable("a", "b", "10.78.1")
            ada = await net.speaker("a", "multicast,broadcast", loop)
            bob = await net.speaker("b", "multicast,broadcast", loop)
            for actor, other in ((ada, "b"), (bob, "a")):
                said = await hears(actor, lambda said: said.get("number", 0) >= 5)
                assert said["who"] == other
                assert said["method"] == "broadcast"
                assert said["size"] == 512
            assert net.dropped("a") > 0, "multicast was tried"
            assert net.dropped("b") > 0
            # A cable on another network, and they hear each other again.
            net.pull_out("a")
            net.cable("a", "b", "10.79.1", number=1)
            now = (await hears(ada, lambda said: True))["number"] + 10
            await hears(ada, lambda said: said["number"] > now)
            await hears(bob, lambda said: said["number"] > now)

    asyncio.run(test())


def test_nodes_meet_by_broadcast() -> None:
    async def test() -> None:
        async with Net() as net:
            for place in "ab":
                net.machine(place, NO_MULTICAST)
            net.cable("a", "b", "10.78.2")
            methods = ["multicast", "broadcast"]
            ada = await net.node("a", "asyncio", methods=methods)
            bob = await net.node("b", "uvloop", methods=methods)
            await meet(ada, bob)

    asyncio.run(test())


def test_nodes_meet_by_mdns() -> None:
    needs_mdns()

    async def test() -> None:
        async with Net() as net:
            for place in "ab":
                net.machine(place, ONLY_MDNS)
            net.cable("a", "b", "10.78.3")
            ada = await net.node("a", "asyncio", methods=["auto"])
            bob = await net.node("b", "uvloop", methods=["auto"])
            await meet(ada, bob)
            assert net.dropped("a") > 0, "the other methods were tried"

    asyncio.run(test())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_mdns_goes_on_when_interfaces_come_and_go(loop: str) -> None:
    needs_mdns()

    async def test() -> None:
        async with Net() as net:
            net.machine("a")
            net.machine("b")
            ada = await net.speaker("a", "mdns", loop)
            bob = await net.speaker("b", "mdns", loop)
            net.cable("a", "b", "10.78.4")
            first = await hears(ada, lambda said: said["who"] == "b")
            await hears(bob, lambda said: said["who"] == "a")
            net.pull_out("a")
            net.cable("a", "b", "10.79.4", number=1)
            now = first["number"] + 25
            await hears(ada, lambda said: said["number"] > now)
            await hears(bob, lambda said: said["number"] > now)

    asyncio.run(test())


def test_mdns_without_ipv4() -> None:
    needs_mdns()

    async def test() -> None:
        async with Net() as net:
            for place in "ab":
                net.machine(place)
            net.cable("a", "b", "")
            ada = await net.speaker("a", "mdns", "asyncio")
            bob = await net.speaker("b", "mdns", "uvloop")
            await hears(ada, lambda said: said["who"] == "b")
            await hears(bob, lambda said: said["who"] == "a")

    asyncio.run(test())


def test_no_network_learns_our_address_or_name_in_another() -> None:
    """A stands in two networks; a stranger in each looks what there is."""
    needs_mdns()

    async def test() -> None:
        async with Net() as net:
            for place in "abc":
                net.machine(place)
            net.cable("a", "b", "10.78.5", number=1)
            net.cable("a", "c", "10.78.6", number=2)
            browse = (str(HERE / "lan_actor.py"), "browse")
            early = [await net.run(place, *browse) for place in "bc"]
            await net.speaker("a", "mdns")
            seen = [await hears(stranger, lambda said: "name" in said) for stranger in early]
            for stranger in early:
                assert stranger.process.stdin is not None
                stranger.process.stdin.close()
                await stranger.process.wait()
            # These ask, and are answered; twice, for the wrong answer could come second.
            late = [await net.run(place, *browse) for place in "bc"]
            for _ in range(2):
                seen += [await hears(stranger, lambda said: "name" in said) for stranger in late]
            assert [one["addresses"] for one in seen] == [["10.78.5.1"], ["10.78.6.1"]] * 3
            assert [one["port"] for one in seen] == [9000] * 6
            # A network whose addresses change meanwhile (IPv6 is slow to come) gets new names.
            b, c = ({one[key] for one in seen[at::2] for key in ("name", "host")} for at in (0, 1))
            assert len(b) >= 2, "an instance and a host"
            assert len(c) >= 2
            assert not b & c, "a name in one network is none in the other"
            assert not any(os.uname().nodename in name for name in b | c)

    asyncio.run(test())


# Avahi

BUS = """
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


def why_no_avahi() -> str:
    tools = {"avahi-daemon": "avahi-daemon", "avahi-browse": "avahi-utils", "dbus-daemon": "dbus"}
    missing = [package for tool, package in tools.items() if shutil.which(tool) is None]
    return f"avahi is not here: apt-get install {' '.join(missing)}" if missing else ""


@asynccontextmanager
async def avahi(net: Net, place: str, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Avahi and a bus of its own on a machine; the environment that finds it."""
    socket = folder / "bus"
    (folder / "bus.conf").write_text(BUS.format(socket=socket))
    (folder / "avahi.conf").write_text("[server]\nhost-name=stranger\nuse-ipv6=no\n")
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={socket}"}
    # A /run of its own, for this command alone: avahi would find that of this machine's.
    alone = (*net.inside(place), "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")
    commands = (
        ("dbus-daemon", f"--config-file={folder / 'bus.conf'}", "--nofork", "--nopidfile"),
        (*("avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "-f"),
         str(folder / "avahi.conf")),
    )  # fmt: skip
    running: list[asyncio.subprocess.Process] = []
    try:
        for command in commands:
            running.append(
                await asyncio.create_subprocess_exec(
                    *alone,
                    *command,
                    env=environment,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
            )
            async with asyncio.timeout(10):
                while not socket.exists():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        yield environment
    finally:
        for child in reversed(running):
            child.terminate()
            await child.wait()


async def seen_by_avahi(net: Net, place: str, environment: dict[str, str]) -> list[list[str]]:
    """The services that avahi has resolved, in its parseable form."""
    child = await asyncio.create_subprocess_exec(
        *net.inside(place),
        *("avahi-browse", "-rpt", "_whispurr._tcp"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await child.communicate()
    lines = [line.split(";", 9) for line in out.decode(errors="replace").splitlines()]
    return [line for line in lines if line[0] == "="]


def test_avahi_sees_the_service(tmp_path: Path) -> None:
    needs_mdns()
    if reason := why_no_avahi():
        pytest.skip(reason)

    async def test() -> None:
        async with Net() as net:
            net.machine("a")
            net.machine("b")
            net.cable("a", "b", "10.78.7")
            await net.speaker("a", "mdns")
            async with avahi(net, "b", tmp_path) as environment:
                found: list[list[str]] = []
                async with asyncio.timeout(30):
                    while not found:
                        found = await seen_by_avahi(net, "b", environment)
                (service,) = found
                _, device, family, name, kind, domain, host, address, port, txt = service
                assert (device, family, kind, domain) == ("eth0", "IPv4", "_whispurr._tcp", "local")
                assert (address, port) == ("10.78.7.1", "9000")
                assert len(bytes.fromhex(name)) == len(bytes.fromhex(host.removesuffix(".local")))
                assert "txtvers=1" in txt
                assert '"a=a ' in txt, "what A says, as it was sent"

    asyncio.run(test())
