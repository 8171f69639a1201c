"""WhispurrNet over WebRTC in the benchmark, and the WebRTC library alone, in turn.

`python -m bench.ours_webrtc webrtc LEVEL` measures once and prints one JSON object;
`python -m bench.ours_webrtc serve LIBRARY` is the far end of the library alone, which it starts
itself. The library alone sends messages of 16 KiB, or of 100 bytes, from one process to another,
and waits only while much is buffered. Which library: the best that this Python has.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import whispurrnet
from bench.common import BODY, WRITE_BYTES, FarEnd, far_end, result, scaled
from bench.ours import Results, run, settings
from bench.ours import serve as serve_ours
from whispurrnet.stack import events
from whispurrnet.transport import webrtc_backend

ROUNDS = 3
CHUNK = b"x" * webrtc_backend.MESSAGE_BYTES_MAX
BUFFERED = 1 << 20
BULK_BYTES = {"aiortc": 16 << 20, "aiolibdatachannel": 128 << 20}
ONEWAY = {"aiortc": 3_000, "aiolibdatachannel": 60_000}
LABEL = "alone"


class Alone:
    """One peer connection, with nothing of ours."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.got = 0
        self.want = 0
        self.done = asyncio.Event()
        self.open = asyncio.Event()
        self.low = asyncio.Event()
        self.channel: Any = None
        if library == "aiortc":
            import aiortc

            self.rtc: Any = aiortc
            self.pc: Any = aiortc.RTCPeerConnection(aiortc.RTCConfiguration([]))
            self.pc.on("datachannel", self.take)
        else:
            import aiolibdatachannel

            self.rtc = aiolibdatachannel
            self.pc = aiolibdatachannel.PeerConnection()

    def take(self, channel: Any) -> None:
        self.channel = channel
        if self.library == "aiortc":
            channel.bufferedAmountLowThreshold = BUFFERED // 4
            channel.on("message", self._message)
            channel.on("open", self.open.set)
            channel.on("bufferedamountlow", self.low.set)
        else:
            channel.set_buffered_amount_low_threshold(BUFFERED // 4)
            channel._recv_queue._maxsize = 0  # noqa: SLF001 - else it drops what is not read at once
            self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self.channel:
            self._message(message)

    def _message(self, message: bytes | str) -> None:
        if isinstance(message, str):
            self.want = int(message) or self.want
            if message == "0":
                self.done.set()
        else:
            self.got += 1
        if self.want and self.got == self.want:
            self.got = self.want = 0
            if self.library == "aiortc":
                self.channel.send("0")
            else:
                self.sending = asyncio.ensure_future(self.channel.send("0"))

    async def offer(self) -> str:
        if self.library == "aiortc":
            self.take(self.pc.createDataChannel(LABEL))
            await self.pc.setLocalDescription(await self.pc.createOffer())
            return str(self.pc.localDescription.sdp)
        self.take(await self.pc.create_data_channel(LABEL))
        return str((await self.pc.create_offer()).sdp)

    async def answer(self, sdp: str) -> str:
        if self.library == "aiortc":
            await self.pc.setRemoteDescription(self.rtc.RTCSessionDescription(sdp, "offer"))
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            return str(self.pc.localDescription.sdp)
        await self.pc.set_remote_description(sdp, "offer")
        return str((await self.pc.create_answer()).sdp)

    async def accept(self, sdp: str) -> None:
        if self.library == "aiortc":
            await self.pc.setRemoteDescription(self.rtc.RTCSessionDescription(sdp, "answer"))
            await self.open.wait()
        else:
            await self.pc.set_remote_description(sdp, "answer")
            await self.channel.wait_open()
        await self.done.wait()

    async def send(self, message: bytes, count: int) -> float:
        """Seconds until the far end has all."""
        started = time.perf_counter()
        self.done.clear()
        channel = self.channel
        if self.library == "aiortc":
            channel.send(str(count))
            for _ in range(count):
                if channel.bufferedAmount > BUFFERED:
                    self.low.clear()
                    await self.low.wait()
                channel.send(message)
        else:
            await channel.send(str(count))
            low = channel._buffered_low_event  # noqa: SLF001
            for _ in range(count):
                if channel.buffered_amount > BUFFERED:  # its own waiting wants an empty buffer
                    low.clear()
                    with suppress(TimeoutError):  # and asks again now and then
                        async with asyncio.timeout(0.05):
                            await low.wait()
                await channel.send(message, wait_for_drain=False)
        await self.done.wait()
        return time.perf_counter() - started


async def serve(library: str) -> None:
    """The far end of the library alone."""
    end = Alone(library)
    loop = asyncio.get_running_loop()
    print(json.dumps({}), flush=True)
    offer = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    print(json.dumps(await end.answer(offer)), flush=True)
    if library != "aiortc":
        end.take(await end.pc.accept_data_channel())
    while end.channel is None:
        await asyncio.sleep(0.001)
    # Only now is its queue of messages unbounded; who sent before could lose some.
    said = end.channel.send("0")
    if said is not None:
        await said
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


async def alone(library: str, far: FarEnd, bulk: int, oneway: int) -> tuple[float, float]:
    """Seconds of the library alone for so many long and so many short messages."""
    end = Alone(library)
    await end.accept(far.ask(json.dumps(await end.offer())))
    spent = await end.send(CHUNK, bulk), await end.send(BODY, oneway)
    await (end.pc.close() if library == "aiortc" else end.pc.aclose())
    return spent


async def ours(level: int, size: int, oneway: int) -> tuple[float, float]:
    """Seconds of a session over a WebRTC link for as many bytes of a stream, and whispers."""
    async with ends(level) as (node, peer):
        node.submit(events.TryWebrtc(peer.handle))
        async with asyncio.timeout(10):
            while not peer.path.endswith("webrtc"):
                await asyncio.sleep(0.01)
        bulk = await timed(lambda: stream(peer, size))
        return bulk, await timed(lambda: whispers(peer, oneway))


@asynccontextmanager
async def ends(level: int) -> AsyncIterator[tuple[whispurrnet.Node, whispurrnet.Peer]]:
    """A node here, and one in another process, on the loop that the library is fast on."""
    far = subprocess.Popen(  # noqa: ASYNC220 - there is nothing yet that it could hold up
        [sys.executable, "-m", "bench.ours_webrtc", "serve", "ours", str(level)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert far.stdout is not None
    try:
        async with whispurrnet.open(settings(level)) as node:
            yield node, await node.connect(far.stdout.readline().strip())
    finally:
        far.kill()
        far.wait()


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def stream(peer: whispurrnet.Peer, size: int) -> None:
    one = await peer.open_stream("bulk")
    data = os.urandom(WRITE_BYTES)
    for _ in range(size // WRITE_BYTES):
        await one.write(data)
    one.finish()
    assert await one.read() == b""


async def whispers(peer: whispurrnet.Peer, count: int) -> None:
    for _ in range(count):
        await peer.send(BODY)
    got = int(await peer.request("count", b"%d" % count, timeout_s=60.0))
    assert got == count, f"{got} of {count} arrived"


async def webrtc(level: int) -> Results:
    """Bulk and messages over our link and session, and as a share of the library alone."""
    library = webrtc_backend.load().NAME
    messages = scaled(BULK_BYTES[library] // len(CHUNK), WRITE_BYTES // len(CHUNK))
    messages -= messages % (WRITE_BYTES // len(CHUNK))
    size, oneway = messages * len(CHUNK), scaled(ONEWAY[library])
    spent = {"ours": [0.0, 0.0], "alone": [0.0, 0.0]}
    for _ in range(ROUNDS):
        with far_end("bench.ours_webrtc", library) as far:
            times = {"alone": await alone(library, far, messages, oneway)}
        times["ours"] = await ours(level, size, oneway)
        for way, (bulk, many) in times.items():
            spent[way][0] += bulk
            spent[way][1] += many
    mb, count = ROUNDS * size / 1e6, ROUNDS * oneway
    return {
        "webrtc_bulk": result(mb / spent["ours"][0], ROUNDS * size, library),
        "webrtc_share": result(spent["alone"][0] / spent["ours"][0], ROUNDS * size, library),
        "webrtc_oneway": result(count / spent["ours"][1], count, library),
        "webrtc_oneway_share": result(spent["alone"][1] / spent["ours"][1], count, library),
    }


def main() -> None:
    """What the module's docstring says."""
    fast = asyncio.run if webrtc_backend.load().NAME == "aiortc" else run  # uvloop halves its speed
    if sys.argv[1] == "serve":
        fast(serve(sys.argv[2]) if sys.argv[2] != "ours" else serve_ours(int(sys.argv[3])))
        return

    async def measure() -> None:
        print(json.dumps(await webrtc(int(sys.argv[2]))))

    fast(measure())


if __name__ == "__main__":
    main()
