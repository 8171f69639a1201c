"""The NATs of the laboratory are what they are called; our STUN and coturn's tools agree on it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.interop.nat_lab import (
    KINDS,
    OUTER,
    PREFIX,
    RELAY,
    STUN_2,
    TURN,
    NatLab,
    needs_coturn,
    sweep,
)

pytestmark = pytest.mark.netns

SERVE = """
import asyncio, sys
from whispurrnet.transport.stun import StunServer

async def main():
    server = StunServer()
    await server.start([sys.argv[1]], 3478, sys.argv[2])
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
PROBE = """
import asyncio, sys, msgspec
from whispurrnet.transport.stun import probe
print(msgspec.json.encode(asyncio.run(probe(sys.argv[1:]))).decode())
"""

SAID = {
    "NAT with Endpoint Independent Mapping!": ("mapping", "endpoint independent"),
    "NAT with Address Dependent Mapping!": ("mapping", "address dependent"),
    "NAT with Address and Port Dependent Mapping!": ("mapping", "address and port dependent"),
    "NAT with Endpoint Independent Filtering!": ("filtering", "endpoint independent"),
    "NAT with Address Dependent Filtering!": ("filtering", "address dependent"),
    "NAT with Address and Port Dependent Filtering!": (
        "filtering",
        "address and port dependent",
    ),
}
"""What turnutils_natdiscovery says, and what that is in ours."""


async def ours(lab: NatLab, place: str, *servers: str) -> dict:
    code, out = await lab.run(place, sys.executable, "-c", PROBE, *servers)
    assert code == 0, out
    return json.loads(out.splitlines()[-1])


async def theirs(lab: NatLab, place: str, server: str) -> dict:
    """What coturn's own tool finds out; each of its two runs takes seconds where nothing comes."""
    _, out = await lab.run(place, "turnutils_natdiscovery", "-m", "-f", server)
    return dict(found for line in out.splitlines() if (found := SAID.get(line.strip())))


@pytest.mark.slow
def test_kinds_are_what_they_are_called_and_all_agree(tmp_path: Path) -> None:
    """Three kinds, two servers (coturn, ours), two clients (coturn's, ours): one answer."""
    needs_coturn()

    async def test() -> None:
        await asyncio.gather(pair("full", "port"), pair("sym", "none"))

    async def pair(*kinds: str) -> None:
        async with NatLab(*kinds) as lab:
            server = await lab.child("pub", sys.executable, "-c", SERVE, RELAY, STUN_2)
            assert server.stdout is not None
            assert await server.stdout.readline() == b"ready\n"
            folder = tmp_path / kinds[0]
            folder.mkdir()
            await lab.coturn(folder)
            checks = [check(lab, side, kind) for side, kind in zip("ab", kinds, strict=True)]
            await asyncio.gather(*checks)

    async def check(lab: NatLab, side: str, kind: str) -> None:
        if kind == "none":
            report = await ours(lab, side, RELAY)
            assert report["kind"] == "blocked"
            assert report["asked"][0]["problem"] == "it did not answer"
            return
        tool, *reports = await asyncio.gather(
            theirs(lab, side, TURN), ours(lab, side, TURN), ours(lab, side, RELAY)
        )
        for report in reports:
            assert report["kind"] == KINDS[kind]
            assert tool == {"mapping": report["mapping"], "filtering": report["filtering"]}
            assert report["hairpinning"] is False
            assert all(seen.startswith(OUTER[side] + ":") for seen in report["seen_as"])
            assert report["asked"][0]["tells_behaviour"]
            assert report["note"] == ""

    asyncio.run(test())


def test_two_servers_tell_a_cone_from_a_symmetric_nat_and_what_they_cannot_tell() -> None:
    async def test() -> None:
        async with NatLab("port", "sym") as lab:
            for host in (RELAY, STUN_2):
                server = await lab.child("pub", sys.executable, "-c", SERVE, host, "")
                assert server.stdout is not None
                assert await server.stdout.readline() == b"ready\n"
            cone, symmetric = await asyncio.gather(
                *(ours(lab, side, RELAY, STUN_2) for side in "ab")
            )
            assert cone["kind"] == "cone"
            assert symmetric["kind"] == "symmetric"
            assert len(symmetric["seen_as"]) == 2
            for report in (cone, symmetric):
                assert report["filtering"] == "unknown"
                assert "second address" in report["note"]
            public = await ours(lab, "pub", RELAY)
            assert public["kind"] == "none"
            assert "second address" in public["note"]

    asyncio.run(test())


def test_both_homes_have_the_same_address_and_do_not_see_each_other() -> None:
    async def test() -> None:
        async with NatLab("full", "full") as lab:
            for side in "ab":
                _, out = await lab.run(side, "ip", "-j", "addr", "show", "dev", "eth0")
                assert json.loads(out)[0]["addr_info"][0]["local"] == "192.168.1.2"

    asyncio.run(test())


def test_building_is_quick_and_nothing_stays_behind() -> None:
    async def test() -> str:
        began = time.perf_counter()
        async with NatLab("port", "sym") as lab:
            took_s = time.perf_counter() - began
            await lab.child("a", "sleep", "600")
            tag = lab.name("")
        assert took_s < 5
        return tag

    tag = asyncio.run(test())
    shown = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert tag not in shown.stdout


def test_what_a_dead_process_left_is_removed() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    left, kept = f"{PREFIX}{dead.pid}-0-a", f"{PREFIX}{os.getpid()}-999-a"
    try:
        for name in (left, kept):
            subprocess.run(["ip", "netns", "add", name], check=True)
        sweep()
        shown = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
        assert left not in shown.stdout
        assert kept in shown.stdout
    finally:
        for name in (left, kept):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
