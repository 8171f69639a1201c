"""Dialling: which of a node's addresses, by which transport, in which order.

Happy eyeballs: attempts start 250 ms apart, sooner when one fails, over IPv6 and IPv4 in turn, and
the first link wins. A name is resolved once, and each IP address it has is an attempt of its own.
Addresses through relays come after all direct ones, half a second after the first of them.

Source: RFC 8305, sections 3 to 5.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from whispurrnet.base.errors import NetworkError, UsageError, WhispurrError
from whispurrnet.transport.faults import dial_error
from whispurrnet.transport.link import NOBODY, Link, LinkHandler, Transport
from whispurrnet.wire.address import Address

_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a dialer."""

    stagger_s: float = 0.25
    """How long an attempt is alone before the next one starts, in seconds."""

    attempt_timeout_s: float = 5.0
    """How long one attempt may take, in seconds."""

    resolve_timeout_s: float = 5.0
    """How long a name may take to resolve, in seconds."""

    relay_after_s: float = 0.5
    """How long direct addresses are alone before relayed ones are tried too, in seconds."""

    relay_timeout_s: float = 12.0
    """How long an attempt through a relay may take, in seconds: the peer must come there too."""

    attempts_max: int = 16
    """How many attempts one dialling makes at most."""


class Attempt(msgspec.Struct, frozen=True):
    """One address to try."""

    address: Address
    host: str
    """The IP address of it, or the host itself where there is nothing to resolve."""


