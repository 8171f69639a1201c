"""Pairs of WebRTC links in one process, and a network interface for them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from whispurrnet.base.errors import LimitError, NetworkError
from whispurrnet.lan.multicast import local_addresses
from whispurrnet.transport import webrtc_backend as library
from whispurrnet.transport import webrtc_sdp
from whispurrnet.transport.link import NOBODY, Accept, Link, LinkHandler, ListenerState
from whispurrnet.transport.webrtc import UNKNOWN, WebrtcLink, binding_of
from whispurrnet.wire.address import Address

BACKENDS = library.installed()
PAIRS = [(a, b) for a in BACKENDS for b in BACKENDS]


def need_interface() -> None:
    """Skip where this machine has only loopback, which WebRTC does not use."""
    if any(not host.is_loopback for host in local_addresses()):
        return
    try:
        for command in (
            "ip link add wn-test type bridge",
            "ip addr add 10.99.0.1/24 dev wn-test",
            "ip link set wn-test up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("WebRTC needs an interface besides loopback, and making one needs root and ip")


class Side:
    """One end of an attempt: remembers, and passes candidates on."""

    def __init__(self, backend: str, ice: library.Ice | None = None) -> None:
        self.open = asyncio.Event()
        self.lost = ""
        self.other: Side | None = None
        self.connection = library.load(backend).connect(ice or library.Ice(), self)  # type: ignore[arg-type]
        self.sdp = ""
        self.early: list[tuple[str, str]] = []
        self.words: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.linked: Callable[[], None] = lambda: None

    def rtc_found(self, candidate: str, mid: str) -> None:
        if candidate and self.other is not None:
            self.other.words.put_nowait((candidate, mid))
        elif candidate:
            self.early.append((candidate, mid))

    def rtc_open(self) -> None:
        self.linked()
        self.open.set()

    def rtc_message(self, data: bytes | str) -> None:
        raise AssertionError(f"{data!r} came before there was a link")

    def rtc_low(self) -> None:
        pass

    def rtc_lost(self, reason: str) -> None:
        self.lost = reason
        self.open.set()

    def joins(self, other: Side) -> None:
        """The other side has our description: candidates may go to it from now on."""
        self.other = other
        for candidate, mid in self.early:
            self.rtc_found(candidate, mid)

    async def run(self) -> None:
        while True:
            await self.connection.add(*await self.words.get())


async def agree(near: Side, far: Side, tamper: Callable[[str], str] = lambda sdp: sdp) -> None:
    """Offer, answer, and candidates one by one, as `nat.signal` does; until both are open."""
    near.sdp = webrtc_sdp.ours(await near.connection.offer(), host=True)
    far.sdp = webrtc_sdp.ours(
        await far.connection.answer(webrtc_sdp.theirs(tamper(near.sdp))), host=True
    )
    await near.connection.accept(webrtc_sdp.theirs(tamper(far.sdp)))
    near.joins(far)
    far.joins(near)
    tasks = [asyncio.ensure_future(side.run()) for side in (near, far)]
    try:
        async with asyncio.timeout(10):
            await near.open.wait()
            await far.open.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if near.lost or far.lost:
        raise NetworkError(near.lost or far.lost)


class RtcListener:
    """Where links come in: anybody in this process who holds it can dial it."""

    def __init__(self, accept: Accept) -> None:
        self.address = UNKNOWN["no"]
        self.state = ListenerState.LISTENING
        self.accept = accept

    async def close(self) -> None:
        self.state = ListenerState.NOT_LISTENING


class RtcTransport:
    """Links between two peer connections of this process."""

    names = ("webrtc",)

    def __init__(self, near: str, far: str) -> None:
        self.backends = near, far
        self.listener: RtcListener | None = None

    async def listen(self, address: Address, accept: Accept) -> RtcListener:
        self.listener = RtcListener(accept)
        return self.listener

    async def dial(
        self, address: Address, handler: LinkHandler, *, host: str | None = None
    ) -> Link:
        listener = self.listener
        if listener is None or listener.state is not ListenerState.LISTENING:
            raise NetworkError("nobody listens")
        near, far = (Side(name) for name in self.backends)
        links: list[WebrtcLink] = []

        def binding() -> bytes:
            prints = [webrtc_sdp.fingerprint(side.sdp) for side in (near, far)]
            return binding_of(*prints)

        def take_far() -> None:
            link = WebrtcLink(far.connection, NOBODY, inbound=True, binding=binding())
            try:
                link.handler = listener.accept(link)
            except LimitError:
                link.abort()

        near.linked = lambda: links.append(
            WebrtcLink(near.connection, handler, inbound=False, binding=binding())
        )
        far.linked = take_far
        await agree(near, far)
        return links[0]


async def bounded(work: Awaitable[None], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        await work
