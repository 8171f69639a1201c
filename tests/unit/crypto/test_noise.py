"""The handshake: agreement, and every way in which it must not agree."""

from __future__ import annotations

import os

import pytest

from whispurrnet.base.errors import AuthError, LevelUnavailable, UsageError
from whispurrnet.crypto.kex import Level, X25519Key, kem
from whispurrnet.crypto.noise import HandshakeState, TransportKeys, next_key

XK = "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256"
XX = "Noise_XXhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256"
NN = "Noise_NNhfs+psk0_25519+MLKEM768_ChaChaPoly_SHA256"
ALICE, BOB = X25519Key.generate(os.urandom), X25519Key.generate(os.urandom)
PSK = bytes(range(32))
LOW_ORDER = bytes(32)


def pair(name=XK, *, ours=None, theirs=None):
    """Both sides of a handshake; each may be given other arguments."""
    knows, has = "_XK" in name, "_NN" not in name
    initiator = {
        "prologue": b"WN1",
        "s": ALICE if has else None,
        "rs": BOB.public if knows else None,
        "psks": [PSK],
        "entropy": os.urandom,
    }
    responder = {
        "prologue": b"WN1",
        "s": BOB if has else None,
        "psks": [PSK],
        "entropy": os.urandom,
    }
    return (
        HandshakeState(name, initiator=True, **(initiator | (ours or {}))),
        HandshakeState(name, initiator=False, **(responder | (theirs or {}))),
    )


def run(alice, bob, payloads=(b"one", b"two", b"three")):
    messages = []
    for payload in payloads:
        writer, reader = (alice, bob) if alice.next_is_write else (bob, alice)
        messages.append(writer.write(payload))
        assert reader.read(messages[-1]) == payload
        if writer.done:
            break
    return messages


def fails(alice, bob):
    """How many messages pass before a side refuses one."""
    for passed in range(3):
        writer, reader = (alice, bob) if alice.next_is_write else (bob, alice)
        message = writer.write(b"payload")
        try:
            reader.read(message)
        except AuthError:
            return passed
    return None


@pytest.mark.parametrize("name", [XK, XX, NN])
@pytest.mark.parametrize("size", ["512", "768", "1024"])
def test_both_sides_agree(name, size):
    name = name.replace("768", size)
    try:
        alice, bob = pair(name)
    except LevelUnavailable as error:
        pytest.skip(str(error))
    run(alice, bob)
    assert alice.done and bob.done
    assert not alice.next_is_write and not bob.next_is_write
    assert alice.hash == bob.hash and len(alice.hash) == 32
    if name != NN.replace("768", size):
        assert alice.remote_static == BOB.public
        assert bob.remote_static == ALICE.public
    ours, theirs = alice.finish(), bob.finish()
    assert ours.send == theirs.receive != ours.receive == theirs.send
    assert ours.hash == theirs.hash == alice.hash
    assert ours.exporter == theirs.exporter
    assert ours.export("rekey", b"\1", 64) == theirs.export("rekey", b"\1", 64)
    assert next_key(ours.send) == next_key(theirs.receive)


def test_sizes_on_the_wire():
    """CRYPTO.md 1.2, with the payloads of 1.3."""
    assert [len(m) for m in run(*pair(XK), (bytes(32), bytes(448), bytes(448)))] == [
        1248 + 32, 1152 + 448, 64 + 448,
    ]  # fmt: skip
    assert [len(m) for m in run(*pair(XX), (b"", b"", b""))] == [1248, 1200, 64]
    assert [len(m) for m in run(*pair(NN), (b"", b""))] == [1248, 1152]


def test_two_handshakes_share_nothing():
    first, second = pair(), pair()
    run(*first)
    run(*second)
    a, b = first[0].finish(), second[0].finish()
    assert len({a.send, a.receive, b.send, b.receive, a.hash, b.hash, a.exporter, b.exporter}) == 8


def test_exports_differ_by_label_context_and_session():
    first, second = pair(), pair()
    run(*first)
    run(*second)
    keys, other = first[0].finish(), second[0].finish()
    exports = {
        keys.export("rekey"),
        keys.export("rekey", b"\1"),
        keys.export("channel-binding"),
        keys.export("rekey\0", b""),
        other.export("rekey"),
        keys.send,
        keys.receive,
        keys.exporter,
    }
    assert len(exports) == 8


