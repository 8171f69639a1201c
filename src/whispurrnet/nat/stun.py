"""The STUN client: where am I seen, and what does my NAT do?

It uses two sockets. From the first it asks each server where it is seen. One that answers with an
OTHER-ADDRESS is then asked, all at once:

    mapping      the first socket, to the other address, with the same port and with the other
    filtering    the second socket: answer from the other address and port; from the other port
    hairpinning  from the second socket to where the first is seen

No answer is an answer too, so it ends some seconds after it began. Without an OTHER-ADDRESS two
servers with different addresses still tell whether the mapping is the same for both.

Source: RFC 8489, section 6.2.1 (retransmission); RFC 5780, sections 4.2 to 4.4.

Invariants:
    - it ends: each request is sent `sends_max` times at most, then it has failed;
    - an answer counts for its transaction alone, once, and only from where it may come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.nat import behaviour as b
from whispurrnet.nat import stun_message as m
from whispurrnet.nat.stun_message import Endpoint, Message

FIRST, SECOND = 0, 1
"""The sockets."""
SERVERS_MAX: Final = 8
Test: TypeAlias = Literal["by address", "by port", "from anywhere", "from a port", "hairpin"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the client; RFC 8489 has 7 sends and 16 for Rc and Rm: 39.5 s for one answer."""

    rto_s: float = 0.5
    """The first wait for an answer, in seconds; each is twice the one before."""
    sends_max: int = 4
    """Rc: how often a server is asked."""
    test_sends_max: int = 3
    """The same for a test, for which no answer is one of the results."""
    behaviour: bool = True
    """Whether a server with a second address is asked for more than where we are."""
    last_wait: float = 2.0
    """Rm: how many `rto_s` to wait after the last."""


# Events and effects


class Begin(msgspec.Struct, frozen=True):
    """Ask these servers."""

    servers: tuple[tuple[str, Endpoint], ...]
    """The name and the place of each; the first `SERVERS_MAX` are asked."""
    hosts: tuple[str, ...]
    """The addresses of this machine."""


class Arrived(msgspec.Struct, frozen=True):
    """A datagram came to a socket."""

    socket: int
    source: Endpoint
    data: bytes


class Unsent(msgspec.Struct, frozen=True):
    """A datagram could not be sent: there is no way to that place from here."""

    to: Endpoint
    reason: str


class Send(msgspec.Struct, frozen=True):
    """Send this datagram from a socket."""

    socket: int
    to: Endpoint
    data: bytes


class Done(msgspec.Struct, frozen=True):
    """All is known that will be."""

    report: b.NatReport


Event: TypeAlias = Begin | Arrived | Unsent | Tick
Effect: TypeAlias = Send | Done


class _Request:
    """One transaction under way."""

    __slots__ = ("asks", "data", "sends", "sent_at", "socket", "to")

    def __init__(self, asks: int | Test, socket: int, to: Endpoint, data: bytes) -> None:
        self.asks: int | Test = asks
        """The number of a server, or a test."""
        self.socket = socket
        self.to = to
        self.data = data
        self.sends = 0
        self.sent_at = 0.0


class _Server:
    """A server, and what it told."""

    __slots__ = ("mapped", "name", "other", "place", "problem", "rtt_s")

    def __init__(self, name: str, place: Endpoint) -> None:
        self.name = name
        self.place = place
        self.mapped: Endpoint | None = None
        self.other: Endpoint | None = None
        self.rtt_s: float | None = None
        self.problem = ""


