"""Two real nodes that know each other, one with a gateway, and commands run against them."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import whispurrnet
from whispurrnet.cli import context, main
from whispurrnet.gateway.server import Gateway


class Pair:
    """Ada has a gateway; Bob is her peer. They live in a thread of their own."""

    def __init__(self) -> None:
        self.port = 0
        self.ada: Any = None
        self.bob: Any = None
        self.heard: list[bytes] = []
        self._loop: Any = None
        self._stop: Any = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    def __enter__(self) -> Pair:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def call(self, work: Callable[[], Any]) -> Any:
        """Do something in their thread."""

        async def doing() -> Any:
            result = work()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(doing(), self._loop).result(20)

    async def _live(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        here: dict[str, Any] = {
            "listen": ("/ip4/127.0.0.1/tcp/0",),
            "host": "127.0.0.1",
            "port": 0,
            "lan": {"enabled": False},
        }
        async with whispurrnet.open(**here) as ada, whispurrnet.open(**here) as bob:
            self.ada, self.bob = ada, bob
            gateway = Gateway(ada, ada.settings)
            await gateway.start()
            await bob.connect(ada.ticket)
            self.port = gateway.port
            hearing = asyncio.create_task(self._hear())
            self._ready.set()
            await self._stop.wait()
            hearing.cancel()
            await gateway.stop()

    async def _hear(self) -> None:
        async for message in self.bob.messages():
            self.heard.append(message.body)
            message.mark_read()


@pytest.fixture(scope="package")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, no running node, no environment of the person who runs the tests."""
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        folder = tmp_path / name.lower()
        folder.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(folder))
    for name in ("API", "OUTPUT", "DEBUG", "TICKET", "CONFIG", "GATEWAY_TOKEN", "TOPIC_KEY"):
        monkeypatch.delenv(f"WHISPURRNET_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(context, "current", context.current)
    context.current.output, context.current.debug, context.current.api = "text", False, ""


class Ran:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as the shell would."""

    def running(*tokens: str, stdin: bytes = b"") -> Ran:
        text = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        monkeypatch.setattr("sys.stdin", text)
        code = main.run(list(tokens))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return running


@pytest.fixture
def ada(run: Run, pair: Pair) -> Run:
    """Run a command for Ada's node."""

    def running(*tokens: str, **how: Any) -> Ran:
        return run(*tokens, "--api", str(pair.port), **how)

    return running


def decode(text: str) -> Any:
    return msgspec.json.decode(text)
