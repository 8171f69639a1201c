"""Whole stacks among enemies: a hostile network, and peers that lie once they are in.

`FUZZ_RUNS` is how many events are handed to stacks. Applications' mistakes are WhispurrErrors; what
the network brings raises nothing at all; every table keeps its bounds; and afterwards honest nodes
still talk.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from whispurrnet.base.errors import WhispurrError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.kex import Level
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.direct import courier
from whispurrnet.gossip import membership, spread, stamp, standing, stem
from whispurrnet.gossip.envelope import BUCKETS, Inside, Realm, expiry, parse, realm_key, seal
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.identity.persona import Persona
from whispurrnet.session import channel, handshake, mux, pool
from whispurrnet.stack import events, outbox
from whispurrnet.stack.belonging import Holding
from whispurrnet.stack.checker import stamped
from whispurrnet.stack.config import Config, GossipConfig, MembersConfig
from whispurrnet.stack.links import Opening
from whispurrnet.stack.live import Live
from whispurrnet.stack.stack import Stack
from whispurrnet.trust import chain
from whispurrnet.wire import frame
from whispurrnet.wire.ids import PeerId
from whispurrnet.wire.items import Items
from whispurrnet.wire.reconcile import Reconciler

RUNS = int(os.environ.get("FUZZ_RUNS", "12000"))
EPOCH_MS = 1_800_000_000_000
NONE = bytes(33)
LINKS_MAX, RECORDS_MAX, PEERS_MAX = 12, 5, 4
TIMERS_MAX = LINKS_MAX + 256 + 2 + 4
STEPS = 150
STAMP_BITS = 3
GOSSIP, VIEW = [5, 6], [6, 7]
"""Where these stand among the frames of a hostile peer."""

RECONCILE = Reconciler(Items()).initiate()
FROM_APPLICATION = (
    events.Post,
    events.Ask,
    events.Answer,
    events.Abandon,
    events.MarkRead,
    events.WriteStream,
    events.Consumed,
    events.Connect,
    events.Disconnect,
    events.Listening,
    events.OpenStream,
    events.FinishStream,
    events.ResetStream,
    events.PingPeer,
    events.Listen,
    events.Unlisten,
    events.Resonate,
    events.Broadcast,
    events.RotateIdentity,
    events.Invite,
    events.Farewell,
    events.Suspended,
)


def config(rng: Random, **more: Any) -> Config:
    return Config(
        handshake=handshake.Config(
            accept_first_contact=rng.random() < 0.5,
            half_open_max=rng.choice([1, 3, 100]),
            handshakes_per_s_max=rng.choice([1, 100]),
            level=rng.choice([Level.L3, Level.L5]) if more.get("network_secret") else Level.L3,
        ),
        channel=channel.Config(
            heartbeat_s=rng.choice([1.0, 30.0]),
            rekey_records=rng.choice([3, 1000]),
            rekey_after_s=rng.choice([5.0, 3600.0]),
        ),
        mux=mux.Config(streams_max=4, stream_window=2000, session_window=5000, buffer_low=100),
        pool=pool.Config(peers_max=PEERS_MAX, backoff_max_s=5.0, breaker_s=5.0),
        courier=courier.Config(
            window=4, window_bytes=2000, queue_max=20, queue_bytes_max=5000, requests_max=3
        ),
        gossip=GossipConfig(
            on=rng.random() < 0.9,
            share=rng.random() < 0.7,
            shard_bits=rng.choice([0, 0, 1]),
            idle_max=rng.choice([0, 2, 50]),
            membership=membership.Config(
                active=rng.choice([2, 8]), outbound_min=1, promote_s=1.0, shuffle_s=5.0
            ),
            spread=spread.Config(sync_s=rng.choice([3.0, 60.0]), cache_bytes=50_000),
            stem=stem.Config(on=rng.random() < 0.7, held_max=5),
            standing=standing.Config(messages_burst=rng.choice([2, 100])),
            stamp=stamp.Config(base_bits=STAMP_BITS),
        ),
        links_max=LINKS_MAX,
        records_max=RECORDS_MAX,
        flush_bytes=rng.choice([1000, 1 << 18]),
        **more,
    )


class Node:
    """A stack, and the rules that hold for it whatever happens."""

    def __init__(self, world: World, name: int, settings: Config, **more: Any) -> None:
        self.world = world
        self.name = name
        self.stack = Stack(
            settings,
            entropy=world.rng.randbytes,
            wall=lambda: EPOCH_MS + int(world.now * 1000),
            rng=world.rng,
            now=world.now,
            **more,
        )
        self.address = f"/ip4/10.0.0.{name + 1}/tcp/9000"
        self.news: list[events.Effect] = []
        self.refused = 0
        self.muted = False
        """Seals nothing by itself."""
        self.handle(events.Listening((self.address,)))

    def handle(self, event: events.Event) -> list[events.Effect]:
        """Hand over an event; only an application may be told that it is wrong."""
        self.world.events += 1
        try:
            effects = self.stack.handle(event, self.world.now)
        except WhispurrError:
            assert isinstance(event, FROM_APPLICATION), type(event).__name__
            self.refused += 1
            effects = []
        self.check()
        self.news = [*self.news[-50:], *effects]
        self.world.perform(self, effects)
        return effects

    def flush(self) -> None:
        """Seal what waits, a bounded number of times."""
        for _ in range(100):
            if not self.stack.wants_flush or self.muted:
                return
            self.handle(events.Flush())
        raise AssertionError("there is always something more to flush")

    def check(self) -> None:
        stack, shared = self.stack, self.stack.shared
        states = stack.links.states
        assert len(states) <= LINKS_MAX
        assert len(stack.roster) <= RECORDS_MAX
        assert len(shared.timers) <= TIMERS_MAX
        assert shared.gate.half_open <= 2 * shared.gate.half_open_max
        assert len(shared.identities) <= 5
        assert not shared.out or self.refused, "effects were left behind"
        live = {id(state) for state in states.values() if isinstance(state, Live)}
        known = {id(record.live) for record in stack.roster if record.live is not None}
        assert live == known, "a session without a peer, or a peer without a session"
        assert len(live) <= PEERS_MAX
        assert all(isinstance(states.get(link), (Live, Opening)) for link in stack.links.dirty)
        for record in stack.roster:
            assert stack.roster.find(record.id) is not None
            if record.live is not None:
                assert record.live.peer == record.handle
                assert record.member is None or shared.belonging.is_closed
                assert len(record.live.joiner) <= record.live.joiner.limits.messages_max
                assert len(record.live.gossip) <= outbox.FRAMES_MAX
                assert len(record.live.notes) < 200
        stack.courier.check_invariants()
        gossiping, handles = stack.gossiping, {r.handle for r in stack.roster if r.live is not None}
        assert len(gossiping.hearing.keyring) <= 256
        assert len(gossiping.standing) <= len(handles)
        for overlay in gossiping.overlays.values():
            assert set(overlay.neighbours) == set(overlay.membership.active) <= handles
            strangers = [r for r in stack.roster if not shared.belonging.admits(r)]
            assert not {r.handle for r in strangers} & set(overlay.neighbours)
            assert len(overlay.stem) <= overlay.stem.config.held_max

    def said(self) -> list[str]:
        """What happened last, for a message."""
        last = [e for e in self.news if not isinstance(e, (events.Write, events.Announce))]
        counts = str(self.stack.shared.meter.snapshot())
        return [*(repr(effect)[:100] for effect in last[-12:]), counts]

    def proof(self, rng: Random) -> Any:
        return rng.choice(self.stack.shared.identities).proof

    def live_peers(self) -> list[int]:
        return [record.handle for record in self.stack.roster if record.live is not None]


class End:
    """One end of a link: what is under way to it, and all that ever was."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.number = number
        self.other: End
        self.waiting: deque[bytes] = deque()
        self.seen: deque[bytes] = deque(maxlen=8)
        self.open = True


