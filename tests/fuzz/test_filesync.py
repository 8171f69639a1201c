"""Random walks: a model among liars, and a door that only members pass."""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync import members
from whispurrnet.extensions.filesync.index import fold
from whispurrnet.extensions.filesync.members import Enter, Facts, Members, Say
from whispurrnet.extensions.filesync.messages import (
    VERSION,
    Hello,
    Member,
    No,
    Part,
    SyncCodec,
    folder_of,
    talk_of,
)
from whispurrnet.extensions.filesync.model import Model
from whispurrnet.extensions.filesync.model_events import (
    Applied,
    Apply,
    Config,
    Down,
    Event,
    Found,
    Gone,
    Index,
    NotApplied,
    Save,
    Scanned,
    SendIndex,
    Sent,
    Stage,
    Staged,
    StageFailed,
    Unshared,
    Up,
)
from whispurrnet.extensions.filesync.paths import problem
from whispurrnet.extensions.filesync.record import File
from whispurrnet.extensions.filesync.wants import RESTING

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
PATHS = ["a", "A", "d", "d/x", "D/x", "d/x/y", "../up", "/etc", "CON", ".whispurr/x", "b\0"]
OIDS = [b"", b"x" * 32, b"y" * 32, b"z" * 32, b"short"]


def some_file(rng: Random, seq: int) -> File:
    history = {rng.randrange(4): rng.choice([1, 2, 2**62]) for _ in range(rng.randrange(1, 4))}
    pairs = tuple(sorted(history.items()))
    if rng.random() < 0.1:
        pairs = pairs[::-1]
    author, count = rng.choice(pairs) if rng.random() < 0.8 else (9, 9)
    ms = rng.choice([0, 10, 253_402_300_799_999])
    path, oid = rng.choice(PATHS), rng.choice(OIDS)
    return File(path, oid, rng.randrange(9), rng.random() < 0.5, ms, pairs, author, count, seq)


def event(rng: Random, model: Model) -> Event:
    path, oid, peer = rng.choice(PATHS), rng.choice(OIDS[1:4]), rng.randrange(3)
    here = model.index.files.get(path)
    base = here.seq if here is not None and rng.random() < 0.8 else 0
    seq = rng.randrange(6)
    files = tuple(some_file(rng, seq + n + 1) for n in range(rng.randrange(4)))
    upto = seq + len(files) + rng.randrange(-1, 3)
    applying = rng.choice(list(model.plan.applying) or [path])
    choices: list[Event] = [
        Up(peer, rng.randrange(4), "p", rng.choice([0, 1, 10**6])),
        Down(peer),
        Index(peer, rng.random() < 0.1, max(0, upto), files),
        Index(peer, False, upto + 50, files),
        Sent(peer),
        Scanned((Found(path, oid, 1, False, 5, base),), ()),
        Scanned((), (Gone(path, 5, base),)),
        Unshared(path, rng.choice(["", "why"])),
        Staged(oid),
        StageFailed(oid, "no"),
        Applied(applying),
        NotApplied(applying, "no"),
        Tick(),
    ]
    return rng.choice(choices)


def check(model: Model) -> None:
    index = model.index
    live = {path: file for path, file in index.files.items() if file.live}
    assert index.folded == {fold(path): path for path in live}
    assert {oid: set(paths) for oid, paths in index.holders.items()} == {
        oid: {path for path, file in live.items() if file.oid == oid}
        for oid in {file.oid for file in live.values()}
    }
    assert index.bytes == sum(file.size for file in live.values())
    files, upto = index.since(0, 10**6, 10**9)
    assert upto == index.seq
    assert sorted(files, key=lambda f: f.path) == [index.files[p] for p in sorted(index.files)]
    assert [file.seq for file in files] == sorted(file.seq for file in files)
    for path, want in model.plan.wants.items():
        assert want.file.path == path
        assert (want.phase == "applying") == (path in model.plan.applying)
        assert bool(want.reason) == (want.phase in RESTING)
        for phase in ("new", "stage", "apply"):
            assert (path in model.plan._wants.queues[phase]) == (want.phase == phase)
    assert not model.plan._wants.queues["new"]


