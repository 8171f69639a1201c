"""What the two sides of a handshake have in common: settings, events, effects, and the clock.

`session.initiator` and `session.responder` are the machines; `session.handshake` tells the whole
story.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import msgspec

from whispurrnet.base.errors import ConfigError, UsageError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.hash import equal, hkdf
from whispurrnet.crypto.kex import Entropy, Level, kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import PSK_BYTES, HandshakeState, TransportKeys
from whispurrnet.identity.ephemeral import Ephemeral, Proof
from whispurrnet.session.gate import Gate
from whispurrnet.session.payload import BINDING_BYTES, Credentials, Hello, Pattern
from whispurrnet.session.vetting import Expected, own_credentials

PSK_MODIFIER = 3

PskKind: TypeAlias = Literal["none", "network", "pairwise"]
FindPsk: TypeAlias = Callable[[Callable[[Secret], bool]], Secret | None]
Reason: TypeAlias = Literal[
    "malformed", "policy", "mac", "busy", "replay", "auth", "timeout", "closed"
]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the handshakes of one node."""

    level: Level = Level.L3
    """The level of the sessions this node initiates; it accepts higher ones."""

    min_level: Level = Level.L1
    """Peers below are refused."""

    network_secret: Secret | None = None
    """The secret of a private network; None in the open mesh."""

    accept_first_contact: bool = False
    """Answer initiators that do not know this node's key; implied by a network secret."""

    outer_binding: Literal["warn", "refuse"] = "warn"
    """What to do when the two ends see different TLS connections around the link."""

    features: int = 0
    """32 bits, such as `record.AES_RECORDS`; a session has those that both sides have."""

    timeout_s: float = 10.0
    """From the link's first moment to the session, in seconds."""

    half_open_max: int = 1024
    """Answered but unfinished handshakes; above, cookies are asked for."""

    handshakes_per_s_max: float = 50
    """First messages answered a second; above, cookies are asked for."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.level < self.min_level:
            raise ConfigError(
                f"level {self.level:d} is below min_level {self.min_level:d}; raise the one or "
                "lower the other"
            )

    def gate(self, entropy: Entropy) -> Gate:
        """The gate that all responders of a node with these settings share."""
        return Gate(
            entropy,
            half_open_max=self.half_open_max,
            handshakes_per_s_max=self.handshakes_per_s_max,
        )


# Events and effects


class Begin(msgspec.Struct, frozen=True):
    """The link is open: the clock starts, and the initiator speaks."""


class Arrived(msgspec.Struct, frozen=True):
    """Bytes came from the link."""

    data: bytes


class Closed(msgspec.Struct, frozen=True):
    """The link is gone."""


class Write(msgspec.Struct, frozen=True):
    """Write these bytes to the link."""

    data: bytes


class Established(msgspec.Struct, frozen=True):
    """The peer is who it says; the session can begin."""

    keys: TransportKeys
    proof: Proof
    """The peer's, verified."""
    identity: Ephemeral
    """Ours: the one this session was made with."""
    level: Level
    pattern: Pattern
    psk: PskKind
    features: int
    """Those that both sides have."""
    rest: bytes
    """What came after the handshake: the beginning of the first records."""
    outer_binding: bytes
    """The TLS connection that the peer sees around the link, as it says."""
    binding_matches: bool
    """Whether this side sees the same; if not, somebody ends the TLS in between."""


class Refused(msgspec.Struct, frozen=True):
    """There will be no session.

    With `silent`, the link stays open and unanswered: go on delivering what arrives (it is
    forgotten) until the deadline brings a second `Refused`, which is not silent. Otherwise close
    the link now.
    """

    error: WhispurrError | None
    silent: bool
    reason: Reason
    """For counters; the peer learns neither this nor the error."""


Event: TypeAlias = Begin | Arrived | Closed | Tick
Effect: TypeAlias = Write | Established | Refused


class Side(ABC):
    """What initiator and responder have in common."""

    def __init__(
        self, config: Config, *, binding: bytes, entropy: Entropy, wall: Callable[[], int]
    ) -> None:
        if len(binding) != BINDING_BYTES:
            raise UsageError(f"an outer binding has {BINDING_BYTES} bytes, not {len(binding)}")
        kem(config.level)  # without its extra, level 1 is refused here and not in the middle
        self.config = config
        self._binding = binding
        self._entropy = entropy
        self._wall = wall
        self._buffer = bytearray()
        self._noise: HandshakeState | None = None
        self._deadline: float | None = None
        self._over = False

    @property
    def deadline(self) -> float | None:
        """When the handshake has taken too long, in seconds; None before it began and after."""
        return None if self._over else self._deadline

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects: what is wrong is one of them, never an exception."""
        if self._over:
            return []
        if self._deadline is None:
            self._deadline = now + self.config.timeout_s
        effects = list(self._react(event, now))
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        if self._over:
            assert self._noise is None
            assert not self._buffer

    @abstractmethod
    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        """What initiator and responder do differently."""

    def _end(self) -> None:
        """Forget everything; nothing follows."""
        self._over = True
        self._noise = None
        self._buffer.clear()

    def _refuse(self, error: WhispurrError | None, reason: Reason) -> Refused:
        self._end()
        return Refused(error, silent=False, reason=reason)

    def _own(self, identity: Ephemeral, suites: int) -> bytes:
        return own_credentials(
            identity.proof,
            suites=suites,
            min_level=self.config.min_level,
            features=self.config.features,
            outer_binding=self._binding,
            wall_ms=self._wall(),
        )

    def _expected(self, hello: Hello, *, suites: int, static: bytes | None) -> Expected:
        return Expected(
            level=hello.level,
            suites=suites,
            min_level=self.config.min_level,
            static=static,
            outer_binding=self._binding if self.config.outer_binding == "refuse" else None,
            seen_binding=self._binding,
            wall_ms=self._wall(),
        )

    def _network_psk(self) -> Secret:
        if self.config.network_secret is None:
            return Secret(bytes(PSK_BYTES))
        return hkdf(self.config.network_secret, info=b"WN1 psk", n=PSK_BYTES)

    def _established(
        self, *, peer: Credentials, identity: Ephemeral, hello: Hello, pairwise: bool, rest: bytes
    ) -> Established:
        assert self._noise is not None, "only a running handshake is established"
        keys = self._noise.finish()
        self._end()
        return Established(
            keys=keys,
            proof=peer.proof,
            identity=identity,
            level=hello.level,
            pattern=hello.pattern,
            psk="pairwise" if pairwise else "network" if self.config.network_secret else "none",
            features=self.config.features & peer.features,
            rest=rest,
            outer_binding=peer.outer_binding,
            binding_matches=equal(peer.outer_binding, self._binding),
        )