class Dialer:
    """Opens links by whichever transport an address asks for.

    Args:
        transports: What there is; the first that serves a name has it.
        config: Its settings.
    """

    def __init__(self, transports: Sequence[Transport], config: Config | None = None) -> None:
        self.config = config or Config()
        self._transports: dict[str, Transport] = {}
        for transport in transports:
            for name in transport.names:
                self._transports.setdefault(name, transport)

    def can_dial(self, address: Address) -> bool:
        """Whether a transport is there for it."""
        return _name(address) in self._transports

    async def dial(self, addresses: Iterable[Address], handler: LinkHandler) -> Link:
        """Open a link to whichever address answers first.

        Cancelling is safe: nothing stays open. The handler hears only of the link returned.

        Raises:
            UsageError: There is no address, or none that this node has a transport for.
            AuthError: The only address showed a certificate that is not valid.
            NetworkError: None answered; says for each why.
        """
        known = [address for address in dict.fromkeys(addresses) if self.can_dial(address)]
        if not known:
            names = ", ".join(sorted(self._transports))
            raise UsageError(f"no address to dial; give one that ends in one of: {names}")
        attempts, failures = await self._resolve(known)
        link = await self._race(attempts, handler, failures)
        if link is not None:
            return link
        if len(failures) == 1:
            raise failures[0]
        reasons = "; ".join(map(str, failures))
        raise NetworkError(f"none of {len(failures)} addresses answered: {reasons}")

    async def _resolve(self, addresses: list[Address]) -> tuple[list[Attempt], list[WhispurrError]]:
        """What to try, in order, and which names could not be resolved."""
        resolved = await asyncio.gather(*map(self._lookup, addresses))
        failures = [found for found in resolved if isinstance(found, WhispurrError)]
        attempts = [a for found in resolved if isinstance(found, list) for a in found]
        unique = {(attempt.address, attempt.host): attempt for attempt in attempts}
        direct = [attempt for attempt in unique.values() if not attempt.address.is_relayed]
        relayed = [attempt for attempt in unique.values() if attempt.address.is_relayed]
        room = max(1, self.config.attempts_max - len(relayed))
        return [*interleave(direct)[:room], *relayed][: self.config.attempts_max], failures

    async def _lookup(self, address: Address) -> list[Attempt] | WhispurrError:
        family = _FAMILIES.get(address.kind)
        if family is None or address.is_relayed:
            return [Attempt(address, address.host)]
        try:
            async with asyncio.timeout(self.config.resolve_timeout_s):
                found = await asyncio.get_running_loop().getaddrinfo(
                    address.host, address.port, family=family, type=socket.SOCK_STREAM
                )
        except TimeoutError:
            return NetworkError(f"DNS did not answer for {address}; check this machine's network")
        except OSError as error:
            return dial_error(address, error)
        return [Attempt(address, str(sockaddr[0])) for *_, sockaddr in found]

    async def _race(
        self, attempts: list[Attempt], handler: LinkHandler, failures: list[WhispurrError]
    ) -> Link | None:
        """Start attempts until one has a link; adds the reasons of the others to `failures`."""
        waiting = deque(attempts)
        stagger_s = self._stagger_s(attempts)
        running: set[asyncio.Task[_Candidate | WhispurrError]] = set()
        winner: _Candidate | None = None
        settled = False
        try:
            async with asyncio.TaskGroup() as tasks:
                while winner is None and (waiting or running):
                    if waiting:
                        running.add(tasks.create_task(self._attempt(waiting.popleft())))
                    done, running = await asyncio.wait(
                        running,
                        timeout=stagger_s if waiting else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    winner = _choose([task.result() for task in done], handler, failures)
                for task in running:
                    task.cancel()
            settled = True
        finally:  # also when this is cancelled: whatever stands by now, and did not win, is dropped
            late = [task.result() for task in running if task.done() and not task.cancelled()]
            for outcome in (*late, *([winner] if winner and not settled else [])):
                if isinstance(outcome, _Candidate):
                    outcome.drop()
        return winner.link if winner else None

    def _stagger_s(self, attempts: Sequence[Attempt]) -> float:
        """How long each attempt is alone; shorter if relays wait for many direct ones."""
        direct = sum(not attempt.address.is_relayed for attempt in attempts)
        if direct in (0, len(attempts)):
            return self.config.stagger_s
        return min(self.config.stagger_s, self.config.relay_after_s / direct)

    async def _attempt(self, attempt: Attempt) -> _Candidate | WhispurrError:
        """Open one link; whatever goes wrong is an answer, so that the others go on."""
        address = attempt.address
        candidate = _Candidate(address)
        config, relayed = self.config, address.is_relayed
        wait_s = config.relay_timeout_s if relayed else config.attempt_timeout_s
        transport = self._transports[_name(address)]
        host = None if attempt.host == address.host else attempt.host
        try:
            async with asyncio.timeout(wait_s):
                candidate.link = await transport.dial(address, candidate, host=host)
        except TimeoutError:
            return NetworkError(
                f"{address} did not answer in {wait_s:g} s; check that the host is on and in reach"
            )
        except WhispurrError as error:
            return error
        return candidate


def _name(address: Address) -> str:
    """Which transport dials it."""
    return "relay" if address.is_relayed else address.transport


class _Candidate:
    """A link that may win: keeps what it says until somebody wants to hear it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.link: Link | None = None
        self._data: list[bytes] = []
        self._paused = False
        self._lost = ""

    def adopt(self, handler: LinkHandler) -> bool:
        """Hand the link over, with what it said; False when it is lost already."""
        link = self.link
        if link is None or self._lost:
            return False
        link.handler = handler
        if self._paused:
            handler.link_paused(link)
        for data in self._data:
            handler.link_data(link, data)
        link.resume_reading()
        return True

    def drop(self) -> None:
        """Another was faster."""
        if self.link is not None:
            self.link.handler = NOBODY
            self.link.abort()

    def link_data(self, link: Link, data: bytes) -> None:
        """Keep it, and let the other side wait."""
        link.pause_reading()
        self._data.append(data)

    def link_lost(self, link: Link, reason: str) -> None:
        """It cannot win any more."""
        del link
        self._lost = reason

    def link_paused(self, link: Link) -> None:
        """Nothing is written yet."""
        self._paused = True

    def link_resumed(self, link: Link) -> None:
        """Nothing is written yet."""
        self._paused = False


def _choose(
    outcomes: Sequence[_Candidate | WhispurrError],
    handler: LinkHandler,
    failures: list[WhispurrError],
) -> _Candidate | None:
    """The first that can be adopted; the others are dropped, and failures noted."""
    winner: _Candidate | None = None
    for outcome in outcomes:
        if isinstance(outcome, WhispurrError):
            failures.append(outcome)
        elif winner is not None:
            outcome.drop()
        elif outcome.adopt(handler):
            winner = outcome
        else:
            failures.append(NetworkError(f"{outcome.address} hung up at once"))
    return winner


def interleave(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The same attempts, IPv6 and others in turn, each kind in its order; the first stays first."""
    first, second = deque[Attempt](), deque[Attempt]()
    for attempt in attempts:
        same = (":" in attempt.host) == (":" in attempts[0].host)
        (first if same else second).append(attempt)
    ordered = []
    while first or second:
        ordered += [queue.popleft() for queue in (first, second) if queue]
    return ordered
