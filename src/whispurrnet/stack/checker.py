"""What a message that spreads must be, before it is kept and passed on: shape, realm, stamp.

A body is a stamp and an envelope: alg u8 | value 16 | envelope. The cheap questions come first;
the dear ones are asked only of what was not seen before (MESH.md 1.4, "on arrival").
"""

from __future__ import annotations

from collections.abc import Callable

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import ProtocolError
from whispurrnet.gossip import stamp
from whispurrnet.gossip.envelope import Envelope, Realm, parse, verify
from whispurrnet.gossip.spread import Item, Unwelcome

STAMP_BYTES = 17
HASHCASH, UNSTAMPED = 1, 0
EARLY_S, LATE_S = 330, 30
"""How far in the future a message may expire, and how long ago it may have, in seconds."""

COPIES_MAX = 512
"""How many admitted messages are known byte by byte, so that their copies are not read anew."""

_TAIL = 16
"""The end of a body: the realm mac, by which a copy is looked for."""


def stamped(value: bytes | None, raw: bytes) -> bytes:
    """The body that spreads: a stamp, or room for none, and the envelope."""
    alg = UNSTAMPED if value is None else HASHCASH
    return bytes((alg,)) + (value or bytes(STAMP_BYTES - 1)) + raw


class Message(Item, frozen=True, kw_only=True, gc=False):
    """A message, read but not yet believed."""

    envelope: Envelope


class Checker:
    """Asks the questions for one shard; `gossip.spread` calls it.

    Args:
        realm: The keys of the realm.
        shard: The number of the shard.
        difficulty: How much work a stamp must show.
        wall: Unix time in milliseconds.
    """

    def __init__(
        self, realm: Realm, shard: int, difficulty: stamp.Difficulty, wall: Callable[[], int]
    ) -> None:
        self._realm = realm
        self._shard = shard
        self._difficulty = difficulty
        self._wall = wall
        self._admitted: LruDict[bytes, tuple[bytes, Message]] = LruDict(COPIES_MAX)

    def inspect(self, body: bytes, now: float) -> Message:
        """Read what costs little.

        Raises:
            ProtocolError: It has not the shape of a message, or not a time that can be.
        """
        known = self._admitted.peek(body[-_TAIL:])
        if known is not None and known[0] == body and known[1].expires_at > now:
            return known[1]
        envelope = parse(body[STAMP_BYTES:])
        left_s = envelope.expiry_s - self._wall() / 1000
        if not -LATE_S < left_s <= EARLY_S:
            raise ProtocolError("a message expires at a time that cannot be")
        return Message(
            id=envelope.id,
            expires_at=now + left_s,
            stamped_s=envelope.expiry_s,
            urgent=envelope.urgent,
            envelope=envelope,
        )

    def admit(self, item: Item, body: bytes, now: float) -> None:
        """Ask what costs more.

        Raises:
            ProtocolError: It is of another realm or shard, forged, or shows too little work.
        """
        assert isinstance(item, Message), "what `inspect` gave"
        envelope = item.envelope
        if envelope.shard != self._shard:
            raise ProtocolError("a message came by the neighbours of another shard")
        least = self._difficulty.config.base_bits
        if not self._bears(body, envelope, least):
            raise ProtocolError("a message without the stamp that is always asked for")
        bits = self._difficulty.accepts(now)
        if bits > least and not self._bears(body, envelope, bits):
            raise Unwelcome("a message with less of a stamp than is asked for now")
        verify(self._realm, envelope)
        self._admitted.put(body[-_TAIL:], (body, item))
        self._difficulty.note(now)

    @staticmethod
    def _bears(body: bytes, envelope: Envelope, bits: int) -> bool:
        """Whether a message shows so much work."""
        if not bits:
            return True
        value = body[1:STAMP_BYTES]
        return body[0] == HASHCASH and stamp.verify(envelope.id, envelope.expiry_s, value, bits)
