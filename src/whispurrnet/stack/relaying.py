"""Relays in the stack: places that peers have here, places that we have, and circuits.

A circuit is asked for inside a session with the relay, then made of two links of its own that
begin with tokens (`nat.relay_messages`); through it the two peers do their usual handshake. The
shell opens those links: how, `stack.relay_events` says. An inbound link whose first bytes are a
token never reaches the handshake: `claim` takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from whispurrnet.base.errors import LimitError, UsageError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.base.timers import Timers
from whispurrnet.gossip.contact import prefix_of_host
from whispurrnet.nat import client, relay_events, relay_messages
from whispurrnet.nat.client import Client
from whispurrnet.nat.relay import Relay
from whispurrnet.session import channel, handshake
from whispurrnet.stack import events, greeting
from whispurrnet.stack.calls import Call
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.opening import Opening
from whispurrnet.stack.reach import reach
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import Shared
from whispurrnet.wire import frame
from whispurrnet.wire.address import Address, parse

PATH = "relay"
"""How links through relays are called."""

PLACES_PER_RELAY = 2
"""At how many of its addresses a relay is named in ours."""

REACHED_S = 10.0
"""How long a session with a relay may take that is made for a circuit, in seconds."""

WAITING_MAX = 256
"""Circuits that wait for a session with their relay."""

_CODES = {
    relay_messages.NOBODY: "the peer has no place there: it is off, or it has a newer ticket",
    relay_messages.NO_RELAY: "that node is no relay",
}


class _Wanted:
    """A circuit that the shell wants."""

    __slots__ = ("id", "key", "place")

    def __init__(self, place: Address) -> None:
        self.place = place
        self.key = bytes.fromhex(place.relay)
        self.id = bytes.fromhex(place.peer_id)


class Relaying:
    """Both sides of relays in one node.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
        moved: Called when others reach us at other addresses.
    """

    def __init__(self, shared: Shared, links: Links, moved: Callable[[float], None]) -> None:
        self._shared = shared
        self._links = links
        self._moved = moved
        self.relay = Relay(shared.config.relay, entropy=shared.entropy)
        self.client = Client(shared.config.relays, entropy=shared.entropy)
        self._wanted: dict[int, _Wanted] = {}
        self._waiting: Timers[int] = Timers()
        """Circuits that wait for a session with their relay."""
        self.deadline: float | None = None
        """When something is due; remembered, since it is asked for after each event of the node."""
        self.carried = 0
        """Bytes of others that went through this node in circuits that have ended."""
        links.claim, links.gone = self.claim, self.gone
        links.watchers.append(self)

    @property
    def routes(self) -> dict[type, Callable[..., None]]:
        """Who takes which event."""
        return {
            events.OpenCircuit: self._open,
            events.ForgetCircuit: self._forget,
            events.SpliceEnded: self._ended,
        }

    def tick(self, now: float) -> None:
        """Do what is due."""
        for ref in list(self._waiting.expire(now)):
            self._refuse(ref, f"it could not be reached within {REACHED_S:g} s")
        due = self.relay.deadline
        if due is not None and due <= now:
            self._serve(Tick(), now)
        due = self.client.deadline
        if due is not None and due <= now:
            self._use(Tick(), now)
        self._arm()

    def _arm(self) -> None:
        due = (self.relay.deadline, self.client.deadline, self._waiting.deadline)
        self.deadline = min((at for at in due if at is not None), default=None)

    # Peers: see `Watcher`

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        self._shared.out += self._shared.calls.reached_at_once(record.static_key, now)
        welcome = self._shared.belonging.admits(record)
        network = _network(live)
        self._serve(relay_events.Up(record.handle, record.id, network, welcome), now)
        self._use(client.Up(record.handle), now)
        if self._is_wanted(record):
            live.channel.handle(channel.Ping(), now)
            self._links.dirty[live.link] = live
            self._use(client.Want(record.handle), now)
        for ref, wanted in list(self._wanted.items()):
            if ref in self._waiting and wanted.key == record.static_key:
                self._dial(ref, wanted, record, now)

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """A connected peer is admitted to our closed realm, or no longer."""
        welcome = self._shared.belonging.admits(record)
        self._serve(relay_events.Welcomed(record.handle, welcome), now)

    def renamed(self, record: Record, now: float) -> None:
        """A connected peer has another key from now on."""
        self._serve(relay_events.Renamed(record.handle, record.id), now)
        if record.handle in self.client.placed:
            self._moved(now)
        self._readdress(record, now)

    def down(self, record: Record, now: float) -> None:
        """A session ended."""
        self._serve(relay_events.Down(record.handle), now)
        self._use(client.Down(record.handle), now)

    def shun(self, key: bytes) -> None:
        """Relays are called because somebody asks for it."""

    def spare(self, now: float) -> bool:
        """No session is kept for this alone."""
        return False

    def measured(self, live: Live, rtt_s: float, now: float) -> None:
        """A round trip to a peer was measured."""
        self._shared.out.append(events.RoundTrip(live.peer, rtt_s))
        record = self._shared.roster.get(live.peer)
        if record is not None and self._is_wanted(record):
            self._use(client.Want(record.handle), now)
            self._use(client.Measured(record.handle, rtt_s), now)

    def arrived(self, live: Live, body: bytes, now: float) -> None:
        """The body of a RELAY frame.

        Raises:
            ProtocolError: It is malformed.
        """
        for message in relay_messages.decode(body):
            if isinstance(message, relay_messages.Asking):
                self._serve(relay_events.Arrived(live.peer, message), now)
            else:
                self._use(client.Arrived(live.peer, message), now)

    def _is_wanted(self, record: Record) -> bool:
        calls = self._shared.calls
        known = (calls.get(t) for t in calls.targets(record.target, record.static_key))
        return any(call is not None and call.relay for call in known)

    # Links

    def claim(self, opening: Opening, data: bytes, now: float) -> bytes:
        """The first bytes of an inbound link: take it, if they are a token.

        Returns:
            What the handshake is to read; nothing while that is open.
        """
        if opening.dial is not None or opening.head is None:
            return data
        head = opening.head + data
        opening.head = None
        if not self.relay.expects(head[: relay_messages.TOKEN_BYTES]):
            return head
        if len(head) < relay_messages.TOKEN_BYTES:
            opening.head = head
            return b""
        link = opening.link.link
        opening.core.handle(handshake.Closed(), now)
        self._links.drop(link)
        if len(head) > relay_messages.TOKEN_BYTES:  # nothing may follow before we say so
            self._shared.out.append(events.Close(link, abort=True))
        else:
            self._serve(relay_events.Joined(link, head), now)
        return b""

    def gone(self, link: int, now: float) -> None:
        """A link that no session knows is gone."""
        self._serve(relay_events.Gone(link), now)

    def _ended(self, event: events.SpliceEnded, now: float) -> None:
        self.carried += event.bytes
        self._serve(relay_events.Ended(event.circuit), now)

    # Where we are

    def readdress(self) -> None:
        """Write our addresses anew, as our identity and the relays' are now."""
        shared = self._shared
        found: dict[str, None] = {}
        for peer in self.client.placed:
            record = shared.roster.get(peer)
            for base in self._bases(record) if record is not None else ():
                text = str(base.through(record.static_key, shared.identity.id))  # type: ignore[union-attr]
                if len(text) <= greeting.ADDRESS_BYTES_MAX:
                    found[text] = None
        if shared.relayed != tuple(found):
            shared.relayed = tuple(found)
            shared.out.append(events.Placed(shared.relayed))

    def _bases(self, record: Record) -> list[Address]:
        """Where a connected peer is reached: where we called it, then where it says it is."""
        live = record.live
        called = (live.address,) if live is not None and live.initiator else ()
        bases: dict[Address, None] = {}
        for place in _direct((*called, *record.addresses)):
            bases[place] = None
        known = list(bases)
        if called and known:  # where we called it is sure; then another way there
            far, first = reach(str(known[0])), known[0]
            others = [place for place in known[1:] if reach(str(place)) >= far]
            others.sort(key=lambda place: place.transport == first.transport)
            known = [first, *others]
        return known[:PLACES_PER_RELAY]

    def _readdress(self, record: Record, now: float) -> None:
        """A peer with another id is found by it at the relays where it was."""
        old = {id.hex() for id in record.ids}
        renewed: list[str] = []
        for text in record.addresses:
            place = _parsed(text)
            is_old = place is not None and place.is_relayed and place.peer_id in old
            renewed.append(str(place.with_peer(record.id.hex())) if place and is_old else text)
        record.addresses = tuple(renewed)
        if record.target is not None:
            self._shared.calls.learn(record.target, record.addresses, now)

    # Circuits that the shell wants

    def _open(self, event: events.OpenCircuit, now: float) -> None:
        shared, place = self._shared, _parsed(event.address)
        if place is None or not place.is_relayed:
            shared.out.append(events.NoCircuit(event.ref, f"{event.address} names no relay"))
            return
        wanted = self._wanted[event.ref] = _Wanted(place)
        if any(wanted.key == own.proof.static_key for own in shared.identities):
            self._refuse(event.ref, "it is this node itself")
            return
        for record in shared.roster:
            if record.live is not None and record.static_key == wanted.key:
                self._dial(event.ref, wanted, record, now)
                return
        if len(self._waiting) >= WAITING_MAX:
            self._refuse(event.ref, "too many circuits wait for their relays; try again")
            return
        alike = any(
            other.key == wanted.key for ref, other in self._wanted.items() if ref in self._waiting
        )
        self._waiting.set(event.ref, now + REACHED_S)
        if not alike:
            self._reach(wanted)
        self._arm()

    def _reach(self, wanted: _Wanted) -> None:
        """Make a session with a relay, which may end when nobody needs it."""

        def failed(error: WhispurrError) -> None:
            for ref, other in list(self._wanted.items()):
                if ref in self._waiting and other.key == wanted.key:
                    self._refuse(ref, str(error))

        call = Call(wanted.key, (str(wanted.place.base),))
        call.keep, call.failed = False, [failed]
        try:
            self._shared.out += self._shared.calls.at_once(call)
        except LimitError as error:
            failed(error)

    def _dial(self, ref: int, wanted: _Wanted, record: Record, now: float) -> None:
        self._waiting.cancel(ref)
        try:
            self._use(client.Dial(ref, record.handle, wanted.id), now)
        except LimitError as error:
            self._refuse(ref, str(error))

    def _forget(self, event: events.ForgetCircuit, now: float) -> None:
        self._waiting.cancel(event.ref)
        if self._wanted.pop(event.ref, None) is not None:
            self._use(client.Forget(event.ref), now)

    def _refuse(self, ref: int, why: str) -> None:
        wanted = self._wanted.pop(ref, None)
        self._waiting.cancel(ref)
        if wanted is not None:
            reason = f"the relay {wanted.place.place}: {why}"
            self._shared.out.append(events.NoCircuit(ref, reason))
        self._arm()

    # The cores

    def _serve(self, event: relay_events.Event, now: float) -> None:
        out = self._shared.out
        for effect in self.relay.handle(event, now):
            match effect:
                case relay_events.Send(peer, message):
                    self._send(peer, message)
                case relay_events.Splice(circuit, caller, target, allowance):
                    self._shared.count("circuits")
                    out.append(events.Splice(circuit, caller, target, allowance))
                case relay_events.Cut(circuit):
                    out.append(events.CutSplice(circuit))
                case relay_events.Close(link):
                    out.append(events.Close(link, abort=True))
        self._arm()

    def _use(self, event: client.Event, now: float) -> None:
        for effect in self.client.handle(event, now):
            match effect:
                case client.Send(peer, message):
                    self._send(peer, message)
                case client.Placed():
                    self._moved(now)
                case client.Circuit(ref, _, token):
                    if self._wanted.pop(ref, None) is not None:
                        self._shared.out.append(events.CircuitReady(ref, token))
                case client.NoCircuit(ref, code, text):
                    self._no_circuit(ref, code, text, now)
                case client.Accept():
                    self._accept(effect)
        self._arm()

    def _no_circuit(self, ref: int, code: int, text: str, now: float) -> None:
        if code == client.LOST and ref in self._wanted:  # another session with it may follow
            self._waiting.set(ref, now + REACHED_S)
        else:
            self._refuse(ref, _CODES.get(code, text))

    def _accept(self, effect: client.Accept) -> None:
        shared, record = self._shared, self._shared.roster.get(effect.peer)
        trusted = effect.peer in self.client.placed or shared.config.relay.introduce
        bases = self._bases(record) if record is not None and trusted else []
        if record is None or not bases:
            shared.count("circuits_ignored")
            return
        remote = str(bases[0].through(record.static_key, effect.id))
        shared.out.append(events.AcceptCircuit(effect.token, tuple(map(str, bases)), remote))

    def _send(self, peer: int, message: relay_messages.Message) -> None:
        record = self._shared.roster.get(peer)
        if record is None or record.live is None:
            return
        record.live.notes.append(frame.encode(frame.RELAY, relay_messages.encode(message)))
        if not record.live.paused:
            self._links.dirty[record.live.link] = record.live


def _network(live: Live) -> str:
    place = _parsed(live.address)
    return prefix_of_host(place.host) if place is not None and place.is_ip else ""


def _parsed(text: str) -> Address | None:
    try:
        return parse(text)
    except UsageError:
        return None


def _direct(texts: tuple[str, ...]) -> Iterator[Address]:
    """The addresses that lead through no relay, without ids."""
    for text in texts:
        place = _parsed(text)
        if place is not None and not place.is_relayed:
            yield place.base
