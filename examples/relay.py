"""Reach a node that nobody can call: a relay joins the two, and cannot read what they say."""

import asyncio

import whispurrnet

QUIET = {"lan": {"enabled": False}, "port": 0}
OPEN = ["/ip4/127.0.0.1/tcp/0"]


async def main() -> None:
    async with (
        whispurrnet.open(listen=OPEN, nat={"relay": True}, **QUIET) as relay,
        whispurrnet.open(listen=(), **QUIET) as bob,
    ):
        through = {"relays": [relay.ticket.text]}
        async with whispurrnet.open(listen=(), nat=through, **QUIET) as ada:  # listens nowhere
            async for event in ada.events():
                if event["type"] == "relayed":  # from now on the relay is in her ticket
                    break
            peer = await bob.connect(ada.ticket)
            receipt = bob.whisper(peer, b"I found you")
            message = await anext(ada.messages())
            print(f"{message.body.decode()}, says {message.sender.name}")
            await receipt.received()
            print(f"bob reaches ada by {peer.path}")


asyncio.run(main())