def test_nothing_secret_is_shown():
    alice, bob = pair()
    run(alice, bob)
    keys = alice.finish()
    assert isinstance(keys, TransportKeys)
    assert repr(bytes(keys.send))[2:-1] not in repr(keys)
    assert "Secret(32 bytes)" in repr(keys)


@pytest.mark.parametrize(
    ("ours", "passes"),
    [
        ({"prologue": b"WN2"}, 0),
        ({"rs": ALICE.public}, 0),
        ({"psks": [bytes(32)]}, 2),
    ],
)
def test_what_differs_is_refused(ours, passes):
    assert fails(*pair(ours=ours)) == passes


def test_another_network_is_refused_before_anything_is_decrypted():
    assert fails(*pair(NN, ours={"psks": [bytes(32)]})) == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (XK, XK.replace("SHA256", "BLAKE2s")),
        (XK, XK.replace("MLKEM768", "MLKEM1024")),
        (XK, XK.replace("ChaChaPoly", "AESGCM")),
        (XX, XX.replace("MLKEM768", "MLKEM1024")),
    ],
)
def test_names_that_differ_never_agree(ours, theirs):
    assert fails(pair(ours)[0], pair(theirs)[1]) == 0


@pytest.mark.parametrize(
    ("name", "turn"), [(XK, 0), (XK, 1), (XK, 2), (XX, 0), (XX, 1), (XX, 2), (NN, 0), (NN, 1)]
)
def test_every_flipped_byte_is_refused(name, turn):
    """Also what m1 shows in the clear: with a psk in the name, `e` enters the key at once."""
    alice, bob = pair(name)
    messages = run(alice, bob)
    for at in range(0, len(messages[turn]), 1 if turn == 2 else 7):
        alice, bob = pair(name)
        for number in range(turn + 1):
            writer, reader = (alice, bob) if number % 2 == 0 else (bob, alice)
            message = writer.write(b"payload")
            if number < turn:
                reader.read(message)
        changed = bytearray(message)
        changed[at % len(message)] ^= 1 << at % 8
        with pytest.raises(AuthError):
            reader.read(bytes(changed))
        with pytest.raises(AuthError, match="before"):
            reader.read(message)


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_every_other_length_is_refused(turn):
    for change in (-1, -17, 1, 16, -(10**6)):
        alice, bob = pair()
        for number in range(turn + 1):
            writer, reader = (alice, bob) if number % 2 == 0 else (bob, alice)
            message = writer.write(b"payload")
            if number < turn:
                reader.read(message)
        wrong = message[:change] if change < 0 else message + bytes(change)
        with pytest.raises(AuthError):
            reader.read(wrong)


def test_a_message_longer_than_noise_allows():
    alice, bob = pair()
    with pytest.raises(UsageError, match="65535"):
        alice.write(bytes(65536))
    with pytest.raises(AuthError):
        bob.read(bytes(65536))


@pytest.mark.parametrize("message", [b"", bytes(31), bytes(65536)])
def test_lengths_are_checked_where_nothing_is_encrypted_yet(message):
    bob = HandshakeState("Noise_NN_25519_ChaChaPoly_SHA256", initiator=False, entropy=os.urandom)
    with pytest.raises(AuthError):
        bob.read(message)


def test_reflection_is_refused():
    alice, _ = pair()
    with pytest.raises(AuthError):
        alice.read(alice.write(b""))


def test_a_replayed_first_message_gives_no_session():
    alice, bob = pair()
    messages = run(alice, bob)
    _, again = pair()
    assert again.read(messages[0]) == b"one"
    answer = again.write(b"two")
    assert answer[:32] != messages[1][:32]
    with pytest.raises(AuthError):
        again.read(messages[2])


@pytest.mark.parametrize("name", [XK, XX])
def test_a_low_order_ephemeral_key_is_refused(name):
    """The sender is ours but for its ephemeral key; the seals around it are genuine."""
    forged = X25519Key.generate(os.urandom)
    forged.public = LOW_ORDER
    alice, bob = pair(name, ours={"e": forged})
    message = alice.write(b"") if name == XX else LOW_ORDER + bytes(1216)
    if name == XX:
        bob.read(message)
        with pytest.raises(AuthError, match="X25519"):
            bob.write(b"")
    else:
        with pytest.raises(AuthError, match="X25519"):
            bob.read(message)


