"""Ask a peer a question, with a deadline."""

import asyncio

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


async def main() -> None:
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        bob.on_request("shout", lambda request: request.body.upper())
        peer = await ada.connect(bob.ticket)
        answers = await asyncio.gather(
            *(peer.request("shout", word, timeout_s=5) for word in (b"who", b"goes", b"there"))
        )
        print(b" ".join(answers).decode())


asyncio.run(main())
