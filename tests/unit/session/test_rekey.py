"""The exchange of new keys: what it gives, and who cannot make it give anything else."""

from __future__ import annotations

import os

import pytest

from whispurrnet.base.bounded import TokenBucket
from whispurrnet.base.errors import AuthError, ProtocolError
from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import TransportKeys
from whispurrnet.session.rekey import OFFERS_BURST, Rekey, Stage


def keys(seed: int = 0) -> tuple[TransportKeys, TransportKeys]:
    one, other, exporter = (Secret(bytes([seed + n]) * 32) for n in range(3))
    hash = bytes([seed + 3]) * 32
    return (
        TransportKeys(send=one, receive=other, hash=hash, exporter=exporter),
        TransportKeys(send=other, receive=one, hash=hash, exporter=exporter),
    )


def pair(level: Level = Level.L3) -> tuple[Rekey, Rekey]:
    ours, theirs = keys()
    return (
        Rekey(ours, initiator=True, level=level, entropy=os.urandom),
        Rekey(theirs, initiator=False, level=level, entropy=os.urandom),
    )


def offered(rekey: Rekey) -> bytes:
    offer = rekey.offer(0.0)
    assert offer is not None
    return offer


def exchange(one: Rekey, other: Rekey, now: float = 0.0) -> tuple[TransportKeys, TransportKeys]:
    answered = other.answer(offered(one), now)
    assert answered is not None
    return one.finish(answered[0]), answered[1]


def switch(one: Rekey, other: Rekey) -> None:
    for rekey in (one, other):
        rekey.switched_send()
        rekey.switched_receive()


@pytest.mark.parametrize(("level", "sizes"), [(Level.L3, (1248, 1152)), (Level.L5, (1632, 1632))])
def test_both_get_the_same_new_keys(level: Level, sizes: tuple[int, int]) -> None:
    one, other = pair(level)
    offer = offered(one)
    assert one.stage is Stage.OFFERED
    answered = other.answer(offer, 0.0)
    assert answered is not None
    answer, theirs = answered
    ours = one.finish(answer)
    assert (len(offer), len(answer)) == sizes
    assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
    assert (ours.hash, ours.exporter) == (theirs.hash, theirs.exporter)
    assert ours.send not in {one.keys.send, one.keys.receive, ours.receive}


def test_an_epoch_ends_when_both_directions_have_switched() -> None:
    one, other = pair()
    ours, _ = exchange(one, other)
    assert not one.idle
    one.switched_receive()
    assert (one.epoch, one.idle) == (0, False)
    one.switched_send()
    assert (one.epoch, one.idle) == (1, True)
    assert one.keys is ours
    other.switched_send()
    other.switched_receive()
    for epoch in range(2, 5):
        exchange(other, one) if epoch % 2 else exchange(one, other)
        switch(one, other)
        assert one.epoch == other.epoch == epoch
        assert one.keys.exporter == other.keys.exporter


def test_with_glare_the_offer_of_the_connections_initiator_wins() -> None:
    one, other = pair()
    ours, theirs = offered(one), offered(other)
    assert one.answer(theirs, 0.0) is None
    answered = other.answer(ours, 0.0)
    assert answered is not None
    assert one.finish(answered[0]).send == answered[1].receive
    with pytest.raises(ProtocolError):
        other.finish(answered[0])  # its own offer is forgotten


@pytest.mark.parametrize("index", [0, 31, 32, 700, 1231, 1232, 1247])
def test_a_forged_offer_is_noticed(index: int) -> None:
    one, other = pair()
    offer = bytearray(offered(one))
    offer[index] ^= 1
    with pytest.raises(AuthError):
        other.answer(bytes(offer), 0.0)
    assert other.idle


@pytest.mark.parametrize("index", [0, 31, 32, 700, 1135, 1136, 1151])
def test_a_forged_answer_is_noticed(index: int) -> None:
    one, other = pair()
    answered = other.answer(offered(one), 0.0)
    assert answered is not None
    answer = bytearray(answered[0])
    answer[index] ^= 1
    with pytest.raises(AuthError):
        one.finish(bytes(answer))


@pytest.mark.parametrize("message", [b"", bytes(31), bytes(1248), bytes(5000)])
def test_what_is_no_message_at_all_is_noticed(message: bytes) -> None:
    one, other = pair()
    offered(one)
    with pytest.raises(AuthError):
        other.answer(message, 0.0)
    with pytest.raises(AuthError):
        one.finish(message)


def test_who_does_not_hold_the_keys_cannot_offer() -> None:
    stranger = Rekey(keys(9)[0], initiator=True, level=Level.L3, entropy=os.urandom)
    with pytest.raises(AuthError):
        pair()[1].answer(offered(stranger), 0.0)


def test_an_offer_of_another_epoch_is_noticed() -> None:
    one, other = pair()
    offer = offered(one)
    answered = other.answer(offer, 0.0)
    assert answered is not None
    one.finish(answered[0])
    switch(one, other)
    with pytest.raises(AuthError):
        other.answer(offer, 0.0)


def test_our_own_offer_back_is_noticed() -> None:
    _, other = pair()
    offer = offered(other)
    answered = other.answer(offer, 0.0)  # it was made with the same keys, so it opens
    assert answered is not None
    with pytest.raises(ProtocolError):
        other.finish(answered[0])  # but nobody but ourselves can finish it


def test_what_nobody_asked_for_is_refused() -> None:
    one, other = pair()
    for rekey in (one, other):
        with pytest.raises(ProtocolError):
            rekey.finish(bytes(1152))
        with pytest.raises(ProtocolError):
            rekey.switched_receive()
    exchange(one, other)
    with pytest.raises(ProtocolError, match="before the last"):
        other.answer(bytes(1248), 0.0)
    one.switched_receive()
    with pytest.raises(ProtocolError):
        one.switched_receive()


def test_a_peer_cannot_make_us_compute_without_end() -> None:
    one, other = pair()
    one._our_offers = TokenBucket(1.0, 1000.0)
    for _ in range(int(OFFERS_BURST)):
        exchange(one, other)
        switch(one, other)
    with pytest.raises(ProtocolError, match="a second"):
        exchange(one, other)


def test_we_offer_less_often_than_that() -> None:
    one, other = pair()
    for _ in range(int(OFFERS_BURST / 2)):
        exchange(one, other)
        switch(one, other)
    assert one.offer(0.0) is None
    assert one.idle
    assert one.offer(10.0) is not None
    assert one.offer(20.0) is None  # one at a time