def test_a_low_order_static_key_is_refused():
    forged = X25519Key.generate(os.urandom)
    forged.public = LOW_ORDER
    alice, bob = pair(XK, ours={"s": forged})
    bob.read(alice.write(b""))
    alice.read(bob.write(b""))
    with pytest.raises(AuthError, match="X25519"):
        bob.read(alice.write(b""))


class ForgedKem:
    """A peer whose ML-KEM is ours but for one thing."""

    def __init__(self, *, public=None, change_ciphertext=False):
        self._kem, self._public, self._change = kem(Level.L3), public, change_ciphertext
        self.public_bytes = self._kem.public_bytes
        self.ciphertext_bytes = self._kem.ciphertext_bytes

    def generate(self, entropy):
        key = self._kem.generate(entropy)
        if self._public:
            key.public = self._public(key.public)
        return key

    def encapsulate(self, public):
        ciphertext, secret = self._kem.encapsulate(public)
        if self._change:
            ciphertext = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
        return ciphertext, secret


def test_a_kem_key_beyond_the_modulus_is_refused():
    forged = ForgedKem(public=lambda public: b"\xff" * 384 + public[384:])
    alice, bob = pair(ours={"kem": forged})
    bob.read(alice.write(b""))
    with pytest.raises(AuthError, match="ML-KEM key"):
        bob.write(b"")
    with pytest.raises(AuthError, match="before"):
        bob.write(b"")


def test_implicit_rejection_ends_in_a_refused_seal():
    """A ciphertext changed inside its seal: no word of the KEM, the payload just does not open."""
    alice, bob = pair(theirs={"kem": ForgedKem(change_ciphertext=True)})
    bob.read(alice.write(b""))
    with pytest.raises(AuthError, match="not authentic"):
        alice.read(bob.write(b""))


def test_another_psk_is_tried_on_a_copy():
    alice, bob = pair(theirs={"psks": ()})
    bob.read(alice.write(b""))
    alice.read(bob.write(b""))
    message = alice.write(b"last")
    with pytest.raises(UsageError, match="psk3 is missing"):
        bob.read(message)
    first = bob.copy()
    first.set_psk(3, bytes(32))
    with pytest.raises(AuthError):
        first.read(message)
    bob.set_psk(3, PSK)
    assert bob.read(message) == b"last"
    assert bob.finish().send == alice.finish().receive


def test_psks_are_named_by_their_number():
    alice, _ = pair()
    for number, psk in ((0, PSK), (1, PSK), (3, PSK[:-1]), (3, b"")):
        with pytest.raises(UsageError, match=r"\[3\]"):
            alice.set_psk(number, psk)


def test_turns():
    alice, bob = pair()
    assert alice.next_is_write and not bob.next_is_write
    with pytest.raises(UsageError, match="turn to read"):
        alice.read(b"")
    with pytest.raises(UsageError, match="turn to write"):
        bob.write(b"")
    for state in (alice, bob):
        with pytest.raises(UsageError, match="not done"):
            state.finish()
    run(alice, bob)
    with pytest.raises(UsageError):
        alice.write(b"")
    with pytest.raises(UsageError):
        bob.read(b"")
    alice.finish()
    with pytest.raises(UsageError, match="finished before"):
        alice.finish()


def test_missing_keys():
    with pytest.raises(UsageError, match="static key of the peer as rs"):
        HandshakeState(XK, initiator=True, s=ALICE, entropy=os.urandom)
    with pytest.raises(UsageError, match="static key of ours as s"):
        HandshakeState(XK, initiator=False, entropy=os.urandom)
    alice, bob = pair(XX, theirs={"s": None})
    bob.read(alice.write(b""))
    with pytest.raises(UsageError, match="give it as s"):
        bob.write(b"")


def test_the_ephemeral_key_is_seen_and_can_be_given():
    key = X25519Key.generate(os.urandom)
    alice, bob = pair(ours={"e": key})
    message = alice.write(b"")
    assert message[:32] == key.public
    assert bob.remote_ephemeral is None
    bob.read(message)
    assert bob.remote_ephemeral == key.public
