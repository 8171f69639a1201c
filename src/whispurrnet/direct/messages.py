"""What travels in DIRECT frames: whispers, their acknowledgements, requests and answers.

A body is a MessagePack array of these (see `wire.codec`). Sizes and ranges are checked while
decoding, so a core never sees a lane above 10 or a negative number. `kind` is any 16-bit number:
what it means is the application's affair, and an unknown one is nobody's mistake.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias, final

import msgspec
from msgspec import Meta

from whispurrnet.wire.codec import Codec

LANES = 11
"""Priorities 0 to 10 are lanes: order holds within one, and 10 overtakes the others."""

BODY_BYTES_MAX = 1024 * 1024
"""The longest body of one message."""

FRAME_BYTES = 32 * 1024
"""The longest frame of several messages; a longer message travels alone."""

ARRAY_BYTES = 3
"""What the array around the messages of a frame takes."""

OVERHEAD_BYTES = 32
"""At least what a message takes besides its body and its texts."""

NAME_CHARS_MAX = 128
"""The longest name of a request."""

ERROR_CHARS_MAX = 1024
"""The longest text of an error in an answer."""

STREAM_BYTES = 8
"""The random number that tells one incarnation of a sender's lane from the next."""

SEQ_MAX = 2**62
KIND_MAX = 2**16 - 1
TTL_MS_MAX = 2**32 - 1

Lane: TypeAlias = Annotated[int, Meta(ge=0, lt=LANES)]
Seq: TypeAlias = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
SeqUsed: TypeAlias = Annotated[int, Meta(ge=1, le=SEQ_MAX)]
Kind: TypeAlias = Annotated[int, Meta(ge=0, le=KIND_MAX)]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=TTL_MS_MAX)]
StreamId: TypeAlias = Annotated[bytes, Meta(min_length=STREAM_BYTES, max_length=STREAM_BYTES)]
CallId: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name: TypeAlias = Annotated[str, Meta(max_length=NAME_CHARS_MAX)]
ErrorText: TypeAlias = Annotated[str, Meta(max_length=ERROR_CHARS_MAX)]


@final
class Whisper(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A message to the application."""

    kind: Kind
    seq: Seq
    """Counts up by one in each lane; 0 is sent once and never acknowledged."""
    ttl_ms: Milliseconds
    """How long it is still of use; 0 says nothing about that."""
    lane: Lane
    body: bytes


class Ack(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """How far a lane was received, and how far of that the application has read it."""

    lane: Lane
    stream: StreamId
    received: Seq
    read: Seq


class Resume(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """From here on a lane continues: `first` is the lowest that may still come. Ask for an Ack."""

    lane: Lane
    stream: StreamId
    first: SeqUsed


class Request(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A question to a handler of that name."""

    id: CallId
    name: Name
    timeout_ms: Annotated[int, Meta(ge=1, le=TTL_MS_MAX)]
    priority: Lane
    body: bytes


class Response(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The answer to a request; without an error its text is empty."""

    id: CallId
    error: ErrorText
    body: bytes


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """Nobody waits for the answer to this request any more."""

    id: CallId


class Skip(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """These expired before they could be received: `first` to `last`, both included."""

    lane: Lane
    first: SeqUsed
    last: SeqUsed


Message: TypeAlias = Whisper | Ack | Resume | Request | Response | Cancel | Skip


def codec() -> Codec[Message]:
    """A codec of these messages; it counts the unknown ones."""
    return Codec(Message)


class Bundle:
    """The messages of one frame while it is being filled."""

    __slots__ = ("left", "messages")

    def __init__(self, room: int) -> None:
        self.messages: list[Message] = []
        self.left = min(room, FRAME_BYTES) - ARRAY_BYTES
        """How many bytes still fit."""

    def add(self, message: Message, size: int) -> bool:
        """Add a message of `size` bytes, texts included, if it fits or is the only one."""
        if not self.fits(size):
            return False
        self.left -= size + OVERHEAD_BYTES
        self.messages.append(message)
        return True

    def fits(self, size: int) -> bool:
        """Whether a message of `size` bytes fits, or would be the only one."""
        return size + OVERHEAD_BYTES <= self.left or not self.messages
