"""WebRTC by aiolibdatachannel: C++, fast, Python 3.12 and newer.

Its own queue of arrived messages drops the oldest of more than 1024, and its `send` waits until
nothing is buffered. So both are passed by: messages go from its thread to the loop in batches, and
its buffer is asked for how much it holds. What we rely on for that is not promised; a version that
has it no longer is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Literal

import aiolibdatachannel as rtc
from aiolibdatachannel import ConnectionClosedError, RTCError

from whispurrnet.base.errors import HostError, ProtocolError
from whispurrnet.transport.webrtc_backend import BUFFER_LOW_BYTES, CLOSE_S, LABEL, Hears, Ice, Name

NAME: Name = "aiolibdatachannel"

_RELIED_ON = (
    *((rtc.DataChannel, name) for name in ("_cb_message", "_cb_buffered_low", "_handle_closed")),
    *((rtc.DataChannel, name) for name in ("_cb_open", "_destroy")),
    *((rtc.PeerConnection, name) for name in ("_handle_incoming_dc", "_handle_state_change")),
    *(
        (rtc.PeerConnection, name)
        for name in ("_handle_local_candidate", "_handle_gathering_state")
    ),
)
for _owner, _attribute in _RELIED_ON:
    if not hasattr(_owner, _attribute):
        raise ImportError(
            f"this version of aiolibdatachannel has no {_attribute}; 2026.10.15 is known to work"
        )


class _Channel(rtc.DataChannel):
    """A data channel that drops nothing, and tells the connection at once."""

    def __init__(self, handle: int, owner: LibdatachannelConnection) -> None:
        self._owner = owner
        self._arrived: deque[bytes | str] = deque()
        self._woken = False
        super().__init__(handle, loop=owner.loop, recv_buffer=1)
        self._native.set_buffered_amount_low_threshold(BUFFER_LOW_BYTES)

    # These two are called from a thread of the library.

    def _cb_message(self, data: bytes | str) -> None:
        self._arrived.append(data)
        if not self._woken:
            self._woken = True
            self._wake(self._drain)

    def _cb_buffered_low(self) -> None:
        self._wake(self._owner.on_low)

    def _cb_open(self) -> None:
        self._wake(self._owner.on_open)

    def _wake(self, what: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._owner.loop.call_soon_threadsafe(what)

    # These on the loop.

    def _drain(self) -> None:
        self._woken = False  # before the first is taken, or one that comes now would lie here
        arrived = self._arrived
        batch: list[bytes] = []
        while arrived:
            data = arrived.popleft()
            if isinstance(data, str):
                self._hand(batch)
                batch = []
                self._owner.on_message(data)
            else:
                batch.append(data)
        self._hand(batch)

    def _hand(self, batch: list[bytes]) -> None:
        if batch:
            self._owner.on_message(batch[0] if len(batch) == 1 else b"".join(batch))

    def _handle_closed(self) -> None:
        super()._handle_closed()
        self._drain()
        self._owner.on_gone("the peer closed the WebRTC link")


class _Peer(rtc.PeerConnection):
    """A peer connection that tells what happens at once, instead of by queues."""

    def __init__(self, config: rtc.RTCConfiguration, owner: LibdatachannelConnection) -> None:
        self._owner = owner
        super().__init__(config)

    def _handle_incoming_dc(self, handle: int) -> None:
        self._data_channels.append(self._owner.on_channel(handle))

    def _handle_local_candidate(self, cand: rtc.IceCandidate) -> None:
        self._owner.hears.rtc_found(cand.candidate, cand.mid)

    def _handle_gathering_state(self, state: rtc.GatheringState) -> None:
        super()._handle_gathering_state(state)
        if state is rtc.GatheringState.COMPLETE:
            self._owner.hears.rtc_found("", "")

    def _handle_state_change(self, state: rtc.RTCState) -> None:
        super()._handle_state_change(state)
        if state is rtc.RTCState.FAILED:
            self._owner.on_gone("no path to the peer's addresses")
        elif state is rtc.RTCState.CLOSED:
            self._owner.on_gone("the path of the WebRTC link broke")


class LibdatachannelConnection:
    """One peer connection of libdatachannel; see `Connection`."""

    selected = turn = None  # the binding does not tell

    def __init__(self, ice: Ice, hears: Hears) -> None:
        self.hears = hears
        self.loop = asyncio.get_running_loop()
        self._channel: _Channel | None = None
        self._opened = False
        self._over = False
        servers = [
            rtc.IceServer(
                url=server.url if server.is_turn else f"stun:{server.host}:{server.port}",
                username=server.username or None,
                credential=server.credential or None,
            )
            for server in ice.servers
            if not server.over_tcp
        ]
        policy = rtc.TransportPolicy.RELAY if ice.relay_only else rtc.TransportPolicy.ALL
        config = rtc.RTCConfiguration(ice_servers=servers, ice_transport_policy=policy)
        try:
            self._pc = _Peer(config, self)
        except RTCError as error:
            raise HostError(f"no WebRTC connection can be made here: {error}") from error

    @property
    def buffered(self) -> int:
        """Bytes handed over and not sent."""
        return self._channel.buffered_amount if self._channel is not None else 0

    async def offer(self) -> str:
        """Offer a data channel; candidates follow."""
        handle = self._pc._native.create_data_channel(label=LABEL)  # noqa: SLF001
        self._channel = _Channel(handle, self)
        self._pc._data_channels.append(self._channel)  # noqa: SLF001
        return await self._describe("offer")

    async def answer(self, sdp: str) -> str:
        """Answer an offer."""
        await self._set(sdp, "offer")
        return await self._describe("answer")

    async def accept(self, sdp: str) -> None:
        """Take the answer."""
        await self._set(sdp, "answer")

    async def add(self, candidate: str, mid: str) -> None:
        """Try the peer there, too."""
        try:
            await self._pc.add_remote_candidate(candidate, mid)
        except (RTCError, ValueError) as error:
            raise ProtocolError("a WebRTC candidate is malformed") from error

    def send(self, data: bytes | str) -> None:
        """Send a message."""
        channel = self._channel
        if channel is None or self._over:
            return
        with contextlib.suppress(RTCError):  # it has just closed, and we hear of it soon
            if isinstance(data, str):
                channel._native.send_text(data)  # noqa: SLF001
            else:
                channel._native.send_bytes(data)  # noqa: SLF001

    async def close(self) -> None:
        """Close at once."""
        self._over = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._pc.aclose()

    async def _describe(self, kind: Literal["offer", "answer"]) -> str:
        try:
            return str((await self._pc.set_local_description(kind)).sdp)
        except (RTCError, ConnectionClosedError) as error:
            raise HostError(f"no WebRTC description can be made here: {error}") from error

    async def _set(self, sdp: str, kind: Literal["offer", "answer"]) -> None:
        try:
            await self._pc.set_remote_description(sdp, kind)
        except (RTCError, ValueError) as error:
            raise ProtocolError("a WebRTC description is malformed") from error

    # What the two above say, on the loop

    def on_channel(self, handle: int) -> rtc.DataChannel:
        """The other side made a channel: the handlers must stand before this returns."""
        if self._channel is not None:
            return rtc.DataChannel(handle, loop=self.loop, recv_buffer=1)
        channel = self._channel = _Channel(handle, self)
        if channel.label != LABEL:
            self.on_gone("the peer made another channel than ours")
        elif channel.is_open:
            self.on_open()
        return channel

    def on_open(self) -> None:
        """The channel is open; said once."""
        if not self._opened and not self._over:
            self._opened = True
            self.hears.rtc_open()

    def on_message(self, data: bytes | str) -> None:
        """Something arrived."""
        if not self._over:
            self.on_open()
            self.hears.rtc_message(data)

    def on_low(self) -> None:
        """Little is buffered."""
        if not self._over:
            self.hears.rtc_low()

    def on_gone(self, reason: str) -> None:
        """It is over."""
        if not self._over:
            self._over = True
            self.hears.rtc_lost(reason)


def connect(ice: Ice, hears: Hears) -> LibdatachannelConnection:
    """A new peer connection."""
    return LibdatachannelConnection(ice, hears)
