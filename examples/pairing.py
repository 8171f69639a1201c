"""Two people who tell each other a code of words, and what one of them hands over."""

import asyncio

import whispurrnet
from whispurrnet.node.pairing import Pairing
from whispurrnet.wire import words

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


async def main() -> None:
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        await bob.connect(ada.ticket)  # or both to a meeting place; on a local network neither

        offer = await Pairing(ada).offer(b"the plans are under the blue stone")
        print("ada tells bob the code", offer.code.text)

        met = await Pairing(bob).join(words.parse(offer.code.text))
        print("bob reads:", met.payload.decode())
        print("the same key on both sides:", met.key == (await offer.met()).key)


asyncio.run(main())
