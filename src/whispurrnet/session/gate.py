"""The gate before a handshake: who is worth an answer, and who must first return a cookie.

A handshake costs the responder half a millisecond. The first message therefore carries two short
authentication codes that cost microseconds to check:

- *mac1* proves that the sender knows the responder's key (and the network secret). Without it not a
  single byte is answered, so a scanner finds nothing.
- *mac2* proves that the sender receives what is sent to its address. It is asked for only under
  load, by a *cookie reply* that costs the responder no memory; otherwise it is zeros.

Invariants:
    - answered handshakes that are not finished ("half open") are bounded, and each is forgotten
      at its deadline even if nobody says so;
    - a first message is answered once while it is remembered;
    - a cookie is good for its address only, and for 120 to 240 s.

Source: CRYPTO section 1.3; Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel", 5.4.7.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.errors import AuthError
from whispurrnet.crypto.aead import XNONCE_BYTES, xopen, xseal
from whispurrnet.crypto.hash import blake2s, equal
from whispurrnet.crypto.kex import X25519_BYTES, Entropy
from whispurrnet.crypto.keys import Secret
from whispurrnet.session.payload import MAC_BYTES, MACS_BYTES

COOKIE_HEAD = b"\x02\0\0\0"
COOKIE_REPLY_BYTES = len(COOKIE_HEAD) + XNONCE_BYTES + 2 * MAC_BYTES
COOKIE_SECRET_S = 120.0
REMEMBERED_MAX = 4096

_NO_MAC2 = bytes(MAC_BYTES)

Verdict: TypeAlias = Literal["answer", "cookie", "forged", "replay", "full"]


# Both sides


def address_macs(m1: bytes, static: bytes | None, network_secret: Secret | None) -> bytes:
    """A first message with its mac1 in place and no mac2.

    Args:
        m1: The whole message; its last 32 bytes do not matter.
        static: The responder's key, or None while it is not known (pattern XX).
        network_secret: The secret of the private network, if there is one.
    """
    head = m1[:-MACS_BYTES]
    return head + _mac(b"WN1 mac1", static, network_secret, head) + _NO_MAC2


def is_addressed(m1: bytes, static: bytes | None, network_secret: Secret | None) -> bool:
    """Whether mac1 shows that the sender knows `static` and the network secret."""
    expected = _mac(b"WN1 mac1", static, network_secret, m1[:-MACS_BYTES])
    return equal(expected, mac1_of(m1))


def mac1_of(m1: bytes) -> bytes:
    """The mac1 in a first message."""
    return m1[-MACS_BYTES:-MAC_BYTES]


def add_cookie(m1: bytes, cookie: bytes) -> bytes:
    """A first message with its mac2 in place."""
    head = m1[:-MAC_BYTES]
    return head + blake2s(head, key=cookie, n=MAC_BYTES)


def open_cookie(
    reply: bytes, m1: bytes, static: bytes | None, network_secret: Secret | None
) -> bytes:
    """The cookie in the answer to `m1`.

    Raises:
        AuthError: The answer is no cookie reply to this message.
    """
    nonce, sealed = reply[4 : 4 + XNONCE_BYTES], reply[4 + XNONCE_BYTES :]
    key = _key(b"WN1 cookie", static, network_secret)
    if len(reply) != COOKIE_REPLY_BYTES or not reply.startswith(COOKIE_HEAD):
        raise AuthError("the answer is no cookie reply")
    return xopen(key, nonce, sealed, mac1_of(m1))


class Gate:
    """What all responders of one node share: its load, its cookies, and what it answered."""

    def __init__(
        self,
        entropy: Entropy,
        *,
        half_open_max: int = 1024,
        handshakes_per_s_max: float = 50,
    ) -> None:
        assert half_open_max > 0 and handshakes_per_s_max > 0, "a gate lets somebody in"
        self.half_open_max = half_open_max
        self._entropy = entropy
        self._strangers = TokenBucket(handshakes_per_s_max, max(1.0, handshakes_per_s_max))
        self._half_open: dict[int, float] = {}
        self._next = 0
        self._answered: LruDict[bytes, None] = LruDict(REMEMBERED_MAX)
        self._secrets: list[tuple[float, Secret]] = []

    @property
    def half_open(self) -> int:
        """How many handshakes are answered and not finished."""
        return len(self._half_open)

    def judge(self, m1: bytes, remote: bytes, now: float) -> Verdict:
        """What to do with a first message whose mac1 is right.

        Up to `half_open_max` half-open handshakes are open to everybody, as many again only to
        those who return a cookie; beyond that nobody is answered.
        """
        self._expire(now)
        if mac1_of(m1) in self._answered:
            return "replay"
        if len(self._half_open) >= 2 * self.half_open_max:
            return "full"
        if m1[-MAC_BYTES:] != _NO_MAC2:
            return "answer" if self._has_cookie(m1, remote, now) else "forged"
        if len(self._half_open) >= self.half_open_max or not self._strangers.take(1, now):
            return "cookie"
        return "answer"

    def enter(self, m1: bytes, due_at: float) -> int:
        """Count an answered handshake until `leave`, or until `due_at`; returns its number."""
        self._answered.put(mac1_of(m1), None)
        self._next += 1
        self._half_open[self._next] = due_at
        assert len(self._half_open) <= 2 * self.half_open_max, "`judge` came first"
        return self._next

    def leave(self, number: int) -> None:
        """A handshake is finished, one way or the other."""
        self._half_open.pop(number, None)

    def cookie_reply(
        self,
        m1: bytes,
        remote: bytes,
        static: bytes | None,
        network_secret: Secret | None,
        now: float,
    ) -> bytes:
        """The 60 bytes that make the sender of `m1` come again with a mac2."""
        _, secret = self._secrets_at(now)[0]
        cookie = blake2s(remote, key=secret, n=MAC_BYTES)
        nonce = self._entropy(XNONCE_BYTES)
        key = _key(b"WN1 cookie", static, network_secret)
        return COOKIE_HEAD + nonce + xseal(key, nonce, cookie, mac1_of(m1))

    def _has_cookie(self, m1: bytes, remote: bytes, now: float) -> bool:
        mac2 = m1[-MAC_BYTES:]
        for _, secret in self._secrets_at(now):
            cookie = blake2s(remote, key=secret, n=MAC_BYTES)
            if equal(mac2, blake2s(m1[:-MAC_BYTES], key=cookie, n=MAC_BYTES)):
                return True
        return False

    def _secrets_at(self, now: float) -> list[tuple[float, Secret]]:
        """What cookies are made of, and since when: the newest first, then the one before it."""
        self._secrets = [made for made in self._secrets if now - made[0] < 2 * COOKIE_SECRET_S]
        if not self._secrets or now - self._secrets[0][0] >= COOKIE_SECRET_S:
            self._secrets.insert(0, (now, Secret(self._entropy(32))))
        assert len(self._secrets) <= 2
        return self._secrets

    def _expire(self, now: float) -> None:
        # All wait equally long, so the first in is the first due: dicts keep that order.
        while self._half_open:
            first = next(iter(self._half_open))
            if self._half_open[first] > now:
                break
            del self._half_open[first]


def _key(label: bytes, static: bytes | None, network_secret: Secret | None) -> bytes:
    return blake2s(label + (static or bytes(X25519_BYTES)) + (network_secret or b""))


def _mac(label: bytes, static: bytes | None, network_secret: Secret | None, data: bytes) -> bytes:
    return blake2s(data, key=_key(label, static, network_secret), n=MAC_BYTES)
