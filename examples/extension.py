"""An extension takes the messages of its kinds, for as long as it is installed."""

import asyncio

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


class Journal(whispurrnet.Extension):
    name = "journal"
    kinds = ("DREAMSPACE",)

    async def initialize(self) -> None:
        self.pages: list[str] = []

    async def on_message(self, message: whispurrnet.Message) -> None:
        self.pages.append(f"{message.sender.name}: {message.body.decode()}")


async def main() -> None:
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        journal = Journal()
        async with journal.on(bob):
            peer = await ada.connect(bob.ticket)
            await peer.whisper(b"I flew", kind="DREAMSPACE").received()
            print(journal.pages)


asyncio.run(main())
