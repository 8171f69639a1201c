"""Extensions: their life, their names and kinds, and that they always leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.extensions.extension import Extension
from whispurrnet.stack import protocols
from whispurrnet.testing.virtual_loop import run


class FakeNode:
    """What an extension needs of a node, with the same rules."""

    def __init__(self) -> None:
        self.extensions: list[str] = []
        self.kinds: dict[int, Any] = {}

    def on_kind(self, kind: str, handler: Any) -> asyncio.Task[None]:
        number = protocols.sendable(kind).number
        if number in self.kinds:
            raise UsageError(f"{kind} is handled already")
        self.kinds[number] = handler
        return asyncio.ensure_future(asyncio.sleep(0))

    def off_kind(self, kind: str) -> None:
        self.kinds.pop(protocols.sendable(kind).number, None)


class Journal(Extension):
    name = "journal"
    kinds = ("DREAMSPACE", "FILE_SYNC")

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.life: list[str] = []

    def live(self, what: str) -> None:
        self.life.append(what)
        if what == self.failing:
            raise KeyError(what)

    async def initialize(self) -> None:
        assert self.name in self.node.extensions
        self.live("initialize")

    async def cleanup(self) -> None:
        self.live("cleanup")


class Rival(Journal):
    name = "rival"
    kinds = ("Thought", "FILE_SYNC")


class Named(Extension):
    name = "plain"


def make() -> Any:
    return FakeNode()


def test_it_lives_as_long_as_the_block() -> None:
    async def main() -> None:
        node, journal = make(), Journal()
        async with journal.on(node) as same:
            assert same is journal
            assert journal.node is node
            assert node.extensions == ["journal"]
            assert set(node.kinds) == {18, 16}
            assert journal.life == ["initialize"]
        assert journal.life == ["initialize", "cleanup"]
        assert not node.extensions
        assert not node.kinds

    run(main())


@pytest.mark.parametrize(
    ("failing", "life"),
    [
        ("initialize", ["initialize"]),
        ("block", ["initialize", "block", "cleanup"]),
        ("cleanup", ["initialize", "block", "cleanup"]),
    ],
)
def test_it_leaves_also_on_an_error(failing: str, life: list[str]) -> None:
    async def main() -> None:
        node, journal = make(), Journal(failing)
        with pytest.raises(KeyError, match=failing):
            async with journal.on(node):
                journal.live("block")
        assert journal.life == life
        assert not node.extensions
        assert not node.kinds
        journal.failing = ""
        async with journal.on(node):
            assert node.extensions == ["journal"]

    run(main())


@pytest.mark.parametrize(
    ("wrong", "why"),
    [(Journal(), "'journal'"), (Extension(), "needs a name"), (Rival(), "handled already")],
)
def test_what_cannot_be_installed_changes_nothing(wrong: Extension, why: str) -> None:
    async def main() -> None:
        node, journal = make(), Journal()
        async with journal.on(node):
            with pytest.raises(UsageError, match=why):
                async with wrong.on(node):
                    raise AssertionError
            assert node.extensions == ["journal"]
            assert set(node.kinds) == {18, 16}

    run(main())


def test_a_kind_that_is_no_direct_message_is_refused() -> None:
    class Gossip(Extension):
        name = "gossip"
        kinds = ("FILE_SYNC", "BROADCAST")

    async def main() -> None:
        node = make()
        with pytest.raises(UsageError, match="BROADCAST"):
            async with Gossip().on(node):
                raise AssertionError
        assert not node.kinds
        assert not node.extensions

    run(main())


def test_several_live_together_and_nothing_need_be_overridden() -> None:
    async def main() -> None:
        node, journal, plain = make(), Journal(), Named()
        async with journal.on(node):
            async with plain.on(node):
                assert node.extensions == ["journal", "plain"]
            assert node.extensions == ["journal"]

    run(main())
