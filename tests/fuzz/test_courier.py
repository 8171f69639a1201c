"""Random walks over two couriers and the sessions between them, and over one with a hostile peer.

The model of the first is a list: what was posted in a lane is what is delivered in it, once and in
order, whatever is lost with the sessions. See `test_plumtree` for why the worlds are so small.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import LimitError, ProtocolError
from whispurrnet.direct.courier import (
    Abandon,
    Abandoned,
    Answer,
    Answered,
    Arrived,
    Ask,
    Asked,
    Config,
    Courier,
    Delivered,
    Down,
    Event,
    MarkRead,
    Merge,
    Post,
    Progress,
    Tick,
    Up,
)
from whispurrnet.direct.messages import (
    Ack,
    Cancel,
    Message,
    Request,
    Response,
    Resume,
    Skip,
    Whisper,
    codec,
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
STEPS = 120
PEER = 7
LANES = (2, 9)
CONFIG = Config(window=4, window_bytes=400, queue_max=20, queue_bytes_max=2000, requests_max=3)


class Side:
    """One courier, what it was asked to do, and what it was told."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.inbox: deque[bytes] = deque()
        self.posted: dict[int, list[bytes]] = {lane: [] for lane in LANES}
        self.bare: set[bytes] = set()
        self.got_ever: set[bytes] = set()
        self.start()

    def start(self) -> None:
        """A new process, which knows nothing of the one before."""
        self.courier = Courier(CONFIG, entropy=self.rng.randbytes)
        self.up = False
        self.ids: dict[int, bytes] = {}
        self.states: dict[int, list[str]] = {}
        self.got: dict[int, list[bytes]] = {lane: [] for lane in LANES}
        self.seqs: dict[int, int] = dict.fromkeys(LANES, 0)
        self.open_asks: dict[int, bytes] = {}
        self.to_answer: dict[int, bytes] = {}