class World:
    """Nodes, and the network that may be honest or not."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.events = 0
        self.nodes: list[Node] = []
        self.ends: dict[tuple[int, int], End] = {}
        self.dials: deque[tuple[Node, int, tuple[str, ...]]] = deque(maxlen=50)
        self.datagrams: deque[bytes] = deque(maxlen=20)
        self.next_link = 1
        self.honest = False

    def add(self, settings: Config, **more: Any) -> Node:
        node = Node(self, len(self.nodes), settings, **more)
        self.nodes.append(node)
        return node

    def perform(self, node: Node, effects: list[events.Effect]) -> None:
        for effect in effects:
            match effect:
                case events.Write(link, data):
                    end = self.ends.get((node.name, link))
                    if end is not None and end.open and len(end.other.waiting) < 500:
                        end.other.waiting.append(data)
                        end.other.seen.append(data)
                case events.Dial(dial, addresses):
                    self.dials.append((node, dial, addresses))
                case events.Close(link):
                    self.cut(node.name, link)
                case events.Announce(data):
                    assert len(data) == 512
                    self.datagrams.append(data)
                case events.Solve(ref, id, expiry_s, bits):
                    if self.rng.random() < 0.9 or self.honest:
                        node.handle(events.Solved(ref, stamp.solve(id, expiry_s, bits)))
                case _:
                    pass

    def cut(self, name: int, link: int) -> None:
        end = self.ends.get((name, link))
        if end is not None:
            end.open = end.other.open = False

    def link(self, caller: Node, called: Node, dial: int | None) -> tuple[End, End]:
        """Open a link between two nodes."""
        here, there = End(caller, self.next_link), End(called, self.next_link + 1)
        self.next_link += 2
        here.other, there.other = there, here
        self.ends[caller.name, here.number] = here
        self.ends[called.name, there.number] = there
        inbound = events.LinkUp(there.number, caller.address, "tcp", None, NONE)
        called.handle(inbound)
        caller.handle(events.LinkUp(here.number, called.address, "tcp", dial, NONE))
        return here, there

    def called(self, caller: Node, addresses: tuple[str, ...]) -> Node | None:
        """Whom a dial reaches: the first of its addresses where somebody else is."""
        places = {node.address: node for node in self.nodes if node is not caller}
        return next((places[address] for address in addresses if address in places), None)

    # An honest network

    def settle(self, rounds: int = 200) -> None:
        """Deliver everything, in order, until nothing is under way."""
        for _ in range(rounds):
            busy = False
            for node in self.nodes:
                node.flush()
            while self.dials:
                node, dial, addresses = self.dials.popleft()
                target = self.called(node, addresses)
                if target is None:
                    node.handle(events.DialFailed(dial, "nobody is there"))
                else:
                    self.link(node, target, dial)
                busy = True
            for key, end in list(self.ends.items()):
                while end.waiting:
                    end.node.handle(events.LinkData(end.number, end.waiting.popleft()))
                    busy = True
                if not end.open:
                    end.node.handle(events.LinkDown(end.number, "closed"))
                    del self.ends[key]
            if not busy and not any(
                node.stack.wants_flush and not node.muted for node in self.nodes
            ):
                return
        raise AssertionError("the nodes never come to rest")

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes:
            due = node.stack.deadline
            if due is not None and due <= self.now:
                node.handle(Tick())

    def calm(self) -> None:
        """Every link ends, and an honest network begins; nobody rests any more."""
        self.honest = True
        for end in self.ends.values():
            end.open = False
            end.waiting.clear()
        self.dials.clear()
        self.datagrams.clear()
        for _ in range(30):
            self.tick(10.0)
            self.settle()

    def talk(self, one: Node, two: Node) -> None:
        """The two connect, and a whisper is acknowledged."""
        for node in self.nodes:  # make room: a node takes four peers
            for peer in node.live_peers():
                node.handle(events.Disconnect(peer))
        self.settle()
        proof = two.stack.shared.identity.proof
        call = events.Connect(ref=-1, static_key=proof.static_key, addresses=(two.address,))
        one.news.clear()
        one.handle(call)
        for _ in range(500):  # calls of the walk to the same address may have to fail first
            self.settle()
            if any(isinstance(e, events.Connected) and e.ref == -1 for e in one.news):
                break
            if any(isinstance(e, events.ConnectFailed) and e.ref == -1 for e in one.news):
                one.handle(call)
            self.tick(1.0)
        found = [e for e in one.news if isinstance(e, events.Connected) and e.ref == -1]
        assert found, f"honest nodes cannot connect: {one.said()}, {two.said()}"
        connected = found[0]
        record = one.stack.roster.get(connected.peer)
        assert record is not None
        assert record.id == two.stack.shared.identity.id
        post = events.Post(peer=connected.peer, id=-7, kind=1, body=b"still here", ttl_s=60.0)
        for _ in range(20):
            one.handle(post)
            if one.news and one.stack.courier.queued(connected.peer):
                break
            self.tick(10.0)
        for _ in range(10):
            self.settle()
            if events.Progress(connected.peer, -7, "received") in one.news:
                self.spread(one, two)
                return
            self.tick(10.0)
        raise AssertionError("honest nodes can talk no more")

    def spread(self, one: Node, two: Node) -> None:
        """What the one spreads, the other hears, once; but no stranger in a closed realm."""
        if not all(node.stack.gossiping.overlays for node in (one, two)):
            return
        said, ours = self.rng.randbytes(8), [node.stack.shared.belonging for node in (one, two)]
        strangers = any(each.is_closed and each.member is None for each in ours)
        two.news.clear()
        one.handle(events.Broadcast(-8, said))
        for _ in range(250):  # a stem may lead astray, until an embargo ends
            self.settle()
            heard = [e for e in two.news if isinstance(e, events.Gossiped) and e.payload == said]
            if heard:
                assert not strangers
                assert len(heard) == 1
                return
            self.tick(1.0)
        if strangers:
            return
        raise AssertionError(f"what is spread does not arrive: {one.said()}, {two.said()}")


# A hostile network


def mangle(rng: Random, end: End) -> bytes:
    """What the network brings instead."""
    data = end.waiting.popleft() if end.waiting else b""
    match rng.randrange(9):
        case 0 if data:
            place = rng.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        case 1:
            return data[: rng.randrange(len(data) + 1)]
        case 2 if end.seen:
            end.waiting.appendleft(data)
            return rng.choice(end.seen)
        case 3:
            return data + data
        case 4:
            if len(end.waiting) > 1:
                end.waiting.rotate(1)
            return data
        case 5:
            head = rng.choice([b"", b"\x01\x03\x01\0", b"\x01\x05\x02\0", b"\x02\0\0\0"])
            return head + rng.randbytes(rng.choice([1, 60, 512, 1312, 1600, 5000]))
        case 6 if end.other.waiting:
            return end.other.waiting[0]
        case _:
            return data


def network(world: World, rng: Random, odds: float) -> None:
    """One thing that the network does."""
    node = rng.choice(world.nodes)
    ends = list(world.ends.values())
    end = rng.choice(ends) if ends else None
    link = end.number if end is not None and rng.random() < 0.9 else rng.randrange(-2, 40)
    what = rng.random()
    if what < 0.45 and end is not None:
        hostile = rng.random() < odds
        data = mangle(rng, end) if hostile else end.waiting.popleft() if end.waiting else b""
        if data:
            end.node.handle(events.LinkData(end.number, data))
    elif what < 0.6 and world.dials:
        caller, dial, addresses = world.dials.popleft()
        target = world.called(caller, addresses)
        if target is None or rng.random() < odds:
            caller.handle(events.DialFailed(dial, "no"))
        else:
            world.link(caller, rng.choice(world.nodes) if rng.random() < odds else target, dial)
    elif what < 0.75:
        node.handle(events.Flush())
    elif what < 0.85:
        world.tick(rng.choice([0.0, 0.1, 1.0, 4.0, 40.0 if rng.random() < odds else 0.5]))
        node.handle(Tick())
    elif rng.random() < odds:
        owner = end.node if end is not None else node
        odd = rng.choice(
            [
                events.LinkDown(link, "gone"),
                events.LinkPaused(link),
                events.LinkResumed(link),
                events.LinkResumed(link),
                events.LinkData(link, rng.randbytes(rng.randrange(1, 300))),
                events.DialFailed(rng.randrange(9), "no"),
                events.LinkUp(1000 + rng.randrange(50), node.address, "tcp", None, NONE),
                events.LinkUp(
                    1100 + rng.randrange(50), node.address, "tcp", rng.randrange(9), NONE
                ),
                events.Datagram(rng.randbytes(rng.choice([0, 511, 512, 513]))),
            ]
        )
        owner.handle(odd)
        if isinstance(odd, events.LinkDown):
            world.ends.pop((owner.name, link), None)
            if end is not None and link == end.number:
                end.other.open = False
    elif world.datagrams:
        node.handle(events.Datagram(rng.choice(world.datagrams)))


def application(world: World, rng: Random, node: Node) -> None:
    """One thing that an application asks for, sensible or not."""
    peers = [record.handle for record in node.stack.roster]
    peer = rng.choice([*peers, *peers, *peers, 0, 99]) if peers else rng.randrange(3)
    stream = rng.randrange(6)
    other = rng.choice(world.nodes)
    proof = other.proof(rng)
    intent = rng.choice(["moon", "Moon", "sun/rise", "", "x" * 2000])
    body = rng.randbytes(rng.choice([0, 1, 100, 1500]))
    lane = rng.choice([0, 5, 5, 10, 11, -1])
    ref = rng.randrange(20)
    key = rng.choice([None, None, None, bytes(32), b"short"])
    make: list[Any] = [
        lambda: events.Connect(
            ref=ref,
            static_key=rng.choice([proof.static_key, proof.static_key, None]),
            addresses=rng.choice([(other.address,), (other.address,), (), ("/memory/nobody",)]),
            expected_id=rng.choice([None, None, proof.id]),
            persistent=rng.random() < 0.5,
        ),
        lambda: events.Connect(
            ref=ref,
            static_key=rng.randbytes(32),
            addresses=(other.address,),
            expected_id=rng.choice([None, PeerId(rng.randbytes(32))]),
            persona=rng.choice([None, rng.randbytes(32)]),
            psk=rng.choice([None, Secret(bytes(32))]),
        ),
        lambda: events.Post(peer=peer, id=ref, kind=rng.choice([1, 2, 70000]), body=body,
                            priority=lane, ttl_s=rng.choice([0.1, 60.0, None]),
                            acknowledged=rng.random() < 0.8),
        lambda: events.Ask(peer=peer, id=ref, name=intent, body=body, priority=lane),
        lambda: events.Answer(peer, stream, body, rng.choice(["", "no", "\ud800"])),
        lambda: events.Abandon(peer, ref),
        lambda: events.MarkRead(peer, lane, ref),
        lambda: events.OpenStream(peer, ref, intent, lane),
        lambda: events.WriteStream(peer, stream, body),
        lambda: events.Consumed(peer, stream, rng.choice([0, 1, 100, 10**9])),
        lambda: events.FinishStream(peer, stream),
        lambda: events.ResetStream(peer, stream),
        lambda: events.Disconnect(peer),
        lambda: events.PingPeer(peer),
        lambda: events.Suspended(peer, rng.random() < 0.5),
        lambda: events.Listen(intent, key, rng.choice([0.5, 1.0, 0.0, 2.0])),
        lambda: events.Unlisten(intent, key),
        lambda: events.Resonate(ref, intent, body, rng.choice([0.0, 0.7, 1.0, 2.0]), lane,
                                rng.choice([1.0, 60.0, 9999.0]), key, rng.random() < 0.3),
        lambda: events.Broadcast(ref, body, rng.random() < 0.3, 60.0, rng.random() < 0.3),
        lambda: events.Solved(ref, rng.randbytes(16)),
        events.RotateIdentity,
        lambda: events.Invite(ref),
    ]  # fmt: skip
    event = rng.choice([*make, make[0], make[0], make[1], make[1]])()
    if isinstance(event, events.RotateIdentity) and rng.random() < 0.8:
        return  # an identity has four predecessors at most; leave some sessions their time
    node.handle(event)


FOUNDER = SigningKey.from_bytes(b"f" * 32)


def let_in(number: int, network: Secret | None = None) -> Holding:
    """The membership of a node: that of the first is the founder's."""
    if number == 0:
        return Holding(Secret(b"f" * 32))
    seed = Secret(bytes([number, 1]) * 16)
    realm = chain.realm_of(realm_key(network), FOUNDER.public)
    subject = SigningKey.from_bytes(seed).public
    wall_s = EPOCH_MS // 1000
    made = chain.issue(FOUNDER, (), subject, realm, depth=2, life_s=99_999, wall_s=wall_s)
    return Holding(seed, chain.encode(made))


