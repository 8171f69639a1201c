"""One frozen tree: the configuration of every core of a node."""

from __future__ import annotations

import msgspec

from whispurrnet.crypto.keys import Secret
from whispurrnet.direct import courier
from whispurrnet.discovery import beacon
from whispurrnet.gossip import membership, silence, spread, stamp, standing, stem, turns
from whispurrnet.nat import client, punch, relay_events, signal
from whispurrnet.session import channel, handshake, mux, pool
from whispurrnet.store import sync_events, transfer_config


class GossipConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How messages spread, and among whom."""

    on: bool = True
    """Whether this node takes part: passes messages on, and hears what is for everyone."""

    share: bool = True
    """Whether our address may be told to others, so that they can become neighbours."""

    shard_bits: int = 0
    """The realm is cut into 2^bits shards, the same everywhere in it; a node joins those of its
    intents. 0 serves some thousand nodes."""

    membership: membership.Config = membership.Config()
    spread: spread.Config = spread.Config()
    stem: stem.Config = stem.Config()
    standing: standing.Config = standing.Config()
    stamp: stamp.Config = stamp.Config()
    silence: silence.Config = silence.Config()
    turns: turns.Config = turns.Config()

    guests: int = 16
    """Peers that gossip with us besides our neighbours, because they want this very node: such as
    those whom nobody can call."""

    idle_max: int = 50
    """Sessions kept that no overlay and nobody else needs; beyond, the oldest of these end."""


class MembersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who belongs to the realm."""

    founder: bytes | None = None
    """The Ed25519 public key of the founder; None: whoever takes part belongs to it."""

    depth: int = 4
    """How long a chain of invites may become; what the founder says counts. 1 to 8."""

    life_s: int = 90 * 86_400
    """How long a membership that we give is good, in seconds."""


class IdentityConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long an ephemeral identity lives."""

    lifetime_s: float = 3600.0
    overlap_s: float = 600.0
    """How long the previous identity still answers."""


class RestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a node sleeps, and how it treats peers who do."""

    heartbeat_s: float = 120.0
    """How long it may be silent in its sleep; peers believe 300 at most."""

    hold_s: float = 10.0
    """How long what can wait does so on the way to or from who sleeps."""

    after_s: float = 0.0
    """After so long without anything that the application does it sleeps by itself; 0: never."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the whole stack."""

    profile: str = "mesh"
    network_secret: Secret | None = None
    identity: IdentityConfig = IdentityConfig()
    handshake: handshake.Config = handshake.Config()
    channel: channel.Config = channel.Config()
    mux: mux.Config = mux.Config()
    pool: pool.Config = pool.Config()
    courier: courier.Config = courier.Config()
    beacon: beacon.Config = beacon.Config()
    beacon_on: bool = True
    gossip: GossipConfig = GossipConfig()
    members: MembersConfig = MembersConfig()
    transfer: transfer_config.Config = transfer_config.Config()
    sync: sync_events.Config = sync_events.Config()
    rest: RestConfig = RestConfig()
    mapped: bool = False
    """Whether others may name this node in maps of the local network."""

    webrtc: bool = False
    """Whether the shell can make WebRTC links."""

    signal: signal.Config = signal.Config()

    punch: punch.Config = punch.Config()

    relay: relay_events.Config = relay_events.Config()
    relays: client.Config = client.Config()

    meeting_place: bool = True
    """Whether others may meet under a name through this node."""

    links_max: int = 400
    """Links of any state; one more inbound takes the place of a silent one, or is refused."""

    records_max: int = 2_000
    """Peers remembered, connected or not; the one longest away and without mail goes first."""

    flush_bytes: int = 256 * 1024
    """How much one session sends before the others have their turn."""

    glare_s: float = 10.0
    """Two connections made from both ends within this time count as simultaneous."""

    patience_s: float = 3.0
    """How long the second of two nodes that found each other waits for the first to call."""
