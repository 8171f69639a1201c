"""Links inside one process: for tests, examples, and several nodes in one program.

A name is listened on in a `Hub`; transports that share a hub reach each other. Delivery is by
the loop, so a write never calls the other side's handler before it returns.
"""

from __future__ import annotations

import asyncio
from collections import deque

from whispurrnet.base.errors import HostError, LimitError, NetworkError, UsageError
from whispurrnet.transport.link import (
    HIGH_WATER,
    LINGER_S,
    LOW_WATER,
    NO_BINDING,
    NOBODY,
    Accept,
    LinkHandler,
    ListenerState,
)
from whispurrnet.wire.address import Address


class Hub:
    """The names that are listened on."""

    def __init__(self) -> None:
        self.listeners: dict[str, MemoryListener] = {}


HUB = Hub()
"""What transports share that name no other."""


class _Pipe:
    """One direction of a pair: what was written and not yet read."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.unread = 0  # bytes in `chunks`
        self.paused = False  # the writing end was told so

    def put(self, data: bytes) -> None:
        self.chunks.append(bytes(data))
        self.unread += len(data)

    def take(self) -> bytes:
        data = self.chunks.popleft()
        self.unread -= len(data)
        return data

    def clear(self) -> None:
        self.chunks.clear()
        self.unread = 0


class MemoryLink:
    """One end of a pair; the methods below `resume_reading` are for the other end."""

    path = "memory"
    binding = NO_BINDING

    def __init__(self, remote: Address, handler: LinkHandler, *, inbound: bool) -> None:
        self.remote = remote
        self.inbound = inbound
        self.handler = handler
        self.reason = ""  # why it ends; empty while it is open
        self._loop = asyncio.get_running_loop()
        self._other = self  # until `join`
        self._in = self._out = _Pipe()
        self._reading = True
        self._woken = False
        self._lost = False
        self._linger: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Send; see `Link.write`."""
        if self.reason or self._other.reason or not data:
            return
        self._out.put(data)
        self._other.wake()
        if self._out.unread > HIGH_WATER and not self._out.paused:
            self._out.paused = True
            self.handler.link_paused(self)

    def close(self) -> None:
        """Send what was written, then close; see `Link.close`."""
        if not self.reason:
            self.reason = "closed here"
            self._in.clear()
            self._linger = self._loop.call_later(LINGER_S, self.abort)
            self._other.wake()

    def abort(self) -> None:
        """Close at once; see `Link.abort`."""
        if not self._lost:
            self.reason = self.reason or "closed here"
            self._in.clear()
            self._out.clear()
            self._loop.call_soon(self.lose)
            self._other.wake()

    def pause_reading(self) -> None:
        """Let the other side wait; see `Link.pause_reading`."""
        self._reading = False

    def resume_reading(self) -> None:
        """Let data arrive again; see `Link.resume_reading`."""
        self._reading = True
        self.wake()

    def join(self, other: MemoryLink) -> None:
        """Become the two ends of one pair."""
        self._other, other._other = other, self
        other._in, other._out = self._out, self._in = _Pipe(), _Pipe()

    def wake(self) -> None:
        """Something may be there to read, soon."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._deliver)

    def room(self) -> None:
        """The other end has read most of what was written."""
        if not self.reason:
            self.handler.link_resumed(self)

    def lose(self) -> None:
        """Tell the handler, once, that the link is gone."""
        if self._lost:
            return
        self._lost = True
        if self._linger is not None:
            self._linger.cancel()
        self.reason = self.reason or "closed by the peer"
        self.handler.link_lost(self, self.reason)

    def _deliver(self) -> None:
        """Hand over what has come, then tell the other end that there is room again."""
        self._woken = False
        for _ in range(len(self._in.chunks)):
            if not self._reading or not self._in.chunks:
                break
            self.handler.link_data(self, self._in.take())
        if self._in.paused and self._in.unread <= LOW_WATER:
            self._in.paused = False
            self._other.room()
        if self._in.chunks:
            if self._reading:
                self.wake()
        elif self._other.reason:  # it has closed, and all it sent was read
            self.lose()
            self._other.lose()


class MemoryListener:
    """A name that is listened on."""

    def __init__(self, hub: Hub, address: Address, accept: Accept) -> None:
        self.address = address
        self.state = ListenerState.LISTENING
        self.accept = accept
        self._hub = hub

    async def close(self) -> None:
        """Take no more links; see `Listener.close`."""
        self.state = ListenerState.NOT_LISTENING
        if self._hub.listeners.get(self.address.host) is self:
            del self._hub.listeners[self.address.host]


class MemoryTransport:
    """Links between the names of one hub."""

    names = ("memory",)

    def __init__(self, hub: Hub | None = None) -> None:
        self._hub = hub or HUB

    async def dial(
        self, address: Address, handler: LinkHandler, *, host: str | None = None
    ) -> MemoryLink:
        """Open a link; see `Transport.dial`.

        Raises:
            NetworkError: Nobody listens on that name, or the listener refused.
        """
        del host  # there is nothing to resolve
        listener = self._hub.listeners.get(address.host)
        if listener is None:
            raise NetworkError(f"nobody listens at {address}; start that node first")
        near = MemoryLink(address, handler, inbound=False)
        far = MemoryLink(Address("memory", "dialler", 0, "memory"), NOBODY, inbound=True)
        near.join(far)
        try:
            far.handler = listener.accept(far)
        except LimitError as error:
            raise NetworkError(f"{address} takes no more links: {error}") from error
        return near

    async def listen(self, address: Address, accept: Accept) -> MemoryListener:
        """Take links in; see `Transport.listen`.

        Raises:
            HostError: The name is taken.
            UsageError: It is not a memory address.
        """
        if address.kind != "memory":
            raise UsageError(f"{address} is not a memory address; write it like /memory/alice")
        if address.host in self._hub.listeners:
            raise HostError(f"{address} is taken in this process; listen on another name")
        listener = MemoryListener(self._hub, address, accept)
        self._hub.listeners[address.host] = listener
        return listener
