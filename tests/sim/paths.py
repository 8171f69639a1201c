"""A world in which some links run through a relay: what tests of paths share."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events
from whispurrnet.stack.config import Config
from whispurrnet.stack.stack import Stack

QUIET = Config(beacon_on=False)


class Relayed(World):
    """A world in which nodes that cannot dial each other are carried by a relay.

    `closed` holds pairs (caller, target) that have no direct way; whoever is in it is reached by
    the address `via(target)` alone, and the link is called `relay`.
    """

    def __init__(self, seed: int, wire: Wire, observe: object) -> None:
        super().__init__(seed, wire, observe)  # type: ignore[arg-type]
        self.closed: set[tuple[str, str]] = set()
        self.dialled: list[tuple[float, str, tuple[str, ...]]] = []
        """When who dialled where."""
        self._path = "tcp"

    def via(self, name: str) -> str:
        """Where a node is reached through the relay."""
        id = self.nodes[name].shared.identity.id.hex()
        return f"/ip4/10.255.0.1/tcp/9/relay/{'ab' * 32}/p2p/{id}"

    def close(self, *names: str) -> None:
        """No two of these can dial each other."""
        self.closed = {(one, other) for one in names for other in names if one != other}

    def inject(self, node: str, event: events.Event, delay_s: float = 0.0) -> None:
        """See `World.inject`; a link through the relay says so."""
        if isinstance(event, events.LinkUp) and self._path != event.path:
            event = msgspec.structs.replace(event, path=self._path)
        super().inject(node, event, delay_s)

    def _dial(self, node: str, dial: int, addresses: tuple[str, ...]) -> None:
        self.dialled.append((self.now, node, addresses))
        known = {self.via(name): name for name in self.nodes}
        direct = tuple(
            address
            for address in addresses
            if address not in known and (node, self._names.get(address, "")) not in self.closed
        )
        if direct or not any(address in known for address in addresses):
            super()._dial(node, dial, direct)
            return
        carried = tuple(self.address(known[one]) for one in addresses if one in known)
        self._path = "relay"
        super()._dial(node, dial, carried)
        self._path = "tcp"


class Pair:
    """Two nodes that are connected through a relay, and what their applications heard."""

    def __init__(self, seed: int, config: Config = QUIET, **wire: Any) -> None:
        self.heard: dict[str, list[bytes]] = defaultdict(list)
        self.acked: dict[str, list[int]] = defaultdict(list)
        self.answers: dict[str, list[events.Answered]] = defaultdict(list)
        self.streamed: dict[str, bytes] = defaultdict(bytes)
        self.news: dict[str, list[events.Effect]] = defaultdict(list)
        self.world = Relayed(seed, Wire(**wire), self._observe)
        for name in ("alice", "bob"):
            self.world.add(name, config)
        self.world.close("alice", "bob")
        self.world.run(0.1)
        self.call("alice", "bob", self.world.via("bob"))
        self.world.run(10.0)
        assert self.paths() == ("relay", "relay")

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        self.news[node].append(effect)
        match effect:
            case events.Delivered(_, whispers):
                self.heard[node] += [whisper.body for whisper in whispers]
            case events.Progress(_, id, "received"):
                self.acked[node].append(id)
            case events.Asked(peer, id, _, body):
                self.world.inject(node, events.Answer(peer, id, body, ""))
            case events.Answered():
                self.answers[node].append(effect)
            case events.StreamData(peer, stream, data):
                self.streamed[node] += data
                self.world.inject(node, events.Consumed(peer, stream, len(data)))
            case _:
                pass

    def call(self, caller: str, target: str, *addresses: str) -> None:
        """Let one call the other there."""
        key = self.world.nodes[target].shared.identity.proof.static_key
        connect = events.Connect(
            ref=len(self.world.dialled) + 1, static_key=key, addresses=addresses, persistent=True
        )
        self.world.inject(caller, connect)

    def stack(self, node: str) -> Stack:
        """One of the two."""
        return self.world.nodes[node]

    def paths(self) -> tuple[str, str]:
        """How each reaches the other; empty for not at all."""
        found = []
        for name in ("alice", "bob"):
            lives = [record.live for record in self.stack(name).roster if record.live is not None]
            found.append(lives[0].path if lives else "")
        return found[0], found[1]

    def peer(self, node: str) -> int:
        """The one peer of a node."""
        (record,) = self.stack(node).roster
        return record.handle

    def dial(self, node: str, *, relay: bool = False) -> None:
        """Dial the other beside the pool, at once."""
        stack = self.stack(node)
        other = "bob" if node == "alice" else "alice"
        number = stack.shared.calls.beside(next(iter(stack.roster)))
        where = self.world.via(other) if relay else self.world.address(other)
        self.world._dial(node, number, (where,))

    def whisper(self, node: str, n: int) -> None:
        """Send an acknowledged whisper."""
        post = events.Post(
            peer=self.peer(node), id=n, kind=1, body=b"%d" % n, priority=5, ttl_s=3600.0
        )
        self.world.inject(node, post)

    def kinds(self, node: str, kind: type) -> list[events.Effect]:
        """What a node told of one kind."""
        return [effect for effect in self.news[node] if isinstance(effect, kind)]
