"""What a node says of itself for people who look for faults, and what it must not say there.

Busy nodes, at the chattiest level of the log, with everything going wrong that can: afterwards no
key, body, topic, name, id, ticket or address stands in any log line, in `stats` or in `debug`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.interop.test_node import QUIET, Road, alone, back, place

import whispurrnet
from whispurrnet.base.machine import Tick
from whispurrnet.errors import HostError, NetworkError, WhispurrError
from whispurrnet.extensions.extension import Extension
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.node.build import network_key
from whispurrnet.node.peer import Request
from whispurrnet.wire import frame
from whispurrnet.wire.address import parse

BODY = b"MarkerOfBody-Zw4"
TOPIC = "markeroftopic/zw4"
CALL = "MarkerOfCall"
STREAM = "MarkerOfStream"
FAULT = "MarkerOfFault"
NETWORK = "marker of the network"
NAME = "marker of a name"
NOTE = "marker of a note"
TOPIC_KEY = b"MarkerOfTopicKey".ljust(32, b"x")
HOSTILE = [
    (frame.GOSSIP, b"\0\1\0" + BODY * 40),
    (frame.GOSSIP, b"\0\x10" + BODY * 40),
    (frame.VIEW, b"\0" + BODY),
]
"""A push, a stem and a message of membership that are none."""

MARKERS = [BODY.decode(), TOPIC, CALL, STREAM, FAULT, NETWORK, NAME, NOTE]


class Everything(logging.Handler):
    """Keeps each line as a formatter would print it, tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Every line of every logger: ours from `debug` up, those of the libraries from `info` up."""
    handler, root, ours = Everything(), logging.getLogger(), logging.getLogger("whispurrnet")
    levels = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    ours.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


class Secrets:
    """What must not be found, and how it might be written."""

    def __init__(self) -> None:
        self.texts: set[str] = set(MARKERS)
        self.numbers: set[int] = set()

    def key(self, key: bytes) -> None:
        self.texts |= {key.hex(), key.hex()[:16], base64.b64encode(key).decode(), repr(key)}

    def node(self, node: whispurrnet.Node) -> None:
        """Everything of a node at this moment."""
        shared = node.stack.shared
        for identity in shared.identities:
            proof = identity.proof
            for key in (identity.id, proof.static_key, proof.signing_key, proof.entropy):
                self.key(key)
            self.texts.add(identity.id.hex()[:8])
        self.texts |= {node.name, node.ticket.text, node.ticket.text[4:40], *node.listeners}
        for text in node.listeners:
            if not text.startswith("/memory"):
                self.numbers.add(parse(text).port)
        for record in node.stack.roster:
            if record.persona is not None:
                self.key(record.persona)
            live = record.live
            if live is not None:
                for key in (live.keys.send, live.keys.receive, live.keys.hash, live.keys.exporter):
                    self.key(key)
                self.texts.add(live.address)
        self.texts |= {peer.name for peer in node.known_peers}

    def found(self, text: str) -> list[str]:
        there = [secret for secret in self.texts if secret and secret in text]
        for number in self.numbers:
            there += re.findall(rf"(?<!\d){number}(?!\d)", text)
        return there


class Failing(Extension):
    name = "failing"
    kinds = ("DREAMSPACE",)

    async def on_message(self, message: whispurrnet.Message) -> None:
        raise ValueError(f"{FAULT} {message.body!r} {message.sender.id}")


async def spread(node: whispurrnet.Node, other: whispurrnet.Node, secrets: Secrets) -> None:
    """Everything that spreads: to an intent, to one under a key, to all; and what is not gossip."""
    heard = other.messages()
    async with other.join(TOPIC) as public, other.join(TOPIC, key=TOPIC_KEY) as private:
        for sent in (
            await node.resonate(TOPIC, BODY, signed=True),
            await node.resonate(TOPIC, BODY, key=TOPIC_KEY),
            await node.broadcast(BODY),
            await node.emergency(BODY, signed=True),
        ):
            secrets.key(bytes.fromhex(sent.id))
        assert (await anext(public)).author == node.id
        assert (await anext(private)).author == ""
        kinds = {"BROADCAST", "EMERGENCY_SIGNAL"}
        while kinds:  # after the whispers that nobody took
            kinds.discard((await anext(heard)).kind)
    heard.close()
    assert node.neighbours()
    other.register(NAME)
    node.set_presence("busy", NOTE)
    async for found in node.find(NAME):
        secrets.texts.add(found.text)
    for name in ("", NAME * 100):
        with pytest.raises(WhispurrError):
            node.register(name)
    with pytest.raises(WhispurrError):
        node.set_presence(NOTE)
    with pytest.raises(WhispurrError):
        await node.broadcast(BODY * 100_000)
    with pytest.raises(WhispurrError):
        node.join(TOPIC, key=BODY)
    for record in node.stack.roster:
        live = record.live
        assert live is not None
        for type_, body in HOSTILE:
            live.gossip.put(type_, body, 5)
        node.stack.links.dirty[live.link] = live
    node.submit(Tick())
    await alone(other)  # it broke the protocol


async def talk(one: whispurrnet.Peer, other: whispurrnet.Node) -> None:
    """Everything that two nodes do with each other, with and without faults."""

    def broken(request: Request) -> bytes:
        raise ValueError(f"{FAULT} {request.body!r} {request.sender.id}")

    async def refusing(request: Request) -> bytes:
        raise NetworkError(f"{FAULT} {request.body!r}")

    other.on_request(CALL, broken)
    other.on_request(CALL + "2", refusing)
    incoming = other.streams()
    async with Failing().on(other), other.join(TOPIC):
        await (await back(other)).ping()
        for kind in ("WHISPER", "DREAMSPACE"):
            await one.whisper(BODY, kind=kind).received()
        one.send_nowait(BODY)
        for call in (CALL, CALL + "2", CALL + "3"):
            with pytest.raises(NetworkError):
                await one.request(call, BODY)
        stream = await one.open_stream(STREAM)
        await stream.write(BODY)
        assert await (await anext(incoming)).read() == BODY
        stream.reset()
        with pytest.raises(WhispurrError):
            one.whisper(BODY * 100_000)
        with pytest.raises(WhispurrError):
            one.whisper(BODY, kind=FAULT)


async def molest(node: whispurrnet.Node, secrets: Secrets) -> None:
    """Strangers, forged calls and broken sessions."""
    for text in node.listeners:
        address = parse(text)
        for data in (b"\x01\x03\x01\0" + bytes(2000), b"GET /ws HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
            _, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(data)
            secrets.numbers.add(writer.get_extra_info("sockname")[1])
            writer.close()
    async with whispurrnet.open(listen=(), **QUIET) as stranger:
        for ticket in (node.ticket, node.listeners[0]):
            with pytest.raises(WhispurrError):
                await stranger.connect(ticket, timeout_s=0.7)
        secrets.node(stranger)
    with pytest.raises(HostError):
        async with whispurrnet.open(listen=(node.listeners[0],), **QUIET):
            pass


async def story(secrets: Secrets, folder: Path) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    settings = QUIET | {
        "network_secret": NETWORK,
        "session": {"handshake_timeout_s": 0.5, "rekey_records": 5},
        "pool": {"backoff_min_s": 0.1, "backoff_max_s": 0.2, "breaker_s": 0.2},
    }
    places = tuple(place(transport) for transport in ("tcp", "tls", "ws", "wss"))
    own = {"identity": {"long_term": True, "state_dir": str(folder)}}
    secrets.texts.add(str(folder))
    async with whispurrnet.open(listen=places, **settings, **own) as bob:
        for text in bob.ticket.addresses:
            async with whispurrnet.open(listen=(), **settings) as alice:
                one = whispurrnet.Ticket(
                    static_key=bob.ticket.static_key,
                    addresses=(text,),
                    expires_s=bob.ticket.expires_s,
                )
                to_bob = await alice.connect(one, timeout_s=10)
                secrets.node(alice)
                secrets.node(bob)
                await talk(to_bob, bob)
                alice.rotate()
                bob.rotate()
                await to_bob.ping()
                secrets.node(alice)
                secrets.node(bob)
                await spread(alice, bob, secrets)
                said += [alice.stats(), alice.debug(), bob.stats(), bob.debug()]
            await alone(bob)
        invite = bob.invite()
        assert invite.psk is not None
        secrets.key(invite.psk)
        secrets.key(TOPIC_KEY)
        secrets.texts.add("MarkerOfTopicKey")
        secrets.key(realm_key(network_key(bob.settings)))
        secrets.texts.add(invite.text)
        await molest(bob, secrets)
        road = Road(bob.listeners[0])
        async with whispurrnet.open(listen=(), **settings) as alice:
            async with road.open():
                secrets.numbers.add(parse(road.address).port)
                cut = whispurrnet.Ticket(
                    static_key=bob.ticket.static_key,
                    addresses=(road.address,),
                    expires_s=bob.ticket.expires_s,
                )
                to_bob = await alice.connect(cut, timeout_s=10)
                to_bob.whisper(BODY)
            await alone(alice)
            await asyncio.sleep(0.5)  # it is called again, and nobody is there
            secrets.node(alice)
            said += [alice.stats(), alice.debug(), bob.stats(), bob.debug()]
    return said


def test_nothing_that_tells_who_or_what_is_logged_or_counted(tmp_path: Path) -> None:
    secrets = Secrets()
    with listening() as lines:
        said = asyncio.run(asyncio.wait_for(story(secrets, tmp_path / "state"), 50))
    log = "\n".join(lines)
    assert secrets.found(log) == []
    for one in said:
        assert secrets.found(json.dumps(one)) == []
    # the controls: there was something to say, and to find
    assert log.count("peer up") >= 8
    assert "a request handler failed" in log
    assert "an extension failed" in log
    assert any(one.get("counters", {}).get("rekeys", 0) > 0 for one in said)
    assert any(one.get("counters", {}).get("gossip_faults", 0) > 0 for one in said)
    assert len(secrets.texts) > 200


def test_what_is_looked_for_would_be_found() -> None:
    secrets = Secrets()
    secrets.key(b"k" * 32)
    secrets.numbers.add(40123)
    for text in (f"to {BODY.decode()}", (b"k" * 32).hex(), "at 127.0.0.1:40123.", repr(b"k" * 32)):
        assert secrets.found(text)
    assert not secrets.found("140123 and 401234, kkk")
