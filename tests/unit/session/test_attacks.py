"""The attacks of CRYPTO section 1.8 on the handshake, one test each.

Everywhere the same is asserted: no session comes about, and the responder writes not one byte in
answer to a first message that is not perfect.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec
import pytest
from tests.unit.session.handshakes import (
    ALICE,
    BOB,
    CONFIG,
    MALLORY,
    NO_BINDING,
    OPEN,
    PRIVATE,
    PSK,
    SECRET,
    WALL,
    end,
    first,
    initiator,
    new_gate,
    refusal,
    responder,
    run,
    written,
)

from whispurrnet.base.errors import AuthError, DowngradeDetected, ProtocolError, UsageError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.kex import Entropy, KemKey, Level, X25519Key, kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import HandshakeState
from whispurrnet.crypto.symmetric import SymmetricState
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session.gate import REMEMBERED_MAX, address_macs
from whispurrnet.session.handshake import (
    Arrived,
    Begin,
    Closed,
    Config,
    Established,
    Initiator,
    Refused,
    Responder,
)
from whispurrnet.session.payload import Hello, Offer, network_tag, suite_mask
from whispurrnet.session.vetting import own_credentials

XK = Hello(Level.L3, "XK")
XX = Hello(Level.L3, "XX")
KEM_KEY = slice(4 + 32, 4 + 32 + 1184 + 16)
OFFER = slice(4 + 32 + 1184 + 16, 1316 - 32)

P = 2**255 - 19
_ORDER_8 = 0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0
_ORDER_8_TOO = 0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F
LOW_ORDER = [
    n.to_bytes(32, "little")
    for n in (0, 1, _ORDER_8, _ORDER_8_TOO, P - 1, P, P + 1, P | 1 << 255, (P - 1) | 1 << 255)
]
"""Points of order 1, 2, 4 and 8, in every encoding that RFC 7748 lets through."""


def silent(two: Responder, data: bytes) -> None:
    """Assert that `data` gets no answer, now or later."""
    effects = two.handle(Arrived(data), 0.0)
    assert written(effects) == b""
    assert not isinstance(end(effects), Established)
    if effects:
        assert refusal(end(effects)).error is None
        assert refusal(end(effects)).silent
        assert two.handle(Arrived(first(initiator(seed="honest"))), 1.0) == []
    assert two.handle(Tick(), 5.0) == []
    assert two.handle(Tick(), 10.0) == [Refused(None, silent=False, reason="timeout")]


def flipped(data: bytes, n: int) -> bytes:
    return data[:n] + bytes((data[n] ^ 1 << n % 8,)) + data[n + 1 :]


def up_to_m3(
    config: Config = CONFIG, *, seed: object = 1, **options: object
) -> tuple[Initiator, Responder, bytes]:
    one = initiator(config, seed=seed, **options)  # type: ignore[arg-type]
    two = responder(config)
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    return one, two, written(one.handle(Arrived(m2), 0.0))


# Bits, lengths, mirrors, repetitions


@pytest.mark.parametrize("config", [CONFIG, PRIVATE])
def test_flip_in_m1(config: Config) -> None:
    m1 = first(initiator(config))
    for n in range(len(m1)):
        silent(responder(config), flipped(m1, n))


@pytest.mark.parametrize("pattern", ["XK", "XX"])
def test_flip_in_m1_by_someone_who_knows_our_key(pattern: str) -> None:
    to = BOB if pattern == "XK" else None
    m1 = first(initiator(OPEN, to=to))
    for n in range(len(m1) - 32):
        if 36 <= n < 36 + 1184 and n % 4:
            continue  # one byte in four of the long KEM key
        forged = address_macs(flipped(m1, n), to and to.static.public, None)
        two = responder(OPEN)
        silent(two, forged)
    assert written(responder(OPEN).handle(Arrived(m1), 0.0))


@pytest.mark.parametrize(("pattern", "length"), [("XK", 1600), ("XX", 1648)])
def test_flip_in_m2(pattern: str, length: int) -> None:
    to = BOB if pattern == "XK" else None
    m2 = written(responder(OPEN).handle(Arrived(first(initiator(OPEN, to=to))), 0.0))
    assert len(m2) == length
    for n in range(length):
        one = initiator(OPEN, to=to)  # the same entropy: the same first message
        one.handle(Begin(), 0.0)
        effects = one.handle(Arrived(flipped(m2, n)), 0.0)
        assert isinstance(refusal(end(effects)).error, AuthError), n
        assert written(effects) == b""
    one = initiator(OPEN, to=to)
    one.handle(Begin(), 0.0)
    assert isinstance(end(one.handle(Arrived(m2), 0.0)), Established)


def test_flip_in_m3() -> None:
    for n in range(512):
        _, two, m3 = up_to_m3(seed=f"flip {n}")
        effects = two.handle(Arrived(flipped(m3, n)), 0.0)
        refused = refusal(end(effects))
        assert isinstance(refused.error, AuthError)
        assert (refused.silent, written(effects)) == (False, b"")
        assert two.handle(Arrived(m3), 0.0) == []


def test_truncation() -> None:
    m1 = first(initiator())
    for n in [*range(0, 1316, 97), 1300, 1315]:
        silent(responder(), m1[:n])
    one, two, m3 = up_to_m3(seed="short")
    assert two.handle(Arrived(m3[:511]), 0.0) == []
    assert two.handle(Tick(), 10.0) == [Refused(None, silent=False, reason="timeout")]
    one, two = initiator(seed="short 2"), responder()
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    assert one.handle(Arrived(m2[:-1]), 0.0) == []
    assert refusal(end(one.handle(Closed(), 1.0))).reason == "closed"


def test_extension() -> None:
    m1 = first(initiator())
    silent(responder(), m1 + b"\0")
    silent(responder(), m1 + m1)
    one, two = initiator(seed="long"), responder()
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    effects = one.handle(Arrived(m2 + b"\0"), 0.0)
    assert isinstance(refusal(end(effects)).error, ProtocolError)
    assert written(effects) == b""


@pytest.mark.parametrize("config", [OPEN, PRIVATE])
@pytest.mark.parametrize("to", [BOB, None])
def test_reflection(config: Config, to: Ephemeral | None) -> None:
    one = initiator(config, to=to)
    m1 = first(one)
    effects = one.handle(Arrived((m1 + m1)[: 1600 if to else 1648]), 0.0)
    assert isinstance(refusal(end(effects)).error, AuthError)
    two = responder(config)
    m2 = written(two.handle(Arrived(m1), 0.0))
    effects = two.handle(Arrived(m2[:512]), 0.0)
    assert isinstance(refusal(end(effects)).error, AuthError)
    assert written(effects) == b""


def test_reflection_to_our_own_port() -> None:
    # The man in the middle connects a first contact of ALICE's back to ALICE.
    a, b = run(initiator(OPEN, to=None), responder(OPEN, identities=[ALICE]))
    assert "this node itself" in str(refusal(a).error)
    assert b is None
    silent(responder(OPEN, identities=[ALICE]), first(initiator(OPEN, to=BOB)))


def test_replayed_m1() -> None:
    gate = new_gate(handshakes_per_s_max=1e9)
    one = initiator()
    m1 = first(one)
    m2 = written(responder(gate=gate).handle(Arrived(m1), 0.0))
    silent(responder(gate=gate), m1)
    for n in range(REMEMBERED_MAX):
        gate.leave(gate.enter(n.to_bytes(16, "big") * 8, 10.0))
    # Forgotten at last: then the answer is a fresh one, and what came before is worth nothing.
    two = responder(gate=gate, seed="again")
    assert written(two.handle(Arrived(m1), 0.0))[:32] != m2[:32]
    m3 = written(one.handle(Arrived(m2), 0.0))
    assert isinstance(refusal(end(two.handle(Arrived(m3), 0.0))).error, AuthError)


def test_replayed_m3() -> None:
    _, two, m3 = up_to_m3(seed="replay")
    assert isinstance(end(two.handle(Arrived(m3), 0.0)), Established)
    _, other, _ = up_to_m3(seed="replay")  # the same initiator entropy, even
    assert isinstance(refusal(end(other.handle(Arrived(m3), 0.0))).error, AuthError)


# Secrets that do not match


OTHER = msgspec.structs.replace(PRIVATE, network_secret=Secret(b"another network"))


@pytest.mark.parametrize(("ours", "theirs"), [(OPEN, PRIVATE), (PRIVATE, OPEN), (OTHER, PRIVATE)])
@pytest.mark.parametrize("to", [BOB, None])
def test_wrong_network_secret(ours: Config, theirs: Config, to: Ephemeral | None) -> None:
    silent(responder(theirs), first(initiator(ours, to=to)))


@pytest.mark.parametrize("to", [BOB, None])
def test_wrong_prologue(to: Ephemeral | None) -> None:
    m1 = first(initiator(OTHER, to=to))
    forged = address_macs(m1, to and to.static.public, SECRET)  # mac1 is right, the rest is not
    two = responder(PRIVATE)
    assert two.handle(Arrived(forged), 0.0) == [Refused(None, silent=True, reason="auth")]


def test_wrong_psk() -> None:
    a, b = run(initiator(psk=PSK), responder(psks=[Secret(bytes(32))]))
    assert isinstance(a, Established)  # it learns when the responder closes
    assert isinstance(refusal(b).error, AuthError)


def test_psk_that_the_responder_no_longer_has() -> None:
    for config in (CONFIG, PRIVATE):
        _, b = run(initiator(config, psk=PSK), responder(config))
        assert isinstance(refusal(b).error, AuthError)


@pytest.mark.parametrize("config", [CONFIG, PRIVATE])
def test_hint_without_psk(config: Config) -> None:
    one, two = initiator(config, psk=PSK), responder(config, psks=[PSK])
    m1 = first(one)  # carries the hint
    one._psk = None
    m2 = written(two.handle(Arrived(m1), 0.0))
    effects = two.handle(Arrived(written(one.handle(Arrived(m2), 0.0))), 0.0)
    assert isinstance(refusal(end(effects)).error, AuthError)


def test_psk_without_hint() -> None:
    one, two = initiator(), responder(psks=[PSK])
    m1 = first(one)
    one._psk = PSK
    m2 = written(two.handle(Arrived(m1), 0.0))
    effects = two.handle(Arrived(written(one.handle(Arrived(m2), 0.0))), 0.0)
    assert isinstance(refusal(end(effects)).error, AuthError)


def test_psk_is_not_required_here_but_told() -> None:
    # Whoever pinned a peer with `psk_required` sees that this session has none.
    _, b = run(initiator(), responder(psks=[PSK]))
    assert isinstance(b, Established)
    assert b.psk == "none"


# Downgrades


@pytest.mark.parametrize("suite", [0, 1, 2, 5, 255])
@pytest.mark.parametrize("known", [False, True])
def test_suite_byte(suite: int, known: bool) -> None:
    m1 = first(initiator(OPEN))
    changed = b"\x01" + bytes((suite,)) + m1[2:]
    changed = changed[:932] if suite == 1 else changed.ljust(1700, b"\0") if suite == 5 else changed
    if known:
        changed = address_macs(changed, BOB.static.public, None)
    silent(responder(Config()), changed)


def test_level_below_the_minimum() -> None:
    silent(responder(Config(level=Level.L5, min_level=Level.L5)), first(initiator()))


def test_pattern_byte() -> None:
    m1 = first(initiator(OPEN))
    silent(responder(OPEN), address_macs(b"\x01\x03\x02\0" + m1[4:], None, None))


def test_attempt_at_a_lower_level() -> None:
    # Somebody made the attempt at level 5 fail, and the initiator tries a lower one.
    able = Config(level=Level.L5, min_level=Level.L3)
    a, b = run(initiator(able, level=Level.L3), responder(able))
    assert isinstance(refusal(a).error, DowngradeDetected)
    assert b is None


def test_initiator_blind_to_a_better_level() -> None:
    # Even if it forgets by the end what it offered first, the responder does not.
    able = Config(level=Level.L5, min_level=Level.L3)
    one, two = initiator(able, level=Level.L3), responder(able)
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    one._suites = 1 << Level.L3
    m3 = written(one.handle(Arrived(m2), 0.0))
    assert isinstance(refusal(end(two.handle(Arrived(m3), 0.0))).error, ProtocolError)


def test_offer_of_a_better_level_is_noticed_by_the_responder() -> None:
    noise, two = by_hand(offer=Offer(0b101000, 3, 0, bytes(8)))
    m2 = written(two.handle(Arrived(noise.m1), 0.0))
    m3 = noise.m3(m2, suites=0b101000)
    assert isinstance(refusal(end(two.handle(Arrived(m3), 0.0))).error, DowngradeDetected)


@pytest.mark.parametrize(
    "offer", [Offer(0, 3, 0, bytes(8)), Offer(0b100000, 3, 0, bytes(8)), Offer(8, 5, 0, bytes(8))]
)
def test_offer_without_the_level_in_use(offer: Offer) -> None:
    noise, two = by_hand(offer=offer)
    silent(two, noise.m1)


def test_offer_that_changes_on_the_way() -> None:
    noise, two = by_hand(offer=Offer(0b001000, 3, 0, bytes(8)))
    m3 = noise.m3(written(two.handle(Arrived(noise.m1), 0.0)), suites=0b1001000)
    assert "another later" in str(refusal(end(two.handle(Arrived(m3), 0.0))).error)


def test_offered_list_rewritten_by_a_man_in_the_middle() -> None:
    # In XX the offer is sealed under a key that everybody can compute, but it is in the hash.
    one, two = initiator(OPEN, to=None), responder(OPEN)
    m1 = first(one)
    forged = rewritten(m1, offer=Offer(0b001000, 1, 0, bytes(8)).encode(bytes))
    m2 = written(two.handle(Arrived(forged), 0.0))
    assert len(m2) == 1648
    effects = one.handle(Arrived(m2), 0.0)
    assert isinstance(refusal(end(effects)).error, AuthError)
    assert written(effects) == b""


# Keys that are none


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_point_in_m1(point: bytes) -> None:
    for hello, to in ((XK, BOB), (XX, None)):
        m1 = first(initiator(OPEN, to=to))
        forged = address_macs(hello.encode() + point + m1[36:], to and to.static.public, None)
        silent(responder(OPEN), forged)
    sealed = hand_made_xx(ephemeral=FixedKey(point))
    silent(responder(OPEN), sealed)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_point_in_m2(point: bytes) -> None:
    for to in (BOB, None):
        one = initiator(OPEN, to=to)
        m2 = written(responder(OPEN).handle(Arrived(first(one)), 0.0))
        effects = one.handle(Arrived(point + m2[32:]), 0.0)
        assert isinstance(refusal(end(effects)).error, AuthError)
        assert written(effects) == b""


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_static_keys(point: bytes) -> None:
    nobody = Ephemeral(FixedKey(point), MALLORY.signing, MALLORY.proof, 3600)
    _, two, m3 = up_to_m3(identity=nobody, seed=point)
    assert isinstance(refusal(end(two.handle(Arrived(m3), 0.0))).error, AuthError)
    one = initiator(OPEN, to=None)
    two = responder(OPEN, identities=[nobody])
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    assert isinstance(refusal(end(one.handle(Arrived(m2), 0.0))).error, AuthError)
    refused = refusal(end(initiator(to=point).handle(Begin(), 0.0)))
    assert isinstance(refused.error, UsageError)


@pytest.mark.parametrize("key", [b"\xff" * 1184, b"\x01\x0d\x00" * 384 + bytes(32)])
def test_ml_kem_key_whose_coefficients_are_not_reduced(key: bytes) -> None:
    noise, two = by_hand(kem_key=key)
    assert two.handle(Arrived(noise.m1), 0.0) == [Refused(None, silent=True, reason="auth")]
    m1 = rewritten(first(initiator(OPEN, to=None)), kem_key=key)
    silent(responder(OPEN), m1)


def test_ml_kem_key_at_the_bound_is_taken() -> None:
    key = b"\x00\x0d\xd0" * 384 + bytes(32)  # 3328 twice: the greatest coefficient there is
    noise, two = by_hand(kem_key=key)
    assert len(written(two.handle(Arrived(noise.m1), 0.0))) == 1600


def test_implicit_rejection() -> None:
    """A wrong ciphertext shows only in the next seal, and reads as any other forgery does."""
    messages = set()
    for wrong in (False, True):
        one = initiator()
        m1 = first(one)
        noise = HandshakeState(
            XK.noise_name,
            initiator=False,
            prologue=XK.prologue(bytes(16)),
            s=BOB.static,
            entropy=Random(2).randbytes,
            kem=WrongKem() if wrong else None,
        )
        noise.read(m1[4:-32])
        m2 = noise.write(credentials(BOB))
        effects = one.handle(Arrived(m2 if wrong else flipped(m2, 40)), 0.0)
        assert written(effects) == b""
        error = refusal(end(effects)).error
        assert isinstance(error, AuthError)
        messages.add(str(error))
    assert len(messages) == 1


# Identities


def impostor(proof_of: Ephemeral) -> Ephemeral:
    """MALLORY's keys, another's proof."""
    return Ephemeral(MALLORY.static, MALLORY.signing, proof_of.proof, 3600)


def test_proof_replayed_to_the_responder() -> None:
    _, b = run(initiator(identity=impostor(ALICE)), responder())
    assert "another key" in str(refusal(b).error)


def test_proof_replayed_to_the_initiator() -> None:
    a, b = run(initiator(OPEN, to=None), responder(OPEN, identities=[impostor(BOB)]))
    assert "another key" in str(refusal(a).error)
    assert b is None
    a, b = run(initiator(to=MALLORY), responder(identities=[impostor(BOB)]))
    assert "another key" in str(refusal(a).error)
    assert b is None


def test_proof_rewritten_for_another_key() -> None:
    proof = msgspec.structs.replace(BOB.proof, static_key=MALLORY.static.public)
    thief = Ephemeral(MALLORY.static, MALLORY.signing, proof, 3600)
    a, b = run(initiator(to=MALLORY), responder(identities=[thief]))
    assert isinstance(refusal(a).error, AuthError)
    assert b is None


def test_man_in_the_middle_of_a_known_key() -> None:
    """MALLORY answers in BOB's place: she cannot read the first message, so she cannot answer."""
    silent(responder(OPEN, identities=[MALLORY]), first(initiator(OPEN, to=BOB)))
    m1 = address_macs(first(initiator(OPEN, to=BOB)), MALLORY.static.public, None)
    silent(responder(OPEN, identities=[MALLORY]), m1)


