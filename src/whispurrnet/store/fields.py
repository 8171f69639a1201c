"""The fields that the messages of this floor are made of, with their bounds."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from whispurrnet.store.object import HASH_BYTES, HEADER_BYTES

REFUSAL_CHARS_MAX: Final = 200

U32: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
U63: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A size, a count or a time; the last bit is left out, so that any database keeps it."""

Oid: TypeAlias = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
"""The id of an object."""

RawHeader: TypeAlias = Annotated[bytes, Meta(min_length=HEADER_BYTES, max_length=HEADER_BYTES)]
"""A header as it is hashed; `Header.unpack` reads it."""

Count: TypeAlias = Annotated[int, Meta(ge=1, le=(1 << 32) - 1)]

Run: TypeAlias = tuple[U32, Count]
"""Chunks one after the other: the first, and how many."""

Words: TypeAlias = Annotated[str, Meta(max_length=REFUSAL_CHARS_MAX)]
"""A reason for people: text to show, never to act on."""
