"""Let a friend in by an invite: it works once, and makes even level 5 possible."""

import asyncio

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}, "session": {"level": 5}}


async def main() -> None:
    async with (
        whispurrnet.open(**HERE) as ada,
        whispurrnet.open(**HERE) as bob,
        whispurrnet.open(**HERE) as eve,
    ):
        invite = bob.invite().text  # hand it over where nobody else reads
        peer = await ada.connect(invite)
        print(f"{peer.name} is here, at level {peer.level}")
        try:
            await eve.connect(invite, timeout_s=2)
        except whispurrnet.WhispurrError:
            print("the second to use it was not let in")


asyncio.run(main())