# Who does not know the key


def probes() -> Iterator[bytes]:
    rng = Random(7)
    yield b""
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500)
    yield b"SSH-2.0-OpenSSH_9.9\r\n"
    yield bytes(1316)
    yield XK.encode() + rng.randbytes(1312)
    yield XX.encode() + rng.randbytes(1312)
    yield address_macs(XK.encode() + rng.randbytes(1312), rng.randbytes(32), None)
    yield first(initiator(OPEN, to=MALLORY))
    yield first(initiator(OPEN, to=None))
    for _ in range(200):
        yield rng.randbytes(rng.randrange(4000))


def test_probe_without_the_key_receives_nothing() -> None:
    for probe in probes():
        silent(responder(), probe)


def test_probe_learns_nothing_from_time() -> None:
    deadlines = set()
    for probe in probes():
        two = responder()
        two.handle(Begin(), 0.0)
        two.handle(Arrived(probe), 1.0)
        for n in range(5):
            two.handle(Arrived(bytes(100_000)), 2.0 + n)  # swallowed
        assert len(two._buffer) == 0
        deadlines.add(two.deadline)
    assert deadlines == {10.0}


def test_first_contact_only_when_settings_say_so() -> None:
    m1 = first(initiator(OPEN, to=None))
    assert len(written(responder(OPEN).handle(Arrived(m1), 0.0))) == 1648
    assert responder(CONFIG).handle(Arrived(m1), 0.0) == [
        Refused(None, silent=True, reason="policy")
    ]
    m1 = first(initiator(PRIVATE, to=None))
    assert len(written(responder(PRIVATE).handle(Arrived(m1), 0.0))) == 1648


