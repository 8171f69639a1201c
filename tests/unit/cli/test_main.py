from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.cli import main

COMMANDS = (
    *("chat", "config show", "demo", "doctor", "identity", "install-completion", "join", "listen"),
    *("peers", "ping", "resonate", "status", "ticket", "trust list", "trust revoke"),
    *("trust verify", "up", "version", "whisper"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Any, command: str) -> None:
    ran = run(*command.split(), "--help")
    assert ran.code == 0
    assert f"Usage: whispurr {command}" in ran.out


def test_help_names_every_command_and_completion(run: Any) -> None:
    ran = run("--help")
    for command in COMMANDS:
        assert command.split()[0] in ran.out
    assert "whispurr install-completion" in ran.out


@pytest.mark.parametrize("module", ["uvicorn", "starlette", "rich.table", "segno"])
def test_a_short_command_loads_little(module: str) -> None:
    code = (
        "import sys; from whispurrnet.cli.main import run; run(['status', '--api', '1']);"
        f"sys.exit({module!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


def test_usage_errors_are_sentences(run: Any) -> None:
    for tokens in (["stats"], ["status", "--wat"], ["whisper"], ["--output", "xml", "status"]):
        ran = run(*tokens)
        assert ran.code == 2, tokens
        assert ran.err.startswith("✗ ")
        assert "Traceback" not in ran.err
    assert 'Did you mean "status"' in run("stats").err


def test_not_running(run: Any) -> None:
    ran = run("status", "--api", "1")
    assert ran.code == 3
    assert "nothing answers on port 1" in ran.err
    assert "whispurr up" in ran.err
    ran = run("status", "--api", "1", "--output", "json")
    assert ran.code == 3
    assert '"exit":3' in ran.err


def test_debug_shows_the_traceback(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in run("status", "--api", "1", "--debug").err
    monkeypatch.setenv("WHISPURRNET_DEBUG", "1")
    assert "Traceback" in run("status", "--api", "1").err


def test_our_errors_get_their_codes(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise HostError("the disk is full; delete something")

    monkeypatch.setattr("whispurrnet.cli.health.find", fail)
    ran = run("status")
    assert ran.code == 1
    assert "the disk is full" in ran.err
    assert "Cure: delete something." in ran.err


def test_ctrl_c(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whispurrnet.cli.health.find", stop)
    assert run("status").code == 130


def test_main_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "run", lambda: 4)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 4


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whispurrnet", "--version"], capture_output=True, check=True
    )
    assert done.stdout.strip()
