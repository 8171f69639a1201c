"""Writing past the memory of the system: the same bytes, wherever it works and wherever not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest

from whispurrnet.disk import direct
from whispurrnet.disk.direct import ALIGNED, BUFFER_BYTES, Direct, after


def works(folder: Path) -> bool:
    (folder / "probe").touch()
    return Direct().write(folder / "probe", 0, [bytes(ALIGNED)]) == ALIGNED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    if not works(tmp_path):
        pytest.skip("the disk of the folder for passing files has no O_DIRECT")
    path = tmp_path / "file"
    path.touch()
    return path


def test_whole_blocks_are_written_and_the_rest_is_left(file: Path) -> None:
    rng = Random(1)
    for case in range(40):
        lengths = [rng.choice((0, 1, 700, ALIGNED, 5000, 256 * 1024)) for _ in range(9)]
        parts = [rng.randbytes(n) for n in lengths]
        whole, offset = b"".join(parts), ALIGNED * rng.randrange(9)
        done = Direct().write(file, offset, parts)
        assert done == len(whole) - len(whole) % ALIGNED, case
        assert file.read_bytes()[offset : offset + done] == whole[:done]
        assert b"".join(after(parts, done)) == whole[done:]


def test_more_than_the_buffer_holds(file: Path) -> None:
    data = Random(2).randbytes(3 * BUFFER_BYTES + ALIGNED + 5)
    assert Direct().write(file, 0, [data[:7], data[7:]]) == 3 * BUFFER_BYTES + ALIGNED
    assert file.read_bytes() == data[:-5]


def test_where_it_cannot_be_done_nothing_is_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Direct()
    assert one.write(file, 512, [bytes(ALIGNED)]) == 0, "the offset is inside a block"
    assert one.write(file, 0, [b"short"]) == 0
    tried = 0

    def refuse(*_: object) -> int:
        nonlocal tried
        tried += 1
        raise OSError(errno.EINVAL, "this file system does not")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert one.write(file, 0, [bytes(ALIGNED)]) == 0
    assert one.write(file, 0, [bytes(ALIGNED)]) == 0
    assert tried == 1, "it is not tried again and again"
    assert file.stat().st_size == 0
    monkeypatch.setattr(direct, "_FLAG", 0)
    assert Direct().write(file, 0, [bytes(ALIGNED)]) == 0, "a system without it"


def test_a_full_disk_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no space left"):
        Direct().write(file, 0, [bytes(ALIGNED)])
