"""The sections of the settings: one closed, frozen structure each, with defaults and bounds.

A key ending in `_s` is in seconds, in `_ms` in milliseconds, in `_bytes` or `_max` what it says.
`node.settings` puts them together and fills them from files, environment and flags.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
SecurityLevel = Literal[1, 3, 5]


class SecretText:
    """A text that no `repr`, `str`, log or JSON shows; empty means none is set."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        """Wrap a text."""
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        """Whether a secret is set."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, SecretText):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # a secret is not a key of a table

    def __repr__(self) -> str:
        """Say only whether a secret is set."""
        return "<secret>" if self._text else "<no secret>"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every part of the settings is: frozen, by name, closed."""


class IdentitySettings(Section, frozen=True):
    """Who the node is, and for how long."""

    lifetime_s: Seconds = 3600.0
    """An ephemeral identity is replaced after this."""
    overlap_s: Annotated[float, Meta(ge=0)] = 600.0
    """The old identity still answers for this long."""
    long_term: bool = False
    """Keep a long-term identity (and pins) in `state_dir`; otherwise nothing is written to disk."""
    post_quantum: bool = False
    """Prove the long-term identity by ML-DSA-65 too; decided when it is made."""
    state_dir: str = ""
    """Where a long-term identity lives; empty: the user's data folder."""


class SessionSettings(Section, frozen=True):
    """The encrypted channel to one peer."""

    level: SecurityLevel = 3
    """1, 3 or 5: ML-KEM-512, -768, -1024. 1 needs the extra `whispurrnet[l1]`."""
    min_level: SecurityLevel = 3
    """Peers below are refused."""
    record_cipher: Literal["auto", "chacha", "aes"] = "auto"
    """AES-256-GCM seals records if both sides want it, else ChaCha20-Poly1305; auto: if faster."""
    outer_binding: Literal["warn", "refuse"] = "warn"
    """What to do when the TLS around a link ends in between, as behind a proxy."""
    handshake_timeout_s: Seconds = 10.0
    half_open_max: Count = 1024
    handshakes_per_s_max: Count = 50
    """Above this, a stranger must first return a cookie."""
    timeout_ms: Count = 30_000
    """How long connecting to a peer may take in all, every address and retry included."""
    max_retries: Annotated[int, Meta(ge=0)] = 3
    """Dials of one address before a connection asked for is given up."""
    heartbeat_s: Seconds = 30.0
    dead_after: Count = 3
    """Heartbeats without an answer after which a peer counts as gone."""
    sleep_heartbeat_s: Annotated[float, Meta(gt=0, le=300)] = 120.0
    """Its heartbeat while the node sleeps; peers are told."""
    sleep_hold_s: Annotated[float, Meta(ge=0, le=60)] = 10.0
    """How long what can wait does so on the way to or from a node that sleeps."""
    sleep_after_s: Annotated[float, Meta(ge=0)] = 0.0
    """Sleep after so long without anything that the application does; 0: only when told to."""
    rekey_after_s: Seconds = 3600.0
    rekey_records: Count = 2**20
    rekey_bytes: Count = 2**30
    stale_after_s: Seconds = 7200.0
    """A channel that could not rekey is closed after this."""
    streams_max: Count = 256
    stream_window: Count = 4 * 2**20
    session_window: Count = 16 * 2**20

    @property
    def timeout_s(self) -> float:
        """`timeout_ms`, in seconds."""
        return self.timeout_ms / 1000


class PoolSettings(Section, frozen=True):
    """Dialling, and dialling again."""

    dial_concurrency: Count = 8
    backoff_min_s: Seconds = 0.5
    backoff_max_s: Seconds = 60.0
    breaker_failures: Count = 5
    """Failures in a row after which an address rests."""
    breaker_s: Seconds = 30.0


class DirectSettings(Section, frozen=True):
    """Whispers and requests."""

    window: Count = 8192
    """Messages under way to one peer."""
    window_bytes: Count = 4 * 2**20
    queue_max: Count = 100_000
    """Messages that may wait for one peer."""
    queue_bytes_max: Count = 64 * 2**20
    retry_s: Seconds = 15.0
    requests_max: Count = 1024
    body_max: Count = 2**20
    """Bytes in one message."""
    read_receipts: bool = True
    """Tell a sender when its message was read."""


