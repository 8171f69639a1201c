"""Sessions that move to a WebRTC link, between real nodes: two processes, and somebody between."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interop.rtc_actor import SETTINGS
from tests.interop.rtc_lab import BACKENDS, Side, need_interface

import whispurrnet
from whispurrnet.base.machine import Tick
from whispurrnet.errors import HostError
from whispurrnet.nat import signal
from whispurrnet.nat import signal_messages as wire
from whispurrnet.node.webrtc import ALONE, NO_TURN
from whispurrnet.stack import events
from whispurrnet.transport import webrtc_backend, webrtc_sdp

if not BACKENDS:
    pytest.skip("no WebRTC library is installed: whispurrnet[webrtc]", allow_module_level=True)

NEWER = Path(os.environ.get("WEBRTC_PYTHON", ".venv-webrtc/bin/python"))
"""A Python of 3.12 or newer with aiolibdatachannel, made by `make webrtc`."""


def play(test: Callable[[], Awaitable[None]]) -> None:
    need_interface()

    async def main() -> None:
        async with asyncio.timeout(40):
            await test()

    asyncio.run(main())


@asynccontextmanager
async def two(library: str = "auto", **nat: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Two nodes with a TCP session; and the second as the first one's peer."""
    settings = {**SETTINGS, "nat": {"webrtc": "on", "webrtc_backend": library, **nat}}
    async with whispurrnet.open(**settings) as a, whispurrnet.open(**settings) as b:
        yield a, b, await a.connect(b.ticket)


async def ended(node: Any, peer: Any, **how: Any) -> dict[str, Any]:
    """Try WebRTC now, and wait for what comes of it."""
    feed = node.events()
    node.submit(events.TryWebrtc(peer.handle, **how))
    async for event in feed:
        if event["type"] == "webrtc":
            return dict(event)
    raise AssertionError("the node was closed")


async def on_path(node: Any, path: str) -> None:
    while [record.live.path for record in node.stack.roster if record.live] != [path]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("library", BACKENDS)
def test_a_session_moves_and_nothing_is_lost(library: str) -> None:
    async def test() -> None:
        async with two(library) as (a, b, peer):
            b.on_request("size", lambda request: b"%d" % len(request.body))
            inbox = b.messages()
            receipts = [peer.whisper(b"%d" % n) for n in range(50)]
            happened = await ended(a, peer)
            assert happened["ok"], happened
            receipts += [peer.whisper(b"%d" % n) for n in range(50, 100)]
            await on_path(a, "webrtc")
            await on_path(b, "webrtc")
            for n in range(100):
                assert (await anext(inbox)).body == b"%d" % n
            for receipt in receipts:
                await receipt
            assert await peer.request("size", b"x" * 1_000_000) == b"1000000"
            assert a.stack.shared.meter.get("rtc_links") == 1
            assert not a.problems

    play(test)


@pytest.mark.parametrize("library", BACKENDS)
def test_both_sides_at_once(library: str) -> None:
    async def test() -> None:
        async with two(library) as (a, b, peer):
            while not b.peers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for node in (a, b):
                (other,) = node.peers
                node.submit(events.TryWebrtc(other.handle))
            await on_path(a, "webrtc")
            await on_path(b, "webrtc")
            b.on_request("size", lambda request: b"%d" % len(request.body))
            assert await peer.request("size", b"12345") == b"5"

    play(test)


