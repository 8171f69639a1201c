"""Public objects between real nodes: packed in the thread that reads, unpacked by who gets them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.object_lab import MIB, at, met, nodes, play

import whispurrnet
from whispurrnet.node import object_disk
from whispurrnet.store import packing

TEXT = (b"what there is to say is said again and again, and that packs well; " * 32_000)[: 2 * MIB]


@pytest.mark.parametrize("public", [True, False])
def test_only_what_is_public_is_packed(
    public: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noted(chunk: bytes) -> bytes:
        threads.append(threading.current_thread().name)
        return packing.pack(chunk)

    monkeypatch.setattr(object_disk, "pack", noted)

    async def story() -> None:
        async with nodes(1) as (anna,), whispurrnet.open(**at(tmp_path)) as ben:
            info = await anna.objects.add(TEXT, public=public)
            anna.objects.share(info.oid, "everyone")
            here, there = await met(ben, anna)
            await ben.objects.fetch(info.oid, sources=[here])
            assert await ben.objects.get(info.oid) == TEXT
            assert (there.bytes_sent < MIB) == public
            entry: Any = ben.objects.disk.shelf.entry(oid_of(info.oid))
            assert not entry.public, "who fetches it has not said that it is no secret"

    play(story)
    assert len(threads) == (8 if public else 0)
    assert all("objects-read" in name for name in threads)


def oid_of(text: str) -> Any:
    return bytes.fromhex(text)


def test_who_has_no_library_gets_it_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_zstandard", lambda: None)

    async def story() -> None:
        async with nodes(2) as (anna, ben):
            info = await anna.objects.add(TEXT, public=True)
            anna.objects.share(info.oid, "everyone")
            here, _ = await met(ben, anna)
            await ben.objects.fetch(info.oid, sources=[here])
            assert await ben.objects.get(info.oid) == TEXT

    play(story)
