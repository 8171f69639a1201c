"""Sealed objects: who keeps one knows nothing of it, and nobody opens it without the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.node.object_lab import MIB, met, nodes, play, some

from whispurrnet.base.errors import AuthError, HostError, UsageError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("size", [0, 1, 40_000, 65_520, 3 * MIB + 17])
def test_who_has_the_key_opens_it_and_who_keeps_it_cannot(tmp_path: Path, size: int) -> None:
    data = b"marker!!" * (size // 8) + some(size % 8)

    async def story() -> None:
        async with nodes(2) as (anna, ben):
            here, _ = await met(ben, anna)
            info, key = await anna.objects.seal(data)
            assert info.mode == "sealed" and info.complete and info.pinned
            anna.objects.share(info.oid, "everyone")
            assert (await ben.objects.fetch(info.oid, sources=[here])).size == info.size
            assert b"marker!!" not in await ben.objects.get(info.oid)
            target = tmp_path / "open"
            await ben.objects.unseal(info.oid, key, target)
            assert target.read_bytes() == data
            assert names(tmp_path) == ["open"]

    play(story)


def test_a_file_is_sealed_as_bytes_are_and_no_two_alike(tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            (tmp_path / "diary").write_bytes(b"dear diary")
            one, key = await anna.objects.seal(tmp_path / "diary")
            other, _ = await anna.objects.seal(b"dear diary")
            assert one.oid != other.oid and one.size == other.size
            await anna.objects.unseal(one.oid, key, tmp_path / "again")
            assert (tmp_path / "again").read_bytes() == b"dear diary"

    play(story)


def test_what_goes_wrong_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            info, key = await anna.objects.seal(some(MIB))
            plain = await anna.objects.add(b"plain")
            with pytest.raises(AuthError):
                await anna.objects.unseal(info.oid, bytes(32), tmp_path / "out")
            with pytest.raises(UsageError, match="not sealed"):
                await anna.objects.unseal(plain.oid, key, tmp_path / "out")
            with pytest.raises(UsageError, match="no file"):
                await anna.objects.seal(tmp_path / "nothing")
            with pytest.raises(HostError, match="folder"):
                await anna.objects.unseal(info.oid, key, tmp_path / "no folder" / "out")
            (tmp_path / "there").write_bytes(b"mine")
            with pytest.raises(UsageError, match="there already"):
                await anna.objects.unseal(info.oid, key, tmp_path / "there")
            assert (tmp_path / "there").read_bytes() == b"mine"
            await anna.objects.unseal(info.oid, key, tmp_path / "there", overwrite=True)
            assert (tmp_path / "there").read_bytes() == some(MIB)
            assert names(tmp_path) == ["there"]

    play(story)
