"""Circuits through relays, as the node makes them: asked for, answered, and carried for others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whispurrnet.base.errors import NetworkError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.nat.relay_messages import READY
from whispurrnet.stack import events
from whispurrnet.transport.relay import meet
from whispurrnet.transport.splice import Splice, Splicer
from whispurrnet.wire.address import Address, parse

if TYPE_CHECKING:
    from whispurrnet.node.driver import Driver
    from whispurrnet.transport.dialer import Dialer

log = get(__name__)

ACCEPTING_MAX = 64
"""Calls through relays that are answered at a time."""


class Circuits:
    """The circuits of one node.

    Args:
        driver: Its driver.
        dialer: Opens links.
    """

    def __init__(self, driver: Driver, dialer: Dialer) -> None:
        self._driver = driver
        self._dialer = dialer
        self._refs = itertools.count(1)
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._accepting = 0
        self.splicer = Splicer()
        self.performers: dict[type, Callable[[Any], None]] = {
            events.CircuitReady: self._ready,
            events.NoCircuit: self._none,
            events.AcceptCircuit: self._accept,
            events.Splice: self._splice,
            events.CutSplice: lambda effect: self.splicer.cut(effect.circuit),
        }

    async def ask(self, address: Address) -> bytes:
        """A token for a circuit to a relayed address. Cancelling is safe.

        Raises:
            NetworkError: The relay has none, or is not there; names it.
        """
        ref = next(self._refs)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[ref] = answer
        try:
            self._driver.submit(events.OpenCircuit(ref, str(address)))
            return await answer
        finally:
            del self._asked[ref]
            if not answer.done() or answer.cancelled():
                self._driver.submit(events.ForgetCircuit(ref))

    def close(self) -> None:
        """Carry nothing any more."""
        self.splicer.close()

    def _ready(self, effect: events.CircuitReady) -> None:
        answer = self._asked.get(effect.ref)
        if answer is not None and not answer.done():
            answer.set_result(effect.token)

    def _none(self, effect: events.NoCircuit) -> None:
        answer = self._asked.get(effect.ref)
        if answer is not None and not answer.done():
            answer.set_exception(NetworkError(effect.reason))

    # Others call us

    def _accept(self, effect: events.AcceptCircuit) -> None:
        if self._accepting < ACCEPTING_MAX and self._driver.is_running:
            self._accepting += 1
            self._driver.spawn(self._answer(effect))

    async def _answer(self, effect: events.AcceptCircuit) -> None:
        driver = self._driver
        try:
            bases = [parse(text) for text in effect.addresses]
            remote = parse(effect.remote)
            await meet(self._dialer, bases, effect.token, remote, driver.accept, inbound=True)
        except WhispurrError as error:
            log.info("a call through a relay came to nothing: %s", type(error).__name__)
        finally:
            self._accepting -= 1

    # We carry links of others

    def _splice(self, effect: events.Splice) -> None:
        number, allowed = effect.circuit, effect.allowance
        pair = effect.caller, effect.target
        first, second = map(self._driver.link, pair)
        if first is None or second is None:
            for link in (first, second):
                if link is not None:
                    link.abort()
            self._driver.submit(events.SpliceEnded(number, 0))
            return
        splice = Splice(
            first,
            second,
            bytes_per_s=allowed.bytes_per_s,
            bytes_max=allowed.bytes_max,
            idle_s=allowed.idle_s,
            ended=lambda size: self._ended(number, pair, size),
        )
        self.splicer.add(number, splice)
        splice.begin(READY)

    def _ended(self, number: int, pair: tuple[int, int], size: int) -> None:
        self.splicer.remove(number)
        for link in pair:
            self._driver.forget(link)
        self._driver.submit(events.SpliceEnded(number, size))
