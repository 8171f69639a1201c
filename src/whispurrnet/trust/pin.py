"""One pin: what is remembered of one long-term identity, and its form on disk."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.persona import PersonaId

NAME_MAX = 64
PERSONA_BYTES = PSK_BYTES = 32


class Trust(IntEnum):
    """How far an identity is trusted. 2 is kept for one introduced by two verified ones."""

    REVOKED = -1
    """The user says: never again."""
    UNKNOWN = 0
    SEEN = 1
    """Met before; it is the same as then, whoever that was."""
    VERIFIED = 3
    """The user compared the safety number."""

    @property
    def word(self) -> str:
        """For people: `revoked`, `unknown`, `seen` or `verified`."""
        return self.name.lower()


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one long-term identity. Its `repr` does not tell whose it is."""

    persona: PersonaId
    name: str = ""
    """What the user calls it; empty for no name. Never what the peer calls itself."""

    level: Trust = Trust.UNKNOWN
    first_seen_ms: int = 0
    """Unix time in milliseconds; 0 for never met."""

    last_seen_ms: int = 0
    psk: Secret | None = None
    """The key shared with it, which replaced that of an invite."""

    psk_previous: Secret | None = None
    """The one before: the other side may not have taken the new one when a link broke."""

    psk_required: bool = False
    """Sessions without the shared key are refused."""

    def __repr__(self) -> str:
        return f"<pin: {self.level.word}{', psk' if self.psk else ''}>"

    @property
    def psks(self) -> tuple[Secret, ...]:
        """The shared keys, the current one first."""
        return tuple(psk for psk in (self.psk, self.psk_previous) if psk is not None)


class Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A pin on disk."""

    persona: Annotated[bytes, Meta(min_length=PERSONA_BYTES, max_length=PERSONA_BYTES)]
    name: Annotated[str, Meta(max_length=NAME_MAX)]
    level: int
    first_seen_ms: Annotated[int, Meta(ge=0)]
    last_seen_ms: Annotated[int, Meta(ge=0)]
    psk: Annotated[bytes, Meta(max_length=PSK_BYTES)]
    psk_previous: Annotated[bytes, Meta(max_length=PSK_BYTES)]
    psk_required: bool


class Shelf(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All pins on disk."""

    version: int
    rows: list[Row]


def to_row(pin: Pin) -> Row:
    """A pin as it goes to the disk."""
    return Row(
        bytes(pin.persona),
        pin.name,
        int(pin.level),
        pin.first_seen_ms,
        pin.last_seen_ms,
        bytes(pin.psk or b""),
        bytes(pin.psk_previous or b""),
        pin.psk_required,
    )


def from_row(row: Row) -> Pin:
    """A pin as it comes from the disk.

    Raises:
        UsageError: The name or a key is malformed.
        ValueError: There is no such level.
    """
    return Pin(
        persona=PersonaId(row.persona),
        name=checked_name(row.name),
        level=Trust(row.level),
        first_seen_ms=row.first_seen_ms,
        last_seen_ms=row.last_seen_ms,
        psk=checked_psk(Secret(row.psk)) if row.psk else None,
        psk_previous=checked_psk(Secret(row.psk_previous)) if row.psk_previous else None,
        psk_required=row.psk_required,
    )


def checked_persona(persona: bytes) -> PersonaId:
    """The id, if it has the right length.

    Raises:
        UsageError: It has not.
    """
    if len(persona) != PERSONA_BYTES:
        raise UsageError(f"a long-term identity has {PERSONA_BYTES} bytes, not {len(persona)}")
    return PersonaId(persona)


def checked_psk(psk: Secret) -> Secret:
    """The key, if it has the right length.

    Raises:
        UsageError: It has not.
    """
    if len(psk) != PSK_BYTES:
        raise UsageError(f"a shared key has {PSK_BYTES} bytes, not {len(psk)}")
    return psk


def checked_name(name: str) -> str:
    """The name, if it is one.

    Raises:
        UsageError: It is too long, or would not look like itself.
    """
    if len(name) > NAME_MAX or not name.isprintable() or name != name.strip():
        raise UsageError(
            f"not a name: {name[:NAME_MAX]!r}; it has at most {NAME_MAX} printable characters "
            "and no spaces at its ends"
        )
    return name
