"""Three machines on one network: who they are, who is connected to whom, and one that sleeps."""

import asyncio

import whispurrnet

HERE = {
    "profile": "chum",
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "identity": {"long_term": False},
    "lan": {"enabled": False, "topology": True},
}


async def main() -> None:
    async with (
        whispurrnet.open(**HERE) as gateway,
        whispurrnet.open(**HERE) as heart,
        whispurrnet.open(**HERE) as door,
    ):
        for sensor in (heart, door):
            await sensor.connect(gateway.ticket)
        heart.sleep(600, note="nothing to measure")
        who = await door.chum.identity()
        drawn = await door.chum.topology()
        print(f"{who.node_type} {who.instance_id[:8]} sees {len(drawn.links)} links")
        print("the gateway hears:", [peer.presence[0] for peer in gateway.peers])


asyncio.run(main())
