"""One example of each body that a route takes, by the name of the type; a test decodes them all."""

from __future__ import annotations

from typing import Any, Final

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "ResonanceAsk": {"intent": "moon/phase", "payload": {"full": True}, "strength": 0.8},
    "BroadcastAsk": {"text": "good evening"},
    "ListenAsk": {"intent": "moon"},
    "WhisperAsk": {"peer": "quiet-heron-41", "text": "I saw you again", "wait_s": 10},
    "ConnectAsk": {"ticket": "/ip4/192.0.2.7/tcp/9000", "timeout_s": 20},
    "NameAsk": {"name": "our garden"},
    "FindAsk": {"name": "our garden", "timeout_s": 12},
    "SleepAsk": {"for_s": 600, "note": "back in ten minutes"},
    "PresenceAsk": {"state": "busy", "note": "digging"},
    "PeerAsk": {"peer": "quiet-heron-41"},
    "PingAsk": {"peer": "quiet-heron-41", "timeout_s": 5},
    "WrapAsk": {"entries": {"notes.txt": "5f" * 32}},
    "ShareAsk": {"to": "cap"},
    "UnshareAsk": {"to": "everyone"},
    "FetchAsk": {"sources": ["quiet-heron-41"], "cap": "c4" * 32, "folder": True},
    "LimitsAsk": {"up_bps": 5_000_000},
    "FollowAsk": {"sources": ["quiet-heron-41"], "cap": "c4" * 32},
    "PutAsk": {"objects": ["5f" * 32]},
    "OfferAsk": {"name": "film.mp4"},
    "ReceiveAsk": {"code": "7-otter-ladder", "timeout_s": 60},
    "AdmitAsk": {"peer": "quiet-heron-41"},
    "ProbeAsk": {"servers": ["stun:relay.example.org:3478"]},
    "ReachAsk": {"peer": "quiet-heron-41", "method": "auto", "timeout_s": 20},
}

PARAMETERS: Final[dict[str, str]] = {
    "ref": "quiet-heron-41",
    "peer": "quiet-heron-41",
    "id": "1",
    "number": "1",
    "after": "0",
    "wait_s": "0",
    "method": "exchange",
    "count": "5",
    "timeout_s": "6",
    "oid": "5f" * 32,
    "after_oid": "",
    "limit": "100",
    "name": "notes.txt",
    "mode": "fixed",
    "public": "false",
    "pin": "true",
    "start": "0",
    "items": "100",
    "folder": "notes",
}
"""What a field for a parameter is filled with on the page."""
