"""One machine's side of the local network in a process of its own; what it hears are lines of JSON.

    python tests/interop/lan_actor.py NAME METHOD,METHOD asyncio|uvloop
    python tests/interop/lan_actor.py browse

It says its name and a number five times a second, by the methods it is told, until standard input
ends. As `browse` it is a stranger, who has the library of mDNS and not this program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from whispurrnet.lan.lan import Lan

PORT = 9746
EVERY_S = 0.2


def tell(**facts: object) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def input_ends() -> None:
    """Wait until the test has no more to say."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()


async def speak(lan: Lan, name: str) -> None:
    """Say something new all the time."""
    n = 0
    while True:
        lan.send(f"{name} {n} ".encode().ljust(512, b"."))
        n += 1
        await asyncio.sleep(EVERY_S)


async def main(name: str, methods: str) -> None:
    """Speak and hear."""
    lan = Lan(methods.split(","), PORT, service_port=9000)

    def hear(data: bytes, method: str) -> None:
        who, number, _ = data.decode().split(" ")
        if who != name:
            tell(who=who, number=int(number), method=method, size=len(data))

    failed = await lan.start(hear)
    tell(up=lan.methods, failed=[str(error) for error in failed.values()])
    talking = asyncio.create_task(speak(lan, name))
    await input_ends()
    talking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talking
    await lan.close()


async def browse() -> None:
    """Say what services there are, and where."""
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        info = AsyncServiceInfo(service_type, name)
        if state_change is not ServiceStateChange.Removed and info.load_from_cache(zeroconf):
            tell(
                name=name,
                host=info.server,
                port=info.port,
                addresses=info.parsed_addresses(),
                txt=info.text.hex(),
            )

    async with AsyncZeroconf() as network:
        browser = AsyncServiceBrowser(network.zeroconf, "_whispurr._tcp.local.", handlers=[changed])
        tell(up=["browse"])
        await input_ends()
        await browser.async_cancel()


if __name__ == "__main__":
    if sys.argv[1] == "browse":
        asyncio.run(browse())
    elif sys.argv[3] == "uvloop":
        import uvloop

        uvloop.run(main(*sys.argv[1:3]))
    else:
        asyncio.run(main(*sys.argv[1:3]))
