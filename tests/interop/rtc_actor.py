"""A node in a process of its own that answers requests, for `test_webrtc_nodes.py`.

    python tests/interop/rtc_actor.py LIBRARY

It prints its ticket, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys

import whispurrnet

SETTINGS = {
    "port": 0,
    "host": "127.0.0.1",
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
}


async def main(library: str) -> None:
    nat = {"webrtc": "on", "webrtc_backend": library}
    async with whispurrnet.open(**SETTINGS, nat=nat) as node:
        node.on_request("size", lambda request: b"%d" % len(request.body))
        sys.stdout.write(f"{node.ticket}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