def walk(seed: int) -> int:
    rng = Random(seed)
    world = World(rng)
    secret = rng.choice([None, None, Secret(bytes(32))])
    founder = FOUNDER.public if rng.random() < 0.3 else None
    for n in range(rng.choice([2, 2, 3])):
        persona = Persona(bytes([n]) * 32) if rng.random() < 0.3 else None
        settings = config(
            rng,
            network_secret=secret,
            beacon_on=rng.random() < 0.5,
            members=MembersConfig(founder=founder, depth=2, life_s=rng.choice([30, 99_999])),
        )
        holding = let_in(n, secret) if rng.random() < 0.7 else None
        world.add(settings, persona=persona, holding=holding)
    odds = rng.random() ** 2
    for _ in range(STEPS):
        if rng.random() < 0.25:
            application(world, rng, rng.choice(world.nodes))
        else:
            network(world, rng, odds)
    for node in world.nodes:  # what an application asked for may go on for ever; not here
        for peer in node.live_peers():
            node.handle(events.Suspended(peer, False))
    world.calm()
    world.talk(world.nodes[0], world.nodes[1])
    return world.events


# A hostile peer: it holds a key, completes the handshake, and then says what it likes


def value(rng: Random, depth: int = 0) -> Any:
    """Anything that MessagePack can say."""
    simple = [
        None, True, -1, 0, 1, 7, 255, 2**31, 2**63 - 1, -(2**63), 1.5, float("inf"), "", "moon",
        "x" * 300, b"", b"\0" * 8, rng.randbytes(32), rng.randbytes(64), rng.randbytes(240),
    ]  # fmt: skip
    if depth > 3 or rng.random() < 0.7:
        return rng.choice(simple)
    if rng.random() < 0.8:
        return [value(rng, depth + 1) for _ in range(rng.randrange(7))]
    return {str(n): value(rng, depth + 1) for n in range(rng.randrange(3))}


