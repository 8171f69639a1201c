"""Tickets of objects: one text each, and what was changed is refused."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.keys import Secret
from whispurrnet.wire.ids import ObjectId
from whispurrnet.wire.object_ticket import ObjectTicket, Offered, is_object_ticket
from whispurrnet.wire.ticket import Ticket

ROOT = ObjectId(b"r" * 32)
CAP = Secret(b"c" * 32)
NODE = Ticket(static_key=b"k" * 32, addresses=("/ip4/192.0.2.7/tcp/9000",), expires_s=7)
FILE = Offered(ROOT, CAP, "holiday.mp4", 10_000_000_000, collection=False)
FOLDER = Offered(ROOT, None, "Bilder \N{SNOWMAN}", 0, collection=True)


@pytest.mark.parametrize("offered", [FILE, FOLDER])
def test_it_goes_through_text_and_bytes(offered: Offered) -> None:
    assert Offered.unpack(offered.pack()) == offered
    ticket = ObjectTicket(offered, NODE)
    assert ObjectTicket.parse(ticket.text) == ticket
    assert ObjectTicket.parse(f"  {ticket.text.lower()}\n") == ticket
    assert str(ticket) == ticket.text == ticket.text.upper()
    assert is_object_ticket(ticket.text.lower())
    assert not is_object_ticket(NODE.text)


def test_it_fits_in_a_qr_code() -> None:
    segno = pytest.importorskip("segno")
    node = Ticket(
        static_key=b"k" * 32,
        addresses=tuple("/dns4/" + "x" * 245 + f"/{n}" for n in range(8)),
        persona=b"p" * 32,
    )
    long = ObjectTicket(Offered(ROOT, CAP, "x" * 255, 1, collection=False), node)
    code = segno.make(long.text, micro=False, error="l", boost_error=False)
    assert code.mode == "alphanumeric"
    assert ObjectTicket.parse(long.text) == long


def test_every_changed_letter_is_refused() -> None:
    text = ObjectTicket(FILE, NODE).text
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(UsageError):
            ObjectTicket.parse(changed)
    for wrong in ("", "WNO1-", NODE.text, text[:-1], text + "A", text[:60] + "1", "x" * 9000):
        with pytest.raises(UsageError):
            ObjectTicket.parse(wrong)


def test_every_cut_is_refused() -> None:
    raw = FILE.pack()
    for end in range(len(raw)):
        with pytest.raises(UsageError):
            Offered.unpack(raw[:end])
    for wrong in (raw + b"\0", b"\x02" + raw[1:], b"\x01\x04" + raw[2:], raw[:-1] + b"\xff"):
        with pytest.raises(UsageError):
            Offered.unpack(wrong)


@pytest.mark.parametrize(
    "fields",
    [
        {"root": b"r"},
        {"cap": Secret(b"c")},
        {"label": ""},
        {"label": "x" * 256},
        {"label": "\udc80"},
        {"size": -1},
        {"size": 2**64},
    ],
)
def test_fields_have_bounds(fields: dict[str, object]) -> None:
    good = {"root": ROOT, "cap": CAP, "label": "a", "size": 1, "collection": False}
    with pytest.raises(UsageError):
        Offered(**{**good, **fields})  # type: ignore[arg-type]


def test_names_follow_from_the_capability_and_the_object() -> None:
    other = Offered(ROOT, Secret(b"d" * 32), "holiday.mp4", 1, collection=False)
    third = Offered(ObjectId(b"s" * 32), CAP, "holiday.mp4", 1, collection=False)
    all_of_them = (FILE, FOLDER, other, third)
    assert len({it.meeting for it in all_of_them}) == len({it.tag for it in all_of_them}) == 4
    assert FILE.meeting == Offered(ROOT, CAP, "another label", 5, collection=True).meeting
    assert len(FILE.meeting) <= 256


def test_secrets_are_not_shown() -> None:
    shown = f"{ObjectTicket(FILE, NODE)!r}{FILE!r}"
    assert CAP.hex() not in shown
    assert "cccc" not in shown
