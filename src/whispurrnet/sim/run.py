"""A run: the world that a scenario describes, lived through to its end.

Every choice is drawn from one source that the seed begins, in an order that does not depend on
how Python hashes strings.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

import msgspec

from whispurrnet.base.errors import WhispurrError
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret
from whispurrnet.sim.adversary import KINDS
from whispurrnet.sim.cast import Cast, part
from whispurrnet.sim.checks import PUSH, STEM, URGENT, Checks, Frames
from whispurrnet.sim.ledger import Ledger, Message
from whispurrnet.sim.node import Node
from whispurrnet.sim.relays import RelayWorld
from whispurrnet.sim.report import SCHEMA, Result, Spreading, spreading
from whispurrnet.sim.scenario import Partition, Scenario, Work, configure
from whispurrnet.sim.wire import Cuts
from whispurrnet.sim.world import EPOCH_MS, World
from whispurrnet.stack import events
from whispurrnet.stack.config import Config
from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack
from whispurrnet.version import VERSION
from whispurrnet.wire.frame import GOSSIP

SLICE_S = 0.5
_WHISPER = 1


def simulate(scenario: Scenario, tell: Callable[[float], None] | None = None) -> Result:
    """Live through a scenario.

    Args:
        scenario: What happens.
        tell: Called from time to time with the simulated time in seconds.
    """
    with _few_collections():
        run = Run(scenario)
        while run.world.now < scenario.duration_s:
            run.world.run(min(scenario.duration_s, run.world.now + SLICE_S))
            if tell is not None:
                tell(run.world.now)
        return run.result()


@contextmanager
def _few_collections() -> Iterator[None]:
    """A million objects that all stay make each full collection dear, and find nothing."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Run:
    """One run of one scenario; tests look into it, everybody else calls `simulate`.

    Args:
        scenario: What happens.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.relayed: RelayWorld | None = None
        """The same world, if there are relays in it."""
        given = (scenario.seed, scenario.wire, self._observe, self._refused)
        if scenario.nat.relays:
            self.relayed = RelayWorld(*given)
        self.world = self.relayed or World(*given)
        self.cuts = Cuts()
        self.world.severed = self.cuts
        self.frames = Frames()
        self.checks = Checks(
            lambda: EPOCH_MS / 1000 + self.world.now,
            lambda node, link: self.world.far_end(node, link) not in self.hostile,
        )
        self._rng = Random(f"run {scenario.seed}")
        cast = Cast(scenario, self.world, self._rng)
        self.names, self.honest, self.hostile = cast.names, cast.honest, cast.hostile
        self._listeners = cast.listeners
        self._hidden, self._relays = cast.hidden, cast.relays
        self.ledger = Ledger(scenario.work, self._rng, self.checks)
        self.config = self._config()
        self._met: dict[tuple[str, int, int], str] = {}
        self._crashed = self._sessions = self._refusals = 0
        self._schedule()

    # The beginning

    def _config(self) -> Config:
        mesh = self.scenario.mesh
        secret = Secret(sha256(b"network of a simulation")) if mesh.network else None
        config = Config(beacon_on=mesh.lan, network_secret=secret)
        return configure(config, self.scenario.node, "scenario", "node")

    def _schedule(self) -> None:
        """All that happens by the scenario's will."""
        world, rng, churn = self.world, self._rng, self.scenario.churn
        for number, name in enumerate(self.names):
            self._start(name)
            after_s = self.scenario.mesh.stagger_s * number / len(self.names)
            world.later(after_s, lambda name=name: self._call(name))  # type: ignore[misc]
        for cut in self.scenario.partition:
            inside = rng.sample(self.names, part(self.scenario, cut.share))
            world.later(cut.from_s, lambda cut=cut, inside=inside: self._cut(cut, inside))  # type: ignore[misc]
        if churn.crash_share:
            world.later(churn.crash_at_s, self._crash)
        if churn.every_s:
            world.later(rng.expovariate(1.0 / churn.every_s), self._churn)
        begin: dict[int, int] = {}
        for message in self.ledger.messages:
            work = message.work
            turn = begin[id(work)] = begin.get(id(work), -1) + 1
            at_s = self.scenario.settle_s + work.from_s + work.every_s * (turn + rng.random())
            world.later(at_s, lambda message=message: self._send(message))  # type: ignore[misc]

    def _start(self, name: str) -> None:
        adversary = self.hostile.get(name)
        make = partial(Node, name=name, watch=self, adversary=adversary)
        config = self.config
        if name in self._relays:
            relay = msgspec.structs.replace(config.relay, on=True)
            config = msgspec.structs.replace(config, relay=relay)
        stack = self.world.add(name, config, make)
        if adversary is not None:
            adversary.enter(self.world, name, stack)
        for intent, listeners in self._listeners.items():
            if name in listeners:
                self.world.inject(name, events.Listen(intent))

    def _call(self, name: str) -> None:
        """Call some of those that can be called; who stands behind a NAT asks relays first."""
        relayed, reachable = self.relayed, self._is_open
        if relayed is not None:
            reachable = relayed.is_reachable
            if name in self._hidden and name in self.world.nodes:
                self._ask(name, self._relays)
        there = [other for other in self.names if other != name and other in self.world.nodes]
        open_ = [other for other in there if reachable(other)] or there
        if name in self.world.nodes:
            for other in self._rng.sample(open_, min(len(open_), self.scenario.mesh.calls)):
                friends = self.scenario.mesh.friends
                self.world.connect(name, other, persistent=friends, keep=friends)

    def _is_open(self, name: str) -> bool:
        return self.world.nats.kind(name) == "open"

    def _ask(self, name: str, relays: Iterable[str]) -> None:
        """Let a node ask these relays for a place, as far as they are there."""
        for relay in relays:
            if self.relayed is not None and relay in self.world.nodes:
                self.relayed.connect(name, relay, relay=True)

    # What goes wrong

    def _crash(self) -> None:
        here = self._alive()
        share = part(self.scenario, self.scenario.churn.crash_share)
        for name in self._rng.sample(here, min(len(here), share)):
            self._crashed += 1
            self.world.crash(name, silent=self.scenario.churn.silent)

    def _churn(self) -> None:
        churn = self.scenario.churn
        if len(here := self._alive()) > 1:
            name = self._rng.choice(here)
            self._crashed += 1
            self.world.crash(name, silent=churn.silent)
            self.world.later(churn.away_s, lambda: self._come_back(name))
        self.world.later(self._rng.expovariate(1.0 / churn.every_s), self._churn)

    def _come_back(self, name: str) -> None:
        self._start(name)
        self._call(name)
        if name in self._relays:  # it is somebody else now
            for other in self._hidden:
                if other in self.world.nodes:
                    self._ask(other, (name,))

    def _cut(self, cut: Partition, inside: list[str]) -> None:
        number = self.cuts.cut(inside, one_way=cut.one_way)
        self.world.later(cut.until_s - cut.from_s, lambda: self.cuts.mend(number))

    # The work

    def _alive(self) -> list[str]:
        return [name for name in self.honest if name in self.world.nodes]

    def _send(self, message: Message) -> None:
        here = self._alive()
        author = self._rng.choice(here) if here else ""
        peers = self._honest_peers(author) if author else []
        if not peers:
            return
        work = message.work
        if work.kind == "whisper":
            target, handle = self._rng.choice(peers)
            message.target = target
            message.due = {target: self.world.life(target)}
            event: events.Event = events.Post(
                peer=handle,
                id=message.number,
                kind=_WHISPER,
                body=message.payload,
                priority=work.priority,
                ttl_s=work.ttl_s,
            )
        else:
            reached = self._piece(author)
            message.reached = len(reached)
            wanted = self._listeners[work.intent] if work.kind == "resonance" else reached
            message.due = {
                name: self.world.life(name) for name in reached if name in wanted and name != author
            }
            event = self._spread(message, work)
        self.ledger.send(message, author, self.world.life(author), self.world.now)
        self.world.inject(author, event)

    def _spread(self, message: Message, work: Work) -> events.Event:
        if work.kind == "resonance":
            return events.Resonate(
                ref=message.number,
                intent=work.intent,
                payload=message.payload,
                strength=work.strength,
                priority=work.priority,
                ttl_s=work.ttl_s,
                signed=work.signed,
            )
        return events.Broadcast(
            ref=message.number,
            payload=message.payload,
            urgent=work.kind == "emergency",
            ttl_s=work.ttl_s,
            signed=work.signed,
        )

    def _honest_peers(self, name: str) -> list[tuple[str, int]]:
        return [
            (other, handle)
            for other, handle in self.world.sessions(name)
            if other not in self.hostile and other in self.world.nodes
        ]

    def _piece(self, name: str) -> dict[str, None]:
        """All honest nodes that honest sessions connect with this one, itself among them."""
        found, waiting = {name: None}, [name]
        while waiting:
            here = waiting.pop()
            for other, _ in self._honest_peers(here):
                cut = self.cuts(here, other) or self.cuts(other, here)
                if other not in found and not cut:
                    found[other] = None
                    waiting.append(other)
        return found

    # What is seen

    def frame(self, node: str, live: Live, type: int, body: bytes, now: float) -> None:
        """A session yielded a frame (see `node.Watch`)."""
        if node not in self.hostile:
            self.frames.note(type, body)
            self.checks.frame(node, live, type, body, now)

    def turn(self, node: str, stack: Stack, now: float) -> None:
        """A node has handled an event (see `node.Watch`)."""
        if node not in self.hostile:
            self.checks.turn(node, stack, now)

    def _observe(self, now: float, node: str, effect: events.Effect) -> None:
        match effect:
            case events.PeerUp(peer):
                self._sessions += 1
                record = self.world.nodes[node].roster.get(peer)
                if record is not None and record.live is not None:
                    other = self.world.far_end(node, record.live.link)
                    self._met[node, self.world.life(node), peer] = other
            case events.Delivered(peer, whispers) if node not in self.hostile:
                life = self.world.life(node)
                if self._met.get((node, life, peer), "") not in self.hostile:
                    for whisper in whispers:
                        self.ledger.got(node, life, whisper.body, 1, now)
            case events.Progress(_, number, "received") if node not in self.hostile:
                self.ledger.acknowledged(node, number, now)
            case events.Gossiped() if node not in self.hostile:
                self._gossiped(now, node, effect)
            case _:
                pass

    def _gossiped(self, now: float, node: str, effect: events.Gossiped) -> None:
        message = self.ledger.find(effect.payload)
        if message is None or node == message.author:
            return
        work = message.work
        if work.kind == "resonance" and node not in self._listeners[work.intent]:
            self.checks.breach("stranger", now, node, f"message {message.number}")
        self.ledger.got(node, self.world.life(node), effect.payload, effect.hop, now)

    def _refused(self, node: str, event: events.Event, error: WhispurrError) -> None:
        self._refusals += node not in self.hostile

    # The end

    def connected(self) -> float:
        """Which share of the honest nodes that run is in the largest piece."""
        left = dict.fromkeys(self._alive())
        count, largest = len(left), 0
        while left:
            piece = self._piece(next(iter(left)))
            largest = max(largest, len(piece))
            left = {name: None for name in left if name not in piece}
        return largest / count if count else 1.0

    def eclipsed(self) -> float:
        """Of the sessions of the honest node worst off, the share with hostile ones."""
        worst = 0.0
        for name in self._alive():
            peers = [other in self.hostile for other, _ in self.world.sessions(name)]
            worst = max(worst, sum(peers) / len(peers) if peers else 0.0)
        return worst

    def carried(self) -> float:
        """Of the sessions of the honest nodes, the share that goes through a relay."""
        paths = [
            record.live.path
            for name in self._alive()
            for record in self.world.nodes[name].roster
            if record.live is not None
        ]
        return paths.count("relay") / len(paths) if paths else 0.0

    def _cost(self, urgent: bool) -> Spreading:
        """What the messages cost that spread: the emergencies, or the others and all control."""
        frames = self.frames
        spread = [
            message.reached
            for message in self.ledger.messages
            if message.reached and (message.work.kind == "emergency") is urgent
        ]
        if urgent:
            payloads = frames.of(GOSSIP, URGENT)
            return spreading(len(spread), sum(spread), payloads=payloads)
        payloads, stem = frames.of(GOSSIP, PUSH), frames.of(GOSSIP, STEM)
        control = sum(frames.of(GOSSIP, kind) for kind in range(256)) - payloads - stem
        return spreading(len(spread), sum(spread), payloads=payloads, stem=stem, control=control)

    def result(self) -> Result:
        """What came of it."""
        scenario, world, frames = self.scenario, self.world, self.frames
        life = world.life
        figures = self.ledger.figures(
            lambda name, then: name in world.nodes and life(name) == then, scenario.duration_s
        )
        cost, urgent = (self._cost(urgent) for urgent in (False, True))
        connected = self.connected()
        self.checks.at_end(scenario, figures, cost, connected, world.now)
        kinds = [adversary.kind for adversary in self.hostile.values()]
        return Result(
            schema=SCHEMA,
            version=VERSION,
            scenario=scenario.name,
            seed=scenario.seed,
            digest=world.digest,
            ok=not self.checks.count,
            breaches=tuple(self.checks.breaches),
            nodes=scenario.nodes,
            honest=len(self.honest),
            hostile={kind: kinds.count(kind) for kind in KINDS if kind in kinds},
            crashed=self._crashed,
            simulated_s=scenario.duration_s,
            events=world.steps,
            sessions=self._sessions // 2,
            connected=round(connected, 6),
            eclipsed=round(self.eclipsed(), 6),
            relayed=round(self.carried(), 6),
            bytes_sent=world.bytes_sent,
            refused=self._refusals,
            spreading=cost,
            urgent=urgent,
            frames=frames.by_name(),
            work=figures,
        )
