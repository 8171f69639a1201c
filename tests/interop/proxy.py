"""A TCP proxy that delays every byte by the same time each way, and keeps their order.

python tests/interop/proxy.py LISTEN_HOST LISTEN_PORT TARGET_HOST TARGET_PORT DELAY_S
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

READ_BYTES = 64 * 1024
CHUNKS_MAX = 4096
"""What one direction holds back at most, in reads."""


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Carry one direction until it ends, each byte `delay_s` later."""
    clock = asyncio.get_running_loop().time
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)

    async def take() -> None:
        data = b"-"
        while data:
            data = b""
            with contextlib.suppress(OSError):
                data = await reader.read(READ_BYTES)
            await held.put((clock() + delay_s, data))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await held.get()
            await asyncio.sleep(due - clock())
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        taking.cancel()
        writer.close()


async def main() -> None:
    """Listen until killed."""
    host, port, target_host, target_port, delay = sys.argv[1:]
    delay_s = float(delay)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection(target_host, int(target_port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, onward[1], delay_s), carry(onward[0], writer, delay_s))

    server = await asyncio.start_server(accept, host, int(port))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
