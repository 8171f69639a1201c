"""Files from one person to another: real processes, killed on the way, and nothing comes twice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDERS = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")


class Machine:
    """One person's machine: a home, an environment, a folder to work in."""

    def __init__(self, home: Path) -> None:
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
        for name in FOLDERS:
            place = home / name.lower()
            place.mkdir(mode=0o700, parents=True)
            self.env[name] = str(place)
        self.env["WHISPURRNET_LISTEN"] = "/ip4/127.0.0.1/tcp/0"
        self.env["WHISPURRNET_LAN_ENABLED"] = "false"
        self.folder = home / "work"
        self.folder.mkdir()

    def start(self, *tokens: str, code: str = "") -> Running:
        env = self.env | ({"WHISPURRNET_CODE": code} if code else {})
        return Running(tokens, env, self.folder)


class Running:
    """A command that runs, and the lines it said."""

    def __init__(self, tokens: tuple[str, ...], env: dict[str, str], folder: Path) -> None:
        self.said: list[dict[str, Any]] = []
        self.errors = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "whispurrnet", *tokens, "--output", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=folder,
        )
        self._readers = [threading.Thread(target=work) for work in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()

    def until(self, true: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
        """The first line for which this is so."""
        ends = time.monotonic() + seconds
        while True:
            gone = self.process.poll() is not None and not self._readers[0].is_alive()
            for line in list(self.said):
                if true(line):
                    return line
            assert not gone, self.errors
            assert time.monotonic() < ends, self.said[-3:]
            time.sleep(0.01)

    def heard(self, kind: str) -> dict[str, Any]:
        return self.until(lambda line: line["type"] == kind)

    def came(self, count: int) -> dict[str, Any]:
        return self.until(lambda line: line.get("what") == "receiving" and line["bytes"] >= count)

    @property
    def verified(self) -> int:
        return max((it["bytes"] for it in self.said if it.get("what") == "receiving"), default=0)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def ends(self) -> int:
        code = self.process.wait(30)
        self.close()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for reader in self._readers:
            reader.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Town:
    """Two machines and a meeting place."""

    def __init__(self, home: Path) -> None:
        self.here, self.there, place = (Machine(home / name) for name in ("here", "there", "place"))
        self.running: list[Running] = []
        self.place = place
        self.via = ""

    def open(self) -> None:
        self.via = self.start(self.place, "up", "--port", "0").heard("up")["ticket"]

    def start(self, machine: Machine, *tokens: str, code: str = "") -> Running:
        run = machine.start(*tokens, code=code)
        self.running.append(run)
        return run

    def send(self, *tokens: str) -> Running:
        return self.start(self.here, "send", *tokens, "--via", self.via)

    def receive(self, *tokens: str, code: str = "") -> Running:
        return self.start(self.there, "receive", *tokens, "--via", self.via, code=code)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    try:
        town.open()
        yield town
    finally:
        for run in town.running:
            run.close()


def film(folder: Path, size: int) -> str:
    data = os.urandom(size)
    (folder / "film.bin").write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_a_file_arrives_though_both_ends_are_killed(town: Town) -> None:
    size, slowly = 24_000_000, ("--limit", "8")
    digest = film(town.here.folder, size)
    sending = town.send("film.bin", *slowly)
    code = sending.heard("offer")["code"]
    receiving = town.receive("--yes", code=code)
    receiving.came(4_000_000)
    receiving.kill()
    before = receiving.verified
    receiving = town.receive("--yes")
    resumed = receiving.came(1)["bytes"]
    assert resumed > before - 3_000_000, "what has come does not come again"
    receiving.came(before + 3_000_000)
    sending.kill()
    sending = town.send("film.bin")
    sending.heard("resumed")
    assert receiving.heard("received")["told"]
    assert sending.heard("arrived")["bytes"] == size
    assert (sending.ends(), receiving.ends()) == (0, 0)
    arrived = (town.there.folder / "film.bin").read_bytes()
    assert hashlib.sha256(arrived).hexdigest() == digest
    assert [path.name for path in town.there.folder.iterdir()] == ["film.bin"]


@pytest.mark.soak
def test_wrong_words_and_a_code_that_is_over(town: Town) -> None:
    film(town.here.folder, 10)
    sending = town.send("film.bin")
    number, right, last = sending.heard("offer")["code"].split("-")
    wrong = "otter" if right != "otter" else "zebra"
    receiving = town.receive(code=f"{number}-{wrong}-{last}")
    assert receiving.ends() == 5, receiving.errors
    assert "first wrong try" in receiving.errors
    assert sending.ends() == 5
    assert "give out a new one" in sending.errors
    receiving = town.receive("--wait", "1", code=f"{number}-{right}-{last}")
    assert receiving.ends() == 4, receiving.errors
    assert "is the sender still" in receiving.errors
