"""py-libp2p 0.8.1's GossipSub 1.1 on trio: TCP, Noise and Yamux.

D is 6, and of its six neighbours a node has four to six in the mesh of the topic; a heartbeat each
second. Its limit
of ten messages a second and topic is off, and so is its protection from neighbours of one address
(all of them are on loopback); messages are not signed, as ours are not. Its queue to each neighbour
and that of a subscription hold 32 messages and drop what is over: hence the window.
"""

from __future__ import annotations

import math
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import multiaddr
import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from bench.common import say, scaled
from bench.gossip import NEIGHBOURS, Tally, Told, Work, measure, publish
from bench.peers.libp2p_ import make_host

TOPIC = "bench"
COUNT, WINDOW = 200, 4
D_LOW = 4
SETTLE_S = 2.0
"""Two heartbeats."""


class Member:
    """One node."""

    def __init__(self) -> None:
        self.host = make_host()
        self.router = GossipSub(
            [PROTOCOL_ID_V11],
            degree=6,
            degree_low=D_LOW,
            degree_high=12,
            heartbeat_interval=1,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            adaptive_gossip_enabled=False,
        )
        self.pubsub = Pubsub(self.host, self.router, strict_signing=False)

    async def start(self, stack: AsyncExitStack) -> str:
        """Listen, and say where."""
        await stack.enter_async_context(
            self.host.run([multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")])
        )
        for service in (self.pubsub, self.router):
            await stack.enter_async_context(background_trio_service(service))
        await self.pubsub.wait_until_ready()
        return str(self.host.get_addrs()[0])

    @property
    def joined(self) -> bool:
        """Whether all neighbours listen, and as many as it wants at least are in the mesh."""
        listening = self.pubsub.peer_topics.get(TOPIC, ())
        return len(listening) >= NEIGHBOURS and len(self.router.mesh.get(TOPIC, ())) >= D_LOW

    async def receive(self, subscription: Any, tally: Tally) -> None:
        """Count what the application gets."""
        while True:
            tally.take((await subscription.get()).data)


async def publish_all(member: Member, told: Told, work: Work) -> None:
    """Be the publisher."""
    token = trio.lowlevel.current_trio_token()
    send, receive = trio.open_memory_channel[None](math.inf)
    told.wake = lambda: token.run_sync_soon(send.send_nowait, None)
    await publish(told, work, partial(member.pubsub.publish, TOPIC), receive.receive)


async def nodes(first: int, count: int, work: Work) -> None:
    """The nodes of this process."""
    told = Told()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        members = [Member() for _ in range(count)]
        say({"addresses": [await member.start(stack) for member in members]})
        for place, member in enumerate(members):
            subscription = await member.pubsub.subscribe(TOPIC)
            nursery.start_soon(member.receive, subscription, Tally(first + place, work))
        heard = await trio.to_thread.run_sync(told.line)
        for member, others in zip(members, heard["dial"], strict=True):
            for address in others:
                await member.host.connect(info_from_p2p_addr(multiaddr.Multiaddr(address)))
        while not all(member.joined for member in members):
            await trio.sleep(0.05)
        await trio.sleep(SETTLE_S)
        say({"ready": True})
        if not first:
            await trio.to_thread.run_sync(told.line)
            await publish_all(members[0], told, work)
        await trio.sleep_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["nodes", *numbers]:
            first_, nodes_, count_, window_ = map(int, numbers)
            trio.run(nodes, first_, nodes_, Work(count_, window_))
        case [figure, *window]:
            work_ = Work(scaled(COUNT), int(window[0]) if window else WINDOW, "unsigned")
            say(
                measure(figure, (sys.executable, "-m", "bench.peers.libp2p_gossip", "nodes"), work_)
            )
