"""A world with relays: links that begin with tokens, and pairs of them that are spliced.

What `node.circuits` and `transport.relay` do on real links is done here on simulated ones. A dial
tries what is direct first, as the real dialer does; `sim.nat` says whether that comes through.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from whispurrnet.nat.relay_messages import READY
from whispurrnet.sim.wire import Pipe, link_s, packet_s
from whispurrnet.sim.world import World
from whispurrnet.stack import events
from whispurrnet.wire.address import parse

NO_BINDING = bytes(33)


class _Try:
    """One way through a relay, while it is tried."""

    def __init__(self, dial: int | None, remote: str, rest: tuple[str, ...]) -> None:
        self.dial = dial
        """The dial it may answer; None: somebody called us."""
        self.remote = remote
        self.rest = rest
        """What is tried if this fails."""


class RelayWorld(World):
    """A world whose nodes may be relays; see `World` for its arguments."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.copy: Callable[[str, bytes], bytes] = lambda relay, data: data
        """What a relay makes of the bytes that it copies."""
        self._refs = itertools.count(1)
        self._asked: dict[tuple[str, int], _Try] = {}
        self._meeting: dict[tuple[str, int], _Try] = {}
        self._splices: dict[tuple[str, int], tuple[int, int]] = {}

    def is_direct(self, node: str, peer: int) -> bool:
        """Whether a node has a session with a peer that goes through no relay."""
        record = self.nodes[node].roster.get(peer)
        return record is not None and record.live is not None and record.live.path != "relay"

    def is_reachable(self, name: str) -> bool:
        """Whether others can call a node: it is in the open, or has a place at a relay."""
        return self.nats.kind(name) == "open" or bool(self.nodes[name].shared.relayed)

    # Overridden

    def connect(
        self,
        caller: str,
        target: str,
        *,
        persistent: bool = True,
        keep: bool = True,
        relay: bool = False,
    ) -> None:
        """Let a node call another by its ticket, which names its relays; see `World.connect`.

        Args:
            caller: Who calls.
            target: Who is called.
            persistent: Whether it is called again for ever.
            keep: Whether it is wanted for itself, or only as a way into the mesh.
            relay: Whether the caller wants a place there.
        """
        shared = self.nodes[target].shared
        self._order += 1
        connect = events.Connect(
            ref=self._order,
            static_key=shared.identity.proof.static_key,
            addresses=shared.addresses or (self.address(target),),
            persistent=persistent,
            keep=keep,
            relay=relay,
        )
        self.inject(caller, connect)

    def far_end(self, name: str, link: int) -> str:
        """The node at the other end, beyond the relay if one is between."""
        pipe = self._links.get(name, {}).get(link)
        while pipe is not None and (pipe.target, pipe.link) in self._splices:
            relay, (other, _) = pipe.target, self._splices[pipe.target, pipe.link]
            pipe = self._links.get(relay, {}).get(other)
        return "" if pipe is None else pipe.target

    def _dial(self, node: str, dial: int, addresses: tuple[str, ...]) -> None:
        relayed = tuple(text for text in addresses if parse(text).is_relayed)
        direct = tuple(text for text in addresses if text not in relayed)
        reached = [self._comes_through(node, text) for text in direct] if relayed else []
        if not relayed or True in reached:
            super()._dial(node, dial, direct or addresses)
        else:
            self._next(node, _Try(dial, "", relayed))

    def _step(self, node: str, event: events.Event) -> None:
        match event:
            case events.LinkData(link, data) if (node, link) in self._meeting:
                self._met(node, link, data)
            case events.LinkDown(link) if (node, link) in self._meeting:
                self._next(node, self._meeting.pop((node, link)))
            case events.LinkData(link, data) if (node, link) in self._splices:
                data = self.copy(node, data)
                if data:
                    self._transmit(node, self._splices[node, link][0], data)
            case events.LinkDown(link) if (node, link) in self._splices:
                other, circuit = self._splices.pop((node, link))
                if (node, other) in self._splices:
                    self._end(node, other, self.wire.latency_max_s)
                else:
                    super()._step(node, events.SpliceEnded(circuit, 0))
            case events.LinkPaused(link) | events.LinkResumed(link) if (
                node,
                link,
            ) in self._splices or (node, link) in self._meeting:
                pass  # a relay's buffers have no end here
            case _:
                super()._step(node, event)

    def _perform(self, node: str, effect: events.Effect) -> None:
        match effect:
            case events.CircuitReady(ref, token):
                if (node, ref) in self._asked:
                    self._enter(node, token, self._asked.pop((node, ref)))
            case events.NoCircuit(ref):
                if (node, ref) in self._asked:
                    self._next(node, self._asked.pop((node, ref)))
            case events.AcceptCircuit(token, _, remote):
                self._enter(node, token, _Try(None, remote, ()))
            case events.Splice(circuit, caller, target):
                for link, other in ((caller, target), (target, caller)):
                    self._splices[node, link] = (other, circuit)
                    self._transmit(node, link, READY)
            case events.CutSplice(circuit):
                for (where, link), (_, number) in list(self._splices.items()):
                    if where == node and number == circuit:
                        self._end(node, link, 0.0)
            case _:
                super()._perform(node, effect)

    # Tries

    def _comes_through(self, node: str, address: str) -> bool:
        target = self._names.get(address, "")
        if target not in self.nodes or self.severed(node, target) or self.severed(target, node):
            return False
        in_use = bool(self._links.get(target))
        return self.nats.dial(node, target, self.now, in_use=in_use)

    def _next(self, node: str, tried: _Try) -> None:
        """Try the next relay, or let the dial fail."""
        if tried.dial is None:
            return
        if not tried.rest:
            self.inject(node, events.DialFailed(tried.dial, "no relay leads there"))
            return
        ref, (remote, *rest) = next(self._refs), tried.rest
        self._asked[node, ref] = _Try(tried.dial, remote, tuple(rest))
        self.inject(node, events.OpenCircuit(ref, remote))

    def _enter(self, node: str, token: bytes, tried: _Try) -> None:
        """Open a link to the relay and begin it with the token."""
        base = str(parse(tried.remote).base)
        if not self._comes_through(node, base):
            self._next(node, tried)
            return
        target = self._names[base]
        here, there = self._next_link, self._next_link + 1
        self._next_link += 2
        base_s = link_s(self.wire, self._rng)
        self._links.setdefault(node, {})[here] = Pipe(target, there, base_s)
        self._links.setdefault(target, {})[there] = Pipe(node, here, base_s)
        self._meeting[node, here] = tried
        latency_s = packet_s(self.wire, self._rng, base_s)
        inbound = events.LinkUp(there, self.address(node), "tcp", None, NO_BINDING)
        self.inject(target, inbound, latency_s)
        self.later(2 * latency_s, lambda: self._transmit(node, here, token))

    def _met(self, node: str, link: int, data: bytes) -> None:
        """The relay has joined us to somebody."""
        tried = self._meeting.pop((node, link))
        up = events.LinkUp(link, tried.remote, "relay", tried.dial, NO_BINDING)
        super()._step(node, up)
        if data[len(READY) :]:
            super()._step(node, events.LinkData(link, data[len(READY) :]))
