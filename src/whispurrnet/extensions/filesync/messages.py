"""What travels in whispers of the kind FILE_SYNC.

A body is a MessagePack array of these (see `wire.codec`). First both sides say hello, then each
shows that it may take part; only then do indexes move. `talk` names the talk that a part belongs
to, so that what was sent before a connection broke is not taken for news.

    folder = HMAC-SHA-256(key, "WN1 folder" | id of the sender), 16 bytes
    proof  = HMAC-SHA-256(key, "WN1 folder member" | nonce of the prover | nonce of the other
                               | id of the prover | id of the other | device u64)
    talk   = SHA-256("WN1 folder talk" | the smaller nonce | the larger nonce), 8 bytes

The ids are those of the session, which the handshake has bound to keys: a proof is good for nobody
else. The folder's name differs for each sender and each of its identities. Where no key was agreed
on, the key is empty and proves nothing: then only peers that were named take part.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import ProtocolError
from whispurrnet.crypto.hash import hmac_sha256, sha256
from whispurrnet.extensions.filesync.model_events import BATCH_FILES
from whispurrnet.extensions.filesync.record import COUNT_MAX, File
from whispurrnet.wire.codec import Codec

VERSION: Final = 2
"""1 could not tell the folders of one node apart."""
NONCE_BYTES, FOLDER_BYTES, PROOF_BYTES, TALK_BYTES = 16, 16, 32, 8
BODY_BYTES_MAX = 1 << 20
MESSAGES_MAX = 4

NOT_A_MEMBER, OTHER_FOLDER, OTHER_VERSION, SAME_DEVICE, BROKEN = 1, 2, 3, 4, 5
"""Why a peer is refused."""

_Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Talk = Annotated[bytes, Meta(min_length=TALK_BYTES, max_length=TALK_BYTES)]
_Device = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
_Seq = Annotated[int, Meta(ge=0, le=COUNT_MAX)]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I keep a folder in step."""

    version: Annotated[int, Meta(ge=0, le=255)]
    folder: Annotated[bytes, Meta(min_length=FOLDER_BYTES, max_length=FOLDER_BYTES)]
    device: _Device
    nonce: _Nonce
    answer: bool
    """Whether this answers a hello; that is not answered again."""


class Member(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """I may take part."""

    proof: Annotated[bytes, Meta(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
    have: _Seq
    """Up to where I know your index."""
    talk: _Talk


class Part(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A part of my index."""

    talk: _Talk
    reset: bool
    upto: _Seq
    files: Annotated[tuple[File, ...], Meta(max_length=BATCH_FILES)]


class No(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """You may not take part, or we cannot talk."""

    code: Annotated[int, Meta(ge=0, le=255)]
    text: Annotated[str, Meta(max_length=400)]
    folder: Annotated[bytes, Meta(max_length=FOLDER_BYTES)] = b""
    """What the hello called the folder; empty: it is about all."""


Message: TypeAlias = Hello | Member | Part | No


class SyncCodec:
    """Bodies to messages and back, with the bounds above."""

    def __init__(self) -> None:
        self._codec: Codec[Message] = Codec(Message)

    def encode(self, message: Message) -> bytes:
        """A body of one message."""
        return self._codec.encode_all([message])

    def decode(self, body: bytes) -> list[Message]:
        """The messages of a body.

        Raises:
            ProtocolError: It is malformed, too long, or of too many messages.
        """
        if len(body) > BODY_BYTES_MAX:
            raise ProtocolError(f"a body is longer than {BODY_BYTES_MAX} bytes")
        messages = self._codec.decode_all(body)
        if len(messages) > MESSAGES_MAX:
            raise ProtocolError(f"a body has more than {MESSAGES_MAX} messages")
        return messages


def folder_of(key: bytes, sender: bytes) -> bytes:
    """What a sender calls the folder of this key."""
    return hmac_sha256(key, b"WN1 folder", sender)[:FOLDER_BYTES]


def proof_of(key: bytes, prover: tuple[bytes, bytes, int], other: tuple[bytes, bytes]) -> bytes:
    """That the prover holds the key.

    Args:
        key: Of the folder.
        prover: Nonce, id and device.
        other: Nonce and id.
    """
    nonce, id, device = prover
    parts = (nonce, other[0], id, other[1], device.to_bytes(8, "big"))
    return hmac_sha256(key, b"WN1 folder member", *parts)


def talk_of(a: bytes, b: bytes) -> bytes:
    """The name of a talk, by the nonces of its two hellos."""
    return sha256(b"WN1 folder talk", min(a, b), max(a, b))[:TALK_BYTES]
