"""What names the machine: a machine id, else a network card, else nothing, and that is told."""

from __future__ import annotations

from pathlib import Path

from whispurrnet.node.hardware import NONE, hardware

CARD = 0x001122334455
INVENTED = CARD | 1 << 40


def test_the_machine_id_comes_first(tmp_path: Path) -> None:
    missing, damaged, good = (tmp_path / name for name in ("missing", "damaged", "good"))
    damaged.write_bytes(b"uninitialized\n\xff")
    good.write_text("0123456789abcdef" * 2 + "\n")
    found = hardware((missing, damaged, good), lambda: CARD)
    assert found.id == bytes.fromhex("0123456789abcdef" * 2)
    assert found.source == "machine id"


def test_without_one_a_network_card_stands_for_the_machine(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    found = hardware((empty,), lambda: CARD)
    assert (found.id, found.source) == (bytes.fromhex("001122334455"), "network card")


def test_a_missing_one_is_told_and_an_invented_one_not_taken() -> None:
    found = hardware((), lambda: INVENTED)
    assert (found.id, found.source) == (b"", NONE)
    assert "no machine id" in NONE


def test_its_repr_shows_no_id() -> None:
    assert repr(hardware((), lambda: CARD)) == "Hardware(network card)"


def test_this_machine_says_the_same_twice() -> None:
    assert hardware() == hardware()
