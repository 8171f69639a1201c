"""What is kept: nothing by default, and otherwise the same identity and pins again."""

from __future__ import annotations

from pathlib import Path

from whispurrnet.node.keeping import Keeping
from whispurrnet.node.sections import IdentitySettings
from whispurrnet.trust.pins import Trust


def test_nothing_is_kept_by_default(tmp_path: Path) -> None:
    keeping = Keeping(IdentitySettings(state_dir=str(tmp_path)))
    keeping.save(keeping.pins)
    assert keeping.persona is None
    assert not list(tmp_path.iterdir())


def test_the_identity_and_the_pins_come_back(tmp_path: Path) -> None:
    settings = IdentitySettings(long_term=True, state_dir=str(tmp_path / "state"))
    first = Keeping(settings)
    assert first.persona is not None
    first.pins.seen(b"p" * 32, 1_800_000_000_000)
    first.pins.verify(b"p" * 32, 1_800_000_000_001)
    first.save(first.pins)
    again = Keeping(settings)
    assert again.persona is not None
    assert again.persona.id == first.persona.id
    assert again.level("70" * 32) == Trust.VERIFIED
    assert again.level(None) == 0


def test_a_post_quantum_identity_stays_one(tmp_path: Path) -> None:
    strong = IdentitySettings(long_term=True, post_quantum=True, state_dir=str(tmp_path))
    plain = IdentitySettings(long_term=True, state_dir=str(tmp_path))
    first, again = Keeping(strong), Keeping(plain)
    assert first.persona is not None
    assert again.persona is not None
    assert again.persona.id == first.persona.id
    assert again.persona.prove(bytes(32), 0).mldsa_key
