"""WebRTC by aiortc: Python, on every machine; some 7 MB/s, some 130 MB installed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from aiortc.sdp import candidate_from_sdp

from whispurrnet.base.errors import ProtocolError
from whispurrnet.transport.webrtc_backend import BUFFER_LOW_BYTES, CLOSE_S, LABEL, Hears, Ice, Name

NAME: Name = "aiortc"

for _name in ("aiortc", "aioice"):  # they would log addresses, and what they carry
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_MALFORMED = (ValueError, LookupError, AssertionError, InvalidStateError, InvalidAccessError)
"""What aiortc says to descriptions and candidates that it cannot use."""


class AiortcConnection:
    """One `RTCPeerConnection`; see `Connection`."""

    def __init__(self, ice: Ice, hears: Hears) -> None:
        self.hears = hears
        servers = [
            RTCIceServer(server.url, server.username or None, server.credential or None)
            for server in ice.servers
        ]
        policy = RTCIceTransportPolicy.RELAY if ice.relay_only else RTCIceTransportPolicy.ALL
        # Without a list of servers, aiortc would ask Google's.
        self._pc = RTCPeerConnection(RTCConfiguration(servers, iceTransportPolicy=policy))
        self._channel: RTCDataChannel | None = None
        self._over = False
        self._pc.on("datachannel", self._on_channel)
        self._pc.on("connectionstatechange", self._on_state)

    @property
    def buffered(self) -> int:
        """Bytes handed over and not sent."""
        return self._channel.bufferedAmount if self._channel is not None else 0

    @property
    def selected(self) -> tuple[str, int] | None:
        """Where the other side is."""
        pair = self._pair()
        if pair is None:
            return None
        return str(pair.remote_addr[0]).partition("%")[0], int(pair.remote_addr[1])

    @property
    def turn(self) -> tuple[str, int] | None:
        """Where a TURN server carries it: ours, or the other side's."""
        pair = self._pair()
        for one in (pair.local_candidate, pair.remote_candidate) if pair is not None else ():
            if one.type == "relay":
                return str(one.host), int(one.port)
        return None

    def _pair(self) -> Any:
        """The pair of candidates that was chosen; None where aiortc has become another."""
        with contextlib.suppress(AttributeError, LookupError):  # not promised by aiortc
            sctp: Any = self._pc.sctp
            pair = sctp.transport.transport._connection._nominated[1]  # noqa: SLF001
            if pair.local_candidate and pair.remote_candidate and pair.remote_addr:
                return pair
        return None

    async def offer(self) -> str:
        """Offer a data channel; aiortc finds all candidates first."""
        self._take(self._pc.createDataChannel(LABEL))
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return str(self._pc.localDescription.sdp)

    async def answer(self, sdp: str) -> str:
        """Answer an offer."""
        await self._set(sdp, "offer")
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    async def accept(self, sdp: str) -> None:
        """Take the answer."""
        await self._set(sdp, "answer")

    async def add(self, candidate: str, mid: str) -> None:
        """Try the peer there, too."""
        try:
            parsed = candidate_from_sdp(candidate.removeprefix("candidate:"))
            parsed.sdpMid = mid
            parsed.sdpMLineIndex = 0
            await self._pc.addIceCandidate(parsed)
        except _MALFORMED as error:
            raise ProtocolError("a WebRTC candidate is malformed") from error

    def send(self, data: bytes | str) -> None:
        """Send a message."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(data)

    async def close(self) -> None:
        """Close at once."""
        self._over = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._pc.close()

    async def _set(self, sdp: str, kind: str) -> None:
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp, kind))
        except _MALFORMED as error:
            raise ProtocolError("a WebRTC description is malformed") from error

    def _on_channel(self, channel: RTCDataChannel) -> None:
        """The other side made a channel: the handlers must stand before this returns."""
        if channel.label != LABEL or self._channel is not None or not channel.ordered:
            channel.close()
            return
        self._take(channel)
        self.hears.rtc_open()

    def _take(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.bufferedAmountLowThreshold = BUFFER_LOW_BYTES
        channel.on("open", self._on_open)
        channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self._on_low)
        channel.on("close", self._on_close)

    def _on_open(self) -> None:
        if not self._over:
            self.hears.rtc_open()

    def _on_message(self, data: bytes | str) -> None:
        if not self._over:
            self.hears.rtc_message(data)

    def _on_low(self) -> None:
        if not self._over:
            self.hears.rtc_low()

    def _on_close(self) -> None:
        self._gone("the peer closed the WebRTC link")

    def _on_state(self) -> None:
        state = self._pc.connectionState
        if state in {"failed", "closed"}:
            self._gone(
                "no path to the peer's addresses"
                if self._channel is None
                else "the path of the WebRTC link broke"
            )

    def _gone(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self.hears.rtc_lost(reason)


def connect(ice: Ice, hears: Hears) -> AiortcConnection:
    """A new peer connection."""
    return AiortcConnection(ice, hears)
