"""What a node says of itself: a store that nobody opened, one that is full, one that is broken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from whispurrnet.base.errors import HostError
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.shelf_entry import Metrics
from whispurrnet.node import chum
from whispurrnet.node.chum import Chum
from whispurrnet.node.hardware import Hardware
from whispurrnet.node.topology import REQUEST
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.link import ListenerState

SECRET = Secret(b"s" * 32)


class Objects:
    """A store that says what it is told to."""

    def __init__(self, said: Metrics | HostError | None) -> None:
        self.opened = said is not None
        self.said = said

    async def metrics(self) -> Metrics:
        if isinstance(self.said, HostError):
            raise self.said
        assert self.said is not None
        return self.said


def node(said: Metrics | HostError | None = None, *, topology: bool = False, **more: Any) -> Any:
    handlers: list[str] = []
    return SimpleNamespace(
        id="ab" * 32,
        identity=SimpleNamespace(persona=more.get("persona")),
        settings=SimpleNamespace(profile="chum", lan=SimpleNamespace(topology=topology)),
        stack=SimpleNamespace(links=SimpleNamespace(capabilities=33)),
        state=ListenerState.LISTENING,
        uptime_s=1.26,
        objects=Objects(said),
        on_request=lambda name, _: handlers.append(name),
        handlers=handlers,
    )


def metrics(used: int, quota: int | None) -> Metrics:
    return Metrics(objects=1, bytes=used, parts=0, quota=quota, free_bytes=7, pinned=0)


def test_the_six_fields() -> None:
    told = run(Chum(node(metrics(5, 10)), SECRET).identity())
    assert (told.node_type, told.status, told.status_code, told.uptime_s) == (
        "chum",
        "Listening",
        2,
        1.3,
    )
    assert (told.capabilities, told.capability_bits) == (("gossip", "objects"), 33)
    assert (told.storage.bytes, told.storage.quota_bytes, told.storage.healthy) == (5, 10, True)
    assert len(told.instance_id) == 64


def test_a_store_is_healthy_while_it_can_be_read_and_has_room() -> None:
    stores = {
        None: True,
        metrics(10, 10): False,
        metrics(10, None): True,
        HostError("the disk is gone; look at it"): False,
    }
    for said, healthy in stores.items():
        assert run(Chum(node(said), SECRET).storage()).healthy is healthy


def test_the_id_follows_the_machine_the_identity_and_the_secret(monkeypatch: Any) -> None:
    def id(machine: bytes, persona: str | None, secret: bytes = SECRET) -> str:
        monkeypatch.setattr(chum, "hardware", lambda: Hardware(machine, "machine id"))
        return Chum(node(persona=persona), Secret(secret)).instance_id

    one = id(b"m", "aa" * 32)
    assert one == id(b"m", "aa" * 32)
    others = {id(b"n", "aa" * 32), id(b"m", "bb" * 32), id(b"m", None), id(b"m", "aa" * 32, b"t")}
    assert len(others | {one}) == 5


def test_who_takes_no_part_in_maps_answers_no_question() -> None:
    for topology in (False, True):
        one = node(topology=topology)
        Chum(one, SECRET)
        assert one.handlers == [REQUEST] * topology
