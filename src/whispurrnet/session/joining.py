"""The side that was told a code: it tries it with one peer after the other (`session.pairing`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from whispurrnet.base.errors import AuthError, ProtocolError, UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.pake import Agreed, Pake
from whispurrnet.session import pairing_messages as wire
from whispurrnet.session.pairing import Config


class Begin(msgspec.Struct, frozen=True):
    """Try the code with a peer that may be the one who offers it."""

    peer: int
    binding: bytes
    """See `Asked`."""


class Answered(msgspec.Struct, frozen=True):
    """The peer answered what was asked last."""

    body: bytes


class Failed(msgspec.Struct, frozen=True):
    """It will not answer what was asked last; `text` says why."""

    text: str


class Ask(msgspec.Struct, frozen=True):
    """Ask the peer; `Answered` or `Failed` is to follow."""

    peer: int
    body: bytes


class Joined(msgspec.Struct, frozen=True):
    """The peer knew the code too."""

    peer: int
    key: Secret
    """32 bytes, the same on its side."""
    payload: bytes


class Missed(msgspec.Struct, frozen=True):
    """Not with this peer."""

    peer: int
    reason: int
    """`WRONG`, `GONE`, `BUSY`, `OLD`; 0: it did not answer, or broke the protocol."""
    text: str


JoinEvent: TypeAlias = Begin | Answered | Failed
JoinEffect: TypeAlias = Ask | Joined | Missed


class Joining:
    """One code, on the side that was told it; one peer after the other.

    Args:
        config: Its bounds.
        nameplate: The number of the code.
        scalar: What `pake.stretch` made of its words.
        entropy: Gives random bytes.
    """

    deadline: float | None = None
    """It waits for nothing but answers."""

    def __init__(
        self,
        config: Config,
        nameplate: int,
        scalar: Secret,
        *,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.config = config
        self.nameplate = nameplate
        self._scalar = scalar
        self._entropy = entropy
        self._peer: int | None = None
        self._run: Pake | Agreed | None = None
        self.guesses = 0
        """How often the guess was shown to somebody."""

    def handle(self, event: JoinEvent, now: float) -> list[JoinEffect]:
        """Take one event; return its effects (see `Machine.handle`). Peers' faults are `Missed`.

        Raises:
            UsageError: Another try is not at its end, or enough were made; nothing has changed.
        """
        match event:
            case Begin(peer, binding):
                return self._begin(peer, binding)
            case Answered(body):
                return self._answered(body)
            case Failed(text):
                return self._missed(0, text)

    def _begin(self, peer: int, binding: bytes) -> list[JoinEffect]:
        if self._run is not None:
            raise UsageError("the code is being tried with another peer; wait for that")
        if self.guesses >= self.config.guesses_max:
            raise UsageError(
                f"the code was refused {self.guesses} times; ask the sender for a new one"
            )
        run = self._run = Pake("A", self._scalar, wire.identities(binding), self._entropy)
        self._peer = peer
        hello = wire.Hello(wire.VERSION, self.nameplate, run.share)
        return [Ask(peer, wire.ask(hello))]

    def _answered(self, body: bytes) -> list[JoinEffect]:
        run, peer = self._run, self._peer
        if run is None or peer is None:
            return []
        try:
            match run, wire.reply(body):
                case Pake(), wire.Share(share):
                    self._run = agreed = run.finish(share)
                    self.guesses += 1
                    confirm = wire.Confirm(self.nameplate, agreed.confirm)
                    return [Ask(peer, wire.ask(confirm))]
                case Agreed(), wire.Welcome(confirm, sealed):
                    key = run.check(confirm)
                    payload = wire.unseal(key, sealed)
                    self._run = self._peer = None
                    return [Joined(peer, key, payload)]
                case _, wire.No(reason):
                    known = reason if reason in wire.WHY else wire.GONE
                    return self._missed(known, wire.WHY[known])
                case _:
                    raise ProtocolError("an answer of pairing came out of turn")
        except AuthError as error:
            return self._missed(wire.WRONG if isinstance(run, Agreed) else 0, str(error))
        except ProtocolError as error:
            return self._missed(0, str(error))

    def _missed(self, reason: int, text: str) -> list[JoinEffect]:
        peer, self._peer, self._run = self._peer, None, None
        return [] if peer is None else [Missed(peer, reason, text)]
