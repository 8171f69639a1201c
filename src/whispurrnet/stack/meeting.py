"""Meeting under a name: the rendezvous core, and the peers that serve as meeting places.

A contact that is left under a name is that of `gossip.contact`, sealed under the name: the meeting
place learns neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whispurrnet.base.errors import LimitError, WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.hash import hmac_sha256
from whispurrnet.discovery import rendezvous
from whispurrnet.discovery.book import Source
from whispurrnet.discovery.notices import Name
from whispurrnet.discovery.rendezvous import Rendezvous
from whispurrnet.gossip.contact import ADDRESSES_MAX, Contact
from whispurrnet.gossip.envelope import realm_key
from whispurrnet.stack import events, greeting
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.roster import Record
from whispurrnet.stack.shared import Shared
from whispurrnet.wire import frame

PRIORITY = 6
TTL_S = 7200
POINTS_MAX = 8
"""At how many meeting places a name is left and looked for."""

LEARNT_MAX = 16
"""So many contacts of one answer are written into the address book."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Contact).decode


class Meeting:
    """Names under which this node is found, and finds others.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
    """

    def __init__(self, shared: Shared, links: Links) -> None:
        self._shared = shared
        self._links = links
        self._realm_key = realm_key(shared.config.network_secret)
        self._core = Rendezvous(
            rendezvous.Config(point=shared.config.meeting_place),
            self._realm_key,
            entropy=shared.entropy,
        )
        self._names: dict[str, None] = {}
        self._refs: dict[str, list[int]] = {}

    @property
    def deadline(self) -> float | None:
        """When something is due."""
        return self._core.deadline

    # Peers

    def up(self, record: Record, live: Live, now: float) -> None:
        """A session began."""
        self.admitted(record, live, now)

    def admitted(self, record: Record, live: Live, now: float) -> None:
        """A connected peer is admitted to our closed realm, or no longer."""
        if not self._shared.belonging.admits(record):
            self.down(record, now)
            return
        self._handle(rendezvous.Up(record.handle, record.static_key), now)
        if record.capabilities & greeting.MEETS:
            self._leave_contacts(now)

    def renamed(self, record: Record, now: float) -> None:
        """A connected peer has another key: what it left here stays that of the old one."""

    def down(self, record: Record, now: float) -> None:
        """It ended."""
        self._handle(rendezvous.Down(record.handle), now)

    def shun(self, key: bytes) -> None:
        """Meeting calls nobody by itself."""

    def spare(self, now: float) -> bool:
        """No session is kept for meeting."""
        return False

    def arrived(self, live: Live, body: bytes, now: float) -> None:
        """The body of a RENDEZVOUS frame.

        Raises:
            ProtocolError: It is malformed.
        """
        self._handle(rendezvous.Arrived(live.peer, body), now)

    # Names

    @property
    def names(self) -> tuple[str, ...]:
        """Those under which this node is to be found."""
        return tuple(self._names)

    @property
    def places(self) -> int:
        """At how many connected peers a name is left, and looked for."""
        return len(self._points("*"))

    def register(self, event: events.Register, now: float) -> None:
        """Be found under a name, from now on.

        Raises:
            UsageError: The name cannot be; nothing has changed.
            LimitError: There are too many; nothing has changed.
        """
        Name(self._realm_key, event.name)  # raises, also while there is no meeting place
        names_max = self._core.config.names_max
        if event.name not in self._names and len(self._names) >= names_max:
            raise LimitError(f"{names_max} names are registered already; withdraw one first")
        self._names[event.name] = None
        self._leave_contacts(now)

    def withdraw(self, event: events.Withdraw, now: float) -> None:
        """Be found under it no longer."""
        if event.name in self._names:
            del self._names[event.name]
            self._handle(rendezvous.Withdraw(event.name), now)

    def moved(self, now: float) -> None:
        """Our addresses or our key changed."""
        self._leave_contacts(now)

    def find(self, event: events.FindName, now: float) -> None:
        """Look who is there under a name.

        Raises:
            UsageError: The name cannot be; nothing has changed.
            LimitError: Too many are being looked for; nothing has changed.
        """
        refs = self._refs.setdefault(event.name, [])
        refs.append(event.ref)
        try:
            self._handle(rendezvous.Find(event.name, self._points(event.name)), now)
        except WhispurrError:
            refs.remove(event.ref)
            if not refs:
                del self._refs[event.name]
            raise

    def _points(self, name: str) -> tuple[int, ...]:
        """The same few of many for whoever looks, so that two who know the same peers meet."""
        key = Name(self._realm_key, name).key
        places = [
            (hmac_sha256(key, record.static_key), record.handle)
            for record in self._shared.roster
            if record.live is not None
            and record.capabilities & greeting.MEETS
            and self._shared.belonging.admits(record)
        ]
        return tuple(handle for _, handle in sorted(places)[:POINTS_MAX])

    def _leave_contacts(self, now: float) -> None:
        proof, addresses = self._shared.identity.proof, self._shared.addresses[:ADDRESSES_MAX]
        if not addresses:
            return
        contact = _encode(Contact(proof.static_key, addresses, proof.not_after_s))
        for name in self._names:
            points = self._points(name)  # without any, who asks us is told all the same
            self._handle(rendezvous.Register(name, contact, TTL_S, points), now)

    # The core

    def tick(self, now: float) -> None:
        """Do what is due."""
        due = self._core.deadline
        if due is not None and due <= now:
            self._handle(Tick(), now)

    def _handle(self, event: rendezvous.Event, now: float) -> None:
        effects: Sequence[rendezvous.Effect] = self._core.handle(event, now)
        for effect in effects:
            match effect:
                case rendezvous.Send(peer, body):
                    self._send(peer, body)
                case rendezvous.Found(name, contacts, done):
                    self._found(name, contacts, now, done=done)
                case rendezvous.Rejected():
                    self._shared.count("names_refused")

    def _send(self, peer: int, body: bytes) -> None:
        record = self._shared.roster.get(peer)
        if record is not None and record.live is not None:
            dropped = record.live.gossip.put(frame.RENDEZVOUS, body, PRIORITY)
            self._shared.meter.count("gossip_dropped", dropped)
            if not record.live.paused:
                self._links.dirty[record.live.link] = record.live

    def _found(self, name: str, contacts: tuple[bytes, ...], now: float, *, done: bool) -> None:
        wall_s, ours = (
            self._shared.wall() // 1000,
            {i.proof.static_key for i in self._shared.identities},
        )
        read: list[tuple[bytes, tuple[str, ...], int]] = []
        for blob in contacts:
            try:
                contact = _decode(blob)
            except msgspec.MsgspecError:
                continue  # who knows the name may write anything under it
            if contact.expires_s > wall_s and contact.key not in ours:
                read.append((contact.key, contact.addresses, contact.expires_s))
        for key, addresses, _ in read[:LEARNT_MAX]:
            self._shared.calls.book.learn(key, addresses, Source.HEARD, now)
        for ref in self._refs.get(name, []):
            self._shared.out.append(events.FoundName(ref, tuple(read), done))
        if done:
            self._refs.pop(name, None)
