"""A TCP proxy that is a long and narrow path: a rate, a delay, and a short queue before both.

python tests/interop/slow_proxy.py LISTEN_PORT TARGET_PORT DELAY_S BYTES_PER_S     (on loopback)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

READ_BYTES = 8 * 1024
QUEUE_S = 0.02
"""How long bytes may wait for those before them; then who sends them has to wait."""

BUFFER_BYTES = 64 * 1024
"""What the kernel may hold of a sender, beside."""


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, rate_bps: float
) -> None:
    """Carry one direction until it ends, one byte after the other, each `delay_s` later."""
    clock = asyncio.get_running_loop().time
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        gone_at, data = clock(), b"-"
        while data:
            data = b""
            with contextlib.suppress(OSError):
                data = await reader.read(READ_BYTES)
            gone_at = max(gone_at, clock()) + len(data) / rate_bps
            held.put_nowait((gone_at + delay_s, data))
            await asyncio.sleep(gone_at - QUEUE_S - clock())

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await held.get()
            await asyncio.sleep(due - clock())
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except (OSError, RuntimeError):  # uvloop's word for a connection that was closed meanwhile
        pass
    finally:
        taking.cancel()
        writer.close()


async def main() -> None:
    """Listen until killed."""
    port, target, delay, rate = sys.argv[1:]
    delay_s, rate_bps = float(delay), float(rate)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        narrow = socket.socket()
        narrow.setblocking(False)
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        try:
            await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", int(target)))
            onward = await asyncio.open_connection(sock=narrow, limit=READ_BYTES)
        except OSError:
            narrow.close()
            writer.close()
            return
        await asyncio.gather(
            carry(reader, onward[1], delay_s, rate_bps),
            carry(onward[0], writer, delay_s, rate_bps),
        )

    listening = socket.create_server(("127.0.0.1", int(port)))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    server = await asyncio.start_server(accept, sock=listening, limit=READ_BYTES)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