@pytest.mark.parametrize("ours", BACKENDS)
def test_two_processes_and_two_libraries(ours: str) -> None:
    """The other process has the other library, where there is a Python for it."""
    python, theirs = Path(sys.executable), ours
    if NEWER.exists():
        python, theirs = NEWER, "aiolibdatachannel" if ours == "aiortc" else "aiortc"

    async def test() -> None:
        actor = await asyncio.create_subprocess_exec(
            str(python),
            str(Path(__file__).with_name("rtc_actor.py")),
            theirs,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert actor.stdin is not None
        assert actor.stdout is not None
        try:
            ticket = (await actor.stdout.readline()).decode().strip()
            settings = {**SETTINGS, "nat": {"webrtc": "on", "webrtc_backend": ours}}
            async with whispurrnet.open(**settings) as node:
                peer = await node.connect(ticket)
                happened = await ended(node, peer)
                assert happened["ok"], happened
                await on_path(node, "webrtc")
                assert await peer.request("size", b"x" * 500_000) == b"500000"
        finally:
            actor.stdin.close()
            await actor.wait()
        assert actor.returncode == 0

    play(test)


class Eve:
    """Sits between two nodes: ends the DTLS of each, with descriptions of her own.

    That needs their session, where the signalling runs; here she is given it. Of what goes through
    her she changes nothing: only the binding can tell.
    """

    def __init__(self, library: str, a: Any, b: Any) -> None:
        self.a, self.b = a, b
        self.to_a, self.to_b = Side(library), Side(library)
        self.bridged = 0
        self.early: list[bytes | str] = []
        self.tasks = asyncio.TaskGroup()
        self.attempt = 0
        for node, hear in ((a, self.from_a), (b, self.from_b)):
            node.stack.signalling._send = lambda _, body, hear=hear: self.tasks.create_task(
                hear(wire.decode(body))
            )
        for side, other in ((self.to_a, self.to_b), (self.to_b, self.to_a)):
            side.linked = lambda side=side, other=other: self.link(side, other)

    def link(self, side: Side, other: Side) -> None:
        def carry(data: bytes | str) -> None:
            self.bridged += len(data)
            if other.open.is_set():
                other.connection.send(data)
            else:
                self.early.append(data)

        side.rtc_message = carry  # type: ignore[method-assign]
        if other.open.is_set():
            for data in self.early:
                side.connection.send(data)

    def say(self, node: Any, message: wire.Message) -> None:
        (record,) = (record for record in node.stack.roster if record.live)
        arrived = signal.Arrived(record.handle, wire.encode(message))
        node.stack.signalling._handle(arrived, node.now())
        node.submit(Tick())

    async def from_a(self, message: wire.Message | None) -> None:
        if isinstance(message, wire.Offer):
            self.attempt = message.attempt
            offer = webrtc_sdp.ours(await self.to_b.connection.offer(), host=True)
            answer = await self.to_a.connection.answer(webrtc_sdp.theirs(message.sdp))
            self.say(self.b, wire.Offer(message.attempt, offer))
            self.say(self.a, wire.Answer(message.attempt, webrtc_sdp.ours(answer, host=True)))
            self.pass_on(self.to_a, self.a)
            self.pass_on(self.to_b, self.b)
        elif isinstance(message, wire.Candidate) and message.candidate:
            await self.to_a.connection.add(message.candidate, message.mid)

    async def from_b(self, message: wire.Message | None) -> None:
        if isinstance(message, wire.Answer):
            await self.to_b.connection.accept(webrtc_sdp.theirs(message.sdp))
        elif isinstance(message, wire.Candidate) and message.candidate:
            await self.to_b.connection.add(message.candidate, message.mid)

    def pass_on(self, side: Side, node: Any) -> None:
        def tell(candidate: str, mid: str) -> None:
            if candidate:
                self.say(node, wire.Candidate(self.attempt, candidate, mid))

        side.rtc_found = tell  # type: ignore[method-assign]
        for candidate, mid in side.early:
            tell(candidate, mid)

    async def close(self) -> None:
        await self.to_a.connection.close()
        await self.to_b.connection.close()


@pytest.mark.parametrize("library", BACKENDS)
@pytest.mark.parametrize("checked", [True, False])
def test_somebody_in_between_is_refused(
    library: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control, without the check, shows that she carries everything as it is."""
    if not checked:
        monkeypatch.setattr("whispurrnet.session.vetting._vet_webrtc", lambda *_: None)

    async def test() -> None:
        async with two(library) as (a, b, peer):
            eve = Eve(library, a, b)
            async with eve.tasks:
                happened = await ended(a, peer)
            assert eve.bridged > 1000, "she was not in between"
            assert happened["ok"] is not checked
            if checked:
                assert "somebody sits between" in happened["reason"]
                await on_path(a, "tcp")
            await peer.whisper(b"still here")
            await eve.close()

    play(test)


# What cannot be


def test_a_machine_with_loopback_only_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if "aiortc" not in BACKENDS:
        pytest.skip("aiortc is not installed")
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [])

    async def test() -> None:
        async with two("aiortc") as (a, _, peer):
            happened = await ended(a, peer)
            assert not happened["ok"]
            assert happened["reason"] == ALONE
            await peer.whisper(b"still here")

    play(test)


@pytest.mark.parametrize("library", BACKENDS)
def test_relay_only_without_a_turn_server_says_so(library: str) -> None:
    async def test() -> None:
        async with two(library, ice_policy="relay") as (a, _, peer):
            happened = await ended(a, peer)
            assert happened["reason"] == NO_TURN

    play(test)


@pytest.mark.parametrize("library", BACKENDS)
def test_private_addresses_are_withheld_and_it_works_all_the_same(library: str) -> None:
    """The other side tells its own: its checks come from there, and answers find their way."""

    async def test() -> None:
        settings = {**SETTINGS, "nat": {"webrtc": "on", "webrtc_backend": library}}
        shy = {**SETTINGS, "nat": {**settings["nat"], "host_candidates": False}}  # type: ignore[dict-item]
        async with whispurrnet.open(**shy) as a, whispurrnet.open(**settings) as b:
            peer = await a.connect(b.ticket)
            said: list[bytes] = []
            send = a.stack.signalling._send
            a.stack.signalling._send = lambda to, body: (said.append(body), send(to, body))
            happened = await ended(a, peer)
            assert happened["ok"], happened
            assert said
            assert all(b"typ host" not in body and b"192." not in body for body in said)

    play(test)


def test_off_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with two(webrtc="off") as (a, _, peer):
            a.submit(events.TryWebrtc(peer.handle))
            assert not a.stack.signalling.tries(peer.handle)
            assert not a.stack.shared.config.webrtc

        def nothing(*_: object) -> None:
            raise HostError("this machine has no WebRTC library; pip install 'whispurrnet[webrtc]'")

        monkeypatch.setattr(webrtc_backend, "find", nothing)
        with pytest.raises(HostError, match=r"whispurrnet\[webrtc\]"):
            async with two(webrtc="on"):
                pass
        async with two(webrtc="auto") as (a, _, peer):  # runs without
            await peer.whisper(b"hello")

    play(test)


def open_files() -> int:
    """How many files this process has open, where that can be seen."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else 0


def test_a_node_that_is_closed_leaves_nothing_behind() -> None:
    async def test() -> None:
        before = open_files()
        for _ in range(3):
            async with two() as (a, _, peer):
                assert (await ended(a, peer))["ok"]
        for moment in range(50):
            left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            if not left:
                break
            await asyncio.sleep(0.02 * (moment > 0))
        assert left == []
        assert open_files() <= before + 3

    play(test)
