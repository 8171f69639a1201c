"""The demonstration: it succeeds, and it can fail."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from whispurrnet.demo import director


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
        "whispurr up",
    ):
        assert step in done.stdout
    assert "FAILED" not in done.stdout


@pytest.mark.parametrize("fault", ["killed", "twice"])
def test_it_fails_when_something_does_not_happen(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that dies at the wrong moment, or a message heard twice, is told and ends in 1."""
    out = io.StringIO()
    monkeypatch.setattr(director, "Console", lambda: Console(file=out, width=120))
    monkeypatch.setattr(director, "STEP_S", 15.0)
    original = director.Stage._whisper_round

    async def sabotaged(stage: director.Stage) -> str:
        if fault == "twice":
            stage.casts["bob"].heard.append("alice to bob 0")
        else:
            stage.casts["dave"].kill()
            monkeypatch.setattr(director, "STEP_S", 1.0)
        return await original(stage)

    monkeypatch.setattr(director.Stage, "_whisper_round", sabotaged)
    assert director.run() == 1
    assert "FAILED" in out.getvalue()
    assert "kill carol" not in out.getvalue()
