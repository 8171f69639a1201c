"""Hand over a folder: shared by a capability, fetched chunk by checked chunk, and written out."""

import asyncio
import tempfile
from pathlib import Path

import whispurrnet

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}


async def main(desk: Path) -> None:
    async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
        folder = await ada.objects.add_folder(desk / "trip")
        cap = ada.objects.share(folder.oid)
        peer = await bob.connect(ada.ticket)
        fetching = bob.objects.fetch(folder.oid, sources=[peer], cap=cap, collection=True)
        async for now in fetching.progress():
            print(now.verified, "of", now.total, "bytes", now.waiting)
        await fetching
        for path in await bob.objects.export(folder.oid, desk / "from ada"):
            print(path.name, path.stat().st_size)


with tempfile.TemporaryDirectory() as name:
    (trip := Path(name) / "trip").mkdir()
    (trip / "film.bin").write_bytes(bytes(range(256)) * 8192)
    (trip / "notes.txt").write_text("the tide is high at nine")
    asyncio.run(main(Path(name)))
