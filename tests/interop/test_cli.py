"""The program as people use it: real processes, real ports, commands in a shell."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from whispurrnet.gateway.server import bind
from whispurrnet.wire.ticket import Ticket

# The lines of the first source document, as written there.
RESONANCE = """curl -X POST http://localhost:8765/api/whispurrnet/resonance \\
  -H "Content-Type: application/json" \\
  -d '{
    "intent": "test_message",
    "payload": {
      "test": true,
      "timestamp": 1640995200000
    }
  }'"""
STATUS = "curl http://localhost:8765/api/whispurrnet/status"
DEBUG = "curl http://localhost:8765/api/whispurrnet/debug"
WHISPURR = (sys.executable, "-m", "whispurrnet")


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Shell:
    """One person's machine: a home, an environment, commands."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
        for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
            place = home / name.lower()
            place.mkdir(mode=0o700, exist_ok=True)
            self.env[name] = str(place)
        self.home = home
        self.env |= {f"WHISPURRNET_{name}": value for name, value in settings.items()}

    def run(self, *tokens: str, stdin: str = "", code: int | None = 0) -> Any:
        done = subprocess.run(
            [*WHISPURR, *tokens],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.home,
            env=self.env,
            check=False,
        )
        assert code is None or done.returncode == code, done.stderr
        return done

    def json(self, *tokens: str) -> Any:
        return json.loads(self.run(*tokens, "--output", "json").stdout)

    def until(self, *api: str, true: Callable[[Any], bool]) -> Any:
        """Ask for the status again until it is as it should be."""
        ends = time.monotonic() + 30
        while not true(answer := self.json("status", "--detailed", *api)):
            assert time.monotonic() < ends, answer
        return answer

    @contextlib.contextmanager
    def listening(self, *tokens: str) -> Iterator[Callable[[], Any]]:
        """`whispurr listen`, which listens by then, and what it hears first."""
        tokens = ("listen", *tokens, "--count", "1", "--output", "json")
        with subprocess.Popen(
            [*WHISPURR, *tokens],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
        ) as process:
            try:
                assert process.stderr is not None
                assert "listening" in process.stderr.readline()
                yield lambda: json.loads(process.communicate(timeout=30)[0])
            finally:
                process.kill()

    @contextlib.contextmanager
    def up(self, *tokens: str) -> Iterator[Up]:
        node = Up(self, tokens)
        try:
            yield node
        finally:
            node.process.kill()
            node.process.wait()
            node.reader.join(10)
            for pipe in (node.process.stdout, node.process.stderr):
                assert pipe is not None
                pipe.close()


class Up:
    """A running `whispurr up`, and what it said."""

    def __init__(self, shell: Shell, tokens: tuple[str, ...]) -> None:
        self.shell = shell
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [*WHISPURR, "up", "--output", "json", *tokens],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=shell.home,
            env=shell.env,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.facts = self.wait(lambda event: event["type"] == "up")
        self.api = ("--api", str(self.facts["port"]))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def wait(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            for event in list(self.events):
                if true(event):
                    return event
            if self.process.poll() is not None:
                assert self.process.stderr is not None
                pytest.fail(f"it ended: {self.process.stderr.read()}")
            threading.Event().wait(0.05)
        pytest.fail(f"it said only {self.events}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(20)
        assert self.process.stderr is not None
        assert "Traceback" not in self.process.stderr.read()
        return code


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A machine of its own: nobody else is on its multicast port or knows its secret."""
    return Shell(
        tmp_path,
        NETWORK_SECRET=secrets.token_hex(16),
        LAN_MULTICAST_PORT=str(free_udp_port()),
    )


def test_up_twice_and_they_find_each_other(shell: Shell) -> None:
    with shell.up() as ada, shell.up() as bob:
        assert ada.facts["port"] != bob.facts["port"]
        for one, other in ((ada, bob), (bob, ada)):
            name = other.facts["name"]
            one.wait(lambda event, name=name: event["type"] == "peer_up" and event["name"] == name)
        shell.until(*bob.api, true=lambda answer: bool(answer["neighbours"]))
        with shell.listening("moon", *bob.api) as heard:
            sent = shell.json("resonate", "moon", '{"full": true}', *ada.api)
            assert (sent["state"], sent["neighbours"]) == ("sent", 1)
            message = heard()
            assert (message["text"], message["sender"]) == ('{"full":true}', "somebody")
            assert message["id"] == sent["id"]
        said = shell.run("whisper", bob.facts["name"], "hello", *ada.api)
        assert said.stdout == f"✓ received by {bob.facts['name']}\n"
        status = shell.run("status", *ada.api).stdout
        assert status.startswith("● up, 1 peer")
        assert bob.facts["name"] in status
        assert bob.stop() == 0
        gone = ada.wait(lambda event: event["type"] == "peer_down")
        assert gone["name"] == bob.facts["name"]
        assert shell.run("status", *bob.api, code=3).stdout == ""


