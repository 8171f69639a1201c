"""What every side of the benchmark shares: sizes, counts, and a far end in another process.

It imports nothing but the standard library, for it runs in two environments.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
"""Every count is multiplied by this; the project's own tests set it to a tiny number."""

BODY = b"x" * 100
IN_FLIGHT = 64
WRITE_BYTES = 128 * 1024


def scaled(count: int, least: int = 1) -> int:
    """How often to do something that is done `count` times at full size."""
    return max(least, int(count * SCALE))


def result(value: float, count: int, note: str = "") -> dict[str, Any]:
    """One measured figure: what came out, how much work it stands for, what is to be said."""
    return {"value": value, "count": count} | ({"note": note} if note else {})


def p50(times: list[float]) -> dict[str, Any]:
    """The median of round trips in seconds, as a figure in microseconds."""
    return result(sorted(times)[len(times) // 2] * 1e6, len(times))


class FarEnd:
    """The other process: it prints a line when it can be reached, and one for each `ask`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout
        self.address: dict[str, Any] = self.line()

    def line(self) -> Any:
        """The next thing it says."""
        text = self._out.readline()
        if not text:
            raise SystemExit("the far end has ended; what it printed says why")
        return json.loads(text)

    def ask(self, question: str) -> Any:
        """Ask it something; waits for the answer."""
        self._in.write(question + "\n")
        self._in.flush()
        return self.line()


@contextmanager
def far_end(module: str, *arguments: str) -> Iterator[FarEnd]:
    """Start the far end of a network; it ends when its standard input does, or here."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, "serve", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield FarEnd(process)
    finally:
        process.kill()
        process.wait()


def say(fact: object) -> None:
    """One line from the far end to the near one."""
    print(json.dumps(fact), flush=True)


def answer_questions(answers: dict[str, Callable[[], object]]) -> None:
    """Answer what the near end asks, until it is gone; then this process ends at once."""
    for question in sys.stdin:
        say(answers[question.strip()]())
    os._exit(0)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, timeout_s: float = 20.0) -> None:
    """Look until somebody listens on a port of this machine."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")
