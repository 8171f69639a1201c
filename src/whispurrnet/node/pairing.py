"""Pairing by a code of words: who gives it out, and who was told it (see `session.pairing`).

    pairing = Pairing(node)
    offer = await pairing.offer(b"what it is about")      # offer.code.text: tell it the other one
    met = await offer.met()                               # there: await Pairing(node).join(code)

The two find each other under the number of the code: at meeting places that both are connected to,
or because they are connected to each other, as on one local network.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from whispurrnet.base.errors import AuthError, LimitError, NetworkError, UsageError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.pake import stretch
from whispurrnet.node.seeking import Seeker
from whispurrnet.session import joining, pairing
from whispurrnet.session import pairing_messages as wire
from whispurrnet.wire import words
from whispurrnet.wire.words import Code

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer, Request

REQUEST: Final = "whispurr.pair"
OFFERS_MAX: Final = 16
"""Codes that are open at the same time."""

NUMBERS_TRIED: Final = 5
"""How many numbers are tried for one that nobody nearby uses."""

LOOK_AGAIN_S: Final = 1.0
"""How often to look for who offers."""


ANSWER_S: Final = 15.0
"""How long to wait for an answer."""

_ANEW: Final = "ask the sender for a new one"

_ENDED: Final[dict[str, tuple[type[WhispurrError], str]]] = {
    "wrong": (
        AuthError,
        (
            "somebody tried the code with wrong words, and a code ends at the first wrong try; "
            "give out a new one"
        ),
    ),
    "expired": (LimitError, "nobody used the code in time; give out a new one"),
    "cancelled": (UsageError, "the code was taken back; give out a new one"),
}


class Met(msgspec.Struct, frozen=True, eq=False):
    """Two who knew the same code."""

    peer: Peer
    key: Secret
    """32 bytes that both have, and nobody else."""
    payload: bytes
    """What the code was for, as who gave it out says."""


class Offer:
    """A code that was given out; made by `Pairing.offer`."""

    def __init__(self, owner: Pairing, code: Code, core: pairing.Offering, payload: bytes) -> None:
        self.code = code
        self._owner = owner
        self._payload = payload
        self._core = core
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._met: Met | None = None
        self.ended = ""
        """Why the code is over: `wrong`, `expired`, `settled`, `cancelled`; empty: it is not."""

    @property
    def good_for_s(self) -> float:
        """For how long the code is good, in seconds."""
        return max(0.0, self._core.expires_at - self._owner.node.now())

    async def met(self) -> Met:
        """Wait for who knows the code. Cancelling is safe: the code stays open.

        Raises:
            AuthError: Somebody tried it with wrong words.
            LimitError: Its time is over.
            UsageError: It was taken back.
        """
        while self._met is None:
            if self.ended:
                kind, text = _ENDED[self.ended]
                raise kind(text)
            self._changed.clear()
            await self._changed.wait()
        return self._met

    def settle(self) -> None:
        """The other side has shown that it has the key: the code is not needed any more."""
        self.handle(pairing.Settle())

    def close(self) -> None:
        """Take the code back."""
        self.handle(pairing.Cancel())

    def handle(self, event: pairing.Event, peer: Peer | None = None) -> bytes:
        """Give the core an event; the answer, if it was a question.

        Raises:
            ProtocolError: The peer broke the protocol.
        """
        answer = b""
        for effect in self._core.handle(event, self._owner.node.now()):
            match effect:
                case pairing.Answer(_, body):
                    answer = body
                case pairing.Paired(_, key):
                    assert peer is not None
                    self._met = Met(peer, key, self._payload)
                    self._changed.set()
                case pairing.Ended(why):
                    self.ended = why
                    self._owner.forget(self)
                    self._changed.set()
        self._wait()
        return answer

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._core.deadline is not None:
            wait_s = max(0.0, self._core.deadline - self._owner.node.now())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_s, lambda: self.handle(Tick()))


class Pairing:
    """The codes of one node.

    Args:
        node: It runs; requests called `whispurr.pair` are answered from now on.
        config: Bounds of each pairing.
    """

    def __init__(self, node: Node, config: pairing.Config | None = None) -> None:
        self.node = node
        self.config = config or pairing.Config()
        self._offers: dict[int, Offer] = {}
        node.on_request(REQUEST, self._asked)

    # The side that gives out a code

    async def offer(self, payload: bytes, *, count: int = words.WORDS_MIN) -> Offer:
        """Give out a code.

        Args:
            payload: What the other side is to get once it has shown that it knows the code; at
                most 2048 bytes.
            count: How many words the code has, 2 to 8.

        Raises:
            UsageError: The payload or the count is out of range.
            LimitError: Too many codes are open.
        """
        if len(self._offers) >= OFFERS_MAX:
            raise LimitError(f"{OFFERS_MAX} codes are open already; take one back first")
        code = words.code(await self._number(), secrets.token_bytes, count)
        scalar = await asyncio.to_thread(stretch, code.secret, code.salt)
        core = pairing.Offering(
            self.config,
            code.nameplate,
            scalar,
            payload,
            entropy=secrets.token_bytes,
            now=self.node.now(),
        )
        offer = self._offers[code.nameplate] = Offer(self, code, core, payload)
        offer.handle(Tick())
        self.node.register(code.name)
        return offer

    async def _number(self) -> int:
        """One that nobody nearby uses, if there is one."""
        tried = words.nameplates(secrets.token_bytes, NUMBERS_TRIED + OFFERS_MAX)
        free = [number for number in tried if number not in self._offers]
        for number in free[:NUMBERS_TRIED]:
            if not [ticket async for ticket in self.node.find(f"pair/{number}")]:
                return number
        return free[0]

    def forget(self, offer: Offer) -> None:
        """A code is over."""
        if self._offers.get(offer.code.nameplate) is offer:
            del self._offers[offer.code.nameplate]
            self.node.withdraw(offer.code.name)

    def _asked(self, request: Request) -> bytes:
        asked = wire.question(request.body)
        offer = self._offers.get(asked.nameplate)
        if offer is None:
            return wire.answer(wire.No(wire.GONE))
        event = pairing.Asked(0, request.sender.handle, _binding(request.sender), request.body)
        return offer.handle(event, request.sender)

    # The side that was told it

    async def join(
        self,
        code: Code,
        *,
        timeout_s: float = 120.0,
        told: Callable[[str], None] | None = None,
    ) -> Met:
        """Find who gave out a code, and pair with it.

        Args:
            code: As `words.parse` reads it.
            timeout_s: For how long to look.
            told: Called with `looking`, and with `pairing` once somebody was found.

        Raises:
            AuthError: The words are not those of the code; ask for a new one.
            NetworkError: Nobody who offers it was found in time.
        """
        tell = told or _tell_nobody
        scalar = await asyncio.to_thread(stretch, code.secret, code.salt)
        core = joining.Joining(self.config, code.nameplate, scalar, entropy=secrets.token_bytes)
        seeker, refused = Seeker(self.node, code.name), dict[bytes, str]()
        tell("looking")
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = await seeker.next(LOOK_AGAIN_S)
                    if found is None and core.guesses and refused:
                        raise AuthError(f"{next(iter(refused.values()))}; {_ANEW}")
                    if found is None or found[0] in refused:
                        continue
                    tell("pairing")
                    came = await self._run(core, found[1])
                    if isinstance(came, Met):
                        return came
                    if came.reason in (wire.WRONG, wire.GONE, wire.OLD):
                        refused[found[0]] = came.text
                    else:
                        await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            reasons = next(iter(refused.values()), "")
            raise NetworkError(_nobody(self.node, reasons, timeout_s)) from None

    async def _run(self, core: joining.Joining, peer: Peer) -> Met | joining.Missed:
        now = self.node.now()
        try:
            effects = core.handle(joining.Begin(peer.handle, _binding(peer)), now)
        except NetworkError as error:
            return joining.Missed(peer.handle, 0, str(error))
        except UsageError as error:
            raise AuthError(str(error)) from error
        while True:
            match effects[0]:
                case joining.Ask(_, body):
                    try:
                        answer = await self.node.request(peer, REQUEST, body, timeout_s=ANSWER_S)
                    except WhispurrError as error:
                        effects = core.handle(joining.Failed(str(error)), now)
                    else:
                        effects = core.handle(joining.Answered(answer), now)
                case joining.Joined(_, key, payload):
                    return Met(peer, key, payload)
                case joining.Missed() as missed:
                    return missed


def _tell_nobody(what: str) -> None:
    """Whoever joins wants to hear nothing."""


def _binding(peer: Peer) -> bytes:
    """What only the two ends of the session with a peer have in common.

    Raises:
        NetworkError: It is not connected.
    """
    live = peer.record.live
    if live is None:
        raise NetworkError(f"{peer.name} is not connected any more")
    return live.keys.export(wire.EXPORT)


def _nobody(node: Node, refused: str, timeout_s: float) -> str:
    """Why nobody was found, and what to do."""
    if refused:
        return (
            f"only others were found: {refused}; is the sender still waiting? ask it for a new code"
        )
    if not node.peers:
        return (
            "this node is connected to nobody; join the sender's network, or name a meeting "
            "place on both sides with --via TICKET"
        )
    return (
        f"nobody who offers this code was found within {timeout_s:g} s; is the sender still "
        "waiting, and connected to the same network or meeting place?"
    )
