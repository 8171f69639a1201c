"""The gate: who gets an answer, who gets a cookie, who gets nothing."""

from __future__ import annotations

from random import Random

import pytest
from tests.unit.session.handshakes import (
    ALICE,
    BOB,
    CONFIG,
    OPEN,
    PRIVATE,
    REMOTE,
    agreed,
    end,
    first,
    initiator,
    new_gate,
    refusal,
    responder,
    written,
)

from whispurrnet.base.errors import AuthError
from whispurrnet.crypto.keys import Secret
from whispurrnet.session.gate import (
    COOKIE_HEAD,
    COOKIE_REPLY_BYTES,
    REMEMBERED_MAX,
    Gate,
    add_cookie,
    address_macs,
    is_addressed,
    mac1_of,
    open_cookie,
)
from whispurrnet.session.handshake import Arrived, Config, Established, Refused

BOB_KEY = BOB.static.public
NETWORK = Secret(b"network")


def junk(seed: object, static: bytes | None = BOB_KEY) -> bytes:
    """A first message whose mac1 is right and whose rest is noise."""
    return address_macs(b"\x01\x03\x01\0" + Random(f"{seed}").randbytes(1312), static, None)


def busy_gate() -> Gate:
    """A gate that has let in as many strangers as it does in a second."""
    gate = new_gate(handshakes_per_s_max=1)
    assert gate.judge(junk("busy"), REMOTE, 0.0) == "answer"
    return gate


def with_cookie(gate: Gate, m1: bytes, now: float, remote: bytes = REMOTE) -> bytes:
    reply = gate.cookie_reply(m1, remote, BOB_KEY, None, now)
    return add_cookie(m1, open_cookie(reply, m1, BOB_KEY, None))


def test_mac1_shows_knowledge_of_key_and_network() -> None:
    m1 = address_macs(bytes(100), BOB_KEY, NETWORK)
    assert is_addressed(m1, BOB_KEY, NETWORK)
    assert not is_addressed(m1, ALICE.static.public, NETWORK)
    assert not is_addressed(m1, None, NETWORK)
    assert not is_addressed(m1, BOB_KEY, None)
    assert not is_addressed(m1, BOB_KEY, Secret(b"other"))
    assert is_addressed(address_macs(bytes(100), None, None), bytes(32), None)


def test_cookie_reply() -> None:
    gate = busy_gate()
    m1 = junk(1)
    assert gate.judge(m1, REMOTE, 0.0) == "cookie"
    reply = gate.cookie_reply(m1, REMOTE, BOB_KEY, None, 0.0)
    assert len(reply) == COOKIE_REPLY_BYTES == 60
    assert reply.startswith(COOKIE_HEAD)
    second = add_cookie(m1, open_cookie(reply, m1, BOB_KEY, None))
    assert second[:-16] == m1[:-16]
    assert gate.judge(second, REMOTE, 0.0) == "answer"


def test_cookie_replies_differ() -> None:
    gate = busy_gate()
    assert len({gate.cookie_reply(junk(1), REMOTE, BOB_KEY, None, 0.0) for _ in range(9)}) == 9


def test_cookie_opens_for_its_message_only() -> None:
    gate = busy_gate()
    reply = gate.cookie_reply(junk(1), REMOTE, BOB_KEY, None, 0.0)
    for m1, static, secret in (
        (junk(2), BOB_KEY, None),
        (junk(1), ALICE.static.public, None),
        (junk(1), None, None),
        (junk(1), BOB_KEY, NETWORK),
    ):
        with pytest.raises(AuthError):
            open_cookie(reply, m1, static, secret)
    for changed in (reply[:-1], reply + b"\0", b"\x03" + reply[1:], reply[:-1] + b"\0"):
        with pytest.raises(AuthError):
            open_cookie(changed, junk(1), BOB_KEY, None)


