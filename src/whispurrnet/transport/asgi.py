"""Links over a WebSocket that an ASGI server holds, such as the gateway's `/ws`.

Knows the ASGI messages and no framework: `serve` is given what any ASGI application is. The
server's own settings decide what is seen on the wire; for uvicorn: `ws="websockets-sansio"`,
`ws_per_message_deflate=False`, `ws_ping_interval=None`, `ws_max_size=MESSAGE_BYTES_MAX`,
`server_header=False`.

Source: ASGI, HTTP & WebSocket message format 2.4.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.transport.link import (
    HIGH_WATER,
    LINGER_S,
    LOW_WATER,
    NO_BINDING,
    NOBODY,
    Accept,
    LinkHandler,
)
from whispurrnet.transport.websocket_link import MESSAGE_BYTES_MAX, SLICE_BYTES
from whispurrnet.wire.address import Address, at

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
SendMessage: TypeAlias = Callable[[Message], Awaitable[None]]

NORMAL, UNSUPPORTED, TOO_BIG, TRY_LATER = 1000, 1003, 1009, 1013
GONE = 0
"""Not a code: there is nobody to say goodbye to."""


class AsgiLink:
    """A link over an ASGI WebSocket; see `Link` for its rules, and `serve` for its making."""

    inbound = True

    def __init__(self, remote: Address, path: str, binding: bytes) -> None:
        self.remote = remote
        self.path = path
        self.binding = binding
        self.handler: LinkHandler = NOBODY
        self._outbox: deque[bytes] = deque()
        self._unsent = 0  # bytes
        self._paused = False  # the handler was told so
        self._reason = ""  # why it ends; empty while it is open
        self._code = NORMAL
        self._ended = asyncio.Event()
        self._aborted = asyncio.Event()
        self._work = asyncio.Event()  # something to send, or the end
        self._readable = asyncio.Event()
        self._readable.set()

    def write(self, data: bytes) -> None:
        """Send; see `Link.write`."""
        if self._reason or not data:
            return
        for start in range(0, len(data), SLICE_BYTES):
            self._outbox.append(bytes(data[start : start + SLICE_BYTES]))
        self._unsent += len(data)
        self._work.set()
        if self._unsent > HIGH_WATER and not self._paused:
            self._paused = True
            self.handler.link_paused(self)

    def close(self) -> None:
        """Send what was written, then close; see `Link.close`."""
        self._end("closed here", NORMAL)

    def abort(self) -> None:
        """Close at once; see `Link.abort`."""
        self._outbox.clear()
        self._end("closed here", NORMAL)
        self._aborted.set()

    def pause_reading(self) -> None:
        """Let the other side wait; see `Link.pause_reading`."""
        self._readable.clear()

    def resume_reading(self) -> None:
        """Let data arrive again; see `Link.resume_reading`."""
        self._readable.set()

    async def run(self, receive: Receive, send: SendMessage) -> None:
        """Carry bytes both ways until the link ends. Cancelling ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(receive))
                writing = tasks.create_task(self._write(send))
                await self._ended.wait()
                aborting = tasks.create_task(self._aborted.wait())
                await asyncio.wait(
                    {writing, aborting}, timeout=LINGER_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in (reading, writing, aborting):
                    task.cancel()
        finally:
            self._reason = self._reason or "this node stops"
            self.handler.link_lost(self, self._reason)

    async def _read(self, receive: Receive) -> None:
        """Hand on what comes, until either side ends it."""
        while not self._reason:
            await self._readable.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self._end("closed by the peer", GONE)
            elif self._reason:
                break
            elif (data := message.get("bytes")) is None:
                self._end("it sent text, not bytes", UNSUPPORTED)
            elif len(data) > MESSAGE_BYTES_MAX:
                self._end("it broke the WebSocket protocol", TOO_BIG)
            elif data:
                await self._readable.wait()  # paused while it was on its way
                self.handler.link_data(self, bytes(data))

    async def _write(self, send: SendMessage) -> None:
        """Send what is written, then say goodbye."""
        try:
            while self._outbox or not self._reason:
                await self._work.wait()
                while self._outbox and self._code != GONE:
                    data = self._outbox.popleft()
                    await send({"type": "websocket.send", "bytes": data})
                    self._unsent -= len(data)
                    if self._paused and self._unsent <= LOW_WATER and not self._reason:
                        self._paused = False
                        self.handler.link_resumed(self)
                if not self._reason:
                    self._work.clear()
            if self._code != GONE:
                await send({"type": "websocket.close", "code": self._code})
        except (OSError, RuntimeError):  # ASGI says OSError; uvicorn also raises RuntimeError
            self._end("closed by the peer", GONE)

    def _end(self, reason: str, code: int) -> None:
        if code == GONE:
            self._outbox.clear()
            self._code = GONE
        if not self._reason:
            self._reason = reason
            self._code = code
        self._work.set()
        self._ended.set()


async def serve(
    scope: Message,
    receive: Receive,
    send: SendMessage,
    accept: Accept,
    *,
    binding: bytes = NO_BINDING,
) -> None:
    """Be an ASGI application for one WebSocket: accept it, and carry its bytes until it ends.

    Args:
        scope: Of a connection of type "websocket"; its path is the caller's business.
        receive: As ASGI gives it.
        send: As ASGI gives it.
        accept: Gives the handler; a LimitError turns the connection away.
        binding: Of the TLS certificate the server shows, if it shows one.

    Raises:
        UsageError: The scope is of another type.
    """
    if scope["type"] != "websocket":
        raise UsageError(f"an ASGI scope of type {scope['type']!r}; only 'websocket' makes a link")
    path: Literal["ws", "wss"] = "wss" if scope.get("scheme") == "wss" else "ws"
    host, port = scope.get("client") or ("::", 0)
    link = AsgiLink(_remote(host, port, path), path, binding)
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    try:
        link.handler = accept(link)
    except LimitError:
        await send({"type": "websocket.close", "code": TRY_LATER})
        return
    accepted = False
    try:
        await send({"type": "websocket.accept"})
        accepted = True
    except (OSError, RuntimeError):  # it left; ASGI says OSError, uvicorn also RuntimeError
        return
    finally:
        if not accepted:
            link.handler.link_lost(link, "closed by the peer")
    await link.run(receive, send)


def _remote(host: str, port: int, path: Literal["ws", "wss"]) -> Address:
    """Where a connection comes from; a server may know it as a name, such as "testclient"."""
    try:
        return at(host, port, path)
    except UsageError:
        return at("::", port, path)
