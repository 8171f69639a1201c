"""The STUN server: tells whoever asks where it sees them, and nothing else.

With two addresses and two ports it also answers from the others on request (RFC 5780), so that a
NAT's behaviour can be found out. Whatever is not a valid binding request is met with silence.

Source: RFC 8489, sections 6.3 and 12; RFC 5780, sections 6 and 7.

Invariants:
    - at most one answer to a datagram, never to another place than the one it came from;
    - an answer is at most `GROWTH_BYTES_MAX` longer than what it answers;
    - nothing is kept of those who asked but, for a while, how often a network did.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

import msgspec

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.errors import ProtocolError
from whispurrnet.nat import stun_message as m
from whispurrnet.nat.stun_message import Endpoint, Message

GROWTH_BYTES_MAX: Final = 80
"""20 bytes may be answered by as many as 100: three addresses of IPv6. Without a second address it
is 12 for IPv4, 24 for IPv6."""
IPV4_PREFIX, IPV6_PREFIX = 24, 56
Corner: TypeAlias = tuple[int, int]
"""Which of the addresses, which of the ports: (0, 0) to (1, 1)."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the server."""

    per_s: float = 20.0
    """Answers to one network (/24 of IPv4, /56 of IPv6) a second; five times as many at once."""
    total_per_s: float = 2000.0
    """Answers in all a second; as many at once."""
    networks_max: int = 4096
    """How many networks are counted apart; the one longest silent is forgotten."""


class Arrived(msgspec.Struct, frozen=True):
    """A datagram came to one of our places."""

    at: Corner
    source: Endpoint
    data: bytes


class Reply(msgspec.Struct, frozen=True):
    """Send this datagram from one of our places."""

    at: Corner
    to: Endpoint
    data: bytes


class Responder:
    """The STUN server of one node, for one family of addresses.

    Args:
        places: Where it answers: one place as ((place,),); four, by address and then by port.
        config: Its settings.
    """

    def __init__(
        self, places: tuple[tuple[Endpoint, ...], ...], config: Config | None = None
    ) -> None:
        assert [len(row) for row in places] in ([1], [2, 2]), "one place, or two by two"
        self.config = config or Config()
        self._places = places
        self._networks: LruDict[str, TokenBucket] = LruDict(self.config.networks_max)
        self._total = TokenBucket(self.config.total_per_s, self.config.total_per_s)
        self.answered = 0
        """How many requests were answered."""
        self.refused = 0
        """How many were not, because there were too many."""

    def handle(self, event: Arrived, now: float) -> list[Reply]:
        """Take a datagram; the answer to it, or none."""
        try:
            request = m.decode(event.data)
        except ProtocolError:
            return []
        if request.kind != m.REQUEST or not event.source.port:
            return []
        if not self._may(event.source, now):
            self.refused += 1
            return []
        self.answered += 1
        answer, corner = self._answer(event, request)
        return [Reply(corner, event.source, m.encode(answer))]

    def _answer(self, event: Arrived, request: Message) -> tuple[Message, Corner]:
        unknown, (row, column) = request.unknown, event.at
        change = request.change_ip or request.change_port
        if change and len(self._places) == 1:
            # "If [...] it does not support the CHANGE-REQUEST attribute", RFC 5780, section 6.1
            unknown = (*unknown, m.CHANGE_REQUEST)
        if unknown:
            refusal = Message(
                kind=m.ERROR,
                transaction=request.transaction,
                error=m.UNKNOWN_ATTRIBUTE,
                unknown=unknown,
                fingerprint=request.fingerprint,
            )
            return refusal, event.at
        corner = (row ^ request.change_ip, column ^ request.change_port)
        two = len(self._places) == 2
        answer = Message(
            kind=m.RESPONSE,
            transaction=request.transaction,
            mapped=event.source,
            origin=self._places[corner[0]][corner[1]] if two else None,
            other=self._places[1 - row][1 - column] if two else None,
            fingerprint=request.fingerprint,
        )
        return answer, corner

    def _may(self, source: Endpoint, now: float) -> bool:
        key = network_of(source.host)
        bucket = self._networks.get(key)
        if bucket is None:
            bucket = TokenBucket(self.config.per_s, 5 * self.config.per_s)
            self._networks.put(key, bucket)
        return bucket.take(1, now) and self._total.take(1, now)


def network_of(host: str) -> str:
    """The network of an address, which is counted as one."""
    ip = ipaddress.ip_address(host)
    bits = IPV4_PREFIX if ip.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network((ip, bits), strict=False))