class GossipSettings(Section, frozen=True):
    """How messages spread through the mesh, and among whom."""

    enabled: bool = True
    """Pass messages of others on, and hear what is for everyone."""
    share_address: bool = True
    """Others may be told where this node is, so that they can become its neighbours."""
    meeting_place: bool = True
    """Others may meet under a name through this node, which does not learn the name."""
    neighbours: Annotated[int, Meta(ge=2, le=50)] = 8
    """How many neighbours this node has in the mesh; peers it was told to reach come on top."""
    fanout: Annotated[int, Meta(ge=1, le=50)] = 3
    """To how many of them a message is pushed; the others are told that it is there."""
    max_hops: Annotated[int, Meta(ge=1, le=64)] = 10
    """How often a message is pushed on; the same everywhere in a realm."""
    stem: bool = True
    """Let messages take a detour before they spread, so that their origin is hard to tell."""
    stamp_bits: Annotated[int, Meta(ge=0, le=20)] = 14
    """The work that a message must show; each bit doubles it; the same everywhere in a realm."""
    shard_bits: Annotated[int, Meta(ge=0, le=6)] = 0
    """Cut the realm into 2^bits parts; for many thousand nodes; the same everywhere in a realm."""
    link_messages_per_s: Annotated[float, Meta(gt=0)] = 20.0
    """Messages taken of one neighbour; five times that at once."""
    link_bytes_per_s: Annotated[float, Meta(gt=0)] = 256 * 1024.0
    """Bytes of gossip taken of one neighbour; four times that at once."""
    sync_s: Seconds = 60.0
    """How often to compare with a neighbour what each has."""
    timeout_s: Seconds = 0.4
    """How long to wait for a message that was announced before asking for it."""


class MembershipSettings(Section, frozen=True):
    """A closed realm: only those gossip in it whom the founder, or one it let in, has invited."""

    founder: str = ""
    """The public key of its founder, the same on every node; empty: the realm is open."""
    key_file: str = ""
    """The founder's secret key; only on the node of the founder."""
    depth: Annotated[int, Meta(ge=1, le=8)] = 4
    """How many invites there may be from the founder to a member; what the founder says counts."""
    life_s: Annotated[float, Meta(ge=60)] = 90 * 86_400.0
    """How long a membership that this node gives is good, but not longer than its own."""


class ObjectSettings(Section, frozen=True):
    """Objects: where they are kept, and how fast they may move."""

    folder: str = ""
    """Where they are kept; empty: in a passing folder that goes with the node."""
    quota_bytes: Annotated[int, Meta(ge=0)] = 0
    """How much they may take; 0: as much as the disk has."""
    upload_bps: Annotated[float, Meta(ge=0)] = 0.0
    """Bytes a second that are sent of them; 0: as fast as it goes."""
    download_bps: Annotated[float, Meta(ge=0)] = 0.0
    """Bytes a second that are fetched of them; 0: as fast as it goes."""
    serve: bool = True
    """Others get what is shared with them."""


class SyncSettings(Section, frozen=True):
    """Folders that `whispurr up` keeps the same on several machines."""

    folder: str = ""
    """Which; empty: none."""
    folders: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    """More of them, each with the key that it keeps since `whispurr sync`."""
    ticket: SecretText = SecretText()
    """The folder's ticket, from a machine that has it; not needed once the folder keeps its key."""
    peers: tuple[str, ...] = ()
    """Who may take part without it: ids, long-term identities, tickets of nodes."""
    rest_admits: bool = False
    """The REST API may let others take part, who then read and change the folder."""


class LanSettings(Section, frozen=True):
    """Finding peers on the local network."""

    enabled: bool = True
    methods: tuple[Literal["auto", "multicast", "broadcast", "mdns"], ...] = ("auto",)
    """How; auto: multicast, broadcast, and mDNS where `whispurrnet[mdns]` is installed."""
    multicast_group: str = "239.192.74.1"
    multicast_group6: str = "ff12::7e5a"
    multicast_port: Port = 9746
    """The UDP port of multicast and broadcast; all nodes of a network use the same."""
    interval_s: Seconds = 5.0
    topology: bool = False
    """Peers on this network who set it too may see in a map with whom this node is connected."""


