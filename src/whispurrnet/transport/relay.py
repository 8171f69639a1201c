"""Links through a relay: a link to the relay that begins with a token, and ends at a peer.

The relay gives the token to who asks for it in a session; that is not done here (`Ask`). When the
other side has come with its own token the relay says one byte, 1, and is not heard of again: what
follows is the other side's. Nothing on such a link is the relay's word, so its `binding` is that of
no TLS: the peers' handshake must not depend on what stands in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from whispurrnet.base.errors import NetworkError, UsageError
from whispurrnet.nat.relay_messages import READY
from whispurrnet.transport.link import NO_BINDING, NOBODY, Accept, Link, LinkHandler, Listener
from whispurrnet.wire.address import Address

if TYPE_CHECKING:
    from whispurrnet.transport.dialer import Dialer

PATH = "relay"
READY_S = 10.0
"""How long the other side may take to come, in seconds."""

Ask: TypeAlias = Callable[[Address], Awaitable[bytes]]
"""Gets a token for a relayed address; raises NetworkError if there is none."""


class RelayedLink:
    """A link through a relay; see `Link` for its rules."""

    path = PATH
    binding = NO_BINDING

    __slots__ = ("_inner", "inbound", "remote")

    def __init__(self, inner: Link, remote: Address, *, inbound: bool) -> None:
        self._inner = inner
        self.remote = remote
        self.inbound = inbound

    @property
    def handler(self) -> LinkHandler:
        """Who hears of it."""
        return self._inner.handler

    @handler.setter
    def handler(self, handler: LinkHandler) -> None:
        self._inner.handler = handler

    def write(self, data: bytes) -> None:
        """Send; see `Link.write`."""
        self._inner.write(data)

    def close(self) -> None:
        """Send what was written, then close; see `Link.close`."""
        self._inner.close()

    def abort(self) -> None:
        """Close at once; see `Link.abort`."""
        self._inner.abort()

    def pause_reading(self) -> None:
        """Let the other side wait; see `Link.pause_reading`."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Let data arrive again; see `Link.resume_reading`."""
        self._inner.resume_reading()


class _Meeting:
    """The handler of a link on which the other side is awaited."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.data = b""
        self.paused = False

    def link_data(self, link: Link, data: bytes) -> None:
        """The relay's byte, and perhaps what the other side says at once."""
        self.data += data
        link.pause_reading()
        if not self.data.startswith(READY):
            self._fail("it is no relay: it does not speak as one")
        elif not self.came.done():
            self.came.set_result(None)

    def link_lost(self, link: Link, reason: str) -> None:
        """It will not come."""
        del link
        self._fail(f"the peer did not come ({reason})")

    def link_paused(self, link: Link) -> None:
        """A token fits into any buffer."""
        self.paused = True

    def link_resumed(self, link: Link) -> None:
        """It has been sent."""
        self.paused = False

    def _fail(self, why: str) -> None:
        if not self.came.done():
            self.came.set_exception(NetworkError(why))


async def meet(
    dialer: Dialer,
    bases: Sequence[Address],
    token: bytes,
    remote: Address,
    accept: Accept,
    *,
    inbound: bool,
) -> Link:
    """Open a link to a relay and wait there for a peer. Cancelling is safe: nothing stays open.

    Args:
        dialer: Opens the link.
        bases: Where the relay is.
        token: 32 bytes, from the relay.
        remote: What the link is said to lead to.
        accept: Gives the handler, when the peer is there.
        inbound: Whether the peer asked for it.

    Raises:
        NetworkError: The relay does not answer, or the peer did not come; names the relay.
    """
    meeting, where = _Meeting(), bases[0].place
    try:
        inner = await dialer.dial(bases, meeting)
    except NetworkError as error:
        raise NetworkError(f"the relay {where}: {error}") from error
    try:
        inner.write(token)
        async with asyncio.timeout(READY_S):
            await meeting.came
        # pyright takes no property for an attribute of a protocol
        link = cast("Link", RelayedLink(inner, remote, inbound=inbound))
        handler = accept(link)
    except BaseException as error:
        inner.handler = NOBODY
        inner.abort()
        if meeting.came.done() and not meeting.came.cancelled():
            meeting.came.exception()
        if isinstance(error, TimeoutError):
            why = f"the peer did not come within {READY_S:g} s"
            raise NetworkError(f"the relay {where}: {why}") from None
        if isinstance(error, NetworkError):
            raise NetworkError(f"the relay {where}: {error}") from None
        raise
    link.handler = handler
    if meeting.paused:
        handler.link_paused(link)
    if len(meeting.data) > len(READY):
        handler.link_data(link, meeting.data[len(READY) :])
    link.resume_reading()
    return link


class RelayTransport:
    """Links through relays, to relayed addresses."""

    names = (PATH,)

    def __init__(self) -> None:
        self.dialer: Dialer | None = None
        """Opens links to relays."""
        self.ask: Ask | None = None
        """Asks a relay for a circuit."""

    async def dial(
        self, address: Address, handler: LinkHandler, *, host: str | None = None
    ) -> Link:
        """Open a link; see `Transport.dial`."""
        del host  # what there is to resolve is the relay's, and its dial resolves it
        if self.ask is None or self.dialer is None:
            raise NetworkError("this node is not running, and cannot ask a relay")
        token = await self.ask(address)
        return await meet(
            self.dialer, [address.base], token, address, lambda _: handler, inbound=False
        )

    async def listen(self, address: Address, accept: Accept) -> Listener:
        """Nobody listens at a relay; a place there is reserved.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"cannot listen on {address}, which leads through a relay; name the relay in nat.relays"
        )