def message(rng: Random) -> list[Any]:
    """One message of the courier, more or less."""
    lane, small = rng.choice([0, 5, 5, 10, 11, -1]), rng.choice([0, 1, 2, 3, 5, 9, 2**62, 2**63])
    stream = rng.choice([bytes(8), b"s" * 8, b"short"])
    body = rng.choice([b"", b"x", bytes(3000)])
    known = [
        [1, rng.choice([1, 2, 70000]), small, rng.choice([0, 1, 10**6, 2**40]), lane, body],
        [2, lane, stream, small, rng.choice([0, small, 99])],
        [3, lane, stream, small],
        [4, small, rng.choice(["", "moon", "x" * 200]), rng.choice([0, 1, 30_000]), lane, body],
        [5, small, rng.choice(["", "no"]), body],
        [6, small],
        [7, lane, small, rng.choice([small, 3, 2**62])],
        [rng.randrange(300), value(rng), value(rng)],
    ]
    chosen = rng.choice(known)
    if rng.random() < 0.15:
        chosen[rng.randrange(len(chosen))] = value(rng)
    if rng.random() < 0.05:
        del chosen[rng.randrange(len(chosen))]
    return chosen


def greetings(rng: Random, mallory: Node, others: list[Node]) -> bytes:
    """What may be said of oneself: a second hello, another's identity, nonsense."""
    ours = mallory.stack.shared.identity
    new = rng.choice([ours.proof, others[0].proof(rng), Ephemeral.generate(
        rng.randbytes, EPOCH_MS + int(mallory.world.now * 1000)).proof])  # fmt: skip
    text = rng.choice(["", "mesh", "\x00", "x" * 17])
    lie = [2, new.encode(), ours.sign_successor(new), rng.randbytes(64)]
    if rng.random() < 0.3:
        return msgspec.msgpack.encode([lie])
    known: list[Any] = [
        [1, rng.choice([0, 1, 2]), text, 0, 30000, [mallory.address], None],
        [1, 1, text, 2**33, 0, rng.choice([[], ["/memory/x"] * 9, ["not an address"]]), value(rng)],
        [1, 1, "mesh", 0, 30000, [], [value(rng) for _ in range(rng.randrange(6))]],
        lie,
        [2, new.encode(), ours.sign_successor(new), ours.sign_predecessor(ours.proof)],
        [2, rng.randbytes(240), rng.randbytes(64), rng.randbytes(64)],
        *membership_talk(rng),
        [rng.randrange(9), value(rng)],
    ]
    return msgspec.msgpack.encode([rng.choice(known) for _ in range(rng.choice([1, 1, 2, 9]))])


