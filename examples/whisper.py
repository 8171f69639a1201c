"""Two nodes: one whispers, the other reads, and the first knows it."""

import asyncio

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


async def main() -> None:
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        peer = await ada.connect(bob.ticket)
        receipt = ada.whisper(peer, b"I saw you again")
        async for message in bob.messages():
            print(f"{message.sender.name} whispers: {message.body.decode()}")
            message.mark_read()
            break
        await receipt.read()
        print(f"the whisper was {receipt.state}, over {peer.suite} by {peer.path}")


asyncio.run(main())