def walk(seed: int) -> None:
    rng = Random(seed)
    model = Model(Config(files_max=6, stages_max=2, changes_max=2), 3)
    now, saved = 0.0, dict[str, File]()
    for _ in range(40):
        now += rng.choice([0.0, 0.1, 5.0])
        what = event(rng, model)
        try:
            effects = model.handle(what, now)
        except ProtocolError:
            assert isinstance(what, Up | Index)
            continue
        for effect in effects:
            match effect:
                case Apply(file, expected, keep_as):
                    assert not problem(file.path)
                    assert not keep_as or not problem(keep_as)
                    assert expected is model.index.files.get(file.path)
                case Stage(oid, _, _, peers):
                    assert len(oid) == 32
                    assert all(peer in model.peers.lines for peer in peers)
                case Save(files):
                    saved |= {file.path: file for file in files}
                case SendIndex(_, _, upto, files):
                    assert all(saved[file.path] == file for file in files)
                    assert upto <= model.index.seq
                case _:
                    pass
        assert saved == model.index.files
        assert len(model.peers.remotes) <= 4
        assert all(len(remote.files) <= 6 for remote in model.peers.remotes.values())
        check(model)


def test_a_model_among_liars() -> None:
    for seed in range(RUNS):
        walk(seed)


def test_bodies_are_messages_or_refused() -> None:
    codec = SyncCodec()
    rng = Random(5)
    good = [
        Hello(VERSION, b"f" * 16, 5, b"n" * 16, False),
        Member(b"p" * 32, 7, b"t" * 8),
        Part(b"t" * 8, False, 9, (File("a", b"x" * 32, 1, True, 2, ((1, 1),), 1, 1, 3),)),
        No(1, "no"),
        No(2, "no", b"f" * 16),
    ]
    for message in good:
        assert codec.decode(codec.encode(message)) == [message]
    for _ in range(RUNS * 3):
        body = bytearray(codec.encode(rng.choice(good)))
        for _ in range(rng.randrange(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        if rng.random() < 0.3:
            del body[rng.randrange(len(body)) :]
        try:
            codec.decode(bytes(body))
        except ProtocolError:
            continue


# The door

KEY, ADA, EVE = b"k" * 32, b"a" * 32, b"e" * 32


def test_only_members_enter() -> None:
    """Eve hears and sends everything she can make up, and holds no key."""
    friends, liars = visits()
    assert friends
    assert not liars


def test_without_the_proof_she_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "equal", lambda *_: True)
    assert visits()[1]


def visits() -> tuple[int, int]:
    """How often a friend has entered, and how often Eve."""
    entered = lied = 0
    for seed in range(RUNS // 2):
        rng = Random(seed)
        ada, bob = (Members(n, KEY, {}, rng.randbytes) for n in (1, 2))
        friend = rng.random() < 0.5
        ids = {0: EVE, 1: b"b" * 32} if friend else {0: EVE}
        heard: list[Hello | Member] = []
        say: list[tuple[int, Hello | Member | No]] = []
        for peer in ids:
            for effect in ada.up(peer, ADA):
                assert isinstance(effect, Say)
                say.append((effect.peer, effect.message))
        for _ in range(12):
            for peer, message in say:
                if isinstance(message, Hello | Member):
                    heard.append(message)
                    if peer == 1:
                        answers = bob.handle(Facts(0, ADA, None), message, ids[1], lambda _: 0)
                        for answer in answers:
                            if isinstance(answer, Say) and not isinstance(answer.message, No):
                                heard.append(answer.message)
                                give(ada, 1, ids[1], answer.message)
            say = []
            lie = rng.choice(heard)
            if rng.random() < 0.6:
                nonce = rng.choice([h.nonce for h in heard if isinstance(h, Hello)])
                talks = [talk_of(h.nonce, nonce) for h in heard if isinstance(h, Hello)]
                proofs = [m.proof for m in heard if isinstance(m, Member)] or [b"0" * 32]
                lie = rng.choice(
                    [
                        Hello(VERSION, folder_of(b"", EVE), 7, nonce, rng.random() < 0.5),
                        Hello(VERSION, folder_of(KEY, EVE), 7, nonce, rng.random() < 0.5),
                        Member(rng.choice(proofs), 0, rng.choice(talks)),
                    ]
                )
            try:
                effects = ada.handle(Facts(0, EVE, None), lie, ADA, lambda _: 0)
            except ProtocolError:
                continue
            lied += any(isinstance(effect, Enter) for effect in effects)
            say = [(e.peer, e.message) for e in effects if isinstance(e, Say)]
        entered += ada.talk(1) is not None
    return entered, lied


def give(ada: Members, peer: int, id: bytes, message: Hello | Member) -> None:
    ada.handle(Facts(peer, id, None), message, ADA, lambda _: 0)
