"""Which of two links stays; how a session moves is in `tests/sim/test_paths.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.sim.paths import QUIET, Pair

from whispurrnet.nat import punch
from whispurrnet.stack import greeting
from whispurrnet.stack.moving import gains, newcomer_wins, rank, word


def live(path: str, opener: bytes, since_s: float, *, initiator: bool) -> Any:
    return SimpleNamespace(
        path=path,
        opener=opener,
        since_s=since_s,
        initiator=initiator,
        keys=SimpleNamespace(hash=opener + path.encode()),
    )


def test_every_path_is_better_than_a_relay() -> None:
    for path in ("tcp", "tls", "ws", "wss", "webrtc", "memory"):
        assert rank(path) > rank("relay")
        assert gains("relay", path)
        assert not gains(path, "relay")
        assert not gains(path, path)
    assert gains("tcp", "webrtc")
    assert not gains("webrtc", "tcp")


@pytest.mark.parametrize("paths", [("tcp", "tcp"), ("relay", "tcp"), ("tcp", "relay")])
def test_both_sides_give_the_same_answer_to_links_made_at_once(paths: tuple[str, str]) -> None:
    """Each side has seen the two in another order."""
    for one, other in ((b"a", b"b"), (b"b", b"a")):
        first_here = live(paths[0], one, 0.0, initiator=True)
        second_here = live(paths[1], other, 0.1, initiator=False)
        second_there = live(paths[1], other, 0.0, initiator=True)
        first_there = live(paths[0], one, 0.1, initiator=False)
        second_stays = newcomer_wins(first_here, second_here, 1.0, 10.0)
        first_stays = newcomer_wins(second_there, first_there, 1.0, 10.0)
        assert second_stays is not first_stays
        if paths[0] != paths[1]:
            assert second_stays is (paths[1] == "tcp")


def test_a_late_newcomer_and_one_of_the_same_side_replace_a_leftover() -> None:
    old = live("tcp", b"a", 0.0, initiator=True)
    assert newcomer_wins(old, live("relay", b"b", 11.0, initiator=False), 11.0, 10.0)
    assert newcomer_wins(old, live("relay", b"a", 1.0, initiator=True), 1.0, 10.0)


def test_the_word_about_a_move_is_found_among_others() -> None:
    moves = greeting.Moves(b"s" * 32)
    assert word([greeting.Presence("away", ""), moves]) is moves
    assert word([greeting.Moved()]) is None


@pytest.mark.parametrize("said", [greeting.Moves(b"another"), greeting.Moves(b"x" * 32)])
def test_a_word_about_another_session_is_refused(said: greeting.Moves) -> None:
    """Bob answers what alice did not ask."""
    pair = Pair(1, msgspec.structs.replace(QUIET, punch=punch.Config(on=False)))
    pair.world.closed.clear()
    moving = pair.stack("bob").links.moving
    decide = moving.decide

    def lying(opening: Any, new: Any, asked: Any, now: float) -> Any:
        del opening, asked, now
        pair.stack("bob").links._whisper(new, said)
        return new

    moving.decide = lying  # type: ignore[method-assign]
    heard: list[str] = []
    pair.stack("alice").links.moving.listeners.append(
        lambda dial, peer, ok, reason, now: heard.append(reason)
    )
    pair.dial("alice")
    pair.world.run(13.0)
    moving.decide = decide  # type: ignore[method-assign]
    assert heard[:1] == ["a peer speaks of a session that we did not ask about"]
    assert pair.paths()[0] == "relay"


def test_a_quiet_link_is_a_leftover_and_a_suspended_one_is_not() -> None:
    pair = Pair(2, QUIET)
    stack = pair.stack("bob")
    (record,) = stack.roster
    old = record.live
    assert old is not None
    moving = stack.links.moving
    heard_at = old.channel.heartbeat.heard_at
    usual_s = stack.shared.config.channel.heartbeat_s
    assert not moving._is_leftover(old, heard_at + usual_s)
    assert moving._is_leftover(old, heard_at + 1.6 * usual_s)
    old.sleeps_s = 300.0
    assert not moving._is_leftover(old, heard_at + 1.6 * usual_s)
