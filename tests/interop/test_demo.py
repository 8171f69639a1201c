"""The demonstration: it succeeds, and it can fail."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys

import pytest
from rich.console import Console

from whispurrnet.demo import director, stage
from whispurrnet.demo.cast import DemoError
from whispurrnet.demo.mesh import ALARM, BACKLOG, Mesh, overtaken
from whispurrnet.demo.pairs import BOOTSTRAPPED, MULTICAST, Pairs


def test_the_demonstration_does_what_it_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whispurrnet", "demo"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for step in (
        "find each other by multicast",
        "reach her by her ticket",
        "350 sent, acknowledged, in order, once",
        "kill carol (SIGKILL)",
        "25 of 25, in order, once",
        "32 MiB, same hash, one rotation",
        "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256",
        "12 nodes",
        "4 heard it, once; the other 7 carried it and heard nothing, 2 of them with another intent",
        "it came before all of them",
        "all 10 are one mesh",
        "9 of 9 others heard it, once",
        "whispurr up",
    ):
        assert step in done.stdout
    assert "FAILED" not in done.stdout


async def sabotage(fault: str, mesh: Mesh) -> None:
    """Something that must not be, in the second act."""
    casts = mesh.casts
    match fault:
        case "overheard":
            casts["carol"].told["moon/phase"] = ["the moon is full"]
        case "another intent":
            casts["dave"].told["tide/height"] = ["the moon is full"]
        case "unheard":
            casts["iris"].kill()
        case _:
            raise AssertionError(fault)


async def meet(pairs: Pairs) -> None:
    """The first act, shortened to what the second needs."""
    await pairs.stage.step("start", pairs.stage.start(MULTICAST))
    ticket = pairs.casts["alice"].ticket
    for label in BOOTSTRAPPED:
        pairs.stage.cast(label, **{"lan.enabled": False, "bootstrap": (ticket,)})
    await pairs.stage.step("start", pairs.stage.start(BOOTSTRAPPED))


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(director, "Console", lambda: Console(file=text, width=200))
    monkeypatch.setattr(stage, "STEP_S", 20.0)
    return text


@pytest.mark.parametrize("fault", ["killed", "twice"])
def test_it_fails_when_something_does_not_happen_in_the_first_act(
    fault: str, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that dies at the wrong moment, or a message heard twice, is told and ends in 1."""
    original = Pairs.whisper_round

    async def sabotaged(pairs: Pairs) -> str:
        if fault == "twice":
            pairs.casts["bob"].heard.append("alice to bob 0")
        else:
            pairs.casts["dave"].kill()
        async with asyncio.timeout(5.0):
            return await original(pairs)

    monkeypatch.setattr(Pairs, "whisper_round", sabotaged)
    assert director.run() == 1
    assert "FAILED" in out.getvalue()
    assert "kill carol" not in out.getvalue()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("overheard", "carol heard"),
        ("another intent", "dave heard"),
        ("unheard", "did not happen within"),
    ],
)
def test_it_fails_when_something_does_not_happen_in_the_second_act(
    fault: str, said: str, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is overheard, or that somebody does not get."""
    original = Mesh.resonate

    async def sabotaged(mesh: Mesh) -> str:
        await sabotage(fault, mesh)
        async with asyncio.timeout(5.0):
            return await original(mesh)

    monkeypatch.setattr(Pairs, "play", meet)
    monkeypatch.setattr(Mesh, "resonate", sabotaged)
    assert director.run() == 1
    assert "FAILED" in out.getvalue()
    assert said in out.getvalue()
    assert "the mesh heals" not in out.getvalue()


@pytest.mark.parametrize(
    ("place", "waiting", "said"),
    [
        (500, BACKLOG - 500, ""),
        (500, 10_000, ""),
        (501, BACKLOG - 500, "the emergency came after 501"),
        (BACKLOG, 10_000, "the emergency came after"),
        (10, 9_999, "only 9999"),
    ],
)
def test_it_judges_the_order_of_arrival(place: int, waiting: int, said: str) -> None:
    heard = [str(n) for n in range(BACKLOG)]
    heard.insert(place, ALARM)
    if not said:
        assert f"as number {place + 1} of" in overtaken(heard, waiting)
        heard[0] = heard[1]
        said = "a whisper was lost"
    with pytest.raises(DemoError, match=said):
        overtaken(heard, waiting)