def test_join_by_ticket_and_answer(tmp_path: Path) -> None:
    shell = Shell(tmp_path, LAN_ENABLED="false", LISTEN="/ip4/127.0.0.1/tcp/0", PORT="0")
    with shell.up() as ada, shell.up() as bob:
        name = bob.facts["name"]
        joined = shell.run("join", bob.facts["ticket"], *ada.api)
        assert f"connected to {name}" in joined.stdout
        assert "level 3" in joined.stdout
        assert shell.run("ping", name, "--count", "1", *ada.api).returncode == 0
        chat = shell.run("chat", name, *ada.api, stdin="one\ntwo\n")
        assert chat.stderr.count("received") == 2
        before = shell.json("identity", *bob.api)["id"]
        assert shell.json("identity", "--rotate", *bob.api)["id"] != before
        assert shell.json("whisper", name, "three", *ada.api)["state"] == "received"
        assert bob.stop() == 0
        assert shell.run("whisper", name, "four", "--wait", "0.5", *ada.api, code=4)
        assert ada.stop() == 0


def test_an_invite_lets_a_stranger_in_once(tmp_path: Path) -> None:
    shell = Shell(tmp_path, LAN_ENABLED="false", LISTEN="/ip4/127.0.0.1/tcp/0", PORT="0")
    with shell.up() as ada, shell.up() as bob:
        invite = shell.run("ticket", "--invite", *bob.api).stdout.strip()
        assert Ticket.parse(invite).single_use
        assert shell.run("join", invite, *ada.api, code=2)
        assert bob.facts["name"] in shell.run("join", *ada.api, stdin=invite).stdout