def membership_talk(rng: Random) -> list[list[Any]]:
    """What may be said of membership by whom nobody let in: a chain of others, and lies."""
    stolen = let_in(rng.choice([1, 2])).chain
    cut = stolen[: rng.randrange(len(stolen))]
    made_up = rng.choice([stolen, stolen, chain.encode(()), cut, rng.randbytes(200), b""])
    return [
        [4, made_up, rng.choice([bytes(64), rng.randbytes(64), b""])],
        [5, rng.randbytes(32), rng.randbytes(64), rng.choice([b"", bytes(32), rng.randbytes(32)])],
        [6, made_up],
    ]


def segment(rng: Random) -> bytes:
    """One segment of a stream, more or less."""
    id = rng.choice([0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 11, 2**32 - 1])
    head = bytes([rng.choice([1, 1, 2, 2, 3, 4, 5, 5, 6, 255])]) + id.to_bytes(4, "big")
    rest = [
        b"",
        b"\5moon",
        b"\x0bx",
        b"\5\xff\xff",
        bytes(4),
        bytes(8),
        b"\0" * 7 + b"\xff",
        bytes(2000),
    ]
    return head + rng.choice([*rest, (10**4).to_bytes(8, "big"), b"\xff" * 8, rng.randbytes(9)])


def contact(rng: Random, mallory: Node, others: list[Node]) -> list[Any]:
    """Somebody's contact, more or less true."""
    node = rng.choice([mallory, *others])
    soon = (EPOCH_MS + int(mallory.world.now * 1000)) // 1000 + 60
    return rng.choice(
        [
            [node.proof(rng).static_key, [node.address], soon],
            [rng.randbytes(32), [rng.choice([node.address, "/ip4/1.2.3.4/tcp/5", "x"])], soon],
            [node.proof(rng).static_key, [node.address] * 9, rng.choice([0, 2**32])],
            value(rng),
        ]
    )


