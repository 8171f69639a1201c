"""What happens on the node, for those who look: a ring of messages and a WebSocket of events.

Both are bounded: the ring by count and bytes, each event feed by the node, feeds by number.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from whispurrnet.base.errors import LimitError
from whispurrnet.gateway.answers import MessageRow, MessagesAnswer
from whispurrnet.gateway.bodies import key_id
from whispurrnet.gossip.resonance import normalise

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Message
    from whispurrnet.node.topic import Topic

MESSAGES_MAX = 1000
BYTES_MAX = 16 * 2**20
FEEDS_MAX = 64
INTENTS_MAX = 256

_Where: TypeAlias = tuple[str, bytes | None]
"""An intent, and the key of a private topic."""


class Live:
    """What the API remembers of the node's life: recent messages, intents listened to."""

    def __init__(self, node: Node) -> None:
        """Look at a node; `run` does the looking."""
        self._node = node
        self._ring: deque[tuple[int, Message, str]] = deque()
        self._bytes = 0
        self._count = 0
        self._listeners: dict[_Where, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._arrived = asyncio.Event()
        self._feeds = 0
        self._ended = False

    @property
    def intents(self) -> tuple[str, ...]:
        """The public intents that are listened to."""
        return tuple(intent for intent, key in self._listeners if key is None)

    @property
    def private_intents(self) -> tuple[str, ...]:
        """Those that are listened to by a topic key."""
        return tuple(intent for intent, key in self._listeners if key is not None)

    async def run(self, ready: Callable[[], None]) -> None:
        """Take in messages until cancelled."""
        feed = self._node.messages(lossy=True, limit=MESSAGES_MAX)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                ready()
                async for message in feed:
                    self._keep(message)
        finally:
            feed.close()
            self._ended = True
            self._arrived.set()

    def listen(self, intent: str, key: bytes | None = None, threshold: float = 0.5) -> None:
        """Listen to an intent; a second time changes nothing.

        Raises:
            UsageError: It cannot be an intent.
            LimitError: Too many are listened to.
        """
        assert self._tasks is not None, "run comes first"
        where = (normalise(intent), key)
        if where in self._listeners:
            return
        if len(self._listeners) >= INTENTS_MAX:
            raise LimitError(f"{INTENTS_MAX} intents are listened to already; drop one first")
        topic = self._node.join(intent, key=key, threshold=threshold)
        self._listeners[where] = self._tasks.create_task(self._take(topic, where))

    async def unlisten(self, intent: str, key: bytes | None = None) -> None:
        """Listen to an intent no longer."""
        task = self._listeners.pop((normalise(intent), key), None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def after(self, number: int, wait_s: float) -> MessagesAnswer:
        """Messages with a higher number; waits for one if there is none yet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self._count <= number and not self._ended:
                    await self._arrived.wait()
        rows = tuple(message_row(m, n, by) for n, m, by in self._ring if n > number)
        return MessagesAnswer(last=self._count, messages=rows)

    def read(self, number: int) -> bool:
        """Mark a message as read; say whether it is still here."""
        for kept, message, _ in self._ring:
            if kept == number:
                message.mark_read()
                return True
        return False

    async def stream(self, socket: WebSocket) -> None:
        """Serve one WebSocket of events until either side leaves."""
        if self._feeds >= FEEDS_MAX:
            await socket.close(1013, "too many event feeds")
            return
        self._feeds += 1
        try:
            await socket.accept()
            async with asyncio.TaskGroup() as tasks:
                feed = tasks.create_task(self._feed(socket))
                await _until_gone(socket)
                feed.cancel()
        finally:
            self._feeds -= 1

    async def _feed(self, socket: WebSocket) -> None:
        feed = self._node.events()
        with contextlib.closing(feed), contextlib.suppress(WebSocketDisconnect, RuntimeError):
            async for event in feed:
                await socket.send_text(msgspec.json.encode(event).decode())

    async def _take(self, topic: Topic, where: _Where) -> None:
        by = key_id(where[1])
        try:
            async with topic:
                async for message in topic:
                    self._keep(message, by)
        finally:
            if self._listeners.get(where) is asyncio.current_task():
                del self._listeners[where]

    def _keep(self, message: Message, by: str = "") -> None:
        self._count += 1
        self._ring.append((self._count, message, by))
        self._bytes += len(message.body)
        while len(self._ring) > MESSAGES_MAX or self._bytes > BYTES_MAX:
            _, old, _ = self._ring.popleft()
            self._bytes -= len(old.body)
        self._arrived.set()
        self._arrived.clear()


def message_row(message: Message, number: int, by: str = "") -> MessageRow:
    """A message as JSON can carry it; `by` stands for the topic key it came by."""
    try:
        text: str | None = message.body.decode()
    except UnicodeDecodeError:
        text = None
    return MessageRow(
        number=number,
        kind=message.kind,
        sender=message.sender_name,
        sender_id=message.sender.id if message.sender is not None else "",
        author=message.author,
        id=message.id,
        topic=message.topic,
        key_id=by,
        text=text,
        body_base64=base64.b64encode(message.body).decode(),
        priority=message.priority,
        strength=message.strength,
        received_ms=message.received_ms,
    )


async def _until_gone(socket: WebSocket) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
