"""WhispurrNet: a private mesh for Python.

    import asyncio
    import whispurrnet

    async def main() -> None:
        async with whispurrnet.open() as node:
            print(node.ticket)
            async for message in node.messages():
                print(message.sender.name, message.body)

    asyncio.run(main())

Ten names are public; the errors are in `whispurrnet.errors`.
"""

from whispurrnet.base.errors import WhispurrError
from whispurrnet.extensions.extension import Extension
from whispurrnet.node.identity import Identity
from whispurrnet.node.node import Node, open  # noqa: A004 - as gzip.open and io.open are
from whispurrnet.node.peer import Message, Peer
from whispurrnet.node.settings import Settings
from whispurrnet.node.topic import Topic
from whispurrnet.version import VERSION
from whispurrnet.wire.ticket import Ticket

__version__ = VERSION

__all__ = [
    "Extension",
    "Identity",
    "Message",
    "Node",
    "Peer",
    "Settings",
    "Ticket",
    "Topic",
    "WhispurrError",
    "open",
]
