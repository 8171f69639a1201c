"""Five nodes in a line: what the first says, the last hears; those between carry it unread."""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


async def main() -> None:
    async with AsyncExitStack() as stack:
        line = [await stack.enter_async_context(whispurrnet.open(**HERE)) for _ in range(5)]
        for one, other in pairwise(line):
            await one.connect(other.ticket)
        first, last = line[0], line[-1]
        async with last.join("harbour/weather", threshold=0.3) as topic:
            await first.resonate("harbour/tide", b"high at nine", signed=True)
            heard = await anext(topic)
            same = heard.author == first.id
            print(f"{heard.topic}: {heard.body.decode()}, strength {heard.strength:.2f}, {same=}")
        await first.broadcast(b"the harbour is closed")
        await first.emergency(b"a boat is adrift")
        inbox = last.messages()
        for message in [await anext(inbox) for _ in range(2)]:
            print(message.kind, message.body.decode())


asyncio.run(main())
