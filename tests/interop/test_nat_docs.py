"""The commands of the how-tos on NATs and coturn, run as they stand there, where they belong.

A relay and coturn stand in the public network of the laboratory, two people behind NATs that cannot
be passed without help. What the pages leave open (TICKET, the name of a peer, the folder that a
file is in) is put in; a command that no test runs is an error.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.interop.doc_lab import DOCS, Book, Person, blocks, whole
from tests.interop.nat_lab import OUTER, RELAY, STUN_2, TURN, NatLab, needs_coturn

pytestmark = [pytest.mark.netns, pytest.mark.slow]

PEER = "calm-finch-12"
NAT, COTURN = DOCS / "nat.md", DOCS / "coturn.md"
KNOWN = {
    "apt-get install coturn": ".ci/run does",
    "pip install 'whispurrnet[webrtc]'": "the development environment has it",
}


def test_every_command_of_the_pages(tmp_path: Path) -> None:
    needs_coturn()
    book = Book(NAT, COTURN, known=KNOWN)

    async def test(exits: AsyncExitStack) -> None:
        lab = await exits.enter_async_context(NatLab("sym", "sym"))
        (config,) = (text for text in blocks(COTURN, "") if "turnserver.conf" in text)
        state = [f"userdb={tmp_path}/turndb", f"pidfile={tmp_path}/pid", "simple-log"]
        state.append(f"log-file={tmp_path}/coturn.log\n")
        book.take("turnserver -c turnserver.conf")
        await lab.coturn(tmp_path, config + "\n".join(state))
        (settings,) = blocks(COTURN, "toml")
        people = (Person(lab.inside(place), tmp_path / place) for place in ("pub", "a", "b"))
        relay, ada, bob = people
        for person in (ada, bob):
            (person.home / "whispurr.toml").write_text(settings)
        line = book.take("whispurr relay")
        address = f"--listen /ip4/{RELAY}/tcp/9000 --set host={RELAY}"
        up = await relay.start(exits, f"{line} {address} --set nat.stun_alternate={STUN_2}")
        line = book.take("whispurr up --set nat.relays=TICKET", TICKET=up["ticket"])
        # what is tried is asked for below, not found before by itself
        quiet = "--no-lan --set nat.upgrade=false --set gossip.enabled=false"
        await asyncio.gather(*(one.start(exits, f"{line} {quiet}") for one in (ada, bob)))
        await bob.run(f"whispurr join {await ada.reached('whispurr ticket')}")
        await walk(ada, bob)

    async def walk(ada: Person, bob: Person) -> None:
        status = json.loads(await bob.run(book.take("whispurr status") + " --output json"))
        (name,) = (p["name"] for p in status["peers"] if p["path"].startswith("relay"))

        async def line(text: str, code: int = 0) -> str:
            return await bob.run(book.take(text).replace(PEER, name), code)

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
        await bob.run(book.take("whispurr nat PEER", PEER=name))

    asyncio.run(whole(test))
    book.close()