def view(rng: Random, mallory: Node, others: list[Node]) -> bytes:
    """One message about who is a neighbour of whom, more or less."""
    if rng.random() < 0.5:  # what every neighbour says
        soon = (EPOCH_MS + int(mallory.world.now * 1000)) // 1000 + 60
        made_up = [[rng.randbytes(32), ["/ip4/10.9.9.9/tcp/1"], soon] for _ in range(3)]
        return b"\0" + msgspec.msgpack.encode([[6, rng.randrange(99), rng.randrange(7), made_up]])

    def some() -> list[Any]:
        return [contact(rng, mallory, others) for _ in range(rng.choice([0, 1, 4, 9]))]

    one = contact(rng, mallory, others)
    known: list[Any] = [
        [1, rng.choice([None, one])],
        [2, one, rng.choice([0, 1, 6, 99])],
        [3, rng.random() < 0.5, rng.choice([None, one])],
        [4, rng.random() < 0.5, rng.choice([None, one]), some()],
        [5, some(), rng.choice([0, 60, 10**6])],
        [6, rng.choice([0, 7, 2**62]), rng.choice([0, 1, 6, 99]), some()],
        [7, rng.choice([0, 7, 2**62]), some()],
        [rng.randrange(300), value(rng)],
    ]
    body = msgspec.msgpack.encode([rng.choice(known) for _ in range(rng.choice([1, 1, 1, 2]))])
    return rng.choice([b"\0", b"\0", b"\0", b"", b"\1", b"\xff"]) + body


