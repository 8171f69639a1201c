"""Invites: keys that let one peer in, once.

The key travels in a ticket. The handshake names it by a hint only who holds it can make, `find`
looks it up, and `redeem` takes it out of the world when the session stands: of two peers that used
one invite at the same time the second is refused. Invites are kept in memory: a restart ends them.

Invariants:
    - at most `invites_max` are outstanding;
    - a key is found only before it expires, and redeemed once.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import AuthError, LimitError
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret

PSK_BYTES = 32


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the invites."""

    invites_max: int = 64
    """Outstanding at a time."""

    life_s: float = 86_400.0
    """How long one is good, in seconds, unless it is said otherwise."""

    redeemed_max: int = 1_024
    """Used ones remembered, so that who comes second is told so."""


class Invites:
    """The outstanding invites of one node.

    Args:
        config: Bounds.
        entropy: Gives that many random bytes.
    """

    def __init__(self, config: Config | None = None, *, entropy: Callable[[int], bytes]) -> None:
        self.config = config or Config()
        self._entropy = entropy
        self._expires_ms: dict[Secret, int] = {}
        self._redeemed: LruDict[bytes, None] = LruDict(self.config.redeemed_max)

    def __len__(self) -> int:
        return len(self._expires_ms)

    def issue(self, wall_ms: int, *, life_s: float | None = None) -> Secret:
        """A new key of 32 bytes for one peer.

        Args:
            wall_ms: Unix time in milliseconds.
            life_s: How long it is good, in seconds.

        Raises:
            LimitError: Too many are outstanding.
        """
        self.expire(wall_ms)
        if len(self._expires_ms) >= self.config.invites_max:
            raise LimitError(
                f"{self.config.invites_max} invites are outstanding, which is the most; wait until "
                "one is used or expires, or withdraw one"
            )
        psk = Secret(self._entropy(PSK_BYTES))
        life_ms = int((self.config.life_s if life_s is None else life_s) * 1000)
        self._expires_ms[psk] = wall_ms + life_ms
        return psk

    def find(self, matches: Callable[[Secret], bool], wall_ms: int) -> Secret | None:
        """The outstanding key that `matches` accepts."""
        self.expire(wall_ms)
        return next((psk for psk in self._expires_ms if matches(psk)), None)

    def redeem(self, psk: Secret) -> bool:
        """Use up a key that `find` gave, now that its session stands.

        Returns:
            Whether it was an invite; False for any other key, such as a pinned peer's.

        Raises:
            AuthError: It was an invite, and somebody else was faster.
        """
        if _digest(psk) in self._redeemed:
            raise AuthError("this invite was used already; ask for a new one")
        if self._expires_ms.pop(psk, None) is None:
            return False
        self._redeemed.put(_digest(psk), None)
        return True

    def withdraw(self, psk: Secret) -> None:
        """Take an invite back; unknown ones are ignored."""
        self._expires_ms.pop(psk, None)

    def expire(self, wall_ms: int) -> int:
        """Forget the invites whose time is over; how many there were."""
        over = [psk for psk, expires_ms in self._expires_ms.items() if expires_ms <= wall_ms]
        for psk in over:
            del self._expires_ms[psk]
        return len(over)


def _digest(psk: bytes) -> bytes:
    """What is remembered of a used key: not the key."""
    return sha256(b"WN1 invite used", psk)
