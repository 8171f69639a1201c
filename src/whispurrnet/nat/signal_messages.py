"""What two peers say to each other to make a WebRTC link: the body of a SIGNAL frame.

One frame holds one message, a MessagePack array whose first element says which it is. It travels
inside the session the two have, so nobody in between reads or changes it.

Source: RFC 8829 (JSEP) for descriptions and candidates; RFC 8840 for candidates one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from whispurrnet.base.errors import ProtocolError

SDP_CHARS_MAX = 16 * 1024
CANDIDATE_CHARS_MAX = 512
MID_CHARS_MAX = 16
TEXT_CHARS_MAX = 200

# Why an attempt ends, in an `End`
CANNOT, TOO_MANY, FAILED, TIMED_OUT, GIVEN_UP = range(1, 6)
REASONS = {
    CANNOT: "the peer has no WebRTC",
    TOO_MANY: "the peer makes as many WebRTC links as it can, or was asked too often",
    FAILED: "the peer could make no WebRTC link",
    TIMED_OUT: "the peer saw no WebRTC link come about in time",
    GIVEN_UP: "the peer gave the WebRTC link up",
}

Attempt = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Sdp = Annotated[
    str, msgspec.Meta(min_length=1, max_length=SDP_CHARS_MAX, pattern=r"\A[\r\n -~]*\Z")
]


class Offer(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Let us make a link: here is my side of it."""

    attempt: Attempt
    """Drawn by the offerer; names the attempt from then on."""
    sdp: Sdp
    """A session description with one data section and nothing else; ASCII."""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Here is mine."""

    attempt: Attempt
    sdp: Sdp


class Candidate(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """One more place to try me at."""

    attempt: Attempt
    candidate: Annotated[str, msgspec.Meta(max_length=CANDIDATE_CHARS_MAX, pattern=r"\A[ -~]*\Z")]
    """`candidate:...` of RFC 8839; empty: there are no more."""
    mid: Annotated[str, msgspec.Meta(max_length=MID_CHARS_MAX, pattern=r"\A[ -~]*\Z")]


class End(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """There will be no link by this attempt."""

    attempt: Attempt
    code: Annotated[int, msgspec.Meta(ge=0, le=255)]
    text: Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]
    """For people; never believed."""


Message: TypeAlias = Offer | Answer | Candidate | End

_TAGS = frozenset({1, 2, 3, 4})
_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Message] = msgspec.msgpack.Decoder(Message).decode
_fields = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def encode(message: Message) -> bytes:
    """The body of a SIGNAL frame; at most some 16.5 KB."""
    return _encode(message)


def decode(body: bytes) -> Message | None:
    """Read the body of a SIGNAL frame; None for a message of a later version.

    Raises:
        ProtocolError: It is malformed.
    """
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _is_later(body):
            return None
        raise ProtocolError("a signalling message is malformed") from error


def _is_later(body: bytes) -> bool:
    """Whether a body is well-formed, and of a kind that this version does not know."""
    try:
        fields = _fields(body)
        return bool(fields) and msgspec.msgpack.decode(fields[0], type=int) not in _TAGS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