class World:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.count = 0
        self.a, self.b = Side(self.rng), Side(self.rng)
        self.lost_live = False

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def feed(self, side: Side, event: Event) -> None:
        with contextlib.suppress(LimitError):
            for effect in side.courier.handle(event, self.now):
                self.note(side, effect)
        side.courier.check_invariants()

    def note(self, side: Side, effect: object) -> None:
        match effect:
            case Delivered(_, whispers):
                for whisper in whispers:
                    side.got[whisper.lane].append(whisper.body)
                    side.got_ever.add(whisper.body)
                    if whisper.seq:
                        side.seqs[whisper.lane] = whisper.seq
            case Progress(_, id, state):
                history = side.states[id]
                history.append(state)
                assert history in (
                    ["sent"],
                    ["expired"],
                    ["sent", "expired"],
                    ["sent", "received"],
                    ["sent", "received", "read"],
                )
            case Answered(_, id, body, error):
                asked = side.open_asks.pop(id)
                assert error or body == asked
            case Asked(_, id, _, body):
                side.to_answer[id] = body
            case Abandoned(_, id):
                side.to_answer.pop(id)

    def body(self) -> bytes:
        self.count += 1
        return b"%d." % self.count + bytes(self.rng.choice((0, 10, 90)))

    # Steps

    def post(self, side: Side) -> None:
        lane, body = self.rng.choice(LANES), self.body()
        ttl_s = self.rng.choice((None, None, None, 1.0, 20.0))
        post = Post(PEER, self.count, self.rng.randrange(99), body, lane, ttl_s)
        side.states[self.count] = []
        try:
            for effect in side.courier.handle(post, self.now):
                self.note(side, effect)
        except LimitError:
            del side.states[self.count]
            return
        side.ids[self.count] = body
        side.posted[lane].append(body)

    def post_bare(self, side: Side) -> None:
        lane, body = self.rng.choice(LANES), self.body()
        try:
            if self.rng.random() < 0.5:
                if not side.courier.post_unacknowledged(PEER, 1, body, lane):
                    return
            else:
                post = Post(PEER, 0, 1, body, lane, 5.0, acknowledged=False)
                if side.courier.handle(post, self.now):
                    return
        except LimitError:
            return
        side.posted[lane].append(body)
        side.bare.add(body)

    def ask(self, side: Side) -> None:
        body = self.body()
        side.open_asks[self.count] = body
        ask = Ask(PEER, self.count, "name", body, self.rng.choice(LANES), self.rng.random() * 9)
        try:
            for effect in side.courier.handle(ask, self.now):
                self.note(side, effect)
        except LimitError:
            del side.open_asks[self.count]

    def answer(self, side: Side) -> None:
        if side.to_answer:
            id = self.rng.choice(list(side.to_answer))
            with contextlib.suppress(LimitError):
                side.courier.handle(Answer(PEER, id, side.to_answer[id]), self.now)
                del side.to_answer[id]

    def abandon(self, side: Side) -> None:
        if side.open_asks:
            id = self.rng.choice(list(side.open_asks))
            del side.open_asks[id]
            self.feed(side, Abandon(PEER, id))

    def read(self, side: Side) -> None:
        lane = self.rng.choice(LANES)
        self.feed(side, MarkRead(PEER, lane, side.seqs[lane]))

    def pull(self, side: Side) -> None:
        room = self.rng.choice((64, 200, 60_000))
        priority = side.courier.priority(PEER)
        frame = side.courier.pull(PEER, room, self.now)
        assert frame is None or (priority is not None and side.up)
        for effect in side.courier.drain():
            self.note(side, effect)
        side.courier.check_invariants()
        if frame is not None:
            self.other(side).inbox.append(frame)

    def arrive(self, side: Side) -> None:
        if side.up and side.inbox:
            self.feed(side, Arrived(PEER, side.inbox.popleft()))

    def lose(self, side: Side) -> None:
        """A frame is lost in a live session, which a link never does: a retry mends it."""
        if side.inbox:
            side.inbox.popleft()
            self.lost_live = True

    def cut(self, side: Side) -> None:
        other = self.other(side)
        if side.up:
            side.up = False
            self.feed(side, Down(PEER))
            side.inbox.clear()
            for _ in range(self.rng.randrange(4)):
                self.arrive(other)
            other.inbox.clear()
            if other.up:
                other.up = False
                self.feed(other, Down(PEER))

    def connect(self, side: Side) -> None:
        """A session begins; if there was one, it takes its place."""
        self.a.inbox.clear()
        self.b.inbox.clear()
        for each in (side, self.other(side)):
            each.up = True
            self.feed(each, Up(PEER))

    def restart(self, side: Side) -> None:
        """A process ends without a word, and another begins."""
        self.cut(side)
        side.start()

    def wait(self, side: Side) -> None:
        self.now += self.rng.choice((0.1, 1.0, 8.0))

    def tick(self) -> None:
        for side in (self.a, self.b):
            due = side.courier.deadline
            if due is not None and due <= self.now:
                self.feed(side, Tick())

    # What must hold

    def check(self) -> None:
        """Once and in order; with a loss in a live session, bare whispers in an order of theirs."""
        for side in (self.a, self.b):
            for lane in LANES:
                sent, got = side.posted[lane], self.other(side).got[lane]
                if self.lost_live:
                    assert is_part([body for body in got if body in side.bare], sent)
                    got = [body for body in got if body not in side.bare]
                assert is_part(got, sent)

    def finish(self) -> None:
        """Let everything arrive; then nothing is missing."""
        self.connect(self.a)
        for _ in range(2):
            for _ in range(40):
                for side in (self.a, self.b):
                    self.pull(side)
                    while side.inbox:
                        self.arrive(side)
                    self.answer(side)
            self.now += 30
            self.tick()
        self.check()
        for side in (self.a, self.b):
            assert not side.open_asks
            assert side.courier.queued(PEER) == side.courier.queued_bytes(PEER) == 0
            for id, body in side.ids.items():
                assert side.states[id][-1] == "expired" or body in self.other(side).got_ever
                assert side.states[id][-1] in ("received", "read", "expired")


def is_part(got: list[bytes], sent: list[bytes]) -> bool:
    """Whether `got` is `sent` with nothing but gaps."""
    rest = iter(sent)
    return all(body in rest for body in got)


STEPS_OF_A_WALK = (
    World.post,
    World.post_bare,
    World.ask,
    World.answer,
    World.abandon,
    World.read,
    World.pull,
    World.pull,
    World.arrive,
    World.arrive,
    World.lose,
    World.cut,
    World.connect,
    World.restart,
    World.wait,
)


def walk(seed: int) -> None:
    world = World(seed)
    odds = [world.rng.random() ** 3 for _ in STEPS_OF_A_WALK]
    world.connect(world.a)
    for step in world.rng.choices(STEPS_OF_A_WALK, odds, k=STEPS):
        step(world, world.rng.choice((world.a, world.b)))
        if world.rng.random() < 0.8:
            world.tick()
        world.check()
    world.finish()


@pytest.mark.parametrize("seed", [0])
def test_exactly_once_and_in_order(seed: int) -> None:
    run(walk, seed)


