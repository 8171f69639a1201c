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
from whispurrnet.stack.roster import Record
from whispurrnet.wire.ids import PeerId

AT_ONCE = b"!"
"""What targets begin with that are dialled past the line."""

CALLS_MAX = 1_000
ERRORS_MAX = 1_000
BESIDE_MAX = 256
ADDRESSES_MAX = 8


class Call:
    """One target, and what is known of it."""

    __slots__ = (
        "addresses",
        "error",
        "expected_id",
        "failed",
        "invited",
        "keep",
        "persistent",
        "persona",
        "psk",
        "refs",
        "relay",
        "static_key",
        "wrong",
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
        self.relay = False
        """Whether it is a relay that we want a place at."""
        self.failed: list[Callable[[WhispurrError], None]] = []
        """Who inside the stack hears that it is called no longer, and why."""
        self.wrong: list[str] = []
        """Where somebody answered who was not it, since it was tried elsewhere."""
        self.refs: list[int] = []
        """The `Connect`s that wait for it."""

    def choose(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Those to dial now: not where somebody else answered, while there are others."""
        others = tuple(address for address in addresses if address not in self.wrong)
        if not others:
            self.wrong.clear()
        return others or addresses


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
        self.fell: Callable[[int, str, float], None] = lambda dial, reason, now: None
        """Hears which dial beside the pool nobody answered, why, and when."""
        self._beside: LruDict[int, Call] = LruDict(BESIDE_MAX)
        """Dials that the pool did not ask for: other paths to peers that are connected."""
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
            call.relay = call.relay or known.relay
            call.failed = known.failed + call.failed
            call.persona = call.persona or known.persona
            if call.psk is None:
                call.psk, call.invited = known.psk, known.invited
            if call.static_key is not None and known.static_key is not None:
                # it may have told us, in a session, of a newer key than that of its ticket
                call.static_key, call.expected_id = known.static_key, known.expected_id
        self._calls[target] = call
        self.book.learn(target, call.addresses, source, now)
        return target, list(self._perform(self._wanted(target, call, now), now))

    def at_once(self, call: Call) -> list[events.Effect]:
        """Dial a target now, once, past the line of the pool, where others may wait for it.

        Raises:
            LimitError: Too many targets are called at once.
        """
        assert call.static_key is not None, "its key is known"
        target = AT_ONCE + call.static_key
        if len(self._calls) >= CALLS_MAX:
            raise LimitError(f"{CALLS_MAX} peers are being called; wait, or disconnect some")
        called = (self._calls.get(other) for other in self._dials.values())
        under_way = next((c for c in called if c and c.static_key == call.static_key), None)
        if under_way is not None:
            under_way.failed += call.failed
            return []
        self._calls[target] = call
        dial, self._next_dial = self._next_dial, self._next_dial + 1
        self._dials[dial] = target
        return [events.Dial(dial, call.addresses)]

    def reached_at_once(self, static_key: bytes, now: float) -> list[events.Effect]:
        """What `at_once` was for is there: it is not called again when it goes."""
        target = AT_ONCE + static_key
        if self._calls.pop(target, None) is None:
            return []
        return list(self._perform(pool.Unwant(target), now))

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

    def beside(self, record: Record) -> int:
        """The number of a dial to a peer that is connected: for another path to it.

        The pool does not hear of it, and its failure is that of the attempt alone.
        """
        dial = self._next_dial
        self._next_dial += 1
        call = Call(record.static_key, ())
        call.psk, call.keep = record.psk, False
        self._beside.put(dial, call)
        return dial

    def taken(self, dial: int) -> Call | None:
        """The call of a dial beside the pool that has ended, well or not."""
        return self._beside.pop(dial)

    def connected(self, target: bytes, address: str, now: float) -> list[events.Effect]:
        """The target is reached at this address."""
        self._errors.pop(target)
        if target in self._calls:
            self._calls[target].error = None
            self._calls[target].wrong.clear()
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
        self, target: bytes, error: WhispurrError, now: float, *, at: str = ""
    ) -> list[events.Effect]:
        """The target could not be reached, or refused us; it may be tried again.

        Args:
            target: Who was called.
            error: Why not.
            now: Monotonic time in seconds.
            at: Where somebody is who refused us, or is somebody else, as happens with private
                addresses: the next dial goes to the other addresses, if there are any.
        """
        call, heard = self._calls.get(target), bool(at)
        if call is not None:
            call.error = error
            if at:
                call.wrong.append(at)
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
            self._despair(call, error)
        return effects

    def _despair(self, call: Call, error: WhispurrError) -> None:
        for failed in call.failed:
            failed(call.error or error)
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
                    yield events.Dial(dial, call.choose(addresses) if call else addresses)
                case pool.GaveUp(target, reason):
                    call = self._calls.pop(target, None)
                    error = (call.error if call else None) or NetworkError(reason)
                    for ref in call.refs if call else ():
                        yield events.ConnectFailed(ref, error)
                    if call is not None:
                        self._errors.put(target, error)
                        self._despair(call, error)
                case pool.Stop(target):
                    # the dial ends by itself; whatever came of it is nobody's any more
                    self._dials = {d: t for d, t in self._dials.items() if t != target}
