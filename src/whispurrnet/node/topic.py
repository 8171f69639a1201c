"""A topic: those direct peers who listen to the same intent.

Until gossip exists, a message goes to the direct peers that announced the intent, and no further.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from whispurrnet.node.feed import Feed
from whispurrnet.stack import protocols

if TYPE_CHECKING:
    from whispurrnet.node.conversation import Conversation
    from whispurrnet.node.peer import Message


class Topic:
    """Joined with `Node.join`; an asynchronous context manager and iterator."""

    def __init__(self, node: Conversation, intent: str, feed: Feed[Message]) -> None:
        self._node = node
        self._feed = feed
        self.intent = intent

    def __repr__(self) -> str:
        return f"<Topic, {len(self._feed)} messages wait>"

    async def send(
        self,
        payload: bytes,
        *,
        strength: float = 1.0,
        priority: int = protocols.PRIORITY_DEFAULT,
    ) -> int:
        """Send to the direct peers that listen; their number is the answer.

        Raises:
            UsageError: The strength is not between 0 and 1.
        """
        return await self._node.resonate(self.intent, payload, strength=strength, priority=priority)

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