def run(one: Callable[[int], None], seed: int) -> None:
    for n in range(RUNS):
        try:
            one(seed + n)
        except BaseException as error:
            error.add_note(f"{one.__name__}({seed + n})")
            raise


# Records that turn out to be one


class Known:
    """One side that knows the other under a lasting handle, and perhaps under a new one."""

    HOME = 1

    def __init__(self, rng: Random) -> None:
        self.courier = Courier(Config(window=4, retry_s=5.0), entropy=rng.randbytes)
        self.live: int | None = None
        self.handles = [self.HOME]
        self.inbox: deque[bytes] = deque()
        self.posted: dict[int, list[bytes]] = {}
        self.seen: dict[int, set[bytes]] = {}
        self.last: dict[int, list[bytes]] = {}


class Reunion:
    """Two sides whose sessions begin under handles that are merged later on."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.sides = (Known(self.rng), Known(self.rng))
        self.now = 0.0
        self.count = 0

    def feed(self, n: int, event: Event) -> None:
        side = self.sides[n]
        for effect in side.courier.handle(event, self.now):
            if isinstance(effect, Delivered):
                seen = side.seen.setdefault(effect.peer, set())
                for whisper in effect.whispers:
                    assert whisper.body not in seen, "once to each record, and to what it became"
                    seen.add(whisper.body)
                    side.last.setdefault(effect.peer, []).append(whisper.body)
        side.courier.check_invariants()

    def post(self, n: int) -> None:
        side = self.sides[n]
        handle = self.rng.choice(side.handles)
        self.count += 1
        body = b"%d" % self.count
        side.posted.setdefault(handle, []).append(body)
        self.feed(n, Post(handle, self.count, 1, body))

    def pull(self, n: int) -> None:
        side = self.sides[n]
        if side.live is not None:
            frame = side.courier.pull(side.live, self.rng.choice((64, 9000)), self.now)
            side.courier.drain()
            if frame is not None:
                self.sides[1 - n].inbox.append(frame)

    def arrive(self, n: int) -> None:
        side = self.sides[n]
        if side.inbox and side.live is not None:
            self.feed(n, Arrived(side.live, side.inbox.popleft()))

    def cut(self, _: int) -> None:
        for n, side in enumerate(self.sides):
            side.inbox.clear()
            if side.live is not None:
                self.feed(n, Down(side.live))
                side.live = None

    def connect(self, _: int, *, strangers: bool = True) -> None:
        self.cut(0)
        for n, side in enumerate(self.sides):
            if strangers and self.rng.random() < 0.5 and len(side.handles) < 4:
                side.handles.append(self.rng.randrange(2, 10**9))
            side.live = self.rng.choice(side.handles)
            self.feed(n, Up(side.live))

    def merge(self, n: int) -> None:
        side = self.sides[n]
        if len(side.handles) > 1:
            old, new = self.rng.sample(side.handles, 2)
            self.feed(n, Merge(old, new))
            side.handles.remove(old)
            side.live = new if side.live == old else side.live
            side.seen.setdefault(new, set()).update(side.seen.pop(old, set()))
            side.last.clear()  # the order is that of each record, until they are one

    def wait(self, _: int) -> None:
        self.now += self.rng.choice((0.1, 6.0))
        for n, side in enumerate(self.sides):
            if (due := side.courier.deadline) is not None and due <= self.now:
                self.feed(n, Tick())

    def check(self) -> None:
        for n, side in enumerate(self.sides):
            for sent in self.sides[1 - n].posted.values():
                own = set(sent)
                for got in side.last.values():
                    assert is_part([body for body in got if body in own], sent)

    def finish(self) -> None:
        for n, side in enumerate(self.sides):
            while len(side.handles) > 1:
                self.merge(n)
        self.connect(0, strangers=False)
        for _ in range(100):
            for n in (0, 1):
                self.pull(n)
                self.arrive(n)
                self.arrive(n)
            self.wait(0)
        for n, side in enumerate(self.sides):
            assert all(side.courier.queued(handle) == 0 for handle in side.handles)
            posted = {b for bodies in side.posted.values() for b in bodies}
            other = self.sides[1 - n]
            assert set().union(*other.seen.values()) == posted


MEETINGS = (
    Reunion.post,
    Reunion.post,
    Reunion.pull,
    Reunion.pull,
    Reunion.arrive,
    Reunion.arrive,
    Reunion.cut,
    Reunion.connect,
    Reunion.merge,
    Reunion.wait,
)


def reunite(seed: int) -> None:
    world = Reunion(seed)
    odds = [world.rng.random() ** 2 for _ in MEETINGS]
    world.connect(0)
    for step in world.rng.choices(MEETINGS, odds, k=60):
        step(world, world.rng.randrange(2))
        world.check()
    world.finish()


@pytest.mark.parametrize("seed", [0])
def test_records_that_become_one(seed: int) -> None:
    run(reunite, seed)


# A hostile peer


def state(thing: object) -> object:
    """All that a courier holds, to see that nothing has changed."""
    if isinstance(thing, msgspec.Struct):
        return [type(thing).__name__, *(state(value) for value in msgspec.structs.astuple(thing))]
    if isinstance(thing, dict):
        return [(key, state(value)) for key, value in thing.items()]
    if isinstance(thing, list | tuple | deque):
        return [state(value) for value in thing]
    if type(thing).__module__.startswith("whispurrnet.direct"):
        names = getattr(type(thing), "__slots__", None) or vars(thing)
        return [(name, state(getattr(thing, name))) for name in names if name != "_codec"]
    return thing


def hostile_message(rng: Random, streams: list[bytes], seqs: list[int]) -> Message:
    lane = rng.choice((2, 9))
    seq = rng.choice((0, 1, 2, 3, 2**62, *seqs)) + rng.choice((0, 0, 1))
    seq = min(seq, 2**62)
    stream = rng.choice(streams)
    number = rng.choice((0, 1, 2, 3, 2**63 - 1, rng.randrange(2**63)))
    return rng.choice(
        (
            Whisper(rng.randrange(2**16), seq, rng.randrange(2**32), lane, b"x"),
            Ack(lane, stream, seq, rng.choice((0, seq))),
            Resume(lane, stream, max(1, seq)),
            Skip(lane, max(1, rng.choice((1, seq))), max(1, seq)),
            Request(number, "name", rng.choice((1, 2**32 - 1)), lane, bytes(rng.randrange(50))),
            Response(number, rng.choice(("", "no")), b"y"),
            Cancel(number),
        )
    )


def attack(seed: int) -> None:
    rng = Random(seed)
    courier = Courier(CONFIG, entropy=rng.randbytes)
    encode, decode = msgspec.msgpack.Encoder().encode, codec().decode_all
    streams, seqs = [rng.randbytes(8), bytes(8)], [5]
    courier.handle(Up(PEER), 0.0)
    odds = [rng.random() ** 2 for _ in range(6)]
    now = 0.0
    ids = 0
    for step in rng.choices(range(6), odds, k=60):
        now += rng.random()
        if step == 0:
            with contextlib.suppress(LimitError):
                ids += 1
                courier.handle(Post(PEER, ids, 1, bytes(rng.randrange(100)), 9), now)
        elif step == 1:
            with contextlib.suppress(LimitError):
                ids += 1
                courier.handle(Ask(PEER, ids, "name", b"", 2), now)
        elif step == 2:
            frame = courier.pull(PEER, 3000, now)
            courier.drain()
            for message in decode(frame) if frame else ():
                if isinstance(message, Resume):
                    streams.append(message.stream)
                    seqs.append(message.first)
        elif step == 3:
            courier.handle(Tick(), now)
        else:
            messages = [hostile_message(rng, streams, seqs) for _ in range(rng.randrange(6))]
            body = encode(messages)
            if step == 5:
                cut = rng.randrange(len(body) + 1)
                body = body[:cut] + rng.randbytes(rng.randrange(4)) + body[cut + 1 :]
            before = state(courier)
            try:
                effects = courier.handle(Arrived(PEER, body), now)
            except ProtocolError:
                assert state(courier) == before, "nothing has changed"
            else:
                for effect in effects:
                    if isinstance(effect, Asked) and rng.random() < 0.5:
                        courier.handle(Answer(PEER, effect.id, b"", "no"), now)
        courier.check_invariants()


@pytest.mark.parametrize("seed", [0])
def test_a_hostile_peer(seed: int) -> None:
    run(attack, seed)


@pytest.mark.parametrize("seed", [0])
def test_arbitrary_bytes(seed: int) -> None:
    rng = Random(seed)
    courier = Courier(CONFIG, entropy=rng.randbytes)
    courier.handle(Up(PEER), 0.0)
    for _ in range(RUNS):
        body = rng.randbytes(rng.randrange(40))
        if rng.random() < 0.5:
            body = bytes((0x90 + rng.randrange(16), 0x90 + rng.randrange(16), 1)) + body
        with contextlib.suppress(ProtocolError):
            courier.handle(Arrived(PEER, body), 0.0)
    courier.check_invariants()
    assert courier.queued(PEER) <= 2 * CONFIG.requests_max
