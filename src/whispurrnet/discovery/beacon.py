"""Beacons: announcements on the local network, and what they teach us.

A beacon is one datagram of 512 bytes, always. To whoever lacks the network's secret it is random
bytes, no two alike in any place: it tells that somebody is there and nothing else. Members find in
it who is there (a `Proof`, self-certifying), where, and when it was said, under a signature. In an
open mesh the key is a public constant, and everybody is a member.

    nonce 24 | XChaCha20-Poly1305( proof 240 | counter u64 | wall s u32 | addresses 156 | sig 64 )
    addresses = count u8, then each: kind u8 | IP 4 or 16 | port u16; then zeros
    sig = Ed25519 of the proof's signing key over "WN1 beacon" | key tag 16 | all before it

Source: the shape of LIFX and BitTorrent local discovery, sealed; draft-irtf-cfrg-xchacha-03.

Invariants:
    - a beacon is believed once: its counter must grow for its id, its time be close to ours;
    - ours are ignored, and so are those that say they are from us;
    - every table is bounded, and so is the work strangers can cause (`checks_per_s`);
    - answering a new neighbour never makes us speak more often than `gap_s`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from struct import Struct
from typing import TypeAlias

import msgspec

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.errors import AuthError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.aead import XNONCE_BYTES, xopen, xseal
from whispurrnet.crypto.hash import hkdf
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import verify
from whispurrnet.identity.ephemeral import PROOF_BYTES, Ephemeral, Proof
from whispurrnet.wire.address import WEBSOCKET_PATH, Address, TransportName, at, parse
from whispurrnet.wire.ids import PeerId

BEACON_BYTES = 512
ADDRESSES_MAX = 8
OPEN_MESH = b"WN1 open mesh"
"""What stands in for the secret of a network that has none."""

_ADDRESSES_BYTES = 156
_SIGNATURE_BYTES = 64
_LABEL = b"WN1 beacon"
_WHEN = Struct(">QI")
_SIGNED_BYTES = PROOF_BYTES + _WHEN.size + _ADDRESSES_BYTES
_TRANSPORTS: tuple[TransportName, ...] = ("tcp", "tls", "ws", "wss")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the beacon."""

    interval_s: float = 5.0
    """How often to announce, in seconds; each time jittered by a fifth."""

    burst: int = 3
    """How many announcements come quickly after the start, or when something has changed."""

    gap_s: float = 1.0
    """The shortest time between two announcements, and their distance in a burst, in seconds."""

    answer_s: float = 0.25
    """A new neighbour is answered within this time, at a random moment, in seconds."""

    skew_s: int = 600
    """How far a neighbour's clock may be from ours, in seconds."""

    neighbours_max: int = 1024
    """How many ids to remember."""

    checks_per_s: float = 50.0
    """How many beacons of a network are checked a second; more are dropped."""


# Events and effects


class Update(msgspec.Struct, frozen=True):
    """This is who we are and where; announce it. Without addresses, be silent."""

    identity: Ephemeral
    addresses: tuple[str, ...]


class Datagram(msgspec.Struct, frozen=True):
    """Something came in from the local network."""

    data: bytes


class Announce(msgspec.Struct, frozen=True):
    """Send this to the local network."""

    data: bytes


class Found(msgspec.Struct, frozen=True):
    """A neighbour said who it is, and where; each beacon of it says so again."""

    proof: Proof
    addresses: tuple[str, ...]


Event: TypeAlias = Update | Datagram | Tick
Effect: TypeAlias = Announce | Found


class _Neighbour:
    """What is remembered of an id: its newest beacon, and that its proof was checked."""

    __slots__ = ("counter", "proof")

    def __init__(self, proof: bytes) -> None:
        self.proof = proof
        self.counter = -1


