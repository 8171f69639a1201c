"""How a peer is reached: `direct tcp`, `relay (via calm-finch-12)`, `turn (via HOST)`, `none`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from whispurrnet.stack.moving import RELAYED, WEBRTC
from whispurrnet.wire.address import parse

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.stack.live import Live

BY_TURN = "turn"
"""How the path through a TURN server begins."""

_RELAY_KEY = re.compile(r"/relay/([0-9a-f]{64})")


def shown_path(path: str, via: str = "") -> str:
    """A path for people.

    Args:
        path: As the link calls it: `tcp`, `webrtc`, `relay`, ...
        via: What carries it, if that is known.
    """
    if path != RELAYED:
        return f"direct {path}"
    return f"relay (via {via})" if via else RELAYED


def path_of(node: Node, live: Live | None) -> str:
    """How the peer with this session is reached; `none` without one."""
    if live is None:
        return "none"
    if live.path == WEBRTC:
        address = parse(live.address)
        if address.transport == BY_TURN:
            return f"{BY_TURN} (via {address.host})" if address.host else BY_TURN
        if address.transport == "webrtc-or-turn":  # the library does not say which
            return "webrtc or turn"
    return shown_path(live.path, via(node, live.address) if live.path == RELAYED else "")


def via(node: Node, address: str) -> str:
    """The relay in an address: its name if it is a peer of ours, otherwise where it is."""
    place, _, _ = address.partition("/relay/")
    found = _RELAY_KEY.search(address)
    for peer in node.known_peers:
        record = peer.record
        if (found and record.static_key.hex() == found[1]) or place in record.addresses:
            return peer.name
    return place
