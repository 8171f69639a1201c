"""magic-wormhole 0.24 on loopback: `wormhole send` and `wormhole receive`, as people use them.

Both talk to a mailbox server of their own in a third process; the bytes go straight from one to the
other. What counts is the time from "Receiving" to "Received": neither the code nor the start of
Python is in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.common import free_port, result, say, scaled, wait_for_port

OBJECT_BYTES = 1 << 30
TOOLS = Path(sys.executable).parent


def command(url: str, *arguments: str) -> list[str]:
    """A command line of wormhole's."""
    nobody = f"tcp:127.0.0.1:{free_port()}"
    return [str(TOOLS / "wormhole"), "--relay-url", url, "--transit-helper", nobody, *arguments]


def object_one() -> dict[str, Any]:
    """One file."""
    size, code = scaled(OBJECT_BYTES, 1 << 20), "1-crossover-clockwork"
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = subprocess.Popen(
            [str(TOOLS / "twist"), "wormhole-mailbox", "--port", f"tcp:{port}:interface=127.0.0.1"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        sender = None
        try:
            wait_for_port(port)
            source = Path(folder) / "source"
            with source.open("wb") as file:
                for _ in range(-(-size // (1 << 20))):
                    file.write(os.urandom(1 << 20))
            size = source.stat().st_size
            url = f"ws://127.0.0.1:{port}/v1"
            quiet = ("--hide-progress",)
            sender = subprocess.Popen(
                command(url, "send", *quiet, "--no-qr", "--code", code, str(source)),
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            receiver = subprocess.Popen(
                command(url, "receive", *quiet, "--accept-file", "-o", "target", code),
                cwd=folder,
                env=unbuffered,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert receiver.stdout is not None
            began = ended = 0.0
            for line in receiver.stdout:
                if line.startswith("Receiving (") or "Receiving (->" in line:
                    began = time.perf_counter()
                elif line.startswith("Received file"):
                    ended = time.perf_counter()
            if receiver.wait() or not began or not ended:
                raise SystemExit("the file did not arrive")
            return {"object_one": result(size / (ended - began) / 1e6, size)}
        finally:
            for process in (server, sender):
                if process is not None:
                    process.kill()
                    process.wait()


FIGURES = {"object_one": object_one}

if __name__ == "__main__":
    say(FIGURES[sys.argv[1]]())