# Tools


class FixedKey(X25519Key):
    """A private key whose public half is what one likes."""

    def __init__(self, public: bytes) -> None:
        super().__init__(X25519Key.from_bytes(bytes(range(32)))._private)
        self.public = public

    def exchange(self, public: bytes) -> Secret:
        return Secret(bytes(32))  # what the other side would compute, if it did not refuse


class WrongKem:
    """ML-KEM-768 with the last bit of the ciphertext flipped, or with a public key of choice."""

    level, name = Level.L3, "MLKEM768"
    public_bytes, ciphertext_bytes = 1184, 1088

    def __init__(self, public: bytes | None = None) -> None:
        self._public = public

    def generate(self, entropy: Entropy) -> KemKey:
        key = kem(Level.L3).generate(entropy)
        if self._public is not None:
            key.public = self._public  # type: ignore[misc]
        return key

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        ciphertext, secret = kem(Level.L3).encapsulate(public)
        return flipped(ciphertext, 1087), secret


def credentials(of: Ephemeral, *, suites: int = 0b101000, min_level: Level = Level.L3) -> bytes:
    return own_credentials(
        of.proof,
        suites=suites,
        min_level=min_level,
        features=0,
        outer_binding=NO_BINDING,
        wall_ms=WALL,
    )


class ByHand:
    """An initiator that says what it likes, in a genuine XK handshake."""

    def __init__(self, offer: Offer, kem_key: bytes | None) -> None:
        self.noise = HandshakeState(
            XK.noise_name,
            initiator=True,
            prologue=XK.prologue(network_tag(None)),
            s=MALLORY.static,
            rs=BOB.static.public,
            psks=[bytes(32)],
            entropy=Random("by hand").randbytes,
            kem=None if kem_key is None else WrongKem(kem_key),
        )
        m1 = XK.encode() + self.noise.write(offer.encode(bytes)) + bytes(32)
        self.m1 = address_macs(m1, BOB.static.public, None)

    def m3(self, m2: bytes, *, suites: int) -> bytes:
        self.noise.read(m2)
        return self.noise.write(credentials(MALLORY, suites=suites))