def envelope(rng: Random, mallory: Node) -> bytes:
    """A message with its stamp: true, of another realm, expired, changed, or none at all."""
    wall_s = EPOCH_MS / 1000 + mallory.world.now
    inside = Inside(
        rng.choice([2, 3, 4, 60_000]), rng.random(), 5, rng.choice(["", "moon", "sun/rise"]),
        rng.randbytes(rng.choice([0, 10, 3000])),
    )  # fmt: skip
    realm = mallory.stack.gossiping.realm if rng.random() < 0.9 else Realm(bytes(32))
    expires_s = expiry(wall_s, rng.choice([1, 60, 300])) + rng.choice([0, 0, 0, -600, 600])
    raw = seal(
        realm, inside, topic_key=None, expiry_s=expires_s, urgent=rng.random() < 0.3,
        shard=rng.choice([0, 0, 0, 1]), entropy=rng.randbytes,
        signer=rng.choice([None, mallory.stack.shared.identity]),
    )  # fmt: skip
    value = stamp.solve(parse(raw).id, expires_s, STAMP_BITS) if rng.random() < 0.8 else None
    body = stamped(value, raw)
    if rng.random() < 0.2:
        place = rng.randrange(len(body))
        body = body[:place] + bytes([body[place] ^ 1 << rng.randrange(8)]) + body[place + 1 :]
    return body if rng.random() < 0.9 else rng.randbytes(rng.choice([0, 20, 529, 1041]))


def gossip(rng: Random, mallory: Node) -> bytes:
    """One frame of what spreads, more or less: pushed, stemmed, announced, asked, compared."""
    body = envelope(rng, mallory)
    if rng.random() < 0.7 and len(body) - 17 in BUCKETS and body[17] == 1:
        return b"\0" + rng.choice([b"\1\0", b"\1\5", b"\x10"]) + body
    ids = [rng.randbytes(16), bytes(16)]
    if len(body) > 100 and len(body) - 17 in BUCKETS:
        ids.append(sha256(b"WN1 gossip id", body[17:])[:16])
    some = b"".join(rng.choices(ids, k=rng.choice([0, 1, 3, 64, 300])))
    known = [
        b"\1" + bytes([rng.choice([0, 1, 5, 10, 11, 255])]) + body,
        b"\1\0" + body,
        b"\x10" + body,
        b"\2" + bytes([rng.choice([0, 1, 255])]) + some,
        b"\3" + some,
        bytes([rng.choice([4, 5])]) + b"\x61" + rng.randbytes(rng.choice([0, 1, 20, 300])),
        bytes([rng.choice([4, 5])]) + RECONCILE,
        b"\x11" + rng.randbytes(rng.choice([0, 1, 1, 2])),
        rng.randbytes(rng.randrange(40)),
    ]
    return rng.choice([b"\0", b"\0", b"\0", b"\0", b"\1", b""]) + rng.choice(known)


def hostile_frame(
    rng: Random, mallory: Node, others: list[Node], taste: list[int], odds: float
) -> list[bytes]:
    """A frame, or the fragments of one.

    Args:
        rng: Chance.
        mallory: Who sends it.
        others: Whose identities it would like to have.
        taste: The kinds of frames it likes, so that some of its sessions last.
        odds: How often it is broken.
    """
    direct = msgspec.msgpack.encode([message(rng) for _ in range(rng.choice([0, 1, 1, 3, 20]))])
    control = bytes([rng.choice([1, 1, 2, 3, 4, 5, 6, 9])]) + rng.choice(
        [b"", bytes(8), rng.randbytes(8), rng.randbytes(1216), rng.randbytes(1136)]
    )
    bodies = [
        (frame.DIRECT, direct),
        (frame.DIRECT, direct),
        (frame.STREAM, segment(rng)),
        (frame.STREAM, segment(rng)),
        (frame.PEER, greetings(rng, mallory, others)),
        (frame.GOSSIP, gossip(rng, mallory)),
        (frame.GOSSIP, gossip(rng, mallory)),
        (frame.VIEW, view(rng, mallory, others)),
        (frame.CONTROL, control),
        (frame.FRAGMENT, rng.randbytes(rng.choice([0, 12, 13, 40]))),
        (rng.randrange(11, 256), msgspec.msgpack.encode(value(rng))),
        (rng.randrange(11), rng.randbytes(rng.randrange(60))),
    ]
    type_, body = bodies[rng.choice(taste)]
    if rng.random() < odds:
        body = body[: rng.randrange(len(body) + 1)]
    if rng.random() < 0.15:
        number, size = rng.choice([0, 1, 2**32 - 1]), rng.choice([14, 20, 1000])
        parts = frame.split(type_, body, size, number=number)
        parts = parts[: rng.choice([1, 2, 1000])] if rng.random() < 0.5 else parts
        return [frame.encode(frame.FRAGMENT, part) for part in parts[:40]]
    return [frame.encode(type_, body)]


