"""What was tried to reach a peer better than through a relay: what, when, why not, and a cure.

Everything is looked up in `stack.paths`; nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.errors import ConfigError, HostError, NetworkError
from whispurrnet.nat.punch import Attempt, Method
from whispurrnet.node.prospects import Place, blame, span
from whispurrnet.node.webrtc import webrtc_of
from whispurrnet.stack import greeting
from whispurrnet.stack.moving import RELAYED
from whispurrnet.stack.paths import RELAY_MARK

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer

OPEN_PORT = (
    "open a way in on one of the two sides: forward a TCP port of the router to the node, then set "
    "nat.public_addresses there"
)
SERVERS = "set nat.ice_servers on both sides: a STUN server finds ways through most routers"


class Tried(msgspec.Struct, frozen=True):
    """One attempt, ready for JSON."""

    method: Method
    place: str
    ok: bool
    reason: str
    seconds: float
    """How long it took."""
    ago_s: float
    """How long ago it began."""


class Outlook(msgspec.Struct, frozen=True):
    """How a peer was reached, and whether a better path is tried."""

    attempts: tuple[Tried, ...] = ()
    reason: str = ""
    """Why a relay carries it, as far as is known; empty if none does."""
    place: Place = ""
    facts: tuple[str, ...] = ()
    cures: tuple[str, ...] = ()


def tried(node: Node, peer: Peer) -> tuple[Tried, ...]:
    """What was tried for a peer, the oldest first."""
    now = node.now()
    return tuple(
        Tried(one.method, one.place, one.ok, one.reason, round(one.seconds, 3), now - one.at)
        for one in node.stack.paths.attempts(peer.handle)
    )


def outlook(node: Node, peer: Peer) -> Outlook:
    """How a peer was reached, and whether a better path is tried."""
    past = tried(node, peer)
    facts = [_line(one) for one in past]
    live = peer.record.live
    if live is None or live.path != RELAYED:
        return Outlook(attempts=past, facts=tuple(facts))
    last: dict[str, Attempt] = {one.method: one for one in node.stack.paths.attempts(peer.handle)}
    reasons = [f"{one.method}: {_cause(one.reason)}" for one in last.values() if not one.ok]
    cures: list[str] = []
    direct = last.get("direct")
    if direct is None or not direct.ok:
        cures.append(OPEN_PORT)
    cures += _webrtc(node, peer, last.get("webrtc"), facts)
    facts.append(_next(node, peer))
    if not node.settings.nat.upgrade:
        cures.insert(0, "set nat.upgrade = true")
    reason = "; ".join(reasons) or ("not tried yet" if node.settings.nat.upgrade else "by setting")
    place = blame(NetworkError(direct.reason)) if direct is not None and not direct.ok else ""
    return Outlook(
        attempts=past, reason=reason, place=place, facts=tuple(facts), cures=tuple(cures)
    )


def _line(one: Tried) -> str:
    """One attempt: what was tried, and what came of it."""
    place = one.place.partition(RELAY_MARK)[0] if one.method == RELAYED else one.place
    where = f" {place}" if place else ""
    what = f"tried {span(one.ago_s)} ago: {one.method}{where}: "
    if one.ok:
        return what + f"it worked, after {one.seconds:.1f} s"
    fault = blame(NetworkError(one.reason)) or "not known"
    return what + f"{_cause(one.reason)} (after {one.seconds:.1f} s; at fault: {fault})"


def _cause(reason: str) -> str:
    """What an error says, without its advice."""
    return reason.partition("; ")[0] or "no reason was given"


def _webrtc(node: Node, peer: Peer, last: Attempt | None, facts: list[str]) -> list[str]:
    """Whether WebRTC could help: facts go to `facts`; cures."""
    settings = node.settings
    try:
        can, why_not = webrtc_of(settings.nat, stealth=settings.enable_stealth)
    except (HostError, ConfigError) as error:
        can, why_not = False, str(error)
    if not can:
        cause, _, cure = why_not.partition("; ")
        facts.append(f"no WebRTC here: {cause}")
        return [cure or "pip install 'whispurrnet[webrtc]'"]
    if not peer.record.capabilities & greeting.WEBRTC:
        facts.append("no WebRTC there: it does not offer it")
        return ["ask its owner to install it there: pip install 'whispurrnet[webrtc]'"]
    if last is not None and not last.ok and not settings.nat.ice_servers:
        return [SERVERS]
    return []


def _next(node: Node, peer: Peer) -> str:
    """What is tried now, or when the next round begins."""
    paths = node.stack.paths
    running, due = paths.tries(peer.handle), paths.next_at(peer.handle)
    if running is not None:
        return f"a better path is tried now: {running}"
    if due is not None:
        return f"a better path is tried again in {span(max(0.0, due - node.now()))}"
    if not node.settings.nat.upgrade:
        return "no better path is tried: nat.upgrade is false here"
    return "no better path can be tried: it tells no direct address that may be called from here"
