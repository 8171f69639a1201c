"""The pool: whom to be connected to, when to dial, and when to leave it for a while.

A target is wanted until it is not. It waits, is dialled, is connected, and when it is lost or
cannot be reached it waits again, longer each time, by exponential backoff with jitter ("equal
jitter": Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A persistent
target is dialled for ever; another is given up after `retries_max` repetitions. An address that
keeps failing rests (see `session.breaker`), whoever is looked for there.

Dialling a target ends with the first of: `Connected`; a `Failed` for each of its addresses, or one
without an address, for the whole; `dial_timeout_s`; `Unwant`. In the last two the pool says `Stop`.

Invariants:
    - at most `dial_concurrency` targets are being dialled, and no target twice at a time;
    - at most `peers_max` targets are connected or being dialled, wanted or not;
    - every wait lies between `backoff_min_s` and `backoff_max_s`, or ends when an address rests
      no longer;
    - each target has a timer, stands in the queue for a free place, or is connected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, TypeAlias

import msgspec

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.session import breaker
from whispurrnet.session.targets import Phase, Target, Targets

Reason: TypeAlias = Literal["unreachable", "no address", "too many targets"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the pool."""

    peers_max: int = 100
    """Sessions at a time, whoever began them, with the dials under way."""

    targets_max: int = 1_000
    """Targets wanted at a time; a persistent one more makes room by giving up another."""

    addresses_max: int = 8
    """Addresses of one target; more are not dialled."""

    dial_concurrency: int = 8
    """Targets dialled at a time."""

    dial_timeout_s: float = 30.0
    """A dial without an outcome after so long has failed, in seconds."""

    backoff_min_s: float = 0.5
    """The shortest wait before dialling again, in seconds."""

    backoff_max_s: float = 60.0
    """The longest; a session that held for so long starts the waits over."""

    retries_max: int = 3
    """How often a target that is not persistent is dialled again before it is given up."""

    breaker_failures: int = 5
    """An address rests after so many failures in a row."""

    breaker_s: float = 30.0
    """How long it rests before one attempt is made, in seconds."""

    breaker_addresses_max: int = 4_096
    """Failing addresses remembered."""


class Rng(Protocol):
    """Chance: `random.Random` is one."""

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        ...


# Events and effects


class Want(msgspec.Struct, frozen=True):
    """Be connected to a target; of one already wanted, the addresses are replaced.

    Fresh addresses end a wait early. `persistent` is never taken back but by `Unwant`.
    """

    target: bytes
    addresses: tuple[str, ...]
    persistent: bool = False


class Unwant(msgspec.Struct, frozen=True):
    """Stop dialling a target. Its session, if there is one, is the caller's to end."""

    target: bytes


class Connected(msgspec.Struct, frozen=True):
    """A session with a peer is there, wanted or not.

    With an address, the one that was dialled; without, the peer called, or it is not known.
    """

    target: bytes
    address: str = ""


class Lost(msgspec.Struct, frozen=True):
    """The last session with a peer ended."""

    target: bytes


class Failed(msgspec.Struct, frozen=True):
    """Dialling one address of a target failed; without an address, all that were left did."""

    target: bytes
    address: str = ""
    heard: bool = False
    """Somebody is there, though not for us: the address is not to blame, and does not rest."""


class Dial(msgspec.Struct, frozen=True):
    """Reach the target at whichever of these addresses answers."""

    target: bytes
    addresses: tuple[str, ...]


class Stop(msgspec.Struct, frozen=True):
    """Stop dialling the target, if that is still going on; no `Failed` is expected."""

    target: bytes


class GaveUp(msgspec.Struct, frozen=True):
    """The target is wanted no longer, because it cannot be had."""

    target: bytes
    reason: Reason


Event: TypeAlias = Want | Unwant | Connected | Lost | Failed | Tick
Effect: TypeAlias = Dial | Stop | GaveUp


