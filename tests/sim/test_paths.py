"""A session moves from a relay to a direct path: nothing is lost, doubled or out of order."""

from __future__ import annotations

import msgspec
import pytest
from tests.sim.paths import QUIET, Pair

from whispurrnet.nat import punch
from whispurrnet.stack import events, greeting
from whispurrnet.stack.live import Tail
from whispurrnet.stack.moving import Moving, session_of
from whispurrnet.stack.roster import MOVES_BURST, MOVES_PER_S

IDLE = msgspec.structs.replace(QUIET, punch=punch.Config(on=False))
"""Tries nothing by itself."""

N = 400


def talk(pair: Pair, first: int = 0, count: int = N, every_s: float = 0.005) -> None:
    """Whispers both ways and a request with each tenth, while time passes."""
    for n in range(first, first + count):
        pair.whisper("alice", n)
        pair.whisper("bob", n)
        if n % 10 == 0:
            ask = events.Ask(
                peer=pair.peer("alice"),
                id=100_000 + n,
                name="echo",
                body=b"%d" % n,
                priority=5,
                timeout_s=60.0,
            )
            pair.world.inject("alice", ask)
        pair.world.run(pair.world.now + every_s)


def assert_whole(pair: Pair, count: int = N) -> None:
    """All that was said arrived once, in order, and was acknowledged."""
    said = [b"%d" % n for n in range(count)]
    assert pair.heard["alice"] == said
    assert pair.heard["bob"] == said
    assert pair.acked["alice"] == pair.acked["bob"] == list(range(count))
    assert [one.body for one in pair.answers["alice"]] == said[::10]
    assert not any(one.error for one in pair.answers["alice"])


def assert_quiet(pair: Pair) -> None:
    """No application heard that a peer went or came."""
    for name in ("alice", "bob"):
        assert len(pair.kinds(name, events.PeerUp)) == 1
        assert not pair.kinds(name, events.PeerDown)


def again(pair: Pair) -> None:
    """Let both think that a relay carries the session, so that it can move once more."""
    for name in ("alice", "bob"):
        for record in pair.stack(name).roster:
            if record.live is not None:
                record.live.path, record.live.moved_s = "relay", None
            record.moves.take(0, pair.world.now)


