"""The nonce and the chaining key."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import AuthError, LimitError
from whispurrnet.crypto.symmetric import NONCE_MAX, CipherState, SymmetricState, next_key

KEY = bytes(range(32))


@pytest.mark.parametrize("name", ["ChaChaPoly", "AESGCM"])
def test_each_message_has_its_nonce(name):
    sender, receiver = CipherState(name, KEY), CipherState(name, KEY)
    sealed = [sender.encrypt(b"", b"same") for _ in range(3)]
    assert len(set(sealed)) == 3
    assert [receiver.decrypt(b"", one) for one in sealed] == [b"same"] * 3
    assert sender.n == receiver.n == 3


def test_out_of_order_is_refused_and_does_not_move_the_nonce():
    sender, receiver = CipherState("ChaChaPoly", KEY), CipherState("ChaChaPoly", KEY)
    first, second = sender.encrypt(b"", b"1"), sender.encrypt(b"", b"2")
    with pytest.raises(AuthError):
        receiver.decrypt(b"", second)
    with pytest.raises(AuthError):
        receiver.decrypt(b"other context", first)
    assert receiver.decrypt(b"", first) == b"1"
    with pytest.raises(AuthError):
        receiver.decrypt(b"", first)


@pytest.mark.parametrize("name", ["ChaChaPoly", "AESGCM"])
def test_the_last_nonce_is_never_used(name):
    state, peer = CipherState(name, KEY), CipherState(name, KEY)
    state.n = peer.n = NONCE_MAX - 1
    assert peer.decrypt(b"", state.encrypt(b"", b"last")) == b"last"
    for call in (state.encrypt, state.decrypt):
        with pytest.raises(LimitError, match="new session"):
            call(b"", b"one more")
    assert state.n == NONCE_MAX


def test_next_key():
    """By the definition: 32 zeros under the reserved nonce."""
    state = CipherState("ChaChaPoly", KEY)
    assert next_key(KEY) == next_key(KEY) != KEY
    assert len(next_key(KEY)) == 32
    assert next_key(KEY) != next_key(KEY, "AESGCM")
    assert next_key(KEY) != state.encrypt(b"", bytes(32))[:32]
    assert "Secret" in repr(next_key(KEY))


def test_a_copy_goes_its_own_way():
    state = SymmetricState("Noise_test", "ChaChaPoly", "SHA256")
    state.mix_key(b"secret")
    twin = state.copy()
    assert twin.seal(b"x") == state.seal(b"x")
    twin.mix_key_and_hash(bytes(32))
    assert twin.h != state.h
    assert twin.chaining_key != state.chaining_key
    twin = state.copy()
    twin.seal(b"y")
    assert state.cipher is not None and state.cipher.n == 1


def test_a_long_name_is_hashed_and_a_short_one_padded():
    assert SymmetricState("short", "ChaChaPoly", "SHA256").h == b"short".ljust(32, b"\0")
    assert len(SymmetricState("x" * 33, "ChaChaPoly", "SHA256").h) == 32
    assert SymmetricState("x" * 33, "ChaChaPoly", "SHA512").h == (b"x" * 33).ljust(64, b"\0")


def test_without_a_key_the_text_is_clear_but_hashed():
    state = SymmetricState("short", "ChaChaPoly", "SHA256")
    before = state.h
    assert state.seal(b"clear") == b"clear"
    assert state.h != before
