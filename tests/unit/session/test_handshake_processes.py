"""Two processes make a session: what one side only pretends to compute, the other cannot know.

A key exchange that is faked inside one process (with a secret both sides can see) passes every test
in that process. This one it cannot pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from whispurrnet.crypto.kex import Level
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session.handshake import (
    NO_BINDING,
    Arrived,
    Begin,
    Config,
    Established,
    Initiator,
    Write,
)

CHILD = """
import os, sys, time
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session.handshake import NO_BINDING, Arrived, Config, Established, Responder, Write

wall = lambda: int(time.time() * 1000)
config = Config(accept_first_contact=True)
me = Ephemeral.generate(os.urandom, wall())
machine = Responder(config, [me], config.gate(os.urandom), lambda matches: None,
                    remote=b"pipe", binding=NO_BINDING, entropy=os.urandom, wall=wall)
out = os.fdopen(1, "wb", buffering=0)
out.write(me.static.public)
while data := os.read(0, 65536):
    for effect in machine.handle(Arrived(data), time.monotonic()):
        match effect:
            case Write(answer):
                out.write(answer)
            case Established():
                out.write(effect.keys.export("a test"))
                sys.exit(0)
            case _:
                sys.exit(1)
"""


def wall() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize("level", [Level.L3, Level.L5])
def test_two_processes_agree(level: Level) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        key = child.stdout.read(32)
        one = Initiator(
            Config(level=level),
            Ephemeral.generate(os.urandom, wall()),
            remote_key=key,
            expected_id=None,
            psk=None,
            binding=NO_BINDING,
            entropy=os.urandom,
            wall=wall,
        )
        effects = one.handle(Begin(), time.monotonic())
        done = None
        while done is None:
            for effect in effects:
                if isinstance(effect, Write):
                    child.stdin.write(effect.data)
                    child.stdin.flush()
                else:
                    assert isinstance(effect, Established), effect
                    done = effect
            if done is None:
                effects = one.handle(
                    Arrived(os.read(child.stdout.fileno(), 65536)), time.monotonic()
                )
        assert child.stdout.read(32) == done.keys.export("a test")
    assert child.returncode == 0
