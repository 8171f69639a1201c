"""A stream of bytes to a peer, both ways, with flow control from end to end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from whispurrnet.base.errors import NetworkError, UsageError

if TYPE_CHECKING:
    from whispurrnet.node.conversation import Conversation
    from whispurrnet.node.peer import Peer

BUFFERED_MAX = 1 << 20
"""`write` waits while more bytes than this wait to be sent."""

CREDIT_BYTES = 512 * 1024
"""Credit is given back in steps of this size."""


class Stream:
    """One stream; made by `Peer.open_stream` or taken from `Node.streams`.

    Cancelling any wait is safe: nothing is lost. When the session ends, the stream does: both
    `read` and `write` then raise NetworkError.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_finished",
        "_node",
        "_owed",
        "_readable",
        "_writable",
        "name",
        "number",
        "peer",
    )

    def __init__(self, node: Conversation, peer: Peer, number: int, name: str) -> None:
        self._node = node
        self.peer = peer
        self.number = number
        self.name = name
        self._chunks: deque[bytes] = deque()
        self._owed = 0
        self._finished = False
        self._error: str | None = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Stream {self.number} to {self.peer.name}>"

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while much is still unsent.

        Raises:
            NetworkError: The stream was reset, or its session ended.
        """
        self._check()
        self._node.write_stream(self, data)
        while self._node.unsent(self) > BUFFERED_MAX:
            if self._writable is None or self._writable.done():
                self._writable = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._writable)  # other tasks may wait for it too
            self._check()

    async def read(self) -> bytes:
        """The next bytes, of any length; `b""` when the peer has finished.

        Raises:
            NetworkError: The stream was reset, or its session ended.
        """
        while not self._chunks:
            if self._error is not None:
                raise NetworkError(self._error)
            if self._finished:
                return b""
            if self._readable is not None:
                raise UsageError("only one task may read a stream at a time")
            self._readable = asyncio.get_running_loop().create_future()
            try:
                await self._readable
            finally:
                self._readable = None
        chunk = self._chunks.popleft()
        self._owed += len(chunk)
        if self._owed >= CREDIT_BYTES or not self._chunks:
            if self._error is None:  # else the number may be that of another stream by now
                self._node.consumed(self, self._owed)
            self._owed = 0
        return chunk

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.read()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def read_all(self, *, limit: int = 64 << 20) -> bytes:
        """Everything until the peer finishes.

        Args:
            limit: How many bytes at most.

        Raises:
            NetworkError: The stream was reset, or its session ended.
            UsageError: More than `limit` bytes came.
        """
        whole = bytearray()
        async for chunk in self:
            whole += chunk
            if len(whole) > limit:
                self.reset()
                raise UsageError(f"the stream holds more than {limit} bytes; read it in parts")
        return bytes(whole)

    def finish(self) -> None:
        """Nothing more will be written; the peer reads to the end."""
        if self._error is None:
            self._node.finish_stream(self)

    def reset(self) -> None:
        """Give the stream up, both ways."""
        if self._error is None:
            self._node.reset_stream(self)
            self.fail("the stream was reset here")

    # From the node

    def feed(self, data: bytes) -> None:
        """Bytes arrived."""
        self._chunks.append(data)
        _wake(self._readable)

    def feed_end(self) -> None:
        """The peer has finished."""
        self._finished = True
        _wake(self._readable)

    def fail(self, reason: str) -> None:
        """The stream is no more."""
        self._error = f"the stream ended: {reason}"
        _wake(self._readable)
        _wake(self._writable)

    def writable(self) -> None:
        """There is room to write more."""
        _wake(self._writable)

    def _check(self) -> None:
        if self._error is not None:
            raise NetworkError(self._error)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
