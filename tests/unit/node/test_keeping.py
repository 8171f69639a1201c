"""What is kept: nothing by default, and otherwise the same identity, pins and anchors again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import whispurrnet
from whispurrnet.base.errors import HostError
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.vault import State, Vault
from whispurrnet.gossip.contact import Contact
from whispurrnet.node.keeping import UNWRITTEN, Keeping
from whispurrnet.node.sections import IdentitySettings
from whispurrnet.stack import events
from whispurrnet.stack.belonging import Holding
from whispurrnet.trust.pins import Pins, Trust


def test_nothing_is_kept_by_default(tmp_path: Path) -> None:
    keeping = Keeping(IdentitySettings(state_dir=str(tmp_path)))
    keeping.save(keeping.pins)
    assert keeping.persona is None
    assert not list(tmp_path.iterdir())


def test_the_identity_and_the_pins_come_back(tmp_path: Path) -> None:
    settings = IdentitySettings(long_term=True, state_dir=str(tmp_path / "state"))
    first = Keeping(settings)
    assert first.persona is not None
    first.pins.seen(b"p" * 32, 1_800_000_000_000)
    first.pins.verify(b"p" * 32, 1_800_000_000_001)
    first.save(first.pins)
    again = Keeping(settings)
    assert again.persona is not None
    assert again.persona.id == first.persona.id
    assert again.level("70" * 32) == Trust.VERIFIED
    assert again.level(None) == 0


def test_a_post_quantum_identity_stays_one(tmp_path: Path) -> None:
    strong = IdentitySettings(long_term=True, post_quantum=True, state_dir=str(tmp_path))
    plain = IdentitySettings(long_term=True, state_dir=str(tmp_path))
    first, again = Keeping(strong), Keeping(plain)
    assert first.persona is not None
    assert again.persona is not None
    assert again.persona.id == first.persona.id
    assert again.persona.prove(bytes(32), 0).mldsa_key


def test_the_membership_comes_back_and_is_not_lost_where_the_realm_is_open(tmp_path: Path) -> None:
    settings = IdentitySettings(long_term=True, state_dir=str(tmp_path))
    first = Keeping(settings)
    assert first.holding is None
    first.save(first.pins, Holding(Secret(b"s" * 32), b"chain"))
    again = Keeping(settings)
    again.save(again.pins)
    assert Keeping(settings).holding == Holding(Secret(b"s" * 32), b"chain")


# Anchors


def contact(number: int, lives_s: int = 600) -> Contact:
    return Contact(
        bytes([number]) * 32, (f"/ip4/192.0.2.{number}/tcp/1",), int(time.time()) + lives_s
    )


class Host:
    """What a keeping wants of its node."""

    def __init__(self, *anchors: Contact) -> None:
        self.found = anchors
        self.failures: dict[str, str] = {}
        self.stack = SimpleNamespace(gossiping=SimpleNamespace(anchors=lambda: self.found))
        self.submitted: list[object] = []

    def submit(self, event: object) -> None:
        self.submitted.append(event)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()


def keeping(tmp_path: Path) -> Keeping:
    return Keeping(IdentitySettings(long_term=True, state_dir=str(tmp_path / "state")))


def remember(kept: Keeping, *anchors: Contact) -> Any:
    host: Any = Host(*anchors)
    kept.remember(host)
    return host


def test_anchors_come_back_until_they_expire(tmp_path: Path) -> None:
    remember(keeping(tmp_path), contact(1), contact(2, 0))
    again = keeping(tmp_path)
    assert [one.key[0] for one in again.anchors] == [1]
    host: Any = Host()
    again.begin(host)
    assert host.submitted == [events.Anchors(again.anchors)]


def test_an_ephemeral_node_writes_nothing(tmp_path: Path) -> None:
    kept = Keeping(IdentitySettings(state_dir=str(tmp_path)))
    host = remember(kept, contact(1))
    kept.begin(host)
    assert not kept.anchors
    assert not host.submitted
    assert not list(tmp_path.iterdir())


def test_the_file_is_written_only_if_they_change(tmp_path: Path) -> None:
    kept, one = keeping(tmp_path), contact(1)
    remember(kept, one)
    path = tmp_path / "state" / "state.wn1"
    path.unlink()
    remember(kept, one)
    assert not path.exists()
    remember(kept, one, contact(2))
    assert path.exists()


def test_who_is_cut_off_keeps_those_of_before(tmp_path: Path) -> None:
    kept = keeping(tmp_path)
    remember(kept, contact(1), contact(2))
    remember(kept)
    assert [one.key[0] for one in kept.anchors] == [1, 2]
    remember(kept, contact(3))
    assert [one.key[0] for one in kept.anchors] == [3, 1]
    kept.save(kept.pins)
    assert [one.key[0] for one in keeping(tmp_path).anchors] == [3, 1]


def test_what_cannot_be_read_is_no_anchor_and_what_cannot_be_written_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path / "state")
    state = State(persona_seed=Secret(bytes(32)), anchors=Secret(b"\xc1"), pins=Pins().encode())
    vault.save(state)
    kept = keeping(tmp_path)
    assert kept.anchors == ()

    def full(self: Vault, state: State) -> None:
        raise HostError("the disk is full")

    monkeypatch.setattr(Vault, "save", full)
    assert remember(kept, contact(1)).failures == {UNWRITTEN: "the disk is full"}


def test_anchors_of_a_running_node(tmp_path: Path) -> None:
    """One node calls another, restarts, and calls it again though nobody tells it to."""
    quiet: dict[str, Any] = {
        "lan": {"enabled": False},
        "port": 0,
        "listen": (f"/memory/{tmp_path.name}",),
    }

    async def neighbours(node: Any) -> None:
        while not node.neighbours():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)

    async def test() -> None:
        identity = {"long_term": True, "state_dir": str(tmp_path / "state")}
        async with whispurrnet.open(**quiet) as bob:
            own = {**quiet, "listen": (f"/memory/{tmp_path.name}-2",), "identity": identity}
            async with (
                whispurrnet.open(**own, bootstrap=(str(bob.ticket),)) as ada,
                asyncio.timeout(20),
            ):
                await neighbours(ada)
            async with whispurrnet.open(**own) as ada, asyncio.timeout(20):
                await neighbours(ada)
                (one,) = ada.neighbours()
                assert one.peer.id == bob.id
                assert one.outbound
                assert not one.friend

    asyncio.run(test())
