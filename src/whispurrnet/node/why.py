"""Why a peer is connected or not, and whose it is to change that: a verdict, facts and cures.

Everything is looked up, nothing is sent. Facts say what is so, the most telling first; cures say
what a person can do, and may be none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.node.attempts import Tried, outlook
from whispurrnet.node.prospects import Place, Prospects, blame, look, span
from whispurrnet.node.targets import target_of
from whispurrnet.stack import greeting
from whispurrnet.trust.pins import Trust
from whispurrnet.trust.policy import Verdict as Treatment

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer
    from whispurrnet.stack.live import Live

_JOIN = "join it by a fresh ticket: whispurr join TICKET"


class Why(msgspec.Struct, frozen=True):
    """The answer to `why`."""

    name: str
    """Who or what it is about."""
    connected: bool
    path: str
    """`direct tcp`, `relay (via NAME)`, ...; `none`."""
    neighbour: bool
    """Whether messages of the mesh are exchanged with it."""
    verdict: str
    """One line."""
    place: Place
    """Where the fault is; empty when there is none."""
    facts: tuple[str, ...]
    cures: tuple[str, ...]
    attempts: tuple[Tried, ...] = ()
    """What was tried to reach it better than through a relay, the oldest first."""


def why(node: Node, ref: str) -> Why:
    """Why a peer is connected or not.

    Args:
        node: Who is asked.
        ref: A name, an id or the beginning of one, an address, or a ticket.

    Raises:
        UsageError: Nobody is known by it, or more than one.
    """
    text = ref.strip()
    if text.startswith("/") or text.upper().startswith(("WN1-", "WHISPURR:")):
        return _of_target(node, text)
    try:
        peer = node.peer(text)
    except UsageError:
        absent = _of_pin(node, text)
        if absent is None:
            raise
        return absent
    return _of_peer(node, peer)


def _of_peer(node: Node, peer: Peer) -> Why:
    live = peer.record.live
    return _away(node, peer) if live is None else _connected(node, peer, live)


def _of_target(node: Node, text: str) -> Why:
    """About an address or a ticket, whether or not anybody was ever reached there."""
    wall_ms = time.time_ns() // 1_000_000
    asked = target_of(text, 0, wall_ms, persistent=False)
    address, peers = asked.addresses[0], node.known_peers
    for peer in peers:
        live = peer.record.live
        if asked.static_key == peer.record.static_key or (live and live.address == address):
            return _of_peer(node, peer)
    target = asked.static_key or b"@" + address.encode()
    prospects = look(node, [target])
    if not prospects.called:
        for peer in peers:
            if address in peer.record.addresses:  # by its own word
                return _of_peer(node, peer)
    name = address if text.startswith("/") else "the node of this ticket"
    if not prospects.called:
        cause = prospects.error.partition("; ")[0]
        return Why(
            name=name,
            connected=False,
            path="none",
            neighbour=False,
            verdict=f"{name} is not connected, and nobody calls it"
            + (f" any more: {cause}" if cause else ""),
            place=prospects.place or "you",
            facts=(
                "the last call to it was given up"
                if cause
                else "no call to it is under way: none was asked for, or it was given up",
                *prospects.facts,
            ),
            cures=tuple(dict.fromkeys((*prospects.cures, _JOIN))),
        )
    return _called(name, "", prospects, prospects.facts)


def _of_pin(node: Node, text: str) -> Why | None:
    """About a long-term identity that was not met in this run."""
    wanted = text.casefold()
    for pin in node.stack.shared.pins:
        persona = pin.persona.hex()
        if wanted in (persona, pin.name.casefold()) or (
            len(wanted) >= 8 and persona.startswith(wanted)
        ):
            revoked = pin.level.value < 0
            return Why(
                name=pin.name or persona[:8],
                connected=False,
                path="none",
                neighbour=False,
                verdict="you revoked it" if revoked else "it is known, but was not met in this run",
                place="you" if revoked else "",
                facts=(f"trust: {pin.level.name.lower()}",),
                cures=() if revoked else (_JOIN,),
            )
    return None


# Connected


def _connected(node: Node, peer: Peer, live: Live) -> Why:
    facts = [
        f"{'we called it' if live.initiator else 'it called us'} {span(peer.since_s or 0.0)} ago",
        "one of the two sides wants this very peer: the session lasts"
        if live.friend
        else "the mesh brought the two together: the session may end when it is needed no longer",
        f"key exchange: X25519 and ML-KEM, level {peer.level}; trust: {peer.trust}",
    ]
    if peer.rtt_ms is not None:
        facts.append(f"the last round trip took {peer.rtt_ms:.1f} ms")
    if peer.queued:
        facts.append(f"{peer.queued} messages wait for it or for its receipt")
    if live.gossip.dropped:
        facts.append(
            f"it reads too slowly: {live.gossip.dropped} frames of the mesh made room for newer "
            "ones; comparing with neighbours brings what lacks"
        )
    verdict = f"{peer.name} is connected by {peer.path}"
    place: Place = ""
    way = outlook(node, peer)
    facts += way.facts
    cures: list[str] = []
    if way.reason:
        verdict += f", for no direct path was found: {way.reason}"
        place = way.place
        cures += way.cures
    judged = _judged(node, peer)
    if judged:
        verdict += f", but slowed down: {judged}"
        place = "the peer"
        cures.append("it is treated as others again once it behaves, within an hour")
    elif live.paused:
        verdict += ", but takes nothing in: its link is full"
        place = "the network"
        cures.append("wait: it goes on when the peer, or the network before it, has room")
    neighbour, reasons, more = _neighbour(node, peer)
    return Why(
        name=peer.name,
        connected=True,
        path=peer.path,
        neighbour=neighbour,
        verdict=verdict,
        place=place,
        facts=(*facts, *reasons),
        cures=(*cures, *more),
        attempts=way.attempts,
    )


def _judged(node: Node, peer: Peer) -> str:
    """Why a peer is slowed down or refused; empty when it is not."""
    shared, record = node.stack.shared, peer.record
    level = Trust.UNKNOWN if record.persona is None else shared.pins.level(record.persona)
    judgement = shared.policy.judge(level, shared.evidence.counts(record.deeds, node.now()))
    return "" if judgement.verdict is Treatment.ALLOW else judgement.reason


def _neighbour(node: Node, peer: Peer) -> tuple[bool, list[str], list[str]]:
    """Whether gossip is exchanged with a connected peer; facts and cures."""
    here = node.neighbours()
    for one in here:
        if one.peer is peer:
            kind = "a friend" if one.friend else "called by us" if one.outbound else "called us"
            return (
                True,
                [f"neighbour for {span(one.since_s)} ({kind}), score {one.score:g}"],
                [],
            )
    if not node.settings.gossip.enabled:
        return False, ["no neighbour: gossip is off here"], ["set gossip.enabled = true"]
    if not peer.record.capabilities & greeting.GOSSIPS:
        return False, ["no neighbour: it takes no part in gossip"], []
    if not node.stack.shared.belonging.admits(peer.record):
        return False, *_outside(node)
    standing, now = node.stack.gossiping.standing, node.now()
    score = standing.score(peer.handle, now)
    if standing.verdict(peer.handle, now):
        fact = f"no neighbour: what it sent did harm, its score is {score:.1f} and must reach 0"
        return False, [fact], ["wait: faults fade by 3 % a second"]
    places = node.settings.gossip.neighbours
    if sum(not one.friend for one in here) >= places:
        fact = f"no neighbour: all {places} places are taken"
        return False, [fact], ["raise gossip.neighbours; or join it by ticket: friends come on top"]
    return (
        False,
        ["no neighbour: neither side needs the other; the mesh chooses anew by itself"],
        [],
    )


def _outside(node: Node) -> tuple[list[str], list[str]]:
    """Why we and a peer are not in one realm: facts and cures."""
    match node.membership.role:
        case "open":
            fact = "no neighbour: it gossips with members of its closed realm only"
            return [fact], ["ask its owner for membership.founder and an invite"]
        case "outsider":
            fact = "no neighbour: the realm is closed, and this node is no member of it"
            return [fact], ["ask a member for an invite, then: whispurr join"]
        case _:
            fact = "no neighbour: it has not shown that it is a member of our closed realm"
            return [fact], ["give it an invite: whispurr ticket --invite"]


# Away


def _away(node: Node, peer: Peer) -> Why:
    record, now = peer.record, node.now()
    reason = node.why_away(peer) or "the session ended"
    facts = [f"gone {span(node.away_s(peer))} ago: {reason}"]
    if peer.queued:
        facts.append(f"{peer.queued} messages wait for it, each until its time is over")
    prospects = look(node, node.stack.shared.calls.targets(record.target, record.static_key))
    facts += prospects.facts

    def answer(verdict: str, place: Place, *cures: str) -> Why:
        return Why(
            name=peer.name,
            connected=False,
            path="none",
            neighbour=False,
            verdict=f"{peer.name} is not connected: {verdict}",
            place=place,
            facts=tuple(facts),
            cures=cures,
        )

    if peer.trust == "revoked":
        cure = f"compare safety numbers, then: whispurr trust verify {peer.name}"
        return answer("you revoked it", "you", cure)
    if node.stack.shared.verdict(record, now) is Treatment.REFUSE:
        return answer(
            f"it is refused for a while, because {_judged(node, peer)}",
            "the peer",
            "wait: it is forgotten by half every 30 minutes; compare the versions of both programs",
        )
    if node.stack.gossiping.standing.greylisted(record.static_key, now):
        cure = "wait, or ask its owner to restart it: a new identity starts anew"
        return answer("its gossip did harm; it is refused for an hour", "the peer", cure)
    if prospects.called:
        return _called(peer.name, reason, prospects, facts)
    if reason == greeting.REASONS[greeting.PRUNED]:
        return answer("it has neighbours enough", "", "nothing need be done", _JOIN)
    if reason == "the connection was closed here" or reason == greeting.REASONS[greeting.CLOSED]:
        return answer(f"{reason}, and nobody calls it again", "", _JOIN)
    return answer(
        f"{reason}; nobody calls it, for it had called us or was met by chance",
        blame(reason) or "the peer",
        "wait until it calls again or a beacon finds it",
        _JOIN,
    )


def _called(name: str, reason: str, prospects: Prospects, facts: Iterable[str]) -> Why:
    """About a peer that is being called."""
    error = prospects.error or reason
    place = prospects.place or blame(error)
    cause = error.partition("; ")[0]
    verdict = f"{name} is not connected: {cause}" if error else f"{name} is being called"
    cures = list(prospects.cures)
    if not cures and error:
        cures = ["check that it runs; " + _JOIN]
    return Why(
        name=name,
        connected=False,
        path="none",
        neighbour=False,
        verdict=verdict,
        place=place,
        facts=tuple(facts),
        cures=tuple(dict.fromkeys(cures)),
    )
