"""A link over one WebSocket, as client or as server.

The stream of bytes travels in binary messages; where one ends means nothing. The protocol is
`websockets`' own core, run on an `asyncio.Protocol`: no tasks, no queues. Nothing on the wire says
what we are: no compression is offered or taken (frames are sealed: it would only leak), no server
and no user agent is named, no pings are sent (the session has its heartbeat), and whoever asks for
another path, or is no WebSocket, gets one plain 404.

Source: RFC 6455.
"""

from __future__ import annotations

import asyncio
import http
import logging

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from whispurrnet.base.errors import NetworkError
from whispurrnet.transport.link import HANDSHAKE_TIMEOUT_S, Accept
from whispurrnet.transport.tcp import CLOSED_HERE, TcpLink
from whispurrnet.wire.address import Address

MESSAGE_BYTES_MAX = 1 << 20
"""A longer message ends the link."""

SLICE_BYTES = 1 << 18
"""A longer write travels as several messages."""

PINGS_UNANSWERED_MAX = 64
"""Who sends more pings while it does not read our answers is cut off."""

HEAD_BYTES_MAX = 1 << 16
"""How much may come before the upgrade is complete."""

_DATA = frozenset({Opcode.BINARY, Opcode.CONT})
_SILENT = logging.getLogger("whispurrnet.transport.frames")
_SILENT.disabled = True  # `websockets` would log what it carries


class WebSocketLink(TcpLink):
    """A link over one WebSocket; see `Link` for its rules."""

    def __init__(self, accept: Accept, address: Address, *, inbound: bool) -> None:
        super().__init__(accept, address.transport, None if inbound else address)
        self.opened: asyncio.Future[None] | None = None
        """Done once the upgrade is, for who dials."""
        self._address = address
        self._wire: ClientProtocol | ServerProtocol
        if inbound:
            self._wire = ServerProtocol(max_size=MESSAGE_BYTES_MAX, logger=_SILENT)
        else:
            name = address.host.partition("%")[0]  # a zone means nothing to the other side
            uri = WebSocketURI(address.is_tls, name, address.port, address.path, "")
            self._wire = ClientProtocol(uri, max_size=MESSAGE_BYTES_MAX, logger=_SILENT)
            self.opened = asyncio.get_running_loop().create_future()
        self.is_open = False
        """Whether the upgrade is done."""
        self._head_bytes = 0
        self._blocked = False  # the other side does not read
        self._pings = 0  # while blocked
        self._timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Send; see `Link.write`."""
        if self.reason or not data or self._wire.state is not State.OPEN:
            return
        if len(data) <= SLICE_BYTES:
            self._wire.send_binary(data)
        else:
            view = memoryview(data)
            for start in range(0, len(data), SLICE_BYTES):
                self._wire.send_binary(view[start : start + SLICE_BYTES])
        self._flush()

    def close(self) -> None:
        """Send what was written, then close; see `Link.close`."""
        if not self.reason:
            self._leave(CLOSED_HERE, CloseCode.NORMAL_CLOSURE)

    # What asyncio calls.

    def connected(self) -> None:
        """TCP stands; upgrade."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_TIMEOUT_S, self.transport.abort)
        if isinstance(self._wire, ClientProtocol):
            self._wire.send_request(self._wire.connect())
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Take frames apart, and hand on what they hold, all of one read at once."""
        wire = self._wire
        if self.reason and wire.close_sent is None:
            return  # but after an own close, the answer is waited for
        if not self.is_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.abort()
                return
        wire.receive_data(data)
        chunks = [chunk for event in wire.events_received() if (chunk := self._take(event))]
        if chunks and not self.reason:
            self.handler.link_data(self, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if wire.parser_exc is not None:
            self._fail()
        elif not self.is_open and wire.handshake_exc is not None:
            self._turn_away()
        else:
            self._flush()
            if wire.close_rcvd is not None:
                self._end("closed by the peer")

    def give_up(self) -> None:
        """Whoever dialled does not want it any more, or has heard why there is none."""
        assert self.opened is not None, "only who dials gives up"
        if not self.opened.cancel() and not self.opened.cancelled():
            self.opened.exception()  # it has been heard of
        if self._timer is not None:
            self.abort()

    def pause_writing(self) -> None:
        """The buffer is above the high-water mark."""
        self._blocked = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """The buffer is at the low-water mark."""
        self._blocked = False
        self._pings = 0
        super().resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever dials, or the handler."""
        if self._timer is not None:
            self._timer.cancel()
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(
                self.refused
                or NetworkError(
                    f"{self._address} speaks no WebSocket; check the port and the ending"
                )
            )
        super().connection_lost(error)

    # What comes out of the WebSocket.

    def _take(self, event: Frame | Request | Response) -> bytes:
        """Act on one event; returns the bytes of the stream in it."""
        match event:
            case Frame():
                if event.opcode in _DATA:
                    return bytes(event.data)
                if event.opcode is Opcode.TEXT:
                    self._leave("it sent text, not bytes", CloseCode.UNSUPPORTED_DATA)
                elif event.opcode is Opcode.PING and self._blocked:
                    self._pings += 1
                    if self._pings > PINGS_UNANSWERED_MAX:
                        self.reason = self.reason or "it sent pings and read no answers"
                        self.transport.abort()
            case Request():
                self._answer(event)
            case Response():
                self._hear(event)
        return b""

    def _answer(self, request: Request) -> None:
        """As server: the other side asks for the upgrade."""
        assert isinstance(self._wire, ServerProtocol)
        response = self._wire.accept(request)
        path = request.path.partition("?")[0]
        if (
            path != self._address.path
            or response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS
        ):
            self._turn_away()
        else:
            self._wire.send_response(response)
            self._flush()
            self._upgraded()

    def _hear(self, response: Response) -> None:
        """As client: the other side has answered."""
        if self._wire.handshake_exc is None:
            self._upgraded()
            return
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(
                NetworkError(
                    f"{self._address} is no node's WebSocket: HTTP {response.status_code}; "
                    "check the port and the path"
                )
            )
        self._turn_away()

    def _turn_away(self) -> None:
        """This is no WebSocket of ours: answer as any web server would, if it is ours to answer."""
        if isinstance(self._wire, ServerProtocol) and not self.reason:
            response = self._wire.reject(http.HTTPStatus.NOT_FOUND, "Not Found\n")
            self.transport.write(response.serialize())
        self._end("refused")

    def _upgraded(self) -> None:
        self.is_open = True
        if self._timer is not None:
            self._timer.cancel()
        self.open()
        if self.opened is not None and not self.opened.done():
            self.opened.set_result(None)

    def _flush(self) -> None:
        for data in self._wire.data_to_send():
            if data:  # an empty one asks to half-close, which TLS cannot; `_end` closes
                self.transport.write(data)

    def _fail(self) -> None:
        """The other side broke the protocol: say so by a code, and leave the library's words."""
        if self._wire.close_sent is not None and not self.reason:
            body = self._wire.close_sent.code.to_bytes(2, "big")
            self.transport.write(Frame(Opcode.CLOSE, body).serialize(mask=not self.inbound))
        self._end("it broke the WebSocket protocol")

    def _leave(self, reason: str, code: CloseCode) -> None:
        """Start the closing handshake; the answer, or `LINGER_S`, ends the link."""
        self.resume_reading()  # the answer must be seen
        if self._wire.state is State.OPEN:
            self._wire.send_close(code)
            self._flush()
        self.leave(reason)

    def _end(self, reason: str) -> None:
        """Close the connection once everything written is sent."""
        if not self.reason:
            self.leave(reason)
        self.half_close()