def test_cookie_for_another_address() -> None:
    gate = busy_gate()
    message = with_cookie(gate, junk(1), 0.0, remote=b"192.0.2.2|50000")
    assert gate.judge(message, REMOTE, 0.0) == "forged"
    assert gate.judge(message, b"192.0.2.2|50000", 0.0) == "answer"


def test_cookie_of_another_node() -> None:
    message = with_cookie(Gate(Random("other").randbytes), junk(1), 0.0)
    assert busy_gate().judge(message, REMOTE, 0.0) == "forged"


@pytest.mark.parametrize("byte", range(1, 17))
def test_forged_cookie(byte: int) -> None:
    gate = busy_gate()
    message = bytearray(with_cookie(gate, junk(1), 0.0))
    message[-byte] ^= 1
    assert gate.judge(bytes(message), REMOTE, 0.0) == "forged"


def test_cookie_is_good_for_one_message_only() -> None:
    gate = busy_gate()
    message = with_cookie(gate, junk(1), 0.0)
    stolen = junk(2)[:-16] + message[-16:]
    assert gate.judge(stolen, REMOTE, 0.0) == "forged"


@pytest.mark.parametrize(
    ("made_at", "used_at", "good"),
    [
        (0.0, 119.0, True),
        (0.0, 121.0, True),  # made of the secret before
        (0.0, 239.0, True),
        (0.0, 240.0, False),
        (0.0, 10_000.0, False),
        (119.0, 239.0, True),
        (119.0, 241.0, False),
        (121.0, 300.0, True),
    ],
)
@pytest.mark.parametrize("traffic", [False, True])
def test_cookie_expires(made_at: float, used_at: float, good: bool, traffic: bool) -> None:
    gate = busy_gate()
    gate.cookie_reply(junk(0), REMOTE, BOB_KEY, None, 0.0)
    message = with_cookie(gate, junk(1), made_at)
    if traffic:
        for now in range(int(made_at), int(used_at), 7):
            gate.cookie_reply(junk(now), REMOTE, BOB_KEY, None, float(now))
    assert gate.judge(message, REMOTE, used_at) == ("answer" if good else "forged")


def test_load_passes() -> None:
    gate = busy_gate()
    assert gate.judge(junk(1), REMOTE, 0.1) == "cookie"
    assert gate.judge(junk(1), REMOTE, 1.1) == "answer"


def test_half_open_handshakes_are_bounded() -> None:
    gate = new_gate(half_open_max=8, handshakes_per_s_max=1e9)
    for n in range(8):
        assert gate.judge(junk(n), REMOTE, 0.0) == "answer"
        gate.enter(junk(n), 10.0)
    assert gate.judge(junk("stranger"), REMOTE, 0.0) == "cookie"
    for n in range(8, 16):
        assert gate.judge(with_cookie(gate, junk(n), 0.0), REMOTE, 0.0) == "answer"
        gate.enter(junk(n), 10.0)
    assert gate.judge(with_cookie(gate, junk(16), 0.0), REMOTE, 0.0) == "full"
    assert gate.judge(junk("stranger"), REMOTE, 0.0) == "full"
    assert gate.half_open == 16
    assert gate.judge(junk("stranger"), REMOTE, 10.0) == "answer"  # nobody said goodbye, though
    assert gate.half_open == 0


def test_leaving_makes_room() -> None:
    gate = new_gate(half_open_max=1, handshakes_per_s_max=1e9)
    number = gate.enter(junk(1), 10.0)
    assert gate.judge(junk(2), REMOTE, 0.0) == "cookie"
    gate.leave(number)
    gate.leave(number)
    assert gate.judge(junk(2), REMOTE, 0.0) == "answer"


