"""What two sides that pair say to each other, and what they seal (see `session.pairing`)."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.aead import XNONCE_BYTES, xopen, xseal
from whispurrnet.crypto.hash import hkdf
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.pake import CONFIRM_BYTES, SHARE_BYTES
from whispurrnet.wire.codec import Codec

VERSION: Final = 1
EXPORT: Final = "pairing"
"""The label under which a session exports what a pairing is bound to."""

PAYLOAD_BYTES_MAX: Final = 2048
BODY_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 256

WRONG, GONE, BUSY, OLD = 1, 2, 3, 4
"""Why not: the words were wrong, and the code has ended; no code of this number is open; ask again
in a while; the two sides speak different versions."""

WHY: Final = {
    WRONG: "the words are not those of the code, and a code ends at the first wrong try",
    GONE: "no code of this number is open there: it was used, its time is over, or it is another's",
    BUSY: "too many try at the same time",
    OLD: "the other side speaks another version of pairing",
}
_SEAL: Final = b"WN1 pairing welcome"
_ROLES: Final = {"A": b"WN1 pairing joins", "B": b"WN1 pairing offers"}

Nameplate: TypeAlias = Annotated[int, Meta(ge=1, le=999)]
Share32: TypeAlias = Annotated[bytes, Meta(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]
Confirm32: TypeAlias = Annotated[bytes, Meta(min_length=CONFIRM_BYTES, max_length=CONFIRM_BYTES)]
Sealed: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=PAYLOAD_BYTES_MAX + 16)]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I know the code of this number."""

    version: Annotated[int, Meta(ge=0, le=255)]
    nameplate: Nameplate
    share: Share32


class Share(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Show it."""

    share: Share32


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """This is what follows from it."""

    nameplate: Nameplate
    confirm: Confirm32


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """So it is; and what the code was for, sealed under the key."""

    confirm: Confirm32
    sealed: Sealed


class No(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """No; the reason is one of the above, and unknown ones are like `GONE`."""

    reason: Annotated[int, Meta(ge=1, le=255)]


Question: TypeAlias = Hello | Confirm
Reply: TypeAlias = Share | Welcome | No

_questions: Codec[Question] = Codec(Question)
_replies: Codec[Reply] = Codec(Reply)


def question(body: bytes) -> Question:
    """Read what a joining peer asks.

    Raises:
        ProtocolError: It is malformed.
    """
    messages = _questions.decode_all(_short(body))
    if len(messages) != 1:
        raise ProtocolError(f"{len(messages)} questions of pairing instead of one")
    return messages[0]


def reply(body: bytes) -> Reply:
    """Read what an offering peer answers.

    Raises:
        ProtocolError: It is malformed.
    """
    messages = _replies.decode_all(_short(body))
    if len(messages) != 1:
        raise ProtocolError(f"{len(messages)} answers of pairing instead of one")
    return messages[0]


def _short(body: bytes) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise ProtocolError(f"a message of pairing is longer than {BODY_BYTES_MAX} bytes")
    return body


def ask(message: Question) -> bytes:
    """The body of a question."""
    return _questions.encode_all([message])


def answer(message: Reply) -> bytes:
    """The body of an answer."""
    return _replies.encode_all([message])


def identities(binding: bytes) -> tuple[bytes, bytes]:
    """Of who joins and of who offers."""
    return _ROLES["A"] + binding, _ROLES["B"] + binding


def seal(key: Secret, payload: bytes) -> bytes:
    """Sealed under a key of this one pairing, so that its nonce is used once."""
    return xseal(hkdf(key, info=_SEAL), bytes(XNONCE_BYTES), payload)


def unseal(key: Secret, sealed: bytes) -> bytes:
    """What was sealed.

    Raises:
        AuthError: It was not sealed under this key.
    """
    return xopen(hkdf(key, info=_SEAL), bytes(XNONCE_BYTES), sealed)
