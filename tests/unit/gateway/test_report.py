"""The report of a node is made of numbers and of words that stand in the program."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

import whispurrnet
from whispurrnet.base.meter import COUNTERS
from whispurrnet.gateway import report as made
from whispurrnet.gateway.metrics import OBJECTS, storage
from whispurrnet.gateway.report import changed, report, word
from whispurrnet.gossip.spread_events import COUNTS
from whispurrnet.node.settings import KEYS, Settings
from whispurrnet.node.status import Problem
from whispurrnet.version import VERSION

NEEDLE = "needle"  # in everything that a person or a peer can write
NUMBERS = itertools.count()
WORDS = {
    *(VERSION, made.OTHER, made.SET),
    *made.STATES,
    *made.PATHS,
    *made.TRANSPORTS,
    *made.LOOPS.values(),
    *made.TRUSTS,
    *made.PLACES,
    *made.PROBLEMS,
    *("ok", "problem", "not checked", "p50", "p99"),
    *(metric.source for metric in OBJECTS),
    *(
        text
        for kind in KEYS.values()
        if get_origin(kind) is Literal
        for text in get_args(kind)
        if isinstance(text, str)
    ),
}
TITLES = {
    *("listening for peers", "local discovery is on", "a peer is connected", "stealth"),
    *("connected peers use a post-quantum suite", "level 1 (ML-KEM-512)"),
}
NAMES = {*made.ReportAnswer.__struct_fields__, *made.PeerReport.__struct_fields__}


def strings(value: Any) -> set[str]:
    """Every text in a value, names of fields too."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return {text for pair in value.items() for part in pair for text in strings(part)}
    if isinstance(value, list | tuple):
        return {text for part in value for text in strings(part)}
    assert value is None or isinstance(value, bool | int | float)
    return set()


async def full_of_needles(folder: Path) -> tuple[Any, set[str]]:
    """The report of a node in which every text is recognisable, and what must not be in it."""
    state = folder / f"{NEEDLE}-state"
    common: dict[str, Any] = {
        "port": 0,
        "host": "127.0.0.1",
        "lan": {"enabled": False},
        "network_secret": f"{NEEDLE}-network-secret",
        "gateway": {"token": f"{NEEDLE}-token", "allowed_origins": (f"https://{NEEDLE}.example",)},
    }
    async with (
        whispurrnet.open(
            listen=(f"/memory/{NEEDLE}-{next(NUMBERS)}", "/ip4/127.0.0.1/tcp/0"),
            bootstrap=(f"/memory/{NEEDLE}-nobody", f"{NEEDLE} is no ticket"),
            identity={"long_term": True, "state_dir": str(state)},
            **common,
        ) as node,
        whispurrnet.open(listen=(f"/memory/{NEEDLE}-{next(NUMBERS)}",), **common) as bob,
        whispurrnet.open(listen=(), **common) as eve,
    ):
        for other in (bob, eve):
            await other.connect(node.ticket)
        peers = list(node.known_peers)
        secrets = {node.id, node.name, node.identity.static_key, node.identity.persona or ""}
        secrets |= {text for peer in peers for text in (peer.id, peer.name)}
        secrets |= {str(folder), "127.0.0.1"}
        async with node.join(f"{NEEDLE}/topic#{NEEDLE}"):
            node.warnings[f"{NEEDLE} warns"] = None
            node.failures[f"{NEEDLE} fails"] = f"{NEEDLE}; {NEEDLE}"
            node._listening.problems.append(Problem(NEEDLE, NEEDLE, NEEDLE))
            peers[0].record.profile = NEEDLE
            node.extensions.append(NEEDLE)
            node._news.away[peers[1].handle] = (f"{NEEDLE}: no route to {NEEDLE}", node.now())
            with contextlib.closing(node.events()) as feed:
                await eve.disconnect(eve.peers[0])
                while node.known_peers[1].connected:
                    await anext(feed)
            await node.objects.add(NEEDLE.encode())
            figures = await storage(node)
            found = msgspec.to_builtins(report(node, node.settings, figures))
            assert found["objects"]["objects"] == 1
    return found, secrets


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, set[str]]:
    folder = tmp_path_factory.mktemp(NEEDLE)
    return asyncio.run(full_of_needles(folder))


def test_no_text_from_anywhere_is_in_it(found: tuple[Any, set[str]]) -> None:
    report, secrets = found
    text = msgspec.json.encode(report).decode()
    assert NEEDLE not in text
    for secret in secrets:
        assert secret not in text


def test_every_word_is_of_a_closed_set(found: tuple[Any, set[str]]) -> None:
    known = WORDS | TITLES | NAMES | set(KEYS) | set(COUNTERS) | set(COUNTS)
    assert strings(found[0]) <= known


def test_it_says_what_helps(found: tuple[Any, set[str]]) -> None:
    report, _ = found
    assert (report["state"], report["intents"]) == ("Listening", 1)
    assert report["listening"] == {"memory": 1, "tcp": 1}
    assert report["settings"]["network_secret"] == made.SET
    assert report["settings"]["bootstrap"] == 2
    assert report["settings"]["identity.long_term"] is True
    assert report["problems"]["bootstrap"] == 1
    assert report["problems"][made.OTHER] >= 3
    assert 0 <= report["processing_us"]["p50"] <= report["processing_us"]["p99"]
    here, gone = report["peers"]
    assert (here["connected"], here["path"], here["level"]) == (True, "direct memory", 3)
    assert (gone["connected"], gone["path"], gone["fault"]) == (False, "none", "the peer")


def test_settings_by_their_kind() -> None:
    settings = Settings().replace(
        profile="chum", host=NEEDLE, max_peers=7, session={"record_cipher": "aes"}
    )
    found = changed(settings)
    assert found["profile"] == "chum"
    assert found["host"] == made.SET
    assert found["max_peers"] == 7
    assert found["session.record_cipher"] == "aes"
    assert not changed(Settings())


def test_a_word_is_known_or_other() -> None:
    assert word("direct tcp", made.PATHS) == "direct tcp"
    assert word(f"direct {NEEDLE}", made.PATHS) == made.OTHER
