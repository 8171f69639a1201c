"""Stamps: a little work that makes it dear to flood a mesh, and how much of it is asked.

A stamp is hashcash: 16 bytes that give the SHA-256 of the message's id, its expiry and themselves
enough leading zero bits. To find one takes 2^bits hashes (14 bits: 5 to 15 ms in Python), to check
it one. It is a speed bump, no wall: a graphics card is a thousand times faster. It belongs to one
id and expiry, and so cannot be kept or moved to another message.

The work grows with the load: one bit for each doubling over `load_per_s`. A node that has raised
what it asks still takes two bits less for a minute, because messages are under way; and nobody
sends with fewer bits than most neighbours say they ask.

Source: MESH.md section 1.4, "Spam and Sybil"; Back, "Hashcash - A Denial of Service
Counter-Measure", 2002.

Invariants:
    - base_bits <= bits, accepts, advised <= cap_bits, whatever neighbours say;
    - what is remembered of the load is one number, of neighbours at most `neighbours_max` entries.
"""

from __future__ import annotations

import hashlib
import math
from statistics import median_low

import msgspec

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import UsageError

VALUE_BYTES = 16

_TRIES = 1 << 16


def solve(id: bytes, expiry_s: int, bits: int, start: int = 0) -> bytes:
    """The first value at or after `start` that is a stamp of so many bits; 16 bytes.

    It takes up to about 2^bits microseconds, and nothing else runs meanwhile: where that matters,
    call `attempt` in turns, or this in a thread.
    """
    while (value := attempt(id, expiry_s, bits, start, _TRIES)) is None:
        start += _TRIES
    return value


def attempt(id: bytes, expiry_s: int, bits: int, start: int, tries: int) -> bytes | None:
    """Like `solve`, but None when none of `tries` values from `start` is a stamp.

    Args:
        id: The message's id; 16 bytes.
        expiry_s: When the message expires, in unix seconds.
        bits: How many leading zero bits; 0 to 255.
        start: The first value to try; far below 2^128.
        tries: How many values to try; a million takes up to a second.
    """
    bound, subject, sha256 = _bound(bits), _subject(id, expiry_s), hashlib.sha256
    for number in range(start, start + tries):
        value = number.to_bytes(VALUE_BYTES, "big")
        if sha256(subject + value).digest() <= bound:
            return value
    return None


def verify(id: bytes, expiry_s: int, value: bytes, bits: int) -> bool:
    """Whether `value` is a stamp of at least `bits` bits for this id and expiry."""
    if len(value) != VALUE_BYTES:
        return False
    return hashlib.sha256(_subject(id, expiry_s) + value).digest() <= _bound(bits)


def _subject(id: bytes, expiry_s: int) -> bytes:
    return id + expiry_s.to_bytes(4, "big")


def _bound(bits: int) -> bytes:
    """The largest digest that begins with so many zero bits."""
    return ((1 << 256 - bits) - 1).to_bytes(32, "big")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the difficulty; in one realm and shard they should be the same everywhere."""

    base_bits: int = 14
    """The work of a message in a quiet mesh, in bits."""

    cap_bits: int = 20
    """The most work that is ever asked or done, in bits; a second of one core in Python."""

    load_per_s: float = 50.0
    """Below twice so many messages a second `base_bits` are enough; each doubling asks one more."""

    window_s: float = 10.0
    """The load is the mean of about so long, in seconds."""

    grace_bits: int = 2
    """How many bits less are accepted right after a raise."""

    grace_s: float = 60.0
    """For how long, in seconds; so long a raise lasts at least."""

    heard_s: float = 180.0
    """How long a neighbour's word counts, in seconds."""

    neighbours_max: int = 128
    """How many neighbours' words are remembered."""


class Difficulty:
    """How many bits a stamp needs, here and among the neighbours, in one realm and shard.

    Raises:
        UsageError: The settings contradict one another.
    """

    __slots__ = ("_at", "_bits", "_heard", "_level", "_raised_at", "config")

    def __init__(self, config: Config | None = None) -> None:
        self.config = config = config or Config()
        if not 0 <= config.base_bits <= config.cap_bits < 256:
            raise UsageError("the base bits of a stamp are at least 0 and at most its cap bits")
        self._bits = config.base_bits
        self._raised_at: float | None = None
        self._level = 0.0  # messages, each fading by e in `window_s`
        self._at = 0.0
        self._heard: LruDict[int, tuple[int, float]] = LruDict(config.neighbours_max)

    def note(self, now: float) -> None:
        """Count one message of the shard, new to us."""
        self._level = self._faded(now) + 1.0
        self._at = max(self._at, now)

    def load_per_s(self, now: float) -> float:
        """Messages a second of late."""
        return self._faded(now) / self.config.window_s

    def bits(self, now: float) -> int:
        """What we ask, and say that we ask. It rises at once and falls after `grace_s`."""
        wanted = self._wanted(now)
        if wanted > self._bits:
            self._bits, self._raised_at = wanted, now
        elif not self._in_grace(now):
            self._bits = wanted
        return self._bits

    def accepts(self, now: float) -> int:
        """The fewest bits with which a message is taken."""
        bits = self.bits(now)
        if self._in_grace(now):
            bits = max(self.config.base_bits, bits - self.config.grace_bits)
        return bits

    def heard(self, peer: int, bits: int, now: float) -> None:
        """A neighbour said what it asks; it replaces what it said before."""
        self._heard.put(peer, (bits, now))

    def forget(self, peer: int) -> None:
        """A neighbour has gone."""
        self._heard.pop(peer)

    def advised(self, now: float) -> int:
        """With how many bits to send: what we ask, or the (lower) median of the neighbours."""
        since = now - self.config.heard_s
        fresh = [bits for bits, at in self._heard.values() if at >= since]
        theirs = median_low(fresh) if fresh else 0
        return max(self.bits(now), min(theirs, self.config.cap_bits))

    def _faded(self, now: float) -> float:
        return self._level * math.exp(-max(0.0, now - self._at) / self.config.window_s)

    def _wanted(self, now: float) -> int:
        if not self.config.base_bits:
            return 0  # who asks for none asks for none ever
        ratio = self.load_per_s(now) / self.config.load_per_s
        doublings = int(math.log2(ratio)) if ratio > 1 else 0
        return min(self.config.base_bits + doublings, self.config.cap_bits)

    def _in_grace(self, now: float) -> bool:
        return self._raised_at is not None and now < self._raised_at + self.config.grace_s
