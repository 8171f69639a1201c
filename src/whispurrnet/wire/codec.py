"""Messages to bytes and back: many of one protocol in one body.

A body is a MessagePack array of messages; a message is an array whose first element, an integer,
says which it is (`msgspec.Struct` with `array_like=True` and `tag=<int>`). What is malformed is
refused; what is well-formed but unknown, from a newer version, is counted and left out.

Source: the MessagePack specification; msgspec, "Structs", section "Tagged Unions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar, cast, get_args

import msgspec

from whispurrnet.base.errors import ProtocolError

Message = TypeVar("Message")

MESSAGES_MAX = 4096
"""How many messages one body may hold."""

# What msgspec says to hostile bytes; the last two are for text that is not UTF-8 and for depth.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Codec(Generic[Message]):
    """Encodes and decodes bodies of messages that are all of one union.

        codec: Codec[Message] = Codec(Message)      # Message = Ping | Pong

    One codec serves every peer; it keeps nothing but the count of `unknown` messages.
    """

    def __init__(self, union: Any) -> None:
        types = get_args(union) or (union,)
        self.unknown = 0
        """How many messages of unknown tag were left out."""
        self._tags = frozenset(type.__struct_config__.tag for type in types)
        assert all(isinstance(tag, int) for tag in self._tags), "messages are tagged with integers"
        bound = msgspec.Meta(max_length=MESSAGES_MAX)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Annotated[list[union], bound]).decode
        self._decode_one = msgspec.msgpack.Decoder(union).decode
        self._decode_raw = msgspec.msgpack.Decoder(Annotated[list[msgspec.Raw], bound]).decode
        self._decode_tag = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode

    def encode_all(self, messages: Sequence[Message]) -> bytes:
        """One body of these messages, at most `MESSAGES_MAX`."""
        assert len(messages) <= MESSAGES_MAX, "the receiver refuses longer bodies"
        return self._encode(messages)

    def decode_all(self, body: bytes) -> list[Message]:
        """The messages of one body, in order, without those of unknown tag.

        Raises:
            ProtocolError: The body, or a message of a known tag in it, is malformed.
        """
        try:
            return cast("list[Message]", self._decode(body))
        except msgspec.ValidationError:
            return self._decode_known(body)
        except _MALFORMED as error:
            raise ProtocolError("a body of messages is malformed") from error

    def _decode_known(self, body: bytes) -> list[Message]:
        """The slow way: one message at a time, so that unknown ones can be left out."""
        messages: list[Message] = []
        try:
            for raw in self._decode_raw(body):
                if self._tag(raw) in self._tags:
                    messages.append(self._decode_one(raw))
                else:
                    self.unknown += 1
        except _MALFORMED as error:
            raise ProtocolError("a message is malformed") from error
        return messages

    def _tag(self, raw: msgspec.Raw) -> int:
        fields = self._decode_tag(raw)
        if not fields:
            raise ProtocolError("a message has no tag")
        return msgspec.msgpack.decode(fields[0], type=int)
