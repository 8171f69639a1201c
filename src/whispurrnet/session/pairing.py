"""Pairing: two people who share a code of words get a key, over a session that stands already.

One side offers (`Offering`), the other joins (`Joining`). They run SPAKE2 (`crypto.pake`) in two
requests; the joining side is A, so it shows its guess first, and the offering side sees a wrong one
before it answers anything that depends on the code.

    joining   -> Hello(version, nameplate, share)     <- Share(share)            or No(reason)
              -> Confirm(nameplate, confirm)          <- Welcome(confirm, sealed) or No(reason)

The identities that both sides hash are their role and a secret exported from the session's
handshake, which covers both static keys: in the middle of two sessions nothing fits.

Invariants:
    - one guess: the first confirmation that is wrong ends the code, and both sides are told;
    - before a right confirmation, nothing that was sent depends on the code in a way that shows;
    - a code ends after its time, and when the first who knew it has said that all is well: until
      then it may pair again, for an answer can be lost on its way;
    - a peer has one run at a time, and there are so many in all; hellos are taken at a rate;
    - who joins shows at most so many guesses, whoever says to be the one who offers.

Source: RFC 9382; one guess and the words, after magic-wormhole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.pake import Agreed, Pake
from whispurrnet.session import pairing_messages as wire


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of a pairing."""

    lifetime_s: Annotated[float, Meta(gt=0)] = 3600.0
    """How long a code is good for."""

    run_s: Annotated[float, Meta(gt=0)] = 60.0
    """How long a peer may take between its two requests."""

    runs_max: Annotated[int, Meta(ge=1)] = 8
    """Peers that may try at the same time."""

    hellos_per_s: Annotated[float, Meta(gt=0)] = 2.0
    """How often a try may begin; eight at once."""

    pairings_max: Annotated[int, Meta(ge=1)] = 3
    """How often who knows the code may pair before it said that all is well."""

    guesses_max: Annotated[int, Meta(ge=1)] = 3
    """To how many peers who say they offer a joining side shows its guess."""


# Events and effects


class Asked(msgspec.Struct, frozen=True):
    """A peer asked; its question is answered exactly once, under this number."""

    ref: int
    peer: int
    binding: bytes
    """What the session with it exports under `EXPORT`: 32 bytes, the same on both sides."""
    body: bytes


class Settle(msgspec.Struct, frozen=True):
    """The paired peer has shown that it has the key: the code has done its work."""


class Cancel(msgspec.Struct, frozen=True):
    """The code is taken back."""


class Answer(msgspec.Struct, frozen=True):
    """Answer a question."""

    ref: int
    body: bytes


class Paired(msgspec.Struct, frozen=True):
    """A peer knew the code. A later one has a new key, and replaces it."""

    peer: int
    key: Secret
    """32 bytes."""


class Ended(msgspec.Struct, frozen=True):
    """The code is good for nothing any more."""

    why: Literal["wrong", "expired", "settled", "cancelled"]


Event: TypeAlias = Asked | Settle | Cancel | Tick
Effect: TypeAlias = Answer | Paired | Ended


class Offering:
    """One code, on the side that gave it out.

    Args:
        config: Its bounds.
        nameplate: The number of the code.
        scalar: What `pake.stretch` made of its words.
        payload: What the other side is to get, at most 2048 bytes.
        entropy: Gives random bytes.
        now: The time, in seconds.

    Raises:
        UsageError: The payload is too long.
    """

    def __init__(
        self,
        config: Config,
        nameplate: int,
        scalar: Secret,
        payload: bytes,
        *,
        entropy: Callable[[int], bytes],
        now: float,
    ) -> None:
        if len(payload) > wire.PAYLOAD_BYTES_MAX:
            raise UsageError(
                f"a pairing carries {wire.PAYLOAD_BYTES_MAX} bytes, not {len(payload)}"
            )
        self.config = config
        self.nameplate = nameplate
        self._scalar = scalar
        self._payload = payload
        self._entropy = entropy
        self._hellos = TokenBucket(config.hellos_per_s, 8)
        self._runs: dict[int, tuple[bytes, Agreed]] = {}
        """By peer: the binding of its session, and what its confirmation has to fit."""
        self._timers: Timers[int | None] = Timers()
        self.expires_at = now + config.lifetime_s
        """When the code ends if nobody uses it, in seconds."""
        self._timers.set(None, self.expires_at)
        self._paired = 0
        self.ended = False

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        return self._timers.deadline

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            ProtocolError: The peer broke the protocol; nothing has changed.
        """
        effects: list[Effect] = []
        match event:
            case Asked(ref, peer, binding, body):
                asked = wire.question(body)
                if self.ended or asked.nameplate != self.nameplate:
                    effects.append(Answer(ref, _no(wire.GONE)))
                elif isinstance(asked, wire.Hello):
                    effects.append(Answer(ref, self._hello(peer, binding, asked, now)))
                else:
                    self._confirm(event, asked, effects)
            case Settle():
                if self._paired:
                    self._end("settled", effects)
            case Cancel():
                self._end("cancelled", effects)
            case Tick():
                for key in list(self._timers.expire(now)):
                    if key is None:
                        self._end("expired", effects)
                    else:
                        self._forget(key)
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert len(self._runs) <= self.config.runs_max
        assert self._paired <= self.config.pairings_max
        assert not (self.ended and (self._runs or len(self._timers)))
        assert self.ended or len(self._timers) == len(self._runs) + 1

    def _hello(self, peer: int, binding: bytes, asked: wire.Hello, now: float) -> bytes:
        if asked.version != wire.VERSION:
            return _no(wire.OLD)
        full = len(self._runs) >= self.config.runs_max and peer not in self._runs
        if full or not self._hellos.take(1, now):
            return _no(wire.BUSY)
        run = Pake("B", self._scalar, wire.identities(binding), self._entropy)
        agreed = run.finish(asked.share)  # raises before anything has changed
        self._runs[peer] = (binding, agreed)
        self._timers.set(peer, now + self.config.run_s)
        return wire.answer(wire.Share(run.share))

    def _confirm(self, event: Asked, asked: wire.Confirm, effects: list[Effect]) -> None:
        binding, agreed = self._runs.get(event.peer, (b"", None))
        if agreed is None or binding != event.binding:
            effects.append(Answer(event.ref, _no(wire.GONE)))
            return
        self._forget(event.peer)
        try:
            key = agreed.check(asked.confirm)
        except AuthError:
            effects.append(Answer(event.ref, _no(wire.WRONG)))
            self._end("wrong", effects)
            return
        self._paired += 1
        welcome = wire.Welcome(agreed.confirm, wire.seal(key, self._payload))
        effects.append(Answer(event.ref, wire.answer(welcome)))
        effects.append(Paired(event.peer, key))
        if self._paired >= self.config.pairings_max:
            self._end("settled", effects)

    def _forget(self, peer: int) -> None:
        self._runs.pop(peer, None)
        self._timers.cancel(peer)

    def _end(
        self, why: Literal["wrong", "expired", "settled", "cancelled"], effects: list[Effect]
    ) -> None:
        if not self.ended:
            self.ended = True
            for peer in list(self._runs):
                self._forget(peer)
            self._timers.cancel(None)
            effects.append(Ended(why))


def _no(reason: int) -> bytes:
    return wire.answer(wire.No(reason))