class Beacon:
    """The beacon core of one node.

    Args:
        config: Its settings.
        network_secret: The secret of a private network, or None in an open mesh.
        entropy: Gives random bytes.
        wall: Gives unix time in milliseconds.
    """

    def __init__(
        self,
        config: Config,
        network_secret: bytes | None,
        entropy: Callable[[int], bytes],
        wall: Callable[[], int],
    ) -> None:
        self.config = config
        self.interval_s = config.interval_s
        """How often to announce from now on: less often while the node sleeps."""
        self.deadline: float | None = None
        """When the next announcement is due, in seconds; None while silent."""
        material = hkdf(network_secret or OPEN_MESH, info=_LABEL, n=48)
        self._key, self._tag = Secret(material[:32]), material[32:]
        self._entropy = entropy
        self._wall = wall
        self._identity: Ephemeral | None = None
        self._packed = b""  # our addresses
        self._counter = 0
        self._burst = 0  # quick announcements still to come
        self._spoke_at: float | None = None
        self._neighbours: LruDict[PeerId, _Neighbour] = LruDict(config.neighbours_max)
        self._ours: LruDict[PeerId, None] = LruDict(8)
        self._checks = TokenBucket(config.checks_per_s, 4 * config.checks_per_s)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`).

        Raises:
            UsageError: An address of an `Update` cannot be parsed; nothing has changed.
        """
        effects = list(self._react(event, now))
        if __debug__:
            self._check()
        return effects

    def _check(self) -> None:
        assert (self.deadline is None) == (self._identity is None), "who has a name speaks"
        assert len(self._neighbours) <= self.config.neighbours_max
        assert 0 <= self._burst <= self.config.burst

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Update(identity, addresses):
                self._update(identity, pack_addresses(addresses), now)
            case Datagram(data):
                found = self._read(data, now)
                if found is not None:
                    yield found
            case Tick():
                if self.deadline is not None and self.deadline <= now:
                    yield from self._announce(now)

    # Speaking

    def _update(self, identity: Ephemeral, packed: bytes, now: float) -> None:
        if not packed[0]:
            self._identity, self.deadline, self._burst = None, None, 0
            return
        changed = (
            self._identity is None or self._identity.id != identity.id or packed != self._packed
        )
        self._identity, self._packed = identity, packed
        self._ours.put(identity.id, None)
        if changed or self.deadline is None:
            self._burst = self.config.burst
            self._speak_by(now)

    def _announce(self, now: float) -> Iterator[Effect]:
        assert self._identity is not None
        wall_ms = self._wall()
        # Never the same twice for one identity, also when the clock goes back.
        self._counter = max(self._counter + 1, wall_ms)
        body = self._identity.proof.encode() + _WHEN.pack(self._counter, wall_ms // 1000)
        body += self._packed
        body += self._identity.signing.sign(_LABEL + self._tag + body)
        nonce = self._entropy(XNONCE_BYTES)
        yield Announce(nonce + xseal(self._key, nonce, body))
        self._spoke_at = now
        if self._burst:
            self._burst -= 1
        pause_s = self.config.gap_s if self._burst else self.interval_s
        self.deadline = now + max(pause_s * (0.8 + 0.4 * self._chance()), self.config.gap_s)

    def _speak_by(self, due_at: float) -> None:
        """Announce at `due_at` or before, but not sooner than allowed after the last one."""
        if self._spoke_at is not None:
            due_at = max(due_at, self._spoke_at + self.config.gap_s)
        self.deadline = due_at if self.deadline is None else min(self.deadline, due_at)

    def _chance(self) -> float:
        return int.from_bytes(self._entropy(4), "big") / 2**32

    # Hearing

    def _read(self, data: bytes, now: float) -> Found | None:
        """What a datagram tells, or None: anything wrong is ignored, for anybody can send it."""
        if len(data) != BEACON_BYTES:
            return None
        try:
            return self._hear(xopen(self._key, data[:XNONCE_BYTES], data[XNONCE_BYTES:]), now)
        except AuthError:
            return None

    def _hear(self, body: bytes, now: float) -> Found | None:
        """Check a beacon of our network.

        Raises:
            AuthError: It is not what it says.
        """
        proof = Proof.decode(body[:PROOF_BYTES])
        counter, wall_s = _WHEN.unpack_from(body, PROOF_BYTES)
        peer, wall_ms = proof.id, self._wall()
        if peer in self._ours or abs(wall_ms // 1000 - wall_s) > self.config.skew_s:
            return None
        neighbour = self._neighbours.get(peer)
        if neighbour is not None and counter <= neighbour.counter:
            return None  # each beacon comes once for each interface and family
        if not self._checks.take(1, now):
            return None
        verify(proof.signing_key, _LABEL + self._tag + body[:_SIGNED_BYTES], body[_SIGNED_BYTES:])
        if neighbour is None or neighbour.proof != body[:PROOF_BYTES]:
            proof.verify(wall_ms, skew_s=self.config.skew_s)
        elif wall_ms > (proof.not_after_s + self.config.skew_s) * 1000:
            return None
        addresses = unpack_addresses(body[PROOF_BYTES + _WHEN.size : _SIGNED_BYTES])
        if neighbour is None:
            neighbour = _Neighbour(body[:PROOF_BYTES])
            self._neighbours.put(peer, neighbour)
            if self._identity is not None:
                self._speak_by(now + self.config.answer_s * self._chance())
        neighbour.counter = counter
        return Found(proof, addresses)


def pack_addresses(addresses: tuple[str, ...]) -> bytes:
    """The first 8 addresses of IP kind, as they travel; names and memory are passed over.

    Raises:
        UsageError: One of them cannot be parsed.
    """
    entries = [packed for text in addresses if (packed := _pack(parse(text)))][:ADDRESSES_MAX]
    return (bytes([len(entries)]) + b"".join(entries)).ljust(_ADDRESSES_BYTES, b"\x00")


def unpack_addresses(packed: bytes) -> tuple[str, ...]:
    """Read what `pack_addresses` wrote.

    Raises:
        AuthError: It is malformed, or holds an address where nobody can be.
    """
    count, at_byte = packed[0], 1
    found: dict[str, None] = {}
    for _ in range(count):
        kind = packed[at_byte]
        end = at_byte + 1 + (16 if kind & 0x80 else 4)
        if kind & 0x7F >= len(_TRANSPORTS) or end + 2 > len(packed) or count > ADDRESSES_MAX:
            raise AuthError("the beacon is malformed")
        ip = ipaddress.ip_address(packed[at_byte + 1 : end])
        port = int.from_bytes(packed[end : end + 2], "big")
        if not _is_place(ip, port):
            raise AuthError("the beacon is malformed")
        found[str(at(str(ip), port, _TRANSPORTS[kind & 0x7F]))] = None
        at_byte = end + 2
    if not found or any(packed[at_byte:]):
        raise AuthError("the beacon is malformed")
    return tuple(found)


def _pack(address: Address) -> bytes:
    """One address: 0x80 for IPv6 plus the transport, the IP, the port; nothing if it cannot go."""
    if not address.is_ip or "%" in address.host or address.path != WEBSOCKET_PATH:
        return b""
    if address.is_relayed:
        return b""
    ip = ipaddress.ip_address(address.host)
    if not _is_place(ip, address.port):
        return b""
    kind = _TRANSPORTS.index(address.transport) | (0x80 if ip.version == 6 else 0)
    return bytes([kind]) + ip.packed + address.port.to_bytes(2, "big")


def _is_place(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
    """Whether somebody can be there; link-local IPv6 means nothing without an interface."""
    nowhere = ip.is_unspecified or ip.is_multicast or (ip.version == 6 and ip.is_link_local)
    return port > 0 and not nowhere
