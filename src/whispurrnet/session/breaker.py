"""The circuit breaker: an address that keeps failing rests, then one attempt tells.

    closed ── failures_max failures in a row ──> open ── open_s later ──> half-open
      ^                                           ^                           |
      └──────────── the one attempt works ────────┼───────────────────────────┤
                                                  └── the one attempt fails ──┘

Source: Nygard, "Release It!", 2nd edition, section 5.2.

Invariants:
    - nothing is tried while the circuit is open, and one attempt at a time while it is half-open;
    - at most `addresses_max` addresses are remembered; one that works is not remembered at all.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from whispurrnet.base.bounded import LruDict

State: TypeAlias = Literal["closed", "open", "half-open"]


class _Circuit:
    """What is remembered of an address that failed."""

    __slots__ = ("failures", "open_until", "probing")

    def __init__(self) -> None:
        self.failures = 0
        self.open_until: float | None = None
        self.probing = False


class Breaker:
    """The circuit breakers of all addresses."""

    def __init__(self, failures_max: int, open_s: float, addresses_max: int) -> None:
        assert failures_max > 0 and open_s > 0, "a breaker opens after a failure, for a time"
        self.failures_max = failures_max
        self.open_s = open_s
        self._circuits: LruDict[str, _Circuit] = LruDict(addresses_max)

    def __len__(self) -> int:
        return len(self._circuits)

    def state(self, address: str, now: float) -> State:
        """Where the circuit of `address` stands."""
        circuit = self._circuits.peek(address)
        if circuit is None or circuit.open_until is None:
            return "closed"
        return "open" if now < circuit.open_until else "half-open"

    def is_open(self, address: str) -> bool:
        """Whether `address` is held back: its circuit is open, or half-open and not yet proved."""
        circuit = self._circuits.peek(address)
        return circuit is not None and circuit.open_until is not None

    def rests_until(self, address: str, now: float) -> float:
        """When `address` may be tried: `now`, or later while its circuit is open."""
        circuit = self._circuits.peek(address)
        if circuit is None or circuit.open_until is None:
            return now
        return max(now, circuit.open_until)

    def take(self, address: str, now: float) -> bool:
        """Ask to try `address`; a yes is followed by `worked`, `failed` or `release`."""
        circuit = self._circuits.peek(address)
        if circuit is None or circuit.open_until is None:
            return True
        if circuit.probing or now < circuit.open_until:
            return False
        circuit.probing = True
        return True

    def worked(self, address: str) -> None:
        """The attempt led to a peer: the circuit closes."""
        self._circuits.pop(address)

    def failed(self, address: str, now: float) -> None:
        """The attempt failed: count it, and open the circuit when there were enough in a row."""
        circuit = self._circuits.get(address)
        if circuit is None:
            circuit = _Circuit()
            self._circuits.put(address, circuit)
        circuit.failures = min(circuit.failures + 1, self.failures_max)
        circuit.probing = False
        if circuit.failures >= self.failures_max:
            circuit.open_until = now + self.open_s

    def release(self, address: str) -> None:
        """The attempt was given up before it told anything: another one may be made."""
        circuit = self._circuits.peek(address)
        if circuit is not None:
            circuit.probing = False
