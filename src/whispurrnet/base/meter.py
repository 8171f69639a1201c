"""Counters that cannot hold a peer's name.

The names are the closed set `COUNTERS`, and a counter has no labels: whoever reads the figures
learns how much happened, never with whom (peers as labels are what other meshes came to regret).
The figures of the moment, such as how many peers are connected, are not counted but looked up
(`node.status`).
"""

from __future__ import annotations

from typing import Final

COUNTERS: Final[dict[str, str]] = {
    "beacons_ignored": "Strangers found by a beacon whom there was no room to call.",
    "circuits": "Pairs of links of others that were joined here.",
    "circuits_ignored": "Calls through relays that this node did not answer.",
    "handshakes_failed": "Links given up before a session stood on them.",
    "handshakes_ignored": "First messages that were met with silence.",
    "links_refused": "Inbound links given up because there were too many.",
    "claims_not_sent": "Messages taken for all listeners without telling them: too many wait.",
    "gossip_dropped": "Frames for neighbours who read too slowly that made room for newer ones.",
    "gossip_faults": "Faults of neighbours in the spreading of messages.",
    "gossip_grafts": "Times others were called in the place of neighbours that brought nothing.",
    "gossip_heard": "Messages of others that were for this node.",
    "gossip_published": "Messages of this node that were spread.",
    "gossip_refused": "Frames of neighbours not read, because they send too many or do harm.",
    "objects_blamed": "Times a peer sent a part of an object that was not what was asked for.",
    "objects_unproven": "Times a peer did not hold the capability that it said it holds.",
    "protocol_errors": "Times a peer broke the protocol inside a session.",
    "rtc_attempts": "Attempts to reach a peer over WebRTC.",
    "rtc_links": "Sessions that stood on a WebRTC link in the end.",
    "rekeys": "Fresh keys agreed inside running sessions.",
    "members_let_in": "Peers that this node made members of its closed realm.",
    "memberships_refused": "Memberships that peers showed or asked for, and that were not good.",
    "moves": "Sessions that went on over another path.",
    "moves_broken": "Sessions that ended because they could not move whole.",
    "moves_refused": "Sessions that did not move: their peer asks too often.",
    "names_refused": "Times a meeting place did not take our registration under a name.",
    "pruned": "Sessions ended because the mesh had other neighbours.",
    "rotations": "Changes of this node's ephemeral identity.",
    "sessions": "Handshakes that ended in a session.",
    "signals_late": "Messages of WebRTC signalling that belonged to no attempt, or were too many.",
    "unknown_protocols": "Frames of a protocol that this version does not know, skipped.",
}


class Meter:
    """The counters of one node, all zero at first."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to a counter.

        Raises:
            KeyError: There is no such counter; add it to `COUNTERS`.
        """
        self._values[name] += n

    def get(self, name: str) -> int:
        """The present value of a counter.

        Raises:
            KeyError: There is no such counter.
        """
        return self._values[name]

    def snapshot(self) -> dict[str, int]:
        """Every counter with its present value: a copy."""
        return dict(self._values)
