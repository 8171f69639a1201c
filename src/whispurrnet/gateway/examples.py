"""One example of each body that a route takes, by the name of the type; a test decodes them all."""

from __future__ import annotations

from typing import Any, Final

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "ResonanceAsk": {"intent": "moon/phase", "payload": {"full": True}, "strength": 0.8},
    "BroadcastAsk": {"text": "good evening"},
    "ListenAsk": {"intent": "moon"},
    "WhisperAsk": {"peer": "quiet-heron-41", "text": "I saw you again", "wait_s": 10},
    "ConnectAsk": {"ticket": "/ip4/192.0.2.7/tcp/9000", "timeout_s": 20},
    "PeerAsk": {"peer": "quiet-heron-41"},
    "PingAsk": {"peer": "quiet-heron-41", "timeout_s": 5},
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
}
"""What a field for a parameter is filled with on the page."""
