"""A closed realm of real nodes: who is invited is a neighbour, and a stranger is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.interop.test_node import LOOPS, QUIET, happenings, place, run

import whispurrnet
from whispurrnet.cli.secret_key import write_key
from whispurrnet.errors import ConfigError
from whispurrnet.node.membership import public_of


def founding(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a member to be, and of the founder."""
    path = tmp_path / "founder.key"
    realm = {"founder": public_of(write_key(path))}
    quiet = QUIET | {"listen": (place("tcp"),), "gossip": {"stamp_bits": 0, "stem": False}}
    member = quiet | {"membership": realm}
    return member, quiet | {"membership": realm | {"key_file": str(path)}}


async def until(node: whispurrnet.Node, holds: Callable[[], bool]) -> None:
    """Wait until something is so, which must come with an event of this node."""
    async with contextlib.aclosing(happenings(node)) as events:
        ahead = asyncio.ensure_future(anext(events))
        while not holds():
            await ahead
            ahead = asyncio.ensure_future(anext(events))
        ahead.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ahead


def near(node: whispurrnet.Node) -> set[str]:
    return {one.peer.name for one in node.neighbours()}


@pytest.mark.parametrize("loop", LOOPS)
def test_who_is_invited_is_a_neighbour_and_a_stranger_is_not(loop: str, tmp_path: Path) -> None:
    """The founder invites Ada, and Ada Bob; the stranger knows the settings and a ticket."""
    member, founder = founding(tmp_path)

    async def test() -> None:
        async with (
            whispurrnet.open(**founder) as root,
            whispurrnet.open(**member) as ada,
            whispurrnet.open(**member) as bob,
            whispurrnet.open(**member) as stranger,
        ):
            assert root.membership.role == "founder"
            assert ada.membership.role == bob.membership.role == "outsider"
            await ada.connect(root.invite(), timeout_s=10)
            await until(ada, lambda: ada.membership.role == "member")
            await bob.connect(ada.invite(), timeout_s=10)
            await until(bob, lambda: bob.membership.role == "member")
            await bob.connect(root.ticket, timeout_s=10)
            met = await stranger.connect(root.ticket, timeout_s=10)
            await until(root, lambda: near(root) == {ada.name, bob.name})
            await until(bob, lambda: root.name in near(bob))

            assert (bob.membership.links, bob.membership.may_invite) == (2, True)
            assert root.membership.members == 2
            assert stranger.membership.role == "outsider"
            assert not near(stranger)

            await root.broadcast(b"among us")
            assert (await anext(bob.messages())).body == b"among us"
            root.whisper(root.peer(stranger.name), b"not for you")
            assert (await anext(stranger.messages())).body == b"not for you", "the first it hears"
            await stranger.broadcast(b"let me in")
            stranger.whisper(met, b"a word with you")
            assert (await anext(root.messages())).body == b"a word with you", "the first from it"

    run(test, loop)


def test_a_membership_outlives_a_restart_and_a_new_identity(tmp_path: Path) -> None:
    member, founder = founding(tmp_path)
    kept = member | {"identity": {"long_term": True, "state_dir": str(tmp_path / "ada")}}

    async def test() -> None:
        async with whispurrnet.open(**founder) as root:
            async with whispurrnet.open(**kept) as ada:
                await ada.connect(root.invite(), timeout_s=10)
                await until(ada, lambda: ada.membership.role == "member")
                key = ada.membership.key
            async with whispurrnet.open(**kept) as ada:
                assert (ada.membership.role, ada.membership.key) == ("member", key)
                await ada.connect(root.ticket, timeout_s=10)
                await until(root, lambda: ada.name in near(root))
                ada.rotate()
                await root.broadcast(b"still here?")
                assert (await anext(ada.messages())).body == b"still here?"
            other = kept | {"membership": {"founder": "ab" * 32}}
            async with whispurrnet.open(**other) as ada:
                assert ada.membership.role == "outsider", "elsewhere it is worth nothing"
            async with whispurrnet.open(**kept) as ada:
                assert ada.membership.role == "member"

    run(test)


def test_without_a_founder_the_realm_is_open() -> None:
    async def test() -> None:
        async with whispurrnet.open(**QUIET) as node:
            assert node.membership.role == "open"

    run(test)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"founder": "zz"}, "no public key"),
        ({"founder": "", "key_file": "x"}, "no realm"),
        ({"founder": "ab" * 32, "key_file": "founder.key"}, "another founder"),
        ({"founder": "ab" * 32, "key_file": "nothing.key"}, "cannot be read"),
        ({"founder": "ab" * 32, "key_file": "loose.key"}, "chmod 600"),
        ({"founder": "ab" * 32, "key_file": "junk.key"}, "holds no key"),
    ],
)
def test_a_realm_that_cannot_be_says_why(
    change: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    write_key(tmp_path / "founder.key")
    for name, mode in (("loose.key", 0o644), ("junk.key", 0o600)):
        (tmp_path / name).write_text("junk")
        (tmp_path / name).chmod(mode)
    if change.get("key_file"):
        change = change | {"key_file": str(tmp_path / change["key_file"])}

    async def test() -> None:
        with pytest.raises(ConfigError, match=complaint):
            async with whispurrnet.open(**QUIET | {"membership": change}):
                pass

    run(test)
