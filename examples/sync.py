"""A folder that is the same on two nodes, whoever writes into it."""

import asyncio
import os
import secrets
import tempfile
from pathlib import Path

import whispurrnet
from whispurrnet.extensions.filesync.filesync import FileSync

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


async def main(a: str, b: str) -> None:
    key = secrets.token_bytes(32)  # whoever has it may take part
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        one, two = FileSync(a, key=key), FileSync(b, key=key)
        async with one.on(ada), two.on(bob):
            await ada.connect(bob.ticket)
            await one.settled()
            await two.settled()


with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
    Path(a, "ada.txt").write_text("by ada")
    Path(b, "bob.txt").write_text("by bob")
    asyncio.run(main(a, b))
    print(sorted(os.listdir(a)), sorted(os.listdir(b)))
