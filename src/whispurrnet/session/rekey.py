"""Rekeying: new keys for an open channel, so that a thief of the old ones is out again.

One side offers (REKEY1), the other answers (REKEY2): the two messages of the Noise handshake
NNhfs+psk0, sent inside the channel. Its psk comes from the keys in use, so only the two ends can
take part; its X25519 and ML-KEM keys are fresh, so who only knows the old keys learns nothing.
Each side then says SWITCH, and everything after it is under the new keys of its direction.

    offers:  REKEY1 ->                          -> SWITCH | new keys ...
    answers:            <- REKEY2, SWITCH | new keys ...

When both offer at once, the offer of the side that opened the connection is the one answered.

Source: Noise revision 34, section 10.2 (NN), section 9 (psk); noise_hfs_spec.

Invariants:
    - at most one exchange is under way, and a new one waits until both sides have switched;
    - an epoch ends only when both directions have.
"""

from __future__ import annotations

from enum import Enum

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.kex import Entropy, Level, kem
from whispurrnet.crypto.noise import HandshakeState, TransportKeys

OFFERS_PER_S_MAX = 16.0
"""How often a peer may make us do the arithmetic of an answer, lastingly; we offer half that."""

OFFERS_BURST = 64.0


class Stage(Enum):
    """How far the exchange under way has come."""

    IDLE = "idle"
    OFFERED = "offered"
    SWITCHING = "switching"


class Rekey:
    """The key exchange of one end of a channel, again and again."""

    def __init__(
        self, keys: TransportKeys, *, initiator: bool, level: Level, entropy: Entropy
    ) -> None:
        self.keys = keys
        """The keys of the epoch that has not ended."""
        self.epoch = 0
        self.stage = Stage.IDLE
        self._initiator = initiator
        self._suite = f"Noise_NNhfs+psk0_25519+{kem(level).name}_ChaChaPoly_SHA256"
        self._entropy = entropy
        self._offer: HandshakeState | None = None
        self._next: TransportKeys | None = None
        self._to_send = False
        self._to_receive = False
        self._our_offers = TokenBucket(OFFERS_PER_S_MAX / 2, OFFERS_BURST / 2)
        self._peer_offers = TokenBucket(OFFERS_PER_S_MAX, OFFERS_BURST)

    @property
    def idle(self) -> bool:
        """Whether a new exchange may begin."""
        return self.stage is Stage.IDLE

    def offer(self, now: float) -> bytes | None:
        """Begin an exchange: the REKEY1, or None if one is under way or was just now."""
        if self.stage is not Stage.IDLE or not self._our_offers.take(1, now):
            return None
        offer = self._handshake(initiator=True)
        message = offer.write(b"")
        self._offer = offer
        self.stage = Stage.OFFERED
        return message

    def answer(self, message: bytes, now: float) -> tuple[bytes, TransportKeys] | None:
        """Take the peer's REKEY1; the REKEY2 and the next keys, or None if our offer wins.

        Raises:
            AuthError: It was not made with the keys in use.
            ProtocolError: It comes in the middle of an exchange, or offers come too often.
        """
        if self.stage is Stage.SWITCHING:
            raise ProtocolError("an offer of new keys before the last exchange has ended")
        if self.stage is Stage.OFFERED and self._initiator:
            return None
        if not self._peer_offers.take(1, now):
            raise ProtocolError(f"more than {OFFERS_PER_S_MAX:g} offers of new keys a second")
        handshake = self._handshake(initiator=False)
        handshake.read(message)
        answer = handshake.write(b"")
        return answer, self._begin_switch(handshake.finish())

    def finish(self, message: bytes) -> TransportKeys:
        """Take the peer's REKEY2; the next keys.

        Raises:
            AuthError: It does not answer our offer.
            ProtocolError: There was none.
        """
        if self.stage is not Stage.OFFERED or self._offer is None:
            raise ProtocolError("an answer to an offer of new keys that was not made")
        self._offer.read(message)
        return self._begin_switch(self._offer.finish())

    def switched_send(self) -> None:
        """Our SWITCH was sealed: what follows it is under the next keys."""
        assert self._to_send
        self._to_send = False
        self._end_switch()

    def switched_receive(self) -> None:
        """The peer's SWITCH came.

        Raises:
            ProtocolError: There is nothing to switch to.
        """
        if not self._to_receive:
            raise ProtocolError("a switch to new keys that were not exchanged")
        self._to_receive = False
        self._end_switch()

    def _handshake(self, *, initiator: bool) -> HandshakeState:
        epoch = self.epoch.to_bytes(4, "big")
        return HandshakeState(
            self._suite,
            initiator=initiator,
            prologue=b"WN1 rekey" + self.keys.hash + epoch,
            psks=(self.keys.export("rekey", epoch),),
            entropy=self._entropy,
        )

    def _begin_switch(self, keys: TransportKeys) -> TransportKeys:
        self._offer = None
        self._next = keys
        self._to_send = self._to_receive = True
        self.stage = Stage.SWITCHING
        return keys

    def _end_switch(self) -> None:
        if self._to_send or self._to_receive:
            return
        assert self._next is not None
        self.keys, self._next = self._next, None
        self.epoch += 1
        self.stage = Stage.IDLE
