"""The id of an instance says nothing of the hardware, and is never that of another."""

from __future__ import annotations

from itertools import product

from whispurrnet.identity.instance import CAPABILITIES, capability_names, chum_instance_id
from whispurrnet.stack import greeting


def test_every_part_makes_another_id() -> None:
    ids = {
        chum_instance_id(b"secret", b"machine", b"one"),
        chum_instance_id(b"secret", b"machine", b"two"),
        chum_instance_id(b"secret", b"machin", b"eone"),
        chum_instance_id(b"other", b"machine", b"one"),
    }
    assert len(ids) == 4
    assert all(len(one) == 32 for one in ids)


def test_the_same_parts_make_the_same_id() -> None:
    assert chum_instance_id(b"s", b"m", b"i") == chum_instance_id(b"s", b"m", b"i")


def test_who_knows_all_but_the_secret_finds_no_machine() -> None:
    """The control of the seed's own way, a bare hash: there all machines can be tried."""
    id = chum_instance_id(b"secret", b"\x02\x7f", b"one")
    tried = (bytes(guess) for guess in product(range(256), repeat=2))
    assert all(chum_instance_id(b"", guess, b"one") != id for guess in tried)
    known = chum_instance_id(b"", b"\x02\x7f", b"one")
    tried = (bytes(guess) for guess in product(range(256), repeat=2))
    assert any(chum_instance_id(b"", guess, b"one") == known for guess in tried)


def test_a_capability_has_the_name_of_its_bit() -> None:
    assert capability_names(greeting.GOSSIPS | greeting.MAPPED) == ("gossip", "mapped")
    assert capability_names(greeting.OBJECTS) == ("objects",)
    assert capability_names(0) == ()
    assert capability_names(0xFFFFFFFF) == CAPABILITIES
