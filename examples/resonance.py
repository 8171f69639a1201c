"""Send to whoever listens to an intent; who does not know the intent learns nothing."""

import asyncio
import secrets

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}
INTENT = "dreamscape/encoded"
KEY = secrets.token_bytes(32)  # hand it over where nobody else reads


async def main() -> None:
    async with (
        whispurrnet.open(**HERE) as ada,
        whispurrnet.open(**HERE) as bob,
        bob.join(INTENT) as public,  # who guesses the intent can listen, too
        bob.join(INTENT, key=KEY) as private,
    ):
        await ada.connect(bob.ticket)
        await ada.resonate(INTENT, b"I saw you again")
        await ada.resonate(INTENT, b"where we met", key=KEY, signed=True)
        for topic in (public, private):
            message = await anext(topic)
            print(f"{message.sender_name} on {message.topic}: {message.body.decode()}")


asyncio.run(main())
