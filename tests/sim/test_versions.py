"""A node of another version: silence from who is called, and a word about it for who calls."""

from __future__ import annotations

from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events
from whispurrnet.stack.config import Config

QUIET = Config(beacon_on=False)


def call(version: int | None) -> list[events.Effect]:
    """What a caller hears; its first bytes say this version, if one is given."""
    news: list[events.Effect] = []
    world = World(
        1, Wire(), lambda _, node, effect: news.append(effect) if node == "caller" else None
    )
    for name in ("caller", "called"):
        world.add(name, QUIET)
    world.run(0.1)

    def tamper(source: str, target: str, data: bytes) -> bytes:
        say = source == "caller" and version is not None
        return bytes((version or 0,)) + data[1:] if say else data

    world.tamper = tamper
    world.connect("caller", "called", persistent=False)
    world.run(120.0)
    return news


def test_who_calls_a_node_of_another_version_is_told_that_it_may_be_that() -> None:
    news = call(2)
    (failed,) = [effect for effect in news if isinstance(effect, events.ConnectFailed)]
    assert "whispurr version" in str(failed.error)
    assert not any(isinstance(effect, events.PeerUp) for effect in news)


def test_with_the_same_version_they_meet() -> None:
    """The control."""
    assert any(isinstance(effect, events.PeerUp) for effect in call(None))
