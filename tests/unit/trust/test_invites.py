"""Invites: once, in time, and not too many."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from whispurrnet.base.errors import AuthError, LimitError
from whispurrnet.crypto.keys import Secret
from whispurrnet.trust.invites import Config, Invites

DAY_MS = 86_400_000


def counter() -> Callable[[int], bytes]:
    made = 0

    def entropy(n: int) -> bytes:
        nonlocal made
        made += 1
        return made.to_bytes(n, "big")

    return entropy


def is_psk(wanted: Secret) -> Callable[[Secret], bool]:
    return lambda psk: psk == wanted


def test_an_invite_works_once() -> None:
    invites = Invites(entropy=counter())
    psk = invites.issue(0)
    assert isinstance(psk, Secret)
    assert len(psk) == 32
    assert invites.find(is_psk(psk), 1) == psk
    assert invites.find(is_psk(Secret(bytes(32))), 1) is None
    assert invites.redeem(psk) is True
    assert invites.find(is_psk(psk), 1) is None
    assert len(invites) == 0
    with pytest.raises(AuthError, match="used already; ask for a new one"):
        invites.redeem(psk)


def test_of_two_at_the_same_time_the_second_is_refused() -> None:
    invites = Invites(entropy=counter())
    psk = invites.issue(0)
    first, second = invites.find(is_psk(psk), 1), invites.find(is_psk(psk), 1)
    assert first == second == psk
    assert invites.redeem(psk)
    with pytest.raises(AuthError):
        invites.redeem(psk)


def test_another_key_is_no_invite() -> None:
    invites = Invites(entropy=counter())
    pinned = Secret(b"p" * 32)
    for _ in range(3):
        assert invites.redeem(pinned) is False


def test_expiry() -> None:
    invites = Invites(entropy=counter())
    psk, short = invites.issue(0), invites.issue(0, life_s=60.0)
    assert invites.find(is_psk(short), 59_999) == short
    assert invites.find(is_psk(short), 60_000) is None
    assert invites.find(is_psk(short), 0) is None, "a clock set back brings nothing back"
    assert invites.find(is_psk(psk), DAY_MS - 1) == psk
    assert invites.expire(DAY_MS) == 1
    assert invites.redeem(psk) is False


def test_withdrawing() -> None:
    invites = Invites(entropy=counter())
    psk = invites.issue(0)
    invites.withdraw(psk)
    invites.withdraw(psk)
    assert invites.find(is_psk(psk), 0) is None
    assert invites.redeem(psk) is False


def test_there_are_not_too_many() -> None:
    invites = Invites(entropy=counter())
    issued = [invites.issue(0) for _ in range(64)]
    assert len(set(issued)) == 64
    with pytest.raises(LimitError, match="64 invites are outstanding"):
        invites.issue(1)
    invites.redeem(issued[0])
    invites.issue(1)
    assert len(invites) == 64
    invites.issue(DAY_MS)  # the old ones are over
    assert len(invites) == 2


def test_the_used_ones_are_remembered_within_a_bound() -> None:
    invites = Invites(Config(redeemed_max=4), entropy=counter())
    used = []
    for _ in range(10):
        used.append(invites.issue(0))
        assert invites.redeem(used[-1])
    for psk in used[-4:]:
        with pytest.raises(AuthError):
            invites.redeem(psk)
    assert invites.redeem(used[0]) is False  # forgotten, and still no invite
    assert invites.find(is_psk(used[0]), 0) is None
