"""Two nodes, two namespaces, lost packets, a slow path, a pulled cable: nothing is lost.

Both runs happen side by side: with a heartbeat of 5 s a minute without the cable costs the
session, which is made anew; with one of 60 s the same session carries on.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.interop.lab import DELAY_S, NODE_B, PORT, PROXY_A, Actor, Lab

import whispurrnet
from whispurrnet.wire.ticket import Ticket

WHISPERS = 10_000
BEFORE_CUT, DURING_CUT = 5_000, 2_500
BACK = 1_000
CUT_S = 60.0
SHORT_S, LONG_S = 5.0, 60.0
"""The heartbeats: with the one the cut costs the session, with the other it does not."""

DEAD_AFTER = whispurrnet.Settings().session.dead_after
QUIET = {"lan": {"enabled": False}, "port": 0}


def settings(heartbeat_s: float, listen: list[str]) -> dict[str, Any]:
    return {
        **QUIET,
        "listen": listen,
        "session": {"heartbeat_s": heartbeat_s, "rekey_records": 25},
        "pool": {"backoff_max_s": 3.0, "breaker_s": 3.0},
    }


async def until(actor: Actor, reached: Callable[[dict[str, Any]], bool], limit_s: float) -> None:
    """Ask for reports until one fits."""
    report: dict[str, Any] = {}
    try:
        async with asyncio.timeout(limit_s):
            while not reached(report := await actor.order("report")):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not reached within {limit_s:g} s: {report}") from None


def order(count: int) -> str:
    """The digest of 0, 1, 2, ... as an actor makes it."""
    return hashlib.sha256(b"".join(b"%d," % n for n in range(count))).hexdigest()


async def connect(lab: Lab, heartbeat_s: float, loop: str) -> tuple[Actor, Actor]:
    a, _ = await lab.node("a", settings(heartbeat_s, []), loop)
    b, text = await lab.node("b", settings(heartbeat_s, [f"/ip4/{NODE_B}/tcp/{PORT}"]), loop)
    whole = Ticket.parse(text)
    through = Ticket(
        static_key=whole.static_key,
        addresses=(f"/ip4/{PROXY_A}/tcp/{PORT}",),
        expires_s=whole.expires_s,
    )
    await a.order("connect", ticket=through.text, timeout_s=30)
    await until(b, lambda report: report["connected"] == 1, 10)
    return a, b


async def rotate(*actors: Actor) -> None:
    for actor in actors:
        await actor.order("rotate")


async def cut(lab: Lab, a: Actor, b: Actor) -> None:
    """Pull the cable for a minute; meanwhile nothing passes, and more is posted."""
    assert lab.carrier()
    lab.pull()
    try:
        assert not lab.carrier()
        await asyncio.sleep(2)
        before = await b.order("report")
        await a.order("post", first=BEFORE_CUT, count=DURING_CUT, every_s=0.01, burst=5)
        await asyncio.sleep(CUT_S / 2 - 2)
        await rotate(a, b)
        await asyncio.sleep(CUT_S / 2)
        after = await b.order("report")
        assert after["heard"] == before["heard"] < BEFORE_CUT + DURING_CUT, "the cut did not cut"
    finally:
        lab.plug()
    assert lab.carrier()


async def run(name: str, heartbeat_s: float, loop: str) -> dict[str, Any]:
    async with Lab(name) as lab:
        a, b = await connect(lab, heartbeat_s, loop)
        await a.order("post", first=0, count=BEFORE_CUT, every_s=0.005, burst=5)
        await b.order("post", first=0, count=BACK, every_s=0.01, burst=5)
        await until(b, lambda report: report["heard"] > BEFORE_CUT // 3, 60)
        await rotate(a, b)
        await until(b, lambda report: report["heard"] > BEFORE_CUT // 2, 60)
        await cut(lab, a, b)
        rest = WHISPERS - BEFORE_CUT - DURING_CUT
        first = BEFORE_CUT + DURING_CUT
        await a.order("post", first=first, count=rest, every_s=0.005, burst=5)
        await rotate(a)
        await until(a, lambda r: r["states"].get("received") == WHISPERS, 70)
        await until(b, lambda r: r["states"].get("received") == BACK, 10)
        report = {"a": await a.order("report"), "b": await b.order("report")}
        report["packets"] = {place: lab.packets(place) for place in "apb"}
        return report


def check(report: dict[str, Any]) -> None:
    a, b = report["a"], report["b"]
    assert (b["heard"], b["wrong"]) == (WHISPERS, [])
    assert b["digest"] == order(WHISPERS)
    assert (a["heard"], a["wrong"], a["digest"]) == (BACK, [], order(BACK))
    assert a["states"] == {"received": WHISPERS}
    assert b["states"] == {"received": BACK}
    assert a["known"] == b["known"] == 1, "a rotation made two peers of one"
    for side, rotations in ((a, 3), (b, 2)):
        assert side["counters"]["rotations"] == rotations
        assert side["counters"]["rekeys"] > 3
    assert a["events"]["peer_rotated"] >= 2
    assert b["events"]["peer_rotated"] >= 2
    for arrived, dropped in report["packets"].values():
        assert 0.03 < dropped / arrived < 0.07, "the path did not lose 5 %"
    assert all(rtt is None or rtt >= 2000 * DELAY_S for rtt in (*a["rtts"], *b["rtts"]))


@pytest.mark.netns
def test_in_the_lab_a_node_gives_up_before_its_tcp_does() -> None:
    async def patience() -> list[float]:
        async with Lab(f"{os.getpid()}-z") as lab:
            return [lab.patience_s(place) for place in "apb"]

    assert min(asyncio.run(patience())) > 2 * DEAD_AFTER * LONG_S, "TCP would end the session"


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whispers_survive_loss_delay_a_pulled_cable_rekeys_and_rotations() -> None:
    async def both() -> list[dict[str, Any]]:
        runs: list[Awaitable[dict[str, Any]]] = [
            run(f"{os.getpid()}-x", SHORT_S, "uvloop"),
            run(f"{os.getpid()}-y", LONG_S, "asyncio"),
        ]
        return await asyncio.gather(*runs)

    remade, kept = asyncio.run(both())
    for report in (remade, kept):
        check(report)
    for side in "ab":
        assert remade[side]["events"]["peer_down"] >= 1, "the session should have been lost"
        assert remade[side]["events"]["peer_up"] >= 2
        assert not kept[side]["reasons"], "the session should have survived"
        assert "peer_down" not in kept[side]["events"]
        assert kept[side]["events"]["peer_up"] == 1