class NatSettings(Section, frozen=True):
    """Reaching and being reached where no direct link can be made: relays, WebRTC, STUN."""

    relays: tuple[str, ...] = ()
    """Tickets or addresses of relays through which this node may be reached."""
    places: Annotated[int, Meta(ge=1, le=4)] = 2
    """At how many of them at a time; the nearest."""
    public_addresses: tuple[str, ...] = ()
    """Where others reach this node from outside, such as a forwarded port of a router."""
    relay: bool = False
    """Carry the sealed links of others who cannot meet; see `whispurr relay`."""
    upgrade: bool = True
    """Go on trying for a direct path to peers that a relay carries; not in stealth."""
    introduce: bool = True
    """Let two peers of this node meet through it, for as little as they need to find a path."""
    relay_reservations_max: Count = 4096
    """Peers that may be reached through this relay."""
    relay_circuits_max: Count = 4096
    """Pairs of peers joined at a time."""
    relay_circuits_per_peer_max: Count = 64
    relay_connects_per_minute: Annotated[float, Meta(gt=0)] = 60.0
    """How often one peer may ask to be joined."""
    relay_bytes_per_s: Annotated[int, Meta(ge=0)] = 32 << 20
    """What each way of a pair carries a second; 0: as fast as it goes."""
    relay_bytes_max: Annotated[int, Meta(ge=0)] = 0
    """What a pair carries in all before it must ask again; 0: without end."""
    relay_idle_s: Annotated[float, Meta(ge=60)] = 900.0
    """A pair that says nothing for so long is parted."""
    relay_lifetime_s: Annotated[float, Meta(ge=60)] = 86_400.0
    """A pair is parted after so long in any case."""
    relay_reservation_s: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    """How long a place at this relay is good unless it is renewed."""
    webrtc: Literal["auto", "on", "off"] = "auto"
    """Make WebRTC links; auto: if `whispurrnet[webrtc]` is installed, and not in stealth."""
    webrtc_backend: Literal["auto", "aiolibdatachannel", "aiortc"] = "auto"
    """By which library; auto: the fastest that is there and can use the servers."""
    ice_servers: tuple[SecretText, ...] = ()
    """`stun:host:port` and `turn:user:secret@host:port`; none: only direct paths are found."""
    ice_policy: Literal["all", "relay"] = "all"
    """relay: WebRTC links go through a TURN server, so that peers do not learn our address."""
    host_candidates: bool = True
    """Tell peers with whom a WebRTC link is made the addresses of the own network."""
    turn_secret: SecretText = SecretText()
    """What TURN servers have as `static-auth-secret`: credentials that last 6 hours are made."""
    stun_port: Port = 0
    """The UDP port at which this node tells others where it sees them (STUN); 0: none."""
    stun_alternate: str = ""
    """A second address of this machine: others can then find out what kind of NAT they have."""


class GatewaySettings(Section, frozen=True):
    """REST, events and the P2P WebSocket, on `host` and `port`."""

    enabled: bool = True
    token: SecretText = SecretText()
    """Lets clients beyond loopback use the REST API: `Authorization: Bearer ...`."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins besides the node's own, such as `https://panel.example.org`."""
    body_bytes_max: Count = 2 * 2**20
    metrics: bool = False
    """Figures for Prometheus at `/metrics`, to whoever may use the REST API; they name nobody."""
    web: Literal["off", "local", "open"] = "local"
    """Who gets the page at `/`: nobody; browsers on this machine; the network, with the ticket."""


class TlsSettings(Section, frozen=True):
    """The outer TLS of `/tls` and `/wss` addresses; the channel inside does not rely on it."""

    chain_file: str = ""
    """A public certificate with those above it, PEM; empty: one bound to the identity is made."""
    key_file: str = ""
    """Its private key, PEM."""
    ca_file: str = ""
    """Authorities to trust beside the system's when a DNS name is dialled, PEM."""


class LogSettings(Section, frozen=True):
    """What is written to the log; never keys, bodies, topics, ids or addresses."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