def test_ten_thousand_half_open() -> None:
    # The most expensive flood: every message is genuine and nobody sends a third.
    config = Config(min_level=CONFIG.min_level, half_open_max=256, handshakes_per_s_max=1e9)
    gate = new_gate(config)
    answers, cookies = 0, 0
    for n in range(10_000):
        m1 = first(initiator(config, seed=n)) if n < 256 else junk(n)
        two = responder(config, gate=gate)
        reply = written(two.handle(Arrived(m1), n / 10_000))
        answers += len(reply) == 1600
        cookies += len(reply) == COOKIE_REPLY_BYTES
        assert gate.half_open <= 256
    assert (answers, cookies) == (256, 10_000 - 256)
    agreed(
        initiator(config, seed="x"), responder(config, gate=gate)
    )  # who returns a cookie comes in


def test_replayed_first_message_is_not_answered() -> None:
    gate = new_gate(handshakes_per_s_max=1e9)
    gate.enter(junk(1), 10.0)
    assert gate.judge(junk(1), REMOTE, 0.0) == "replay"
    for n in range(REMEMBERED_MAX):
        gate.leave(gate.enter(junk(1000 + n)[-64:], 10.0))
    assert gate.judge(junk(1), REMOTE, 0.0) == "answer"  # bounded: forgotten at last


# With the machines


@pytest.mark.parametrize("pattern", ["XK", "XX"])
@pytest.mark.parametrize("config", [OPEN, PRIVATE])
def test_handshake_under_load(config: Config, pattern: str) -> None:
    gate = new_gate(config, handshakes_per_s_max=1)
    to = BOB if pattern == "XK" else None
    agreed(initiator(config, to=to, seed=1), responder(config, gate=gate))
    one, two = initiator(config, to=to, seed=2), responder(config, gate=gate)
    m1 = first(one)
    reply = written(two.handle(Arrived(m1), 0.0))
    assert len(reply) == COOKIE_REPLY_BYTES
    assert gate.half_open == 0
    assert one.handle(Arrived(reply[:59]), 0.0) == []
    again = written(one.handle(Arrived(reply[59:]), 0.0))
    assert mac1_of(again) == mac1_of(m1)
    m2 = written(two.handle(Arrived(again), 0.0))
    m3 = written(one.handle(Arrived(m2), 0.0))
    assert isinstance(end(two.handle(Arrived(m3), 0.0)), Established)


def test_no_second_cookie() -> None:
    gate = busy_gate()
    two = responder(gate=gate)
    m1 = first(initiator())
    assert len(written(two.handle(Arrived(m1), 0.0))) == COOKIE_REPLY_BYTES
    effects = two.handle(Arrived(m1), 0.0)
    assert effects == [Refused(None, silent=True, reason="busy")]


def test_forged_cookie_gets_silence() -> None:
    two = responder()
    forged = add_cookie(first(initiator()), bytes(16))
    assert two.handle(Arrived(forged), 0.0) == [Refused(None, silent=True, reason="mac")]


def test_initiator_takes_one_cookie() -> None:
    gate = busy_gate()
    one = initiator()
    m1 = first(one)
    reply = gate.cookie_reply(m1, REMOTE, BOB_KEY, None, 0.0)
    assert written(one.handle(Arrived(reply), 0.0))
    assert one.handle(Arrived(reply * 26), 0.0) == []  # now it can only be a second message
    effects = one.handle(Arrived(reply[:40]), 0.0)
    assert isinstance(refusal(end(effects)).error, AuthError)
    assert written(effects) == b""


def test_initiator_ignores_a_forged_cookie_reply() -> None:
    one = initiator()
    first(one)
    assert one.handle(Arrived(COOKIE_HEAD + bytes(56)), 0.0) == []


def test_second_message_that_looks_like_a_cookie_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    # A key may by chance begin as a cookie reply does: one in four thousand million.
    one, two = initiator(), responder()
    m2 = written(two.handle(Arrived(first(one)), 0.0))
    monkeypatch.setattr("whispurrnet.session.gate.COOKIE_HEAD", m2[:4])
    assert one.handle(Arrived(m2[:59]), 0.0) == []
    assert one.handle(Arrived(m2[59:100]), 0.0) == []
    assert isinstance(end(one.handle(Arrived(m2[100:]), 0.0)), Established)
