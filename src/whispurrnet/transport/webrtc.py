"""Links over WebRTC data channels.

The stream of bytes travels in binary messages of at most 16 KiB; where one ends means nothing.
Data channels know no receiver that is slow: whatever arrives is handed over. So the two ends tell
each other in text messages how far they have read, and nobody sends further than `WINDOW_BYTES`
beyond that:

    "123456"    so many bytes have I taken, in all
    "end"       nothing more follows from me; close when you have read all of it
    other       of a later version: ignored

Invariants: no more than `WINDOW_BYTES` of the peer's bytes wait here; `link_lost` comes when the
peer connection is closed, and not before.

Source: RFC 8831 (data channels), section 6.6; `docs/protocol/webrtc.md`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

from whispurrnet.crypto.hash import sha256
from whispurrnet.transport.link import HIGH_WATER, LINGER_S, LOW_WATER, NOBODY, LinkHandler
from whispurrnet.transport.webrtc_backend import BUFFER_BYTES, MESSAGE_BYTES_MAX, Connection
from whispurrnet.wire.address import Address, at

WINDOW_BYTES = 1 << 20
"""How much may be on its way to a peer who has not said that it took it."""

TELL_BYTES = 1 << 18
"""After so many bytes taken the other side is told."""

NUDGE_S = 0.25
"""So long after the library was full it is handed another message, whatever it says."""

TEXT_CHARS_MAX = 32
END = "end"
CLOSED_HERE = "closed here"

UNKNOWN = {
    "no": Address("webrtc", "", 0, "webrtc"),
    "maybe": Address("webrtc", "", 0, "webrtc-or-turn"),
    "yes": Address("webrtc", "", 0, "turn"),
}
"""Where the other side of a link is, when the library does not tell."""


def binding_of(offerer: bytes, answerer: bytes) -> bytes:
    """The binding of a link: 2, and both sides' DTLS fingerprints.

    Args:
        offerer: 32 bytes, SHA-256 of the certificate of who offered.
        answerer: The same of the other.
    """
    return b"\x02" + sha256(b"WN1 webrtc" + offerer + answerer)


class WebrtcLink:
    """A link over one data channel; see `Link` for its rules.

    Args:
        connection: Its channel is open.
        handler: Hears of the link.
        inbound: Whether the other side offered.
        binding: See `binding_of`.
        turn: Whether it may go, or does go, through a TURN server.
    """

    path = "webrtc"

    def __init__(
        self,
        connection: Connection,
        handler: LinkHandler,
        *,
        inbound: bool,
        binding: bytes,
        turn: Literal["no", "maybe", "yes"] = "no",
    ) -> None:
        self.handler = handler
        self.inbound = inbound
        self.binding = binding
        selected, carried = connection.selected, connection.turn
        if carried:
            self.remote = at(*carried, "turn")
        else:
            self.remote = at(*selected, "webrtc") if selected else UNKNOWN[turn]
        self.reason = ""
        """Why it ends; empty while it is open."""
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._out: deque[bytes] = deque()
        self._unsent = 0  # bytes in `_out`
        self._sent = self._acknowledged = 0
        self._taken = self._told = 0
        self._inbox: deque[bytes] = deque()
        self._waiting = 0  # bytes in `_inbox`
        self._reading = True
        self._woken = False
        self._pump_due = False
        self._paused = False  # the handler was told so
        self._ended = False  # the other side has said that it is done
        self._done = False  # we have
        self._lost = False
        self._linger: asyncio.TimerHandle | None = None
        self._nudge: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        connection.hears = self

    # The link

    def write(self, data: bytes) -> None:
        """Send; see `Link.write`."""
        if self.reason or not data:
            return
        if len(data) <= MESSAGE_BYTES_MAX:
            self._out.append(bytes(data))
        else:
            whole = memoryview(data)
            steps = range(0, len(data), MESSAGE_BYTES_MAX)
            self._out.extend(bytes(whole[at : at + MESSAGE_BYTES_MAX]) for at in steps)
        self._unsent += len(data)
        if self._unsent >= MESSAGE_BYTES_MAX:
            self._pump()
        elif not self._pump_due:  # what else is written in this turn of the loop goes with it
            self._pump_due = True
            self._loop.call_soon(self._pump)
        if self._unsent > HIGH_WATER and not self._paused:
            self._paused = True
            self.handler.link_paused(self)

    def close(self) -> None:
        """Send what was written, then close; see `Link.close`."""
        if not self.reason:
            self.reason = CLOSED_HERE
            self._forget_inbox()
            self._linger = self._loop.call_later(LINGER_S, self._shut)
            self._pump()

    def abort(self) -> None:
        """Close at once; see `Link.abort`."""
        self._leave(CLOSED_HERE)

    def pause_reading(self) -> None:
        """Let the other side wait; see `Link.pause_reading`."""
        self._reading = False

    def resume_reading(self) -> None:
        """Let data arrive again; see `Link.resume_reading`."""
        self._reading = True
        if (self._inbox or self._ended) and not self._woken:
            self._woken = True
            self._loop.call_soon(self._deliver)

    # What the connection says

    def rtc_found(self, candidate: str, mid: str) -> None:
        """It is connected: no other path is wanted."""

    def rtc_open(self) -> None:
        """It was open before this link was made."""

    def rtc_message(self, data: bytes | str) -> None:
        """Bytes of the stream, or a word about it."""
        if self._lost or self._closing is not None:
            return
        if isinstance(data, str):
            self._on_text(data)
        elif self.reason:
            self._taken += len(data)  # read and dropped, so that what we sent is read, too
            self._tell()
        elif data and not self._ended:
            self._waiting += len(data)
            if self._taken + self._waiting - self._told > WINDOW_BYTES:
                self._leave("the peer sent more than it may")
            elif self._reading and not self._inbox:
                self._hand_over(data)
            else:
                self._inbox.append(data)

    def rtc_low(self) -> None:
        """The library has sent most of what it had."""
        if self._nudge is not None:
            self._nudge.cancel()
            self._nudge = None
        self._pump()

    def rtc_lost(self, reason: str) -> None:
        """The connection is gone."""
        self._leave(reason)

    # Inside

    def _on_text(self, text: str) -> None:
        if text == END:
            self._ended = True
            if self.reason:
                if self._done or not self._out:
                    self._shut()
            elif self._reading and not self._inbox:
                self._finish()
        elif len(text) <= TEXT_CHARS_MAX and text.isascii() and text.isdigit():
            taken = int(text)
            if not self._acknowledged <= taken <= self._sent:
                self._leave("the peer took bytes that were not sent")
                return
            self._acknowledged = taken
            self._pump()
        elif len(text) > TEXT_CHARS_MAX:
            self._leave("the peer sent what is no word of this protocol")

    def _deliver(self) -> None:
        """Hand over what has waited while reading was paused."""
        self._woken = False
        while self._inbox and self._reading and not self.reason:
            chunks: list[bytes] = []
            size = 0
            while self._inbox and size < TELL_BYTES:
                chunks.append(self._inbox.popleft())
                size += len(chunks[-1])
            self._hand_over(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if self._ended and self._reading and not self._inbox and not self.reason:
            self._finish()

    def _hand_over(self, data: bytes) -> None:
        self._waiting -= len(data)
        self._taken += len(data)
        self.handler.link_data(self, data)
        self._tell()

    def _tell(self) -> None:
        """Tell the other side how far we have read, now and then."""
        if self._taken - self._told >= TELL_BYTES and self._closing is None:
            self._told = self._taken
            self._connection.send(str(self._taken))

    def _pump(self) -> None:
        """Hand the library what it has room for, and the peer."""
        out, connection = self._out, self._connection
        self._pump_due = False
        if self._closing is not None:
            return
        room = 0
        while out:
            # Asked again before stopping: only a buffer that is full now says later that it is not.
            if room <= 0 and (room := BUFFER_BYTES - connection.buffered) <= 0:
                if self._nudge is None:
                    self._nudge = self._loop.call_later(NUDGE_S, self._push)
                break
            if self._sent + len(out[0]) - self._acknowledged > WINDOW_BYTES:
                break
            message = self._next()
            self._sent += len(message)
            self._unsent -= len(message)
            room -= len(message)
            connection.send(message)
        if self._paused and self._unsent <= LOW_WATER and not self.reason:
            self._paused = False
            self.handler.link_resumed(self)
        if self.reason and not out and not self._done:
            self._done = True
            connection.send(END)
            if self._ended:
                self._shut()

    def _push(self) -> None:
        """The library says that it is full, and has not said since that it is no longer.

        A word that it has room may have been lost between its threads and ours; a link must not
        wait for it for ever. The window bounds what this adds.
        """
        self._nudge = None
        if self._out and self._closing is None:
            if self._sent + len(self._out[0]) - self._acknowledged <= WINDOW_BYTES:
                message = self._next()
                self._sent += len(message)
                self._unsent -= len(message)
                self._connection.send(message)
            self._pump()

    def _next(self) -> bytes:
        """The next message: small pieces that fit, and that the peer has room for, in one."""
        first, out = self._out.popleft(), self._out
        room = min(MESSAGE_BYTES_MAX, WINDOW_BYTES - self._sent + self._acknowledged) - len(first)
        if not out or len(out[0]) > room:
            return first
        pieces = [first]
        while out and len(out[0]) <= room:
            pieces.append(out.popleft())
            room -= len(pieces[-1])
        return b"".join(pieces)

    def _finish(self) -> None:
        """All that the other side sent was read, and it has closed."""
        self._leave("closed by the peer")

    def _leave(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._shut()

    def _forget_inbox(self) -> None:
        self._taken += self._waiting
        self._waiting = 0
        self._inbox.clear()
        self._tell()

    def _shut(self) -> None:
        """Close the connection, then tell the handler."""
        if self._closing is None:
            self._out.clear()
            self._inbox.clear()
            for timer in (self._linger, self._nudge):
                if timer is not None:
                    timer.cancel()
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        try:
            await self._connection.close()
        finally:
            self._lost = True
            handler, self.handler = self.handler, NOBODY
            handler.link_lost(self, self.reason)
