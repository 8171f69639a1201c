"""The commands of the how-tos on NATs and coturn, run as they stand there, where they belong.

A relay and coturn stand in the public network of the laboratory, two people behind NATs that cannot
be passed without help. What the pages leave open (TICKET, the name of a peer, the folder that a
file is in) is put in; a command that no test runs is an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.interop.nat_lab import OUTER, RELAY, STUN_2, TURN, NatLab, needs_coturn

pytestmark = [pytest.mark.netns, pytest.mark.slow]

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PEER = "calm-finch-12"
INLINE = re.compile(r"`(whispurr nat [^`]*)`")


def blocks(page: str, language: str) -> list[str]:
    return [text for name, text in FENCE.findall((DOCS / page).read_text()) if name == language]


def commands() -> set[str]:
    """Every command of both pages, also those within a line."""
    found: set[str] = set()
    for page in ("nat.md", "coturn.md"):
        for block in blocks(page, "sh"):
            found |= set(block.strip().splitlines())
        found |= set(INLINE.findall((DOCS / page).read_text()))
    return {one for one in found if "PEER" not in one and one != "whispurr nat"} | {"whispurr nat"}


class Person:
    """Somebody at a place of the laboratory, with a home and a shell."""

    def __init__(self, lab: NatLab, place: str, home: Path) -> None:
        self.lab, self.place, self.home = lab, place, home
        for name in ("home", "run", "config"):
            (home / name).mkdir(parents=True, mode=0o700)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
        self.env["HOME"] = str(home / "home")
        self.env["XDG_RUNTIME_DIR"] = str(home / "run")
        self.env["XDG_CONFIG_HOME"] = str(home / "config")

    def _words(self, line: str) -> list[str]:
        tokens = shlex.split(line, comments=True)
        assert tokens[0] == "whispurr"
        return [*self.lab.inside(self.place), sys.executable, "-m", "whispurrnet", *tokens[1:]]

    async def start(self, exits: AsyncExitStack, line: str) -> dict[str, Any]:
        """Start what runs until Ctrl-C; the first line it says, as JSON."""
        child = await asyncio.create_subprocess_exec(
            *self._words(f"{line} --output json"),
            stdout=asyncio.subprocess.PIPE,
            cwd=self.home,
            env=self.env,
        )

        async def stop() -> None:
            child.terminate()
            await child.wait()

        exits.push_async_callback(stop)
        assert child.stdout is not None
        return json.loads(await asyncio.wait_for(child.stdout.readline(), 20))

    async def run(self, line: str, code: int = 0) -> str:
        """Run a command to its end."""
        child = await asyncio.create_subprocess_exec(
            *self._words(line),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.home,
            env=self.env,
        )
        out, _ = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == code, f"{line}: {out.decode()}"
        return out.decode()


def test_every_command_of_the_pages(tmp_path: Path) -> None:
    needs_coturn()
    left = commands()

    def as_written(line: str) -> str:
        left.discard(line)
        return line

    async def test(exits: AsyncExitStack) -> None:
        lab = await exits.enter_async_context(NatLab("sym", "sym"))
        as_written("apt-get install coturn")  # .ci/run did
        (config,) = (text for text in blocks("coturn.md", "") if "turnserver.conf" in text)
        state = [f"userdb={tmp_path}/turndb", f"pidfile={tmp_path}/pid", "simple-log"]
        state.append(f"log-file={tmp_path}/coturn.log\n")
        as_written("turnserver -c turnserver.conf")
        await lab.coturn(tmp_path, config + "\n".join(state))
        (settings,) = blocks("coturn.md", "toml")
        relay, ada, bob = (Person(lab, place, tmp_path / place) for place in ("pub", "a", "b"))
        for person in (ada, bob):
            (person.home / "whispurr.toml").write_text(settings)
        line = as_written("whispurr relay")
        address = f"--listen /ip4/{RELAY}/tcp/9000 --set host={RELAY}"
        up = await relay.start(exits, f"{line} {address} --set nat.stun_alternate={STUN_2}")
        line = as_written("whispurr up --set nat.relays=TICKET").replace("TICKET", up["ticket"])
        # what is tried is asked for below, not found before by itself
        quiet = "--no-lan --set nat.upgrade=false --set gossip.enabled=false"
        await asyncio.gather(*(one.start(exits, f"{line} {quiet}") for one in (ada, bob)))
        async with asyncio.timeout(20):
            while "/relay/" not in (ticket := await shown(ada)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        del ticket
        await bob.run(f"whispurr join {await ada.run('whispurr ticket')}".split("\n")[0])
        await walk(ada, bob)

    async def shown(person: Person) -> str:
        found = json.loads(await person.run("whispurr ticket --output json"))
        from whispurrnet.wire.ticket import Ticket

        return " ".join(Ticket.parse(found["ticket"]).addresses)

    async def walk(ada: Person, bob: Person) -> None:
        status = json.loads(await bob.run(as_written("whispurr status") + " --output json"))
        (name,) = (p["name"] for p in status["peers"] if p["path"].startswith("relay"))

        async def line(text: str, code: int = 0) -> str:
            return await bob.run(as_written(text).replace(PEER, name), code)

        assert "is connected by relay (via " in await line(f"whispurr why {PEER}")
        said, two, one, stays = await asyncio.gather(
            line("whispurr nat"),
            line(f"whispurr nat --server stun:{RELAY}:3478"),
            line(f"whispurr nat --server stun:{TURN}:3478"),
            line(f"whispurr nat {PEER} --method stun", 4),
        )
        assert "A symmetric NAT" in said
        assert f"{OUTER['b']}:" in said
        assert "A symmetric NAT" in two
        assert "cannot tell" in one, "without a second address coturn tells where, and not what"
        assert "stays with relay" in stays
        assert f"by turn (via {TURN})" in await line(f"whispurr nat {PEER} --method turn")
        assert f"by turn (via {TURN})" in await line(f"whispurr nat {PEER}")

    async def whole() -> None:
        async with AsyncExitStack() as exits:
            await test(exits)

    asyncio.run(whole())
    assert not left, "a command that is not run here"
