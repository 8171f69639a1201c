"""One pin and its form on disk."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.identity.persona import PersonaId
from whispurrnet.trust.pin import Pin, Row, Trust, checked_name, from_row, to_row

PIN = Pin(
    persona=PersonaId(b"p" * 32),
    name="Zoë",
    level=Trust.VERIFIED,
    first_seen_ms=1,
    last_seen_ms=2,
    psk=Secret(b"1" * 32),
    psk_previous=Secret(b"2" * 32),
    psk_required=True,
)


def test_a_pin_survives_the_disk() -> None:
    data = msgspec.msgpack.encode(to_row(PIN))
    again = from_row(msgspec.msgpack.decode(data, type=Row))
    assert again == PIN
    assert isinstance(again.psk, Secret)
    assert PIN.psks == (b"1" * 32, b"2" * 32)
    assert Pin(persona=PIN.persona).psks == ()


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="2"):
        from_row(msgspec.structs.replace(to_row(PIN), level=2))


def test_names_look_like_themselves() -> None:
    assert checked_name("") == ""
    assert checked_name("Zoë from work") == "Zoë from work"
    with pytest.raises(UsageError, match="not a name"):
        checked_name("tab\there")
