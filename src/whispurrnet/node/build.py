"""From settings to the configuration of the cores: the one place where both are known."""

from __future__ import annotations

from whispurrnet.base.errors import ConfigError
from whispurrnet.crypto.hash import hkdf
from whispurrnet.crypto.kex import Level, kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.direct import courier
from whispurrnet.discovery import beacon
from whispurrnet.gossip import membership, spread, stamp, standing, stem
from whispurrnet.nat import client, punch, relay_events
from whispurrnet.node.membership import config_of
from whispurrnet.node.processor import aes_is_fast
from whispurrnet.node.settings import Settings
from whispurrnet.node.webrtc import webrtc_of
from whispurrnet.session import channel, handshake, mux, pool
from whispurrnet.session.record import AES_RECORDS
from whispurrnet.stack.config import Config, GossipConfig, IdentityConfig, RestConfig
from whispurrnet.store import transfer_config

RELAY_LIFETIME_S = 86_400.0
"""The identity of a relay lives for a day at least: its key is part of others' addresses."""


def network_key(settings: Settings) -> Secret | None:
    """32 bytes from the text of the network secret; None for an open mesh.

    Raises:
        ConfigError: The secret is so short that it can be guessed.
    """
    text = settings.network_secret.reveal()
    if not text:
        return None
    if len(text) < 12:
        raise ConfigError(
            "network_secret: fewer than 12 characters can be guessed; take a longer one"
        )
    return hkdf(text.encode(), info=b"WN1 network secret")


def build(settings: Settings) -> Config:
    """The configuration of the whole stack.

    Raises:
        ConfigError: A value cannot be.
        LevelUnavailable: The level needs an extra that is not installed.
    """
    session, direct = settings.session, settings.direct
    known = max(2_000, settings.max_peers * 2)
    kem(Level(session.level))
    return Config(
        profile=settings.profile,
        network_secret=network_key(settings),
        identity=_identity(settings),
        handshake=_handshake(settings),
        channel=channel.Config(
            rekey_after_s=session.rekey_after_s,
            rekey_records=session.rekey_records,
            rekey_bytes=session.rekey_bytes,
            stale_after_s=session.stale_after_s,
            heartbeat_s=session.heartbeat_s,
            dead_after=session.dead_after,
        ),
        mux=mux.Config(
            streams_max=session.streams_max,
            stream_window=session.stream_window,
            session_window=session.session_window,
        ),
        pool=_pool(settings),
        courier=courier.Config(
            window=direct.window,
            window_bytes=direct.window_bytes,
            queue_max=direct.queue_max,
            queue_bytes_max=direct.queue_bytes_max,
            retry_s=direct.retry_s,
            requests_max=direct.requests_max,
            body_max=direct.body_max,
            peers_max=known,
        ),
        beacon=beacon.Config(interval_s=settings.lan.interval_s),
        beacon_on=settings.lan.enabled and not settings.enable_stealth,
        gossip=_gossip(settings),
        members=config_of(settings.membership),
        transfer=transfer_config.Config(serve=settings.objects.serve),
        mapped=settings.lan.topology and not settings.enable_stealth,
        rest=RestConfig(
            heartbeat_s=session.sleep_heartbeat_s,
            hold_s=session.sleep_hold_s,
            after_s=session.sleep_after_s,
        ),
        webrtc=webrtc_of(settings.nat, stealth=settings.enable_stealth)[0],
        punch=punch.Config(on=settings.nat.upgrade and not settings.enable_stealth),
        relay=_relay(settings),
        relays=client.Config(places_max=settings.nat.places),
        meeting_place=settings.gossip.meeting_place,
        links_max=settings.max_peers * 4,
        records_max=known,
    )


def _handshake(settings: Settings) -> handshake.Config:
    session = settings.session
    wants_aes = session.record_cipher == "aes" or (
        session.record_cipher == "auto" and aes_is_fast()
    )
    return handshake.Config(
        features=AES_RECORDS if wants_aes else 0,
        level=Level(session.level),
        min_level=Level(session.min_level),
        accept_first_contact=settings.accept_first_contact,
        outer_binding=session.outer_binding,
        timeout_s=session.handshake_timeout_s,
        half_open_max=session.half_open_max,
        handshakes_per_s_max=session.handshakes_per_s_max,
    )


def _identity(settings: Settings) -> IdentityConfig:
    wanted = settings.identity
    least_s = RELAY_LIFETIME_S if settings.nat.relay else 0.0
    return IdentityConfig(lifetime_s=max(wanted.lifetime_s, least_s), overlap_s=wanted.overlap_s)


def _relay(settings: Settings) -> relay_events.Config:
    nat = settings.nat
    return relay_events.Config(
        on=nat.relay,
        introduce=nat.introduce and not settings.enable_stealth,
        expires_s=nat.relay_reservation_s,
        overlap_s=settings.identity.overlap_s,
        places_max=nat.relay_reservations_max,
        circuits_max=nat.relay_circuits_max,
        circuits_per_peer_max=nat.relay_circuits_per_peer_max,
        connects_per_minute=nat.relay_connects_per_minute,
        circuit=relay_events.Allowance(
            bytes_per_s=nat.relay_bytes_per_s,
            bytes_max=nat.relay_bytes_max,
            idle_s=nat.relay_idle_s,
            life_s=nat.relay_lifetime_s,
        ),
    )


def _gossip(settings: Settings) -> GossipConfig:
    gossip = settings.gossip
    return GossipConfig(
        on=gossip.enabled,
        share=gossip.share_address and not settings.enable_stealth,
        shard_bits=gossip.shard_bits,
        membership=membership.Config(
            active=gossip.neighbours, outbound_min=min(4, gossip.neighbours // 2)
        ),
        spread=spread.Config(
            fanout=gossip.fanout,
            hops_max=gossip.max_hops,
            served_hop=min(gossip.max_hops, 5),
            sync_s=gossip.sync_s,
            want_after_s=gossip.timeout_s,
            pushed_per_s=gossip.link_messages_per_s / 5,
            pushed_burst=gossip.link_messages_per_s,
        ),
        stem=stem.Config(
            on=gossip.stem,
            relayed_per_s=gossip.link_messages_per_s / 5,
            relayed_burst=gossip.link_messages_per_s,
        ),
        standing=standing.Config(
            messages_per_s=gossip.link_messages_per_s,
            messages_burst=5 * gossip.link_messages_per_s,
            bytes_per_s=gossip.link_bytes_per_s,
            bytes_burst=4 * gossip.link_bytes_per_s,
        ),
        stamp=stamp.Config(base_bits=gossip.stamp_bits),
        idle_max=max(1, settings.max_peers // 2),
    )


def _pool(settings: Settings) -> pool.Config:
    session, dialling = settings.session, settings.pool
    return pool.Config(
        peers_max=settings.max_peers,
        retries_max=session.max_retries,
        dial_timeout_s=session.timeout_s,
        dial_concurrency=dialling.dial_concurrency,
        backoff_min_s=dialling.backoff_min_s,
        backoff_max_s=dialling.backoff_max_s,
        breaker_failures=dialling.breaker_failures,
        breaker_s=dialling.breaker_s,
    )
