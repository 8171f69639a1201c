"""Whom we call, and who waits for it: between the pool, the dials and the application.

A target is what a handshake is made to: a static key, or the address of a first contact whose
key is not known yet. The pool decides when to dial (backoff, breaker); here is remembered what
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import LimitError, NetworkError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.keys import Secret
from whispurrnet.discovery.book import Book, Source
from whispurrnet.session import pool
from whispurrnet.session.pool import Pool
from whispurrnet.stack import events
from whispurrnet.wire.ids import PeerId

CALLS_MAX = 1_000
ERRORS_MAX = 1_000
ADDRESSES_MAX = 8


class Call:
    """One target, and what is known of it."""

    __slots__ = (
        "addresses",
        "error",
        "expected_id",
        "invited",
        "keep",
        "persistent",
        "persona",
        "psk",
        "refs",
        "static_key",
    )

    def __init__(self, static_key: bytes | None, addresses: tuple[str, ...]) -> None:
        self.static_key = static_key
        self.addresses = addresses
        self.expected_id: PeerId | None = None
        self.persona: bytes | None = None
        self.psk: Secret | None = None
        self.invited = False
        """Whether `psk` is that of an invite."""
        self.persistent = False
        self.keep = True
        """Whether the peer is wanted for itself, not only as somebody in the mesh."""
        self.error: WhispurrError | None = None
        """Why it was not reached the last time."""
        self.refs: list[int] = []
        """The `Connect`s that wait for it."""


class Calls:
    """Every target that is wanted, and every dial under way.

    Args:
        pool_core: Decides when to dial.
        reached: Whether a peer with this static key is connected already.
    """

    def __init__(self, pool_core: Pool, reached: Callable[[bytes], bool]) -> None:
        self.dialling = pool_core
        """When to dial whom."""
        self.book = Book()
        """Where targets are, or are said to be."""
        self._reached = reached
        self._calls: dict[bytes, Call] = {}
        self._dials: dict[int, bytes] = {}
        self._next_dial = 1
        self.lost_hope: list[bytes] = []
        """Static keys of targets that nobody waits for and that are called no longer."""
        self._errors: LruDict[bytes, WhispurrError] = LruDict(ERRORS_MAX)
        """Why targets that are called no longer were not reached."""

    @property
    def deadline(self) -> float | None:
        """When the pool wants to dial next."""
        return self.dialling.deadline

    def get(self, target: bytes) -> Call | None:
        """What is known of a target."""
        return self._calls.get(target)

    def last_error(self, target: bytes) -> WhispurrError | None:
        """Why a target was not reached the last time, also if it is called no longer."""
        call = self._calls.get(target)
        return self._errors.peek(target) if call is None or call.error is None else call.error

    def targets(self, target: bytes | None, static_key: bytes) -> list[bytes]:
        """Everything by which one peer is called: more than one call may have led to it."""
        found = [key for key, call in self._calls.items() if call.static_key == static_key]
        return found if target is None or target in found else [target, *found]

    def want(self, call: Call, source: Source, now: float) -> tuple[bytes, list[events.Effect]]:
        """Start calling a target, or join those who wait for it.

        Args:
            call: The target.
            source: Who says where it is.
            now: Monotonic time in seconds.

        Raises:
            LimitError: Too many targets are called at once.
        """
        target = call.static_key or b"@" + call.addresses[0].encode()
        known = self._calls.get(target)
        if known is None and len(self._calls) >= CALLS_MAX:
            raise LimitError(f"{CALLS_MAX} peers are being called; wait, or disconnect some")
        if known is not None:
            call.refs = known.refs + call.refs
            call.persistent = call.persistent or known.persistent
            call.keep = call.keep or known.keep
            call.persona = call.persona or known.persona
            if call.psk is None:
                call.psk, call.invited = known.psk, known.invited
            if call.static_key is not None and known.static_key is not None:
                # it may have told us, in a session, of a newer key than that of its ticket
                call.static_key, call.expected_id = known.static_key, known.expected_id
        self._calls[target] = call
        self.book.learn(target, call.addresses, source, now)
        return target, list(self._perform(self._wanted(target, call, now), now))

    def _wanted(self, target: bytes, call: Call, now: float) -> pool.Want:
        """What the pool is told: the best addresses first."""
        addresses = self.book.dial_order(target, now)[:ADDRESSES_MAX]
        return pool.Want(target, addresses or call.addresses, call.persistent)

    def learn(self, target: bytes, addresses: tuple[str, ...], now: float) -> None:
        """A target told us, inside its session, where else it is."""
        self.book.learn(target, addresses, Source.TOLD, now)

    def dialled(self, dial: int) -> tuple[bytes, Call] | None:
        """The target of a dial that has ended, well or not."""
        target = self._dials.pop(dial, None)
        call = self._calls.get(target) if target is not None else None
        return (target, call) if target is not None and call is not None else None

    def connected(self, target: bytes, address: str, now: float) -> list[events.Effect]:
        """The target is reached at this address."""
        self._errors.pop(target)
        if target in self._calls:
            self._calls[target].error = None
        self.book.worked(target, address, now)
        return list(self._perform(pool.Connected(target, address), now))

    def renamed(self, target: bytes, static_key: bytes) -> None:
        """The peer behind a target has another key from now on.

        Whoever is called by a mere address, without a key or id, is called so again: after a
        restart the node there has a key that nobody could have told us.
        """
        call = self._calls.get(target)
        if call is not None and (call.static_key is not None or call.expected_id is not None):
            call.static_key, call.expected_id = static_key, None

    def lost(self, target: bytes, now: float) -> list[events.Effect]:
        """The session with the target ended; the pool may call it again."""
        call = self._calls.get(target)
        wanted = self._perform(self._wanted(target, call, now), now) if call is not None else ()
        return [*wanted, *self._perform(pool.Lost(target), now)]

    def failed(
        self, target: bytes, error: WhispurrError, now: float, *, heard: bool = False
    ) -> list[events.Effect]:
        """The target could not be reached, or (`heard`) refused us; it may be tried again."""
        call = self._calls.get(target)
        if call is not None:
            call.error = error
            for address in call.addresses:
                self.book.failed(target, address, now)
        effects = list(self._perform(pool.Failed(target, heard=heard), now))
        if call is not None and not (call.keep or call.persistent or call.refs):
            effects += self.give_up(target, error, now)  # there are others to call in the mesh
        return effects

    def give_up(self, target: bytes, error: WhispurrError, now: float) -> list[events.Effect]:
        """Stop calling a target, and tell those who wait."""
        call = self._calls.pop(target, None)
        effects = list(self._perform(pool.Unwant(target), now))
        if call is not None:
            self._errors.put(target, call.error or error)
            effects += [events.ConnectFailed(ref, error) for ref in call.refs]
            self._despair(call)
        return effects

    def _despair(self, call: Call) -> None:
        if call.static_key is not None and not call.keep:
            self.lost_hope.append(call.static_key)

    def waits_no_more(self, ref: int, now: float) -> list[events.Effect]:
        """Who asked for a call has stopped waiting; one that nobody else wants ends."""
        for target, call in self._calls.items():
            if ref in call.refs:
                call.refs.remove(ref)
                if not call.refs and not call.persistent:
                    return self.give_up(target, NetworkError("nobody waits for it"), now)
                break
        return []

    def answered(self, target: bytes, peer: int, now: float) -> list[events.Effect]:
        """Tell those who wait that the peer is there."""
        call = self._calls.get(target)
        if call is None:
            return []
        refs, call.refs = call.refs, []
        effects: list[events.Effect] = [events.Connected(ref, peer) for ref in refs]
        if (
            refs and not call.persistent and call.keep
        ):  # asked for by name: keep it, whatever the path does
            call.persistent = True
            effects += self._perform(self._wanted(target, call, now), now)
        return effects

    def met(self, static_key: bytes, peer: int, now: float) -> list[events.Effect]:
        """Tell those who wait for the peer with this key that it is there, whoever called."""
        waiting = [
            target
            for target, call in self._calls.items()
            if call.refs and call.static_key == static_key
        ]
        return [effect for target in waiting for effect in self.answered(target, peer, now)]

    def tick(self, now: float) -> list[events.Effect]:
        """Dial what is due."""
        return list(self._perform(Tick(), now))

    def _perform(self, event: pool.Event, now: float) -> Iterator[events.Effect]:
        for effect in self.dialling.handle(event, now):
            match effect:
                case pool.Dial(target, addresses):
                    call = self._calls.get(target)
                    if call is not None and call.static_key and self._reached(call.static_key):
                        yield from self._perform(pool.Connected(target), now)
                        continue
                    dial = self._next_dial
                    self._next_dial += 1
                    self._dials[dial] = target
                    yield events.Dial(dial, addresses)
                case pool.GaveUp(target, reason):
                    call = self._calls.pop(target, None)
                    error = (call.error if call else None) or NetworkError(reason)
                    for ref in call.refs if call else ():
                        yield events.ConnectFailed(ref, error)
                    if call is not None:
                        self._errors.put(target, error)
                        self._despair(call)
                case pool.Stop(target):
                    # the dial ends by itself; whatever came of it is nobody's any more
                    self._dials = {d: t for d, t in self._dials.items() if t != target}
