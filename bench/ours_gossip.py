"""WhispurrNet's side of the gossip benchmark: `node.broadcast` and `node.messages`.

No stem, no stamps and no limit on what a neighbour may send: what is measured is how fast messages
spread, and the others have none of these, or have them switched off. Everything else is as it
always is: sealed for the realm, and the links are our own channel. Nodes do not tell each other
where they are, so that each has the six neighbours it has in the other networks, and not all nine.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import whispurrnet
from bench.common import SCALE, say, scaled
from bench.gossip import NEIGHBOURS, Tally, Told, Work, measure, publish
from bench.ours import run, settings

COUNT, WINDOW = 4_000, 256
SETTLE_S = 2.0
PLENTY = 1_000_000_000


def open_node(level: int) -> AbstractAsyncContextManager[whispurrnet.Node]:
    """A node that spreads as much as it can."""
    limits = {
        "gossip.stem": False,
        "gossip.stamp_bits": 0,
        "gossip.share_address": False,
        "gossip.link_messages_per_s": PLENTY,
        "gossip.link_bytes_per_s": PLENTY,
    }
    return whispurrnet.open(settings(level).replace(**limits))


async def receive(node: whispurrnet.Node, tally: Tally) -> None:
    """Count what the application gets."""
    async for message in node.messages():
        tally.take(message.body)


def joined(node: whispurrnet.Node) -> bool:
    """Whether all of its neighbours are there: those it called, and those that called it."""
    return len(node.neighbours()) >= NEIGHBOURS


async def publish_all(node: whispurrnet.Node, told: Told, work: Work) -> None:
    """Be the publisher."""
    room: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    told.wake = lambda: loop.call_soon_threadsafe(room.put_nowait, None)
    await publish(told, work, node.broadcast, room.get)


async def nodes(level: int, first: int, count: int, work: Work) -> None:
    """The nodes of this process."""
    told = Told()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        members = [await stack.enter_async_context(open_node(level)) for _ in range(count)]
        say({"addresses": [node.ticket.text for node in members]})
        for place, node in enumerate(members):
            tasks.create_task(receive(node, Tally(first + place, work)))
        heard = await asyncio.to_thread(told.line)
        for node, others in zip(members, heard["dial"], strict=True):
            for ticket in others:
                await node.connect(ticket)
        while not all(joined(node) for node in members):
            await asyncio.sleep(0.05)
        await asyncio.sleep(SETTLE_S * min(1.0, SCALE))
        say({"ready": True})
        if not first:
            await asyncio.to_thread(told.line)
            await publish_all(members[0], told, work)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["nodes", *numbers]:
            level_, first_, nodes_, count_, window_ = map(int, numbers)
            run(nodes(level_, first_, nodes_, Work(count_, window_)))
        case [figure, level_text, *window]:
            work_ = Work(scaled(COUNT), int(window[0]) if window else WINDOW)
            command = (sys.executable, "-m", "bench.ours_gossip", "nodes", level_text)
            say(measure(figure, command, work_))
        case _:
            sys.exit("say `python -m bench.ours_gossip FIGURE LEVEL`")