def hostile(seed: int) -> int:
    rng = Random(seed)
    world = World(rng)
    closed = MembersConfig(founder=FOUNDER.public if seed % 8 == 7 else None)
    settings = [config(rng, beacon_on=False, members=closed) for _ in range(3)]
    victim, honest, mallory = (
        world.add(one, persona=None, holding=let_in(n) if n < 2 else None)
        for n, one in enumerate(settings)
    )
    victim.handle(events.Listen("moon"))
    for caller in (honest, mallory):
        world.settle()
        caller.muted = caller is mallory
        proof = victim.stack.shared.identity.proof
        caller.handle(
            events.Connect(ref=1, static_key=proof.static_key, addresses=(victim.address,))
        )
        for _ in range(10):
            world.settle()
            world.tick(0.3)
    states = list(mallory.stack.links.states.values())
    assert states, "the hostile peer did not get in"
    live = states[0] if isinstance(states[0], Live) else states[0].live
    assert live is not None
    here = world.ends[mallory.name, live.link]
    hello = live.notes.popleft()
    if rng.random() < 0.9:  # otherwise it says something else before
        victim.handle(
            events.LinkData(here.other.number, live.channel.seal([hello], len(hello), 0.0))
        )
    some = rng.sample(range(12), rng.choice([1, 2, 2, 12]))
    taste, odds = rng.choice([some, some, GOSSIP, VIEW]), rng.choice([0.0, 0.1])
    own = {identity.id for identity in honest.stack.shared.identities}
    for _ in range(rng.choice([3, 60])):
        if rng.random() < 0.2:
            application(world, rng, victim)
        victim.flush()
        frames = [
            f
            for _ in range(rng.choice([1, 1, 4]))
            for f in hostile_frame(rng, mallory, [honest], taste, odds)
        ]
        size = sum(map(len, frames))
        if live.channel.over or size > live.channel.room:
            break
        record = live.channel.seal(frames, size, world.now)
        victim.handle(events.LinkData(here.other.number, record))
        state = victim.stack.links.states.get(here.other.number)
        if isinstance(state, Live):
            known = victim.stack.roster.get(state.peer)
            assert known is not None
            assert known.id not in own, "it took the identity of another"
            assert known.member is None, "nobody let it in"
        while here.waiting and not live.channel.over:
            mallory.handle(events.LinkData(here.number, here.waiting.popleft()))
        if not here.open or rng.random() < 0.02:
            break
        if rng.random() < 0.1:
            world.now += rng.choice([0.1, 1.0])
            victim.handle(Tick())
    for peer in victim.live_peers():
        victim.handle(events.Suspended(peer, False))
    world.calm()
    world.talk(honest, victim)
    return world.events


def each_seed() -> Iterator[int]:
    seed = 0
    while True:
        yield seed
        seed += 1


def run(one: Any) -> None:
    done = 0
    for seed in each_seed():
        try:
            done += one(seed)
        except BaseException as error:
            error.add_note(f"{one.__name__}({seed})")
            raise
        if done >= RUNS:
            return


def test_walks_through_a_hostile_network() -> None:
    run(walk)


def test_peers_that_lie_inside_their_session() -> None:
    run(hostile)


def test_the_hostile_peers_above_do_get_in() -> None:
    """The control: most of their sessions begin, and what they say is read."""
    counts: dict[str, int] = defaultdict(int)
    original = World.calm

    def calm(world: World) -> None:
        for name, n in world.nodes[0].stack.shared.meter.snapshot().items():
            counts[name] += n > 0
        original(world)

    World.calm = calm  # type: ignore[method-assign]
    try:
        for seed in range(100):
            hostile(seed)
    finally:
        World.calm = original  # type: ignore[method-assign]
    assert counts["protocol_errors"] > 25
    assert counts["unknown_protocols"] > 1
    assert counts["gossip_faults"] > 5
    assert counts["gossip_heard"] > 3
