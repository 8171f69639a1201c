"""Send to whoever listens to an intent; who does not know the intent learns nothing."""

import asyncio

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}
INTENT = "dreamscape/encoded"


async def main() -> None:
    async with (
        whispurrnet.open(**HERE) as ada,
        whispurrnet.open(**HERE) as bob,
        bob.join(INTENT) as topic,
    ):
        await ada.connect(bob.ticket)
        while not await ada.resonate(INTENT, b"I saw you again"):
            await asyncio.sleep(0.05)  # until ada has heard that bob listens
        message = await anext(aiter(topic))
        print(f"{message.topic}: {message.body.decode()}")


asyncio.run(main())
