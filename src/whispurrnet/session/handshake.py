"""The handshake: from a fresh link and two identities to the keys of a session.

`Initiator` and `Responder` run Noise XKhfs+psk3 (or XXhfs+psk3 where the initiator does not know
the responder's key) with X25519 and ML-KEM, so that a session stays secret while either holds.
Three messages of fixed length (`session.payload`), a gate before the first (`session.gate`), and
the same questions to both sides at the end (`session.vetting`).

What a responder finds wrong with a first message it answers with silence: it goes on reading and
forgetting until its deadline, so that who does not hold the node's key cannot tell it from a port
where nobody speaks. From the second message on, a fault ends the link at once. What went wrong is
told to the application, never to the peer.

Invariants:
    - no byte is written to a link before a first message with a right mac1 has come over it;
    - what is buffered is never longer than the message that is waited for, but for one arrival;
    - a session is established only after the peer's proof of identity was checked against the
      static key of this very handshake;
    - after `Established`, a `Refused` with an error, or the deadline, nothing happens any more.

Sources: CRYPTO sections 1.3, 1.5 and 1.8; the Noise Protocol Framework, revision 34.
"""

from __future__ import annotations

from whispurrnet.crypto.hash import sha256
from whispurrnet.session.gate import Gate
from whispurrnet.session.initiator import Initiator
from whispurrnet.session.payload import BINDING_BYTES, NO_BINDING, Pattern
from whispurrnet.session.responder import Responder
from whispurrnet.session.side import (
    Arrived,
    Begin,
    Closed,
    Config,
    Effect,
    Established,
    Event,
    FindPsk,
    PskKind,
    Reason,
    Refused,
    Write,
)

__all__ = [
    "BINDING_BYTES",
    "NO_BINDING",
    "Arrived",
    "Begin",
    "Closed",
    "Config",
    "Effect",
    "Established",
    "Event",
    "FindPsk",
    "Gate",
    "Initiator",
    "Pattern",
    "PskKind",
    "Reason",
    "Refused",
    "Responder",
    "Write",
    "keep_first",
]


def keep_first(
    first_static: bytes, second_static: bytes, first_hash: bytes = b"", second_hash: bytes = b""
) -> bool:
    """Whether the first of two connections between the same two nodes is the one to keep.

    Both sides get the same answer, also if one of them rotated its identity in between: it depends
    only on what the two handshakes themselves showed to both.

    Args:
        first_static: The initiator's static key in the first connection.
        second_static: The initiator's static key in the second.
        first_hash: The first connection's handshake hash; decides when the initiator is the same.
        second_hash: The second's.
    """
    return (sha256(first_static), first_hash) <= (sha256(second_static), second_hash)
