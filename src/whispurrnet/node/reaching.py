"""Reaching a peer by a better path: what was tried, in what order, with what result and why."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from whispurrnet.base.errors import NetworkError
from whispurrnet.node.paths import BY_TURN
from whispurrnet.stack import events
from whispurrnet.stack.moving import RELAYED, WEBRTC

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer
    from whispurrnet.stack.rtc_events import Policy

Method: TypeAlias = Literal["auto", "stun", "turn", "relay"]

LOOK_S = 0.05
"""How often is looked whether an attempt is over."""

_POLICIES: dict[Method, Policy] = {"stun": "stun", "turn": "turn"}


class Tried(msgspec.Struct, frozen=True):
    """One thing that was tried."""

    method: str
    """`direct`: its addresses; `webrtc`: hole punching, and TURN where that is set; `stun`, `turn`:
    one of these alone; `relay`."""
    place: str
    """Where, if there is one place."""
    ok: bool
    reason: str
    """Why not."""
    seconds: float
    """How long it took."""


class Reached(msgspec.Struct, frozen=True):
    """What came of trying for a path."""

    peer: str
    """The id of the peer."""
    name: str
    method: Method
    """What was asked for."""
    ok: bool
    """Whether the peer is reached in that way now."""
    path: str
    """How it is reached now: `direct tcp`, `direct webrtc`, `turn (...)`, `relay (...)`, `none`."""
    verdict: str
    """One line."""
    attempts: tuple[Tried, ...]
    """What was tried, the oldest first."""


async def reach(node: Node, peer: Peer, method: Method, timeout_s: float) -> Reached:
    """Try for a path to a connected peer.

    Args:
        node: Who tries.
        peer: Whom to reach.
        method: `auto`: all that is better than a relay; `stun`: WebRTC without TURN; `turn`: WebRTC
            through TURN; `relay`: stay with the relay.
        timeout_s: How long to try, in seconds.

    Raises:
        NetworkError: The peer is not connected: there is nothing to signal through.
    """
    if not peer.connected:
        raise NetworkError(
            f"{peer.name} is not connected, so no path can be agreed with it; "
            f"join it by its ticket first, or ask: whispurr why {peer.name}"
        )
    began = node.now()
    attempts: tuple[Tried, ...] = ()
    if _path(peer) == RELAYED and method == "auto":
        await _round(node, peer, timeout_s)
    elif _path(peer) == RELAYED and method != "relay":
        attempts = (await _webrtc(node, peer, _POLICIES[method], timeout_s),)
    ok = _is_as_asked(peer, method)
    attempts = attempts or _since(node, peer, began) or _since(node, peer, 0.0)
    return Reached(
        peer=peer.id,
        name=peer.name,
        method=method,
        ok=ok,
        path=peer.path,
        verdict=_verdict(peer, method, ok=ok, attempts=attempts),
        attempts=attempts,
    )


async def _round(node: Node, peer: Peer, timeout_s: float) -> None:
    """One round: until the path is another, or all that can be tried has failed."""
    handle, paths = peer.handle, node.stack.paths
    with contextlib.suppress(TimeoutError):  # the attempts say how far it came
        async with asyncio.timeout(timeout_s):
            node.submit(events.TryPath(handle))
            while _path(peer) == RELAYED and paths.tries(handle):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(LOOK_S)


async def _webrtc(node: Node, peer: Peer, policy: Policy, timeout_s: float) -> Tried:
    """One attempt over WebRTC, of one kind."""
    handle, began, reason = peer.handle, node.now(), "another attempt did not end in time"
    feed = node.events()
    try:
        async with asyncio.timeout(timeout_s):
            while node.stack.signalling.tries(handle):  # noqa: ASYNC110 - and it is of another kind
                await asyncio.sleep(LOOK_S)
            began, reason = node.now(), f"no outcome within {timeout_s:g} s"
            if not node.stack.signalling.able(handle):
                reason = "one of the two nodes cannot make WebRTC links, or too many were tried"
                return Tried(policy, "", ok=False, reason=reason, seconds=0.0)
            node.submit(events.TryWebrtc(handle, policy))
            async for event in feed:
                if event["type"] == "webrtc" and event["peer"] == peer.id:
                    reason = event["reason"]
                    break
            while not reason and _path(peer) == RELAYED:  # noqa: ASYNC110 - the session moves now
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        pass  # the reason says it
    finally:
        feed.close()
    took_s = round(node.now() - began, 3)
    return Tried(policy, "", ok=_path(peer) != RELAYED, reason=reason, seconds=took_s)


def _path(peer: Peer) -> str:
    live = peer.record.live
    return live.path if live is not None else ""


def _is_as_asked(peer: Peer, method: Method) -> bool:
    path = _path(peer)
    by_turn = peer.path.startswith(BY_TURN)
    match method:
        case "auto":
            return path not in ("", RELAYED)
        case "stun":
            return path not in ("", RELAYED) and not by_turn
        case "turn":
            return by_turn
        case "relay":
            return path == RELAYED


def _since(node: Node, peer: Peer, at: float) -> tuple[Tried, ...]:
    """What was tried for a peer since then."""
    return tuple(
        Tried(one.method, one.place, one.ok, one.reason, round(one.seconds, 3))
        for one in node.stack.paths.attempts(peer.handle)
        if one.at >= at
    )


def _verdict(peer: Peer, method: Method, *, ok: bool, attempts: tuple[Tried, ...]) -> str:
    name, path = peer.name, peer.path
    if path == "none":
        return f"{name} is gone"
    if ok and method == "relay":
        return f"{name} is reached through a {path}"
    if ok:
        return f"{name} is reached by {path}"
    if _path(peer) != RELAYED:
        return f"{name} is reached by {path} already; a worse path is not taken while that lives"
    if method == "auto" and not any(one.method == WEBRTC for one in attempts):
        return f"{name} stays with {path}: WebRTC could not be tried between the two nodes"
    return f"{name} stays with {path}: nothing better worked"
