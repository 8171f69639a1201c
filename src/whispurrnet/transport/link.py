"""Links: what every transport provides, and all that the layers above know of one.

A link is an ordered stream of bytes to somebody, who is not known yet. Message boundaries do
not survive it. Nothing here waits: `write` buffers, and the link calls its handler, from the
loop, with plain calls. The rules, the same for every transport (`tests/interop` holds each to
them):

    - the handler is there before the first byte is;
    - `link_lost` comes exactly once, also after an own `close` or `abort`; nothing comes after;
    - after `close` or `abort` no more data arrives, and writes are ignored;
    - `close` sends what was written, for at most `LINGER_S`; `abort` does not;
    - after `pause_reading` nothing arrives until `resume_reading`;
    - `link_paused` may come from within `write`: the buffer is above `HIGH_WATER`. Writing on
      is allowed, and is the caller's memory; `link_resumed` comes at `LOW_WATER`;
    - an `OSError` never escapes: who dials gets a NetworkError naming the place, who listens a
      HostError naming the port and the cure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol, TypeAlias

from whispurrnet.crypto.hash import sha256
from whispurrnet.wire.address import Address

HIGH_WATER = 1 << 17
"""Buffered bytes above which a link says it is paused."""

LOW_WATER = 1 << 15
"""Buffered bytes at which it says it is resumed."""

UNSENT_MAX = 1 << 17
"""How much of it the system itself may hold unsent: what is urgent cannot pass that, either."""

LINGER_S = 5.0
"""How long a closed link may try to send what was written, in seconds."""

HANDSHAKE_TIMEOUT_S = 10.0
"""How long TLS and HTTP may take before a link is open, in seconds."""

NO_BINDING = bytes(33)
"""The binding of a link that no TLS protects."""


def binding_of(certificate: bytes) -> bytes:
    """The binding of a link inside TLS: 1 and the SHA-256 of the server's certificate, in DER."""
    return b"\x01" + sha256(certificate)


class Link(Protocol):
    """An ordered stream of bytes to somebody."""

    handler: LinkHandler
    """Who hears of this link; may be changed at any time."""

    @property
    def remote(self) -> Address:
        """Where the other side is: the address dialled, or the one a connection came from."""
        ...

    @property
    def inbound(self) -> bool:
        """Whether the other side opened it."""
        ...

    @property
    def binding(self) -> bytes:
        """33 bytes: 1 and the SHA-256 of the outer TLS certificate, or zeros without TLS.

        Of a WebRTC link: 2 and that of both DTLS certificates (`transport.webrtc`).
        """
        ...

    @property
    def path(self) -> str:
        """How it travels, for people: "tcp", "tls", "ws", "wss", "webrtc", "relay" or "memory"."""
        ...

    def write(self, data: bytes) -> None:
        """Send; never waits. Ignored once the link is closed or lost."""
        ...

    def close(self) -> None:
        """Send what was written, then close."""
        ...

    def abort(self) -> None:
        """Close at once; what was written may be lost."""
        ...

    def pause_reading(self) -> None:
        """Let the other side wait: no data arrives until `resume_reading`."""
        ...

    def resume_reading(self) -> None:
        """Let data arrive again."""
        ...


class LinkHandler(Protocol):
    """Who hears of a link; every method is called from the loop and must not raise."""

    def link_data(self, link: Link, data: bytes) -> None:
        """Bytes arrived; at least one."""
        ...

    def link_lost(self, link: Link, reason: str) -> None:
        """The link is gone; `reason` is one phrase for people, without a full stop."""
        ...

    def link_paused(self, link: Link) -> None:
        """Much is buffered: stop writing what can wait."""
        ...

    def link_resumed(self, link: Link) -> None:
        """Little is buffered: write on."""
        ...


Accept: TypeAlias = Callable[[Link], LinkHandler]
"""Called for each new inbound link; a LimitError refuses it, and the link is aborted."""


class ListenerState(enum.Enum):
    """What a listener does; the names are the seeds'."""

    NOT_LISTENING = "NotListening"
    STARTING = "Starting"
    LISTENING = "Listening"
    SHUTTING_DOWN = "ShuttingDown"


class Listener(Protocol):
    """A place where links come in."""

    @property
    def address(self) -> Address:
        """Where, with the real port."""
        ...

    @property
    def state(self) -> ListenerState:
        """What it does now."""
        ...

    async def close(self) -> None:
        """Take no more links; those that are open stay. Cancelling is safe."""
        ...


class Transport(Protocol):
    """A way to make links."""

    @property
    def names(self) -> tuple[str, ...]:
        """The `Address.transport` values it serves."""
        ...

    async def dial(
        self, address: Address, handler: LinkHandler, *, host: str | None = None
    ) -> Link:
        """Open a link. Cancelling is safe: nothing stays open.

        Args:
            address: Where.
            handler: Hears of the link; may be called before this returns.
            host: The IP address to connect to, when the name in `address` is resolved already.

        Raises:
            NetworkError: Nobody answers there; names the place.
            AuthError: The certificate shown there is not valid.
        """
        ...

    async def listen(self, address: Address, accept: Accept) -> Listener:
        """Take links in. Cancelling is safe.

        Raises:
            HostError: The port is taken or not allowed; names it, and the cure.
            UsageError: One cannot listen on such an address.
        """
        ...


class Nobody:
    """The handler of a link that nobody wants to hear of."""

    def link_data(self, link: Link, data: bytes) -> None:
        """Ignored."""

    def link_lost(self, link: Link, reason: str) -> None:
        """Ignored."""

    def link_paused(self, link: Link) -> None:
        """Ignored."""

    def link_resumed(self, link: Link) -> None:
        """Ignored."""


NOBODY = Nobody()
