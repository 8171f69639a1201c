"""A topic: everybody in the mesh who listens to the same intent."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from whispurrnet.node.feed import Feed
from whispurrnet.stack import protocols

if TYPE_CHECKING:
    from whispurrnet.node.peer import Message
    from whispurrnet.node.spreading import Sent, Spreading


class Topic:
    """Joined with `Node.join`; an asynchronous context manager and iterator."""

    def __init__(
        self, node: Spreading, intent: str, key: bytes | None, feed: Feed[Message]
    ) -> None:
        self._node = node
        self._feed = feed
        self._key = key
        self.intent = intent

    def __repr__(self) -> str:
        return f"<Topic, {len(self._feed)} messages wait>"

    async def send(
        self,
        payload: bytes,
        *,
        strength: float = 1.0,
        priority: int = protocols.PRIORITY_DEFAULT,
        signed: bool = False,
        one_of: bool = False,
    ) -> Sent:
        """Send to all who listen; see `Node.resonate`.

        Raises:
            UsageError: The payload is too long, or the strength not between 0 and 1.
        """
        return await self._node.resonate(
            self.intent,
            payload,
            strength=strength,
            priority=priority,
            key=self._key,
            signed=signed,
            one_of=one_of,
        )

    def close(self) -> None:
        """Listen no longer."""
        self._feed.close()

    async def __aenter__(self) -> Topic:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Topic:
        return self

    async def __anext__(self) -> Message:
        return await self._feed.__anext__()