def by_hand(
    offer: Offer = Offer(0b001000, 3, 0, bytes(8)),  # noqa: B008
    kem_key: bytes | None = None,
) -> tuple[ByHand, Responder]:
    return ByHand(offer, kem_key), responder(Config(min_level=Level.L3))


def rewritten(m1: bytes, *, offer: bytes | None = None, kem_key: bytes | None = None) -> bytes:
    """A first message of XX with other contents: everybody can compute its key."""

    def begin() -> SymmetricState:
        state = SymmetricState(XX.noise_name, "ChaChaPoly", "SHA256")
        state.mix_hash(XX.prologue(network_tag(None)))
        state.mix_hash(m1[4:36])
        state.mix_key(m1[4:36])
        return state

    opened, sealed = begin(), begin()
    old_key = opened.open(m1[KEM_KEY])
    old_offer = opened.open(m1[OFFER])
    body = sealed.seal(kem_key or old_key) + sealed.seal(offer or old_offer)
    return address_macs(m1[:36] + body + bytes(32), None, None)


def hand_made_xx(ephemeral: X25519Key) -> bytes:
    """A first message of XX, right in everything but its ephemeral key."""
    noise = HandshakeState(
        XX.noise_name,
        initiator=True,
        prologue=XX.prologue(network_tag(None)),
        s=MALLORY.static,
        e=ephemeral,
        entropy=Random("by hand").randbytes,
    )
    suites = suite_mask(Level.L3, Level.L3)
    m1 = XX.encode() + noise.write(Offer(suites, 3, 0, bytes(8)).encode(bytes)) + bytes(32)
    return address_macs(m1, None, None)