class Pool:
    """The targets of one node."""

    def __init__(self, config: Config, rng: Rng) -> None:
        self.config = config
        self._rng = rng
        self._targets = Targets()
        self._breaker = breaker.Breaker(
            config.breaker_failures, config.breaker_s, config.breaker_addresses_max
        )

    @property
    def deadline(self) -> float | None:
        """When a wait or a dial ends, in seconds."""
        return self._targets.deadline

    @property
    def connected(self) -> int:
        """How many peers are connected."""
        return self._targets.connected

    @property
    def dialling(self) -> int:
        """How many targets are being dialled."""
        return self._targets.dialling

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            LimitError: A peer called and there is no room (see `admits`); nothing has changed.
            UsageError: A target has no name; nothing has changed.
        """
        effects = list(self._react(event, now))
        effects.extend(self._serve(now))
        if __debug__:
            self._targets.check()
            assert self.dialling <= self.config.dial_concurrency
            assert self.connected + self.dialling <= self.config.peers_max
            assert self._targets.wanted <= self.config.targets_max
        return effects

    def admits(self, target: bytes) -> bool:
        """Whether a session with this peer would be taken.

        Up to a quarter of the places is kept for persistent targets that are not there yet, so
        that strangers who call cannot keep out those whom the user asked for.
        """
        known = self._targets.get(target)
        taken = self.connected + self.dialling
        if known is None:
            taken += min(self._targets.absent, self.config.peers_max // 4)
        elif known.phase in (Phase.CONNECTED, Phase.DIALLING):
            return True
        return taken < self.config.peers_max

    def is_open(self, address: str) -> bool:
        """Whether the circuit breaker holds this address back."""
        return self._breaker.is_open(address)

    def state(self, address: str, now: float) -> breaker.State:
        """Where the circuit of an address stands, for people to see."""
        return self._breaker.state(address, now)

    def rests_until(self, address: str, now: float) -> float:
        """When an address may be tried: `now`, or later while its circuit is open."""
        return self._breaker.rests_until(address, now)

    def next_dial_at(self, target: bytes) -> float | None:
        """When a waiting target is dialled again; None if it does not wait."""
        known = self._targets.get(target)
        return known.due_at if known is not None and known.phase is Phase.WAITING else None

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Want():
                yield from self._on_want(event, now)
            case Unwant(target):
                yield from self._on_unwant(target)
            case Connected(target, address):
                yield from self._on_connected(target, address, now)
            case Lost(target):
                yield from self._on_lost(target, now)
            case Failed():
                yield from self._on_failed(event, now)
            case Tick():
                yield from self._on_tick(now)

    def _on_want(self, want: Want, now: float) -> Iterator[Effect]:
        if not want.target:
            raise UsageError("a target has no key; give the static key of the peer")
        key, persistent = want.target, want.persistent
        addresses = tuple(dict.fromkeys(want.addresses))[: self.config.addresses_max]
        known = self._targets.get(key)
        if known is not None and known.wanted:
            self._renew(key, known, addresses, persistent, now)
            return
        if not addresses and known is None:
            yield GaveUp(key, "no address")
            return
        if self._targets.wanted >= self.config.targets_max:
            spare = self._targets.spare() if persistent else None
            if spare is None:
                yield GaveUp(key, "too many targets")
                return
            yield from self._drop(spare)
            yield GaveUp(spare, "too many targets")
        if known is not None:  # it called before it was wanted
            known.addresses = addresses
            self._targets.set_wanted(known, wanted=True, persistent=persistent)
        else:
            new = Target(addresses, wanted=True, persistent=persistent)
            self._targets.add(key, new)
            self._targets.queue(key, new)

    def _renew(
        self,
        key: bytes,
        target: Target,
        addresses: tuple[str, ...],
        persistent: bool,
        now: float,
    ) -> None:
        fresh = [address for address in addresses if address not in target.addresses]
        target.addresses = addresses or target.addresses
        if persistent and not target.persistent:
            if target.phase is Phase.QUEUED:
                self._targets.leave_phase(key, target)
                target.persistent = True
                self._targets.queue(key, target)
            else:
                target.persistent = True
        if fresh and target.phase is Phase.WAITING:
            self._targets.wait(key, target, min(target.due_at, now + self._jitter(0)))

    def _on_unwant(self, key: bytes) -> Iterator[Effect]:
        target = self._targets.get(key)
        if target is None or not target.wanted:
            return
        if target.phase is Phase.CONNECTED:
            self._targets.set_wanted(target, wanted=False, persistent=False)
        else:
            yield from self._drop(key)

    def _on_connected(self, key: bytes, address: str, now: float) -> Iterator[Effect]:
        if not self.admits(key):
            raise LimitError(
                f"no room for another peer: {self.config.peers_max} is the most (peers_max); "
                "raise it or try later"
            )
        target = self._targets.get(key)
        if target is None:
            target = Target((), wanted=False, persistent=False)
            self._targets.add(key, target)
        elif target.phase is Phase.CONNECTED:
            return  # a second session, or the first one took a new key
        elif target.phase is Phase.DIALLING:
            # The peer is up, so what was counted against the addresses under way means little.
            for left in target.left:
                if not address or left == address:
                    self._breaker.worked(left)
                else:
                    self._breaker.release(left)
            if address not in target.left:
                yield Stop(key)
        if address:
            self._breaker.worked(address)
        self._targets.connect(key, target, now)

    def _on_lost(self, key: bytes, now: float) -> Iterator[Effect]:
        target = self._targets.get(key)
        if target is None or target.phase is not Phase.CONNECTED:
            return
        if not target.wanted:
            self._targets.remove(key)
            return
        if now - target.connected_at >= self.config.backoff_max_s:
            target.failures = 0
        # A session that ends at once counts as a failure, or a peer that takes every call and
        # hangs up would be called twice a second for ever.
        yield from self._retry(key, target, now)

    def _on_failed(self, event: Failed, now: float) -> Iterator[Effect]:
        key, address = event.target, event.address
        target = self._targets.get(key)
        if target is None or target.phase is not Phase.DIALLING:
            return  # the dial was stopped, or another way in was faster
        for one in [address] if address else list(target.left):
            if one in target.left:
                del target.left[one]
                if event.heard:
                    self._breaker.release(one)
                else:
                    self._breaker.failed(one, now)
        if not target.left:
            yield from self._retry(key, target, now)

    def _on_tick(self, now: float) -> Iterator[Effect]:
        for key, target in self._targets.expire(now):
            if target.phase is Phase.DIALLING:
                for address in target.left:
                    self._breaker.failed(address, now)
                yield Stop(key)
                yield from self._retry(key, target, now)
            else:
                self._targets.queue(key, target)

    def _serve(self, now: float) -> Iterator[Effect]:
        """Dial who stands in line, as far as there are places."""
        while self._has_place() and (first := self._targets.first()) is not None:
            key, target = first
            ready = [one for one in target.addresses if self._breaker.take(one, now)]
            if ready:
                self._targets.dial(key, target, ready, now + self.config.dial_timeout_s)
                yield Dial(key, tuple(ready))
            elif target.addresses:
                # Every address rests, or is being tried for another target.
                rests = [self._breaker.rests_until(one, now) for one in target.addresses]
                self._targets.wait(key, target, max(min(rests), now + self._jitter(0)))
            else:
                self._targets.remove(key)
                yield GaveUp(key, "no address")

    def _has_place(self) -> bool:
        return (
            self.dialling < self.config.dial_concurrency
            and self.connected + self.dialling < self.config.peers_max
        )

    def _retry(self, key: bytes, target: Target, now: float) -> Iterator[Effect]:
        target.failures += 1
        if not target.persistent and target.failures > self.config.retries_max:
            self._targets.remove(key)
            yield GaveUp(key, "unreachable")
        else:
            self._targets.wait(key, target, now + self._jitter(target.failures))

    def _jitter(self, failures: int) -> float:
        """A wait in seconds: between half of the backoff and the whole, within the bounds."""
        config = self.config
        whole = min(config.backoff_max_s, config.backoff_min_s * 2.0 ** min(failures, 40))
        least = min(max(config.backoff_min_s, whole / 2), whole)
        return least + (whole - least) * self._rng.random()

    def _drop(self, key: bytes) -> Iterator[Effect]:
        """Forget a wanted target that is not connected."""
        target = self._targets.get(key)
        if target is not None and target.phase is Phase.DIALLING:
            for address in target.left:
                self._breaker.release(address)
            yield Stop(key)
        self._targets.remove(key)
