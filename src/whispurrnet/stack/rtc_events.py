"""What the stack and its shell say to each other about WebRTC links (see `stack.signalling`).

`rtc` is the number of one peer connection, which holds for one run of one node.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Policy: TypeAlias = Literal["all", "stun", "turn"]
"""Which paths are looked for: all, those without a TURN server, those through one."""

# From the application


class TryWebrtc(msgspec.Struct, frozen=True):
    """Try to reach a connected peer over WebRTC now; it comes to nothing if that cannot be."""

    peer: int
    policy: Policy = "all"


# From the shell


class RtcDescription(msgspec.Struct, frozen=True):
    """Our description of a peer connection: the offer, or the answer."""

    rtc: int
    sdp: str


class RtcFound(msgspec.Struct, frozen=True):
    """We may be reached there; empty: there are no more candidates."""

    rtc: int
    candidate: str
    mid: str


class RtcOpened(msgspec.Struct, frozen=True):
    """The data channel is open; the `LinkUp` follows."""

    rtc: int


class RtcFailed(msgspec.Struct, frozen=True):
    """There will be none; said at most once, and not after `RtcOpened`."""

    rtc: int
    reason: str


# For the shell


class RtcStart(msgspec.Struct, frozen=True):
    """Make a peer connection, and say `RtcDescription`."""

    rtc: int
    offer: str
    """The peer's offer, to be answered; empty: we offer, and make the data channel."""
    dial: int | None
    """What the `LinkUp` says, if we offer."""
    policy: Policy = "all"


class RtcAccept(msgspec.Struct, frozen=True):
    """The peer's answer came."""

    rtc: int
    sdp: str


class RtcCandidate(msgspec.Struct, frozen=True):
    """The peer may be reached there; empty: there are no more."""

    rtc: int
    candidate: str
    mid: str


class RtcStop(msgspec.Struct, frozen=True):
    """Close the peer connection, unless its link was handed over."""

    rtc: int


# News


class RtcEnded(msgspec.Struct, frozen=True):
    """An attempt to reach a peer over WebRTC is over."""

    peer: int
    ok: bool
    reason: str


Event: TypeAlias = TryWebrtc | RtcDescription | RtcFound | RtcOpened | RtcFailed
Effect: TypeAlias = RtcStart | RtcAccept | RtcCandidate | RtcStop | RtcEnded
