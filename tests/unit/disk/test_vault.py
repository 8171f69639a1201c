"""The vault: what was saved is loaded, whatever happens in between; and nobody else reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace

import msgspec
import pytest

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk import vault as module
from whispurrnet.disk.vault import State, Vault

OLD = State(persona_seed=Secret(b"o" * 32), pins=Secret(b"old pins"), created_ms=1)
NEW = State(persona_seed=Secret(b"n" * 32), pins=Secret(b"new pins" * 99), created_ms=2)
CHEAP = 14  # scrypt at a cost a test can bear


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "state"


def sealed(folder: Path, passphrase: str = "correct horse") -> Vault:
    return Vault(folder, passphrase=passphrase, log2_n=CHEAP)


@pytest.mark.parametrize("make", [Vault, sealed])
def test_round_trip(folder: Path, make: Callable[[Path], Vault]) -> None:
    assert make(folder).load() is None
    assert not folder.exists()
    assert not make(folder).exists
    make(folder).save(OLD)
    assert make(folder).exists
    assert make(folder).load() == OLD
    vault = make(folder)
    vault.save(NEW)
    vault.save(NEW)
    state = make(folder).load()
    assert state == NEW
    assert isinstance(state.persona_seed, Secret)
    assert isinstance(state.pins, Secret)
    assert os.listdir(folder) == ["state.wn1"]


def test_an_empty_folder_holds_nothing(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    assert Vault(folder).load() is None
    Vault(folder).save(OLD)
    assert Vault(folder).load() == OLD


def test_nothing_readable_is_in_a_sealed_file(folder: Path) -> None:
    state = State(persona_seed=Secret(b"S" * 32), pins=Secret(b"P" * 1000))
    sealed(folder).save(state)
    data = (folder / "state.wn1").read_bytes()
    assert b"SSSS" not in data
    assert b"PPPP" not in data
    assert repr(state) == "State(...)"
    assert repr(sealed(folder)) == "Vault(...)"


def test_two_saves_never_share_a_nonce(folder: Path) -> None:
    vault = sealed(folder)
    nonces = set()
    for _ in range(5):
        vault.save(OLD)
        nonces.add((folder / "state.wn1").read_bytes()[27:51])
    assert len(nonces) == 5


@pytest.mark.parametrize("make", [Vault, sealed])
def test_any_changed_byte_is_found(folder: Path, make: Callable[[Path], Vault]) -> None:
    make(folder).save(OLD)
    path = folder / "state.wn1"
    data = path.read_bytes()
    vault = make(folder)  # keeps its key, else every byte would cost a scrypt
    assert vault.load() == OLD
    head_bytes = 10 if make is Vault else 27
    rng = Random(1)
    for place in range(len(data)):
        if make is sealed and 11 <= place < head_bytes - 1:
            continue  # the salt: each byte costs a scrypt
        changed = bytearray(data)
        changed[place] ^= 1 << (0 if place == 10 else rng.randrange(8))
        path.write_bytes(changed)
        with pytest.raises(HostError, match=r"damaged|changed|version|sealed"):
            vault.load()
        if place < head_bytes:
            path.write_bytes(data)
            vault = make(folder)
            assert vault.load() == OLD
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(HostError, match=r"damaged|changed"):
            vault.load()


def test_the_cost_a_file_asks_for_is_bounded(folder: Path) -> None:
    sealed(folder).save(OLD)
    path = folder / "state.wn1"
    data = bytearray(path.read_bytes())
    for log2_n in (0, 13, 21, 63, 255):
        data[10] = log2_n
        path.write_bytes(data)
        with pytest.raises(HostError, match="damaged"):
            sealed(folder).load()


def test_passphrases(folder: Path) -> None:
    sealed(folder).save(OLD)
    with pytest.raises(HostError, match="the passphrase is wrong, or the file was changed"):
        sealed(folder, "wrong").load()
    with pytest.raises(HostError, match="is sealed; give its passphrase"):
        Vault(folder).load()
    with pytest.raises(HostError, match="is sealed and no passphrase was given"):
        Vault(folder).save(NEW)
    with pytest.raises(HostError, match="the passphrase is wrong"):
        sealed(folder, "wrong").save(NEW)
    assert sealed(folder).load() == OLD
    with pytest.raises(UsageError, match="empty"):
        Vault(folder, passphrase="")
    with pytest.raises(UsageError, match="14 to 20"):
        Vault(folder, passphrase="x", log2_n=3)


def test_an_accent_typed_in_either_way_is_the_same(folder: Path) -> None:
    sealed(folder, "caf\u00e9").save(OLD)
    assert sealed(folder, "cafe\u0301").load() == OLD


def test_a_plain_file_in_the_place_of_a_sealed_one_is_refused(folder: Path) -> None:
    Vault(folder).save(OLD)
    with pytest.raises(HostError, match="somebody exchanged it"):
        sealed(folder).load()
    sealed(folder).save(OLD)  # this is how one is sealed
    assert sealed(folder).load() == OLD


def test_a_higher_cost_is_taken_at_the_next_save(folder: Path) -> None:
    sealed(folder).save(OLD)
    vault = Vault(folder, passphrase="correct horse", log2_n=15)
    assert vault.load() == OLD
    vault.save(NEW)
    assert (folder / "state.wn1").read_bytes()[10] == 15
    assert sealed(folder).load() == NEW


def test_a_later_version_is_told_apart_from_damage(folder: Path) -> None:
    Vault(folder).save(OLD)
    path = folder / "state.wn1"
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(HostError, match="version 2"):
        Vault(folder).load()


def test_sizes_are_bounded(folder: Path) -> None:
    huge = State(persona_seed=Secret(bytes(32)), pins=Secret(bytes(module.STATE_BYTES_MAX)))
    with pytest.raises(HostError, match="forget some pins"):
        Vault(folder).save(huge)
    Vault(folder).save(OLD)
    with (folder / "state.wn1").open("ab") as file:
        file.truncate(module.STATE_BYTES_MAX + 1)
    with pytest.raises(HostError, match="larger than any state"):
        Vault(folder).load()
    with pytest.raises(UsageError, match="32 bytes"):
        State(persona_seed=Secret(b"short"))


def test_a_well_made_file_with_a_wrong_body(folder: Path) -> None:
    vault = Vault(folder)
    vault.save(OLD)
    for body in (b"", b"\xc0", b"\x94\xc4\x01x\xc4\x00\x00\xc2", b"\x91" * 2_000):
        (folder / "state.wn1").write_bytes(vault._seal(body))
        with pytest.raises(HostError, match="damaged"):
            vault.load()


def test_the_usual_cost_takes_a_moment(folder: Path) -> None:
    began = time.perf_counter()
    Vault(folder, passphrase="x").save(OLD)
    assert time.perf_counter() - began > 0.05


def test_too_little_memory_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def derive(_: bytes) -> bytes:
        raise MemoryError

    monkeypatch.setattr(module, "Scrypt", lambda **_: SimpleNamespace(derive=derive))
    with pytest.raises(HostError, match="16 MiB"):
        sealed(folder).save(OLD)


def test_a_file_of_before_there_were_anchors_still_opens(folder: Path) -> None:
    body = msgspec.msgpack.encode((b"o" * 32, b"old pins", 1, False))
    vault = Vault(folder)
    vault.save(NEW)
    head = (folder / "state.wn1").read_bytes()[:10]
    (folder / "state.wn1").write_bytes(head + sha256(head, body) + body)
    assert vault.load() == OLD
