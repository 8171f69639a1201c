"""Tickets: round trips, bounds, and errors that say what to do."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.wire import ticket as module
from whispurrnet.wire.ticket import Ticket

KEY = bytes(range(32))
FULL = Ticket(
    static_key=KEY,
    addresses=("/ip4/192.0.2.7/tcp/9000", "/dns4/relay.example.org/tcp/443/wss"),
    expires_s=1_800_000_000,
    psk=Secret(b"p" * 32),
    persona=b"n" * 32,
)
LEAST = Ticket(static_key=KEY)

KEYS = st.binary(min_size=32, max_size=32)
ADDRESSES = st.text(string.ascii_letters + string.digits + "./:[]-_%", max_size=254).map(
    "/".__add__
)
TICKETS = st.builds(
    Ticket,
    static_key=KEYS,
    addresses=st.lists(ADDRESSES, max_size=8).map(tuple),
    expires_s=st.integers(0, 2**32 - 1),
    psk=st.none() | KEYS.map(Secret),
    persona=st.none() | KEYS,
)


def raw(text: str) -> bytes:
    letters = text.removeprefix("WN1-")
    return base64.b32decode(letters + "=" * (-len(letters) % 8))


def with_check(body: bytes) -> str:
    """A text whose check is right, whatever the body says."""
    check = module._check_bytes(body)
    return "WN1-" + base64.b32encode(body + check).decode().rstrip("=")


@given(TICKETS)
def test_round_trip(ticket: Ticket) -> None:
    assert Ticket.parse(ticket.text) == ticket
    assert Ticket.parse(ticket.uri) == ticket
    assert Ticket.parse(ticket.qr_text) == ticket
    assert Ticket.parse(ticket.text).text == ticket.text


def test_the_text_is_fit_for_a_qr_code() -> None:
    assert FULL.text.startswith("WN1-")
    assert set(FULL.text[4:]) <= set(string.ascii_uppercase + "234567")
    assert set(FULL.qr_text) <= set(string.digits + string.ascii_uppercase + " $%*+-./:")


def test_the_longest_ticket_fits_in_one_qr_code() -> None:
    longest = Ticket(
        static_key=KEY,
        addresses=("/" + "a" * 254,) * 8,
        expires_s=2**32 - 1,
        psk=Secret(KEY),
        persona=KEY,
    )
    assert Ticket.parse(longest.text) == longest
    assert len(longest.text) == 3_452 <= module.TEXT_MAX + 4
    assert len(longest.qr_text) <= 4_296  # version 40-L, alphanumeric


def test_a_line_break_and_lower_case_do_no_harm() -> None:
    text = FULL.text
    assert Ticket.parse(f"  {text[:40]}\n  {text[40:].lower()}\r\n") == FULL
    assert Ticket.parse(FULL.uri.upper()) == FULL


@pytest.mark.parametrize("ticket", [FULL, LEAST], ids=["full", "least"])
def test_any_bit_of_any_character_changed_is_found(ticket: Ticket) -> None:
    text = ticket.text
    for place, letter in enumerate(text):
        for bit in range(8):
            other = chr(ord(letter) ^ (1 << bit))
            changed = text[:place] + other + text[place + 1 :]
            if other.upper() == letter:
                assert Ticket.parse(changed) == ticket  # only the case
            else:
                with pytest.raises(UsageError, match="WN1-"):
                    Ticket.parse(changed)


@pytest.mark.parametrize("ticket", [FULL, LEAST], ids=["full", "least"])
def test_any_other_letter_of_the_alphabet_is_found(ticket: Ticket) -> None:
    text = ticket.text
    for place in range(4, len(text)):
        for other in string.ascii_uppercase + "234567":
            if other != text[place]:
                with pytest.raises(UsageError):
                    Ticket.parse(text[:place] + other + text[place + 1 :])


def test_a_character_lost_added_or_swapped_is_found() -> None:
    text = FULL.text
    for place in range(4, len(text)):
        with pytest.raises(UsageError):
            Ticket.parse(text[:place] + text[place + 1 :])
        with pytest.raises(UsageError):
            Ticket.parse(text[:place] + "A" + text[place:])
        if place + 1 < len(text) and text[place] != text[place + 1]:
            with pytest.raises(UsageError):
                Ticket.parse(text[:place] + text[place + 1] + text[place] + text[place + 2 :])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("hello", "it begins with 'hello'"),
        ("WN2-ABCDEFGH", "it begins with 'WN2-ABCD'"),
        ("/ip4/192.0.2.7/tcp/9000", "it begins with '/ip4/192'"),
        ("WN1-", "its check does not match"),
        ("WN1-A", "a character is missing or was added"),
        ("WN1-ABCDEFG1", "'1' at place 8 after WN1- does not occur in one"),
        ("WN1-ABC-DEF", "'-' at place 4"),
        ("WN1-AAAſAAAA", "'ſ' does not occur in one"),  # noqa: RUF001 - its upper case is an S
        ("WN1-" + "A" * 3_501, "3501 characters are too many"),
        ("x" * 1_000_000, "1000000 characters are too many"),
    ],
)
def test_errors_say_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        Ticket.parse(text)
    assert str(caught.value).startswith("not a ticket: ")
    assert reason in str(caught.value)
    assert "a ticket begins with WN1-" in str(caught.value)


def test_bits_beyond_the_last_byte_are_refused() -> None:
    text = LEAST.text
    assert len(raw(text)) * 8 % 5, "the last character has bits to spare"
    alphabet = string.ascii_uppercase + "234567"
    sibling = alphabet[alphabet.index(text[-1]) ^ 1]
    with pytest.raises(UsageError, match="the last character was changed"):
        Ticket.parse(text[:-1] + sibling)


def test_well_formed_nonsense_is_refused() -> None:
    body = raw(FULL.text)[:-4]
    count_at = 2 + 32 + 4 + 64
    for wrong, reason in [
        (b"\x02" + body[1:], "version 2"),
        (body[:1] + b"\x07" + body[2:], "flags 0x7"),
        (body[:1], "it ends too early"),
        (body[:-1], "it ends too early"),
        (body + b"\x00", "something follows"),
        (body[:count_at] + b"\x09" + body[count_at + 1 :], "9 addresses"),
        (body[: count_at + 2] + b"x" + body[count_at + 3 :], "not an address"),
        (body[: count_at + 3] + b"\xff" + body[count_at + 4 :], "not an address"),
        (body[: count_at + 3] + b"\x1b" + body[count_at + 4 :], "not an address"),
        (body[: count_at + 3] + b" " + body[count_at + 4 :], "not an address"),
    ]:
        with pytest.raises(UsageError, match=reason):
            Ticket.parse(with_check(wrong))


def test_expiry() -> None:
    FULL.check(1_799_999_999_999)
    LEAST.check(2**62)
    with pytest.raises(UsageError) as caught:
        FULL.check(1_800_000_000_000)
    assert str(caught.value) == (
        "this ticket expired at 2027-01-15 08:00:00 UTC; ask for a new one"
    )
    assert Ticket.parse(FULL.text) == FULL  # reading one needs no clock


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"static_key": b"short"}, "static_key has 32 bytes, not 5"),
        ({"psk": Secret(b"")}, "psk has 32 bytes, not 0"),
        ({"psk": bytes(32)}, "psk is a Secret"),
        ({"persona": bytes(33)}, "persona has 32 bytes, not 33"),
        ({"expires_s": -1}, "Unix time"),
        ({"expires_s": 2**32}, "Unix time"),
        ({"addresses": ("/a",) * 9}, "8 addresses at most, not 9"),
        ({"addresses": ("no-slash",)}, "such as /ip4"),
        ({"addresses": ("/" + "a" * 255,)}, "at most 255"),
        ({"addresses": ("/é",)}, "printable"),
        ({"addresses": ("",)}, "not an address"),
    ],
)
def test_fields_are_bounded(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Ticket(**{"static_key": KEY, **fields})  # type: ignore[arg-type]


def test_str_is_the_text_and_repr_shows_no_key() -> None:
    assert str(FULL) == FULL.text
    assert repr(FULL) == "<invite: 2 addresses, expires 2027-01-15 08:00:00 UTC>"
    assert repr(LEAST) == "<ticket: 0 addresses, expires never>"
    assert FULL.single_use
    assert not LEAST.single_use