class Discovery:
    """One look at the NAT in front of this machine.

    Args:
        config: Its settings.
        entropy: Gives random bytes.
    """

    def __init__(self, config: Config, *, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self._entropy = entropy
        self._hosts: tuple[str, ...] = ()
        self._servers: list[_Server] = []
        self._requests: dict[bytes, _Request] = {}
        self._timers: Timers[bytes] = Timers()
        self._teller: _Server | None = None
        self._results: dict[Test, Endpoint | None] = {}
        self._refused: dict[Test, str] = {}
        self._done = False

    @property
    def deadline(self) -> float | None:
        """When a `Tick` is wanted, in seconds."""
        return self._timers.deadline

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return its effects (see `Machine.handle`)."""
        effects: list[Effect] = []
        match event:
            case Begin(servers, hosts):
                assert not self._servers, "begun already"
                self._hosts = hosts
                self._servers = [_Server(name, place) for name, place in servers[:SERVERS_MAX]]
                for number, server in enumerate(self._servers):
                    self._ask(number, FIRST, server.place, now, effects)
            case Arrived():
                self._arrived(event, now, effects)
            case Unsent(to, reason):
                for key in [key for key, asked in self._requests.items() if asked.to == to]:
                    self._failed(key, reason)
            case Tick():
                for key in list(self._timers.expire(now)):
                    self._again(key, now, effects)
        if not self._requests and not self._done and self._begun(event):
            self._done = True
            effects.append(Done(self._report()))
        return effects

    def check_invariants(self) -> None:
        """Assert what must be true."""
        assert len(self._timers) == len(self._requests)
        assert all(key in self._timers for key in self._requests)
        assert not (self._done and self._requests)
        assert len(self._requests) <= SERVERS_MAX + 5
        assert all(asked.sends <= self._sends_max(asked) for asked in self._requests.values())

    def _begun(self, event: Event) -> bool:
        return bool(self._servers) or isinstance(event, Begin)

    # Requests

    def _ask(
        self,
        asks: int | Test,
        socket: int,
        to: Endpoint,
        now: float,
        effects: list[Effect],
        *,
        change: tuple[bool, bool] = (False, False),
    ) -> None:
        key = self._entropy(m.TRANSACTION_BYTES)
        data = m.encode(
            Message(
                kind=m.REQUEST,
                transaction=key,
                change_ip=change[0],
                change_port=change[1],
                fingerprint=True,
            )
        )
        self._requests[key] = _Request(asks, socket, to, data)
        self._again(key, now, effects)

    def _sends_max(self, asked: _Request) -> int:
        config = self.config
        return config.sends_max if isinstance(asked.asks, int) else config.test_sends_max

    def _again(self, key: bytes, now: float, effects: list[Effect]) -> None:
        """Send a request, again if it was, or give it up."""
        asked, config = self._requests[key], self.config
        if asked.sends == self._sends_max(asked):
            self._failed(key, "it did not answer")
            return
        wait = config.rto_s * 2**asked.sends
        asked.sends += 1
        if asked.sends == self._sends_max(asked):
            wait = config.rto_s * config.last_wait
        if asked.sends == 1:
            asked.sent_at = now
        self._timers.set(key, now + wait)
        effects.append(Send(asked.socket, asked.to, asked.data))

    def _failed(self, key: bytes, reason: str) -> None:
        asked = self._requests.pop(key)
        self._timers.cancel(key)
        if isinstance(asked.asks, int):
            self._servers[asked.asks].problem = reason
        else:
            self._results[asked.asks] = None

    # Answers

    def _arrived(self, event: Arrived, now: float, effects: list[Effect]) -> None:
        try:
            message = m.decode(event.data)
        except ProtocolError:
            return  # whoever knows our port can send to it
        asked = self._requests.get(message.transaction)
        if asked is None:
            return
        if asked.asks == "hairpin":
            if message.kind == m.REQUEST and event.socket == FIRST:
                self._finish(message.transaction, event.source)
            return
        if event.socket != asked.socket or message.kind not in (m.RESPONSE, m.ERROR):
            return
        if event.source != asked.to and not self._may_come_from(asked.asks, event.source):
            return
        problem = _problem(message)
        if isinstance(asked.asks, int):
            self._told(asked.asks, asked, message, problem, now, effects)
        elif problem or (
            event.source == asked.to and asked.asks in ("from anywhere", "from a port")
        ):
            self._refused[asked.asks] = problem or "it answers from the same place"
            self._finish(message.transaction, None)
        else:
            self._finish(message.transaction, message.mapped)

    def _may_come_from(self, asks: int | Test, source: Endpoint) -> bool:
        teller = self._teller
        if teller is None or teller.other is None:
            return False
        if asks == "from anywhere":
            return source == teller.other
        return asks == "from a port" and source == Endpoint(teller.place.host, teller.other.port)

    def _finish(self, key: bytes, result: Endpoint | None) -> None:
        asked = self._requests.pop(key)
        self._timers.cancel(key)
        assert not isinstance(asked.asks, int)
        self._results[asked.asks] = result

    def _told(
        self,
        number: int,
        asked: _Request,
        message: Message,
        problem: str,
        now: float,
        effects: list[Effect],
    ) -> None:
        """A server said where we are seen, or that it does not."""
        if problem:
            self._failed(message.transaction, problem)
            return
        del self._requests[message.transaction]
        self._timers.cancel(message.transaction)
        server = self._servers[number]
        server.mapped = message.mapped
        server.rtt_s = now - asked.sent_at if asked.sends == 1 else None  # else of which send?
        place, other = server.place, message.other
        # "The port and address [...] MUST be different", RFC 5780, section 7.4
        if other is None or other.host == place.host or other.port == place.port:
            return
        server.other = other
        if self._teller is None and self.config.behaviour:
            self._teller = server
            self._test(place, other, server, now, effects)

    def _test(
        self, place: Endpoint, other: Endpoint, server: _Server, now: float, effects: list[Effect]
    ) -> None:
        self._ask("by address", FIRST, Endpoint(other.host, place.port), now, effects)
        self._ask("by port", FIRST, other, now, effects)
        self._ask("from anywhere", SECOND, place, now, effects, change=(True, True))
        self._ask("from a port", SECOND, place, now, effects, change=(False, True))
        if server.mapped is not None and server.mapped.host not in self._hosts:
            self._ask("hairpin", SECOND, server.mapped, now, effects)

    # What it means

    def _report(self) -> b.NatReport:
        answered = [server for server in self._servers if server.mapped is not None]
        mapping, note = self._mapping(answered)
        filtering = self._filtering()
        translated = any(one.mapped and one.mapped.host not in self._hosts for one in answered)
        kind: b.Kind = "blocked"
        if answered:
            kind = b.kind_of(mapping, filtering, translated=translated)
        return b.NatReport(
            kind=kind,
            mapping=mapping,
            filtering=filtering,
            hairpinning=self._results["hairpin"] is not None
            if "hairpin" in self._results
            else None,
            seen_as=tuple(dict.fromkeys(str(server.mapped) for server in answered)),
            asked=tuple(
                b.Asked(
                    server=server.name,
                    seen_as=str(server.mapped or ""),
                    rtt_ms=None if server.rtt_s is None else round(server.rtt_s * 1000, 1),
                    tells_behaviour=server.other is not None,
                    problem=server.problem,
                )
                for server in self._servers
            ),
            note=note,
        )

    def _mapping(self, answered: list[_Server]) -> tuple[b.Behaviour, str]:
        """The mapping, and what to say to it."""
        if not answered:
            return b.UNKNOWN, "no server answered" if self._servers else "no server was asked"
        teller, results = self._teller, self._results
        if teller is not None:
            by_address, by_port = results.get("by address"), results.get("by port")
            if by_address is not None and by_port is not None:
                if by_address == teller.mapped == by_port:
                    return b.INDEPENDENT, ""
                return (b.BY_ADDRESS if by_address == by_port else b.BY_PORT), ""
        lack = (
            f"the second address of {teller.name} did not answer"
            if teller is not None
            else "no server has a second address (RFC 5780), so whom the NAT lets in is not known"
        )
        hosts = {server.place.host for server in answered}
        if len(hosts) < 2:
            return b.UNKNOWN, f"{lack}; only one address was asked from"
        seen = {server.mapped for server in answered}
        return b.INDEPENDENT if len(seen) == 1 else b.BY_PORT, lack

    def _filtering(self) -> b.Behaviour:
        results, refused = self._results, self._refused
        if results.get("from anywhere") is not None:
            return b.INDEPENDENT
        if "from anywhere" not in results or "from anywhere" in refused:
            return b.UNKNOWN
        if results.get("from a port") is not None:
            return b.BY_ADDRESS
        if results.get("by port") is None:
            return b.UNKNOWN  # its other place is dead: that it is silent says nothing
        return b.UNKNOWN if "from a port" in refused else b.BY_PORT


def _problem(message: Message) -> str:
    """Why an answer tells nothing; empty if it tells something."""
    if message.kind == m.ERROR:
        return f"it refused with error {message.error}"
    if message.unknown:
        return "its answer has parts that are not understood here"
    return "" if message.mapped is not None else "its answer does not say where we are seen"