@pytest.mark.parametrize("who", [("alice",), ("bob",), ("alice", "bob")])
@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_when_a_session_moves(seed: int, loss: float, who: tuple[str, ...]) -> None:
    pair = Pair(seed, IDLE, loss=loss)
    pair.world.closed.clear()
    neighbours = {name: len(pair.kinds(name, events.Neighbour)) for name in ("alice", "bob")}
    assert all(neighbours.values())
    talk(pair, 0, N // 2)
    for name in who:
        pair.dial(name)
    talk(pair, N // 2, N // 2)
    pair.world.run(pair.world.now + 30.0)
    assert pair.paths() == ("tcp", "tcp")
    assert_whole(pair)
    assert_quiet(pair)
    for name in ("alice", "bob"):
        assert [one.path for one in pair.kinds(name, events.PathChanged)] == ["tcp"]  # type: ignore[attr-defined]
        stack = pair.stack(name)
        assert not any(isinstance(state, Tail) for state in stack.links.states.values())
        assert len(stack.links.states) == 1, "the old link is gone"
        assert not stack.links.moving.asked
        assert len(pair.kinds(name, events.Neighbour)) == neighbours[name], "gossip goes on"


def test_twenty_moves_under_load_lose_nothing() -> None:
    pair = Pair(5, IDLE, loss=0.02, bandwidth_bytes_per_s=500_000)
    pair.world.closed.clear()
    for n in range(20):
        pair.dial("alice" if n % 2 else "bob")
        talk(pair, n * N // 20, N // 20, every_s=0.1)
        assert pair.paths() == ("tcp", "tcp")
        again(pair)
        pair.world.run(pair.world.now + 6.0)  # one asks no oftener than this
    pair.world.run(pair.world.now + 30.0)
    assert_whole(pair)
    assert_quiet(pair)
    assert len(pair.kinds("bob", events.PathChanged)) == 20


def test_streams_go_on_over_the_new_path() -> None:
    pair = Pair(6, IDLE)
    pair.world.closed.clear()
    data = b"".join(b"%08d" % n for n in range(50_000))
    pair.world.inject("alice", events.OpenStream(pair.peer("alice"), 1, "file", 5))
    pair.world.run(pair.world.now + 0.01)
    (ready,) = pair.kinds("alice", events.StreamReady)
    write = events.WriteStream(pair.peer("alice"), ready.stream, data)  # type: ignore[attr-defined]
    pair.world.inject("alice", write)
    pair.world.run(pair.world.now + 0.05)
    pair.dial("bob")
    pair.world.run(pair.world.now + 20.0)
    assert pair.paths() == ("tcp", "tcp")
    assert pair.streamed["bob"] == data


def test_without_waiting_for_the_old_path_requests_are_lost_or_out_of_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: both send on the new link at once."""
    move = Moving.move

    def hasty(self: Moving, *args: object) -> object:
        live = move(self, *args)  # type: ignore[arg-type]
        live.paused = False
        self._links.dirty[live.link] = live
        return live

    monkeypatch.setattr(Moving, "move", hasty)
    whole = 0
    for seed in range(4):
        pair = Pair(seed, IDLE, loss=0.3)
        pair.world.closed.clear()
        talk(pair, 0, N // 2)
        pair.dial("alice")
        talk(pair, N // 2, N // 2)
        pair.world.run(pair.world.now + 30.0)
        whole += [one.body for one in pair.answers["alice"]] == [b"%d" % n for n in range(0, N, 10)]
    assert whole < 4


# By itself


def test_a_relayed_pair_moves_by_itself_when_the_nat_opens() -> None:
    pair = Pair(7)
    pair.world.run(100.0)
    assert pair.paths() == ("relay", "relay")
    tried = pair.stack("alice").paths.attempts(pair.peer("alice"))
    assert tried[0].method == "relay"
    assert [one.method for one in tried[1:]] == ["direct"] * (len(tried) - 1)
    assert len(tried) > 3
    assert not any(one.ok for one in tried[1:])
    assert "nobody is there" in tried[1].reason
    pair.world.closed.clear()
    pair.world.run(500.0)
    assert pair.paths() == ("tcp", "tcp")
    assert_quiet(pair)
    dialled = len(pair.world.dialled)
    pair.world.run(3_000.0)
    assert len(pair.world.dialled) == dialled, "nobody tries any more"


def test_our_new_addresses_shorten_the_wait() -> None:
    pair = Pair(8)
    pair.world.run(400.0)
    paths, peer = pair.stack("bob").paths, pair.peer("bob")
    while (due := paths.next_at(peer)) is None or due < pair.world.now + 10.0:
        pair.world.run(pair.world.now + 1.0)
    pair.world.closed.clear()
    pair.world.inject("bob", events.Listening((pair.world.address("bob"), "/ip4/10.9.9.9/tcp/1")))
    pair.world.run(pair.world.now + 3.0)
    assert pair.paths() == ("tcp", "tcp")


def test_one_may_be_tried_at_once() -> None:
    pair = Pair(9, IDLE)
    pair.world.run(1_000.0)
    assert pair.paths() == ("relay", "relay"), "upgrading is off"
    pair.world.closed.clear()
    pair.world.inject("alice", events.TryPath(pair.peer("alice")))
    pair.world.run(1_005.0)
    assert pair.paths() == ("tcp", "tcp")
    assert pair.stack("alice").paths.attempts(pair.peer("alice"))[-1].ok


# What is refused


def test_a_relay_does_not_replace_a_direct_path() -> None:
    pair = Pair(10, IDLE)
    pair.world.closed.clear()
    pair.dial("alice")
    pair.world.run(20.0)
    heard: list[str] = []
    moving = pair.stack("alice").links.moving
    moving.listeners.append(lambda dial, peer, ok, reason, now: heard.append(reason))
    pair.world.close("alice", "bob")
    pair.dial("alice", relay=True)
    pair.world.run(40.0)
    assert pair.paths() == ("tcp", "tcp")
    assert heard == ["a better path was found meanwhile"]

    moving.is_wanted = lambda live, path: True  # type: ignore[method-assign]
    pair.dial("alice", relay=True)  # one that asks all the same is refused
    pair.world.run(60.0)
    assert pair.paths() == ("tcp", "tcp")
    assert heard[-1] == greeting.REASONS[greeting.DUPLICATE]
    assert_quiet(pair)


def test_who_lost_the_direct_path_comes_back_through_the_relay() -> None:
    pair = Pair(11, IDLE)
    pair.world.closed.clear()
    pair.dial("alice")
    pair.world.run(20.0)
    assert pair.paths() == ("tcp", "tcp")
    pair.world.close("alice", "bob")
    alice = next(iter(pair.stack("alice").roster))
    assert alice.live is not None
    pair.world.inject("alice", events.LinkDown(alice.live.link, "the network changed"))
    pair.world.run(21.0)  # bob's link looks alive as before
    pair.call("alice", "bob", pair.world.via("bob"))
    pair.world.run(40.0)
    assert pair.paths() == ("relay", "relay")
    pair.whisper("alice", 1)
    pair.whisper("bob", 2)
    pair.world.run(50.0)
    assert pair.heard["bob"] == [b"1"]
    assert pair.heard["alice"] == [b"2"]


@pytest.mark.parametrize("seed", range(6))
def test_an_old_path_that_breaks_in_the_middle_costs_a_session_but_no_whisper(seed: int) -> None:
    pair = Pair(seed, IDLE)
    pair.world.closed.clear()
    before = {
        name: record.live.link
        for name in ("alice", "bob")
        for record in pair.stack(name).roster
        if record.live is not None
    }
    talk(pair, 0, N // 2)
    pair.dial("alice")
    links = pair.stack("bob").links
    while not any(isinstance(state, Tail) for state in links.states.values()):
        pair.world.run(pair.world.now + 0.001)
    pair.world._links["alice"].pop(before["alice"], None)
    pair.world._links["bob"].pop(before["bob"], None)
    for name in ("alice", "bob"):
        pair.world.inject(name, events.LinkDown(before[name], "the relay is gone"))
    talk(pair, N // 2, N // 2)
    pair.world.run(pair.world.now + 60.0)
    assert pair.paths()[0]
    said = [b"%d" % n for n in range(N)]
    assert pair.heard["alice"] == said
    assert pair.heard["bob"] == said


def test_who_asks_again_and_again_is_bounded() -> None:
    """Alice has a program of her own, and dials bob a hundred times in a minute."""
    pair = Pair(12, IDLE)
    pair.world.closed.clear()
    pair.stack("alice").links.moving.is_wanted = lambda live, path: True  # type: ignore[method-assign]
    began = pair.world.now
    for _ in range(100):
        pair.dial("alice")
        again(pair)
        pair.world.run(pair.world.now + 0.6)
    moves = len(pair.kinds("bob", events.PathChanged))
    assert 0 < moves <= MOVES_BURST + MOVES_PER_S * (pair.world.now - began) + 1
    assert pair.stack("bob").shared.meter.snapshot()["moves_refused"] > 50
    assert_quiet(pair)


def test_who_comes_again_and_again_is_bounded() -> None:
    """Alice names no session that she holds: each link of hers is to replace the one before."""
    pair = Pair(13, IDLE)
    pair.world.closed.clear()
    pair.stack("alice").links.moving.asks = lambda opening, proof: ()  # type: ignore[method-assign]
    for _ in range(100):
        if pair.peer("alice"):
            pair.dial("alice")
        pair.world.run(pair.world.now + 0.2)
    assert len(pair.kinds("bob", events.PeerUp)) <= 20 + pair.world.now + 2


def test_a_link_that_shows_another_identity_takes_no_session_over() -> None:
    """Whoever has the ephemeral keys only is not who the session was made with."""
    pair = Pair(16, IDLE)
    pair.world.closed.clear()
    (record,) = pair.stack("bob").roster
    record.persona = b"p" * 32  # it had shown one
    pair.dial("alice")
    pair.world.run(20.0)
    assert pair.paths() == ("relay", "relay")
    record.persona = None
    assert record.live is not None
    record.live.level += 1  # the session was stronger
    pair.dial("alice")
    pair.world.run(40.0)
    assert pair.paths() == ("relay", "relay")
    record.live.level -= 1
    pair.dial("alice")
    pair.world.run(60.0)
    assert pair.paths() == ("tcp", "tcp")
    assert_quiet(pair)


def test_words_about_a_move_that_is_none_break_the_protocol() -> None:
    pair = Pair(14, IDLE)
    live = next(iter(pair.stack("alice").roster)).live
    assert live is not None
    pair.stack("alice").links._whisper(live, greeting.Moved())
    pair.world.inject("alice", events.PingPeer(pair.peer("alice")))
    pair.world.run(pair.world.now + 1.0)
    (down,) = pair.kinds("bob", events.PeerDown)
    assert down.reason == "the peer broke the protocol"  # type: ignore[attr-defined]


def test_both_sides_call_a_session_the_same_whatever_its_path() -> None:
    pair = Pair(15, IDLE)
    pair.world.closed.clear()

    def names() -> list[bytes]:
        lives = [next(iter(pair.stack(name).roster)).live for name in ("alice", "bob")]
        return [session_of(live) for live in lives if live is not None]

    first, second = names()
    assert first == second
    pair.dial("alice")
    pair.world.run(30.0)
    assert pair.paths() == ("tcp", "tcp")
    assert names() == [first, second]