def test_the_curl_lines_work_as_written(shell: Shell) -> None:
    """Where 8765 is free, as it is when nothing else runs, not a letter of them is changed."""
    with shell.up() as node, shell.up() as elsewhere:
        port = node.facts["port"]
        elsewhere.wait(lambda event: event["type"] == "peer_up")
        shell.until(*node.api, true=lambda answer: bool(answer["neighbours"]))

        def curl(line: str) -> Any:
            command = line.replace(":8765/", f":{port}/")
            done = subprocess.run(
                command, shell=True, capture_output=True, text=True, timeout=20, check=False
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        with shell.listening("test_message", *elsewhere.api) as heard:
            sent = curl(RESONANCE)
            assert (sent["state"], sent["neighbours"], len(sent["id"])) == ("sent", 1, 32)
            assert json.loads(heard()["text"]) == {"test": True, "timestamp": 1640995200000}
        assert curl(STATUS)["state"] == "Listening"
        assert node.facts["id"] not in json.dumps(curl(DEBUG))


def test_a_chosen_port_that_is_taken(shell: Shell) -> None:
    with bind("127.0.0.1", 0) as other:
        port = str(other.getsockname()[1])
        done = shell.run("up", "--host", "127.0.0.1", "--port", port, code=1)
        assert f"port {port} cannot be had" in done.stderr
        assert "Cure: choose another" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_first_lines_are_ready_to_copy(tmp_path: Path) -> None:
    shell = Shell(tmp_path, LAN_ENABLED="false", LISTEN="/ip4/127.0.0.1/tcp/0")
    with subprocess.Popen(
        [*WHISPURR, "up", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=shell.env,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        runtime = list(Path(shell.env["XDG_RUNTIME_DIR"]).rglob("*.json"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert lines[0].startswith("● up as ")
    assert "expires in 60 min" in lines[0]
    ticket = lines[1].partition("whispurr join ")[2]
    assert Ticket.parse(ticket).addresses
    assert "whispurr status --api" in lines[2]
    assert len(runtime) == 1
    assert not runtime[0].exists()


def test_the_mesh_from_the_command_line(tmp_path: Path) -> None:
    """Three in a row: what the first says reaches the last, who shares a key or is told all."""
    shell = Shell(tmp_path, LAN_ENABLED="false", LISTEN="/ip4/127.0.0.1/tcp/0", PORT="0")
    with shell.up() as ada, shell.up() as bob, shell.up() as eve:
        for one, other in ((ada, bob), (bob, eve)):
            shell.run("join", other.facts["ticket"], *one.api)
        for one in (ada, bob, eve):
            shell.until(*one.api, true=lambda answer: bool(answer["neighbours"]))
        key = str(tmp_path / "owl.key")
        shell.run("topic-key", key)
        with shell.listening("owl", "--key-file", key, *eve.api) as heard:
            shell.run("resonate", "owl", '{"for": "all"}', *ada.api)
            shell.run("resonate", "owl", '{"for": "us"}', "--signed", "--key-file", key, *ada.api)
            message = heard()
            assert json.loads(message["text"]) == {"for": "us"}
            assert message["author"] == ada.facts["id"]
        with shell.listening(*eve.api) as heard:
            shell.run("emergency", "water in the engine room", *ada.api)
            message = heard()
            assert (message["kind"], message["priority"]) == ("EMERGENCY_SIGNAL", 10)
            assert message["text"] == "water in the engine room"
        name = eve.facts["name"]
        found = shell.json("why", name, *bob.api)
        assert (found["connected"], found["neighbour"], found["place"]) == (True, True, "")
        near = shell.json("discover", "--method", "exchange", *bob.api)
        assert {ada.facts["id"], eve.facts["id"]} <= {row["id"] for row in near}
        stats = shell.json("status", "--detailed", *eve.api)["stats"]
        gossip = stats["gossip"]  # what ended its walk here was brought into the open here
        assert gossip["received"] + gossip["published"] >= 3
        assert 0 < stats["gossipEfficiency"] <= 1
        eve.process.kill()
        eve.process.wait()
        shell.until(*bob.api, true=lambda answer: len(answer["neighbours"]) == 1)
        ends = time.monotonic() + 30
        while "nothing listens there" not in str(found := shell.json("why", name, *bob.api)):
            assert time.monotonic() < ends, found
        assert (found["connected"], found["place"]) == (False, "the peer")
        report = shell.run("doctor", "--report", *bob.api).stdout
        for secret in (name, *(up.facts["id"] for up in (ada, bob, eve)), "127.0.0.1", "owl"):
            assert secret not in report


def test_two_who_know_a_name_meet_by_a_third_who_does_not(tmp_path: Path) -> None:
    """Without gossip, which would bring them together anyway."""
    alone = {"LAN_ENABLED": "false", "GOSSIP_ENABLED": "false"}
    shell = Shell(tmp_path, LISTEN="/ip4/127.0.0.1/tcp/0", PORT="0", **alone)
    with shell.up() as ada, shell.up() as well, shell.up() as eve:
        assert shell.run("name", "register", *ada.api, stdin="our garden\n", code=4)
        for one in (ada, eve):
            shell.run("join", well.facts["ticket"], *one.api)
        assert shell.json("name", "list", *ada.api) == {"names": ["our garden"], "places": 1}
        ends = time.monotonic() + 30
        while True:
            found = shell.run("name", "find", *eve.api, "--output", "json", stdin="our garden\n")
            if found.returncode == 0:
                break
            assert (found.returncode, time.monotonic() < ends) == (4, True), found.stderr
        (row,) = json.loads(found.stdout)["found"]
        joined = shell.run("join", row["ticket"], *eve.api)
        assert ada.facts["name"] in joined.stdout
        shell.run("presence", "busy", "--note", "digging", *ada.api)
        notes = {peer["id"]: peer["note"] for peer in shell.json("peers", *eve.api)}
        while notes[ada.facts["id"]] != "digging":
            assert time.monotonic() < ends + 30, notes
            notes = {peer["id"]: peer["note"] for peer in shell.json("peers", *eve.api)}
        assert "busy: digging" in shell.run("status", *eve.api).stdout
        shell.run("name", "withdraw", "our garden", *ada.api)
        assert shell.run("name", "find", "our garden", *well.api, code=4)


def test_discover_hears_beacons(shell: Shell) -> None:
    with shell.up() as ada, shell.up() as bob:
        tokens = ("discover", "--method", "multicast", "--count", "1", "--timeout", "20")
        (row,) = shell.json(*tokens, *ada.api)
        assert (row["id"], row["name"]) == (bob.facts["id"], bob.facts["name"])
        assert row["sources"] == ["multicast"]
        assert row["addresses"]
