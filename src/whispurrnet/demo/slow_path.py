"""A slow path to a node: a forwarder that lets so many bytes a second through, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import msgspec

from whispurrnet.transport.tcp import stop_serving
from whispurrnet.wire.address import parse
from whispurrnet.wire.ticket import Ticket

PIECE_BYTES = 16 * 1024
BUFFER_BYTES = 128 * 1024
"""How much the path itself holds: little, so that what waits waits at the sender."""


class SlowPath:
    """An asynchronous context manager; `ticket` leads to the node by this path.

    Args:
        ticket: That of the node, with a TCP address.
        bytes_per_s: How much passes each way.
    """

    def __init__(self, ticket: str, bytes_per_s: float) -> None:
        self._whole = Ticket.parse(ticket)
        self._bytes_per_s = bytes_per_s
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server
        self.ticket = ""

    async def __aenter__(self) -> SlowPath:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=BUFFER_BYTES)
        addresses = (f"/ip4/127.0.0.1/tcp/{port}",)
        self.ticket = msgspec.structs.replace(self._whole, addresses=addresses).text
        return self

    async def __aexit__(self, *error: object) -> None:
        await stop_serving(self._server)
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = parse(self._whole.addresses[0])
        there, back = await asyncio.open_connection(target.host, target.port)
        self._writers += [writer, back]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(PIECE_BYTES):
            sink.write(data)
            await sink.drain()
            await asyncio.sleep(len(data) / self._bytes_per_s)
        sink.close()
