"""Send more than fits a message: a stream, whose writer waits when the reader is slow."""

import asyncio

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}
FILM = bytes(range(256)) * 32_768


async def send(peer: whispurrnet.Peer) -> None:
    stream = await peer.open_stream("film", priority=2)
    await stream.write(FILM)
    stream.finish()


async def main() -> None:
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        arriving = bob.streams()
        sending = asyncio.create_task(send(await ada.connect(bob.ticket)))
        film = await (await anext(arriving)).read_all()
        await sending
        print(f"{len(film)} bytes, unchanged: {film == FILM}")


asyncio.run(main())
