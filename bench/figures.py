"""What is measured, in which unit, how good it has to be, and against whom.

Source: DECISIONS, section 10: "what counts is the ratio to the peers in the same run".
"""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """One figure and its bounds."""

    unit: str
    bound: float
    """At least this, or at most when less is better."""
    aim: float
    less: bool = False
    """Whether less is better."""


GOSSIP = ("gossip_one", "gossip_ten")
"""Delivered to nine receivers together; ten nodes in one process, and in ten."""

OBJECTS = ("object_one", "object_four", "object_sync", "object_whisper")
"""One source; four that are held to 20 MB/s each; 100,000 of 1 KiB; whispers meanwhile."""

RELAY = ("relay_bulk", "relay_oneway", "relay_pairs")
"""Through our own relay: one stream, messages, and the memory of a thousand pairs at rest."""

WEBRTC = ("webrtc",)
"""A session over WebRTC, also as a share of what the library does alone in the same run."""

FIGURES = {
    "handshake": Figure("handshakes/s", 350, 530),
    "oneway": Figure("messages/s", 250_000, 650_000),
    "acked": Figure("messages/s", 40_000, 100_000),
    "rpc_p50": Figure("us", 300, 130, less=True),
    "rpc_64": Figure("requests/s", 60_000, 150_000),
    "bulk": Figure("MB/s", 400, 700),
    "gossip_one": Figure("messages/s", 1_500, 20_000),
    "gossip_ten": Figure("messages/s", 1_500, 20_000),
    "object_one": Figure("MB/s", 300, 500),
    "object_four": Figure("MB/s", 70, 78),
    "object_sync": Figure("s", 20, 8, less=True),
    "object_whisper": Figure("ms", 20, 5, less=True),
    "reconcile": Figure("KiB", 64, 24, less=True),
    "reconcile_rounds": Figure("round trips", 3, 3, less=True),
    "reconcile_cpu": Figure("ms", 200, 50, less=True),
    "relay_bulk": Figure("MB/s", 100, 400),
    "relay_share": Figure("of direct", 0.4, 0.6),
    "relay_oneway": Figure("messages/s", 20_000, 400_000),
    "relay_pairs": Figure("MB", 150, 80, less=True),
    "webrtc_bulk": Figure("MB/s", 3, 40),
    "webrtc_share": Figure("of the library", 0.8, 1.0),
    "webrtc_oneway": Figure("messages/s", 20_000, 250_000),
    "webrtc_oneway_share": Figure("of the library", 0.8, 5.0),
    "import": Figure("s", 0.30, 0.15, less=True),
    "rss": Figure("MB", 60, 45, less=True),
    "rss_link": Figure("kB", 80, 40, less=True),
    "idle": Figure("% of a core", 1.0, 0.3, less=True),
}

PARTS = {name: (name,) for name in FIGURES} | {
    "rpc": ("rpc_p50", "rpc_64"),
    "rss": ("rss", "rss_link"),
    "relay_bulk": ("relay_bulk", "relay_share"),
    "webrtc": ("webrtc_bulk", "webrtc_share", "webrtc_oneway", "webrtc_oneway_share"),
    "reconcile": ("reconcile", "reconcile_rounds", "reconcile_cpu"),
}
"""What can be asked for, and the figures that come of it."""

ASKED = (
    *("handshake", "oneway", "acked", "rpc", "bulk", *GOSSIP, *OBJECTS, "reconcile"),
    *RELAY,
    *WEBRTC,
    *("import", "rss", "idle"),
)
"""All of it, in order."""

OURS = {
    **dict.fromkeys(GOSSIP, "bench.ours_gossip"),
    **dict.fromkeys(OBJECTS, "bench.ours_objects"),
    **dict.fromkeys(RELAY, "bench.ours_relay"),
    **dict.fromkeys(WEBRTC, "bench.ours_webrtc"),
    "reconcile": "bench.reconcile",
}
"""Which module of ours measures what; the rest is `bench.ours`."""

PEERS = {
    "libp2p": "bench.peers.libp2p_",
    "iroh": "bench.peers.iroh_",
    "reticulum": "bench.peers.reticulum",
    "zenoh": "bench.peers.zenoh_",
}

NO_RECEIPTS = "has no acknowledged messages of its own"
CANNOT = {
    ("acked", "libp2p"): NO_RECEIPTS,
    ("acked", "iroh"): NO_RECEIPTS,
    ("acked", "zenoh"): NO_RECEIPTS,
}
"""What a peer cannot do, and why."""

GOSSIP_PEERS = {
    "libp2p": "bench.peers.libp2p_gossip",
    "jslibp2p": "bench.peers.jslibp2p_gossip",
}
OBJECT_PEERS = {
    "wormhole": "bench.peers.wormhole_",
    "reticulum": "bench.peers.reticulum",
}
COMPARED = {
    "object_one": OBJECT_PEERS,
    **dict.fromkeys(("handshake", "oneway", "acked", "rpc", "bulk"), PEERS),
    **dict.fromkeys(GOSSIP, GOSSIP_PEERS),
}
"""What is done by the peers too, and by which; the rest is about our own process."""


class Ratio(NamedTuple):
    """How many times a peer's figure ours should be; for what is better when less, the inverse."""

    peer: str
    times: float
    aim: bool = False
    """An aim rather than a bound."""


RATIOS = {
    "oneway": (Ratio("iroh", 40), Ratio("zenoh", 1, aim=True)),
    "bulk": (Ratio("libp2p", 5), Ratio("zenoh", 1, aim=True)),
    "rpc_64": (Ratio("iroh", 15),),
    "rpc_p50": (Ratio("zenoh", 1, aim=True),),
    "handshake": (Ratio("reticulum", 1.5),),
    "object_one": (Ratio("wormhole", 3), Ratio("reticulum", 10)),
    **dict.fromkeys(GOSSIP, (Ratio("libp2p", 5), Ratio("jslibp2p", 10, aim=True))),
}
