"""However large an object is, neither of those who exchange it holds much of it in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.interop.object_lab import MIB, Place, fetched, figures, random_file, settings

MOST_MB = 150.0
"""The most that a process may ever have had in memory, in MB."""


def peaks(tmp_path: Path, size: int, timeout_s: float) -> tuple[float, float]:
    """Send a file; the peaks of who gave it and who got it, in MB, everything included."""
    random_file(tmp_path / "film", size)

    async def story() -> tuple[float, float]:
        async with Place() as place:
            giver = await place.keeper(settings(tmp_path / "giver"))
            taker = await place.keeper(settings(tmp_path / "taker"))
            came = await fetched(taker, giver, tmp_path / "film", timeout_s)
            assert came.get("complete"), came
            gave, got = [(await one.order("report"))["peak_mb"] for one in (giver, taker)]
            rate = size / came["seconds"] / 1e6
            figures(f"{rate:.0f} MB/s; peaks of {gave:.0f} and {got:.0f} MB")
            return gave, got

    return asyncio.run(story())


def test_a_large_object_takes_little_memory(tmp_path: Path) -> None:
    assert max(peaks(tmp_path, 512 * MIB, 100)) < MOST_MB


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_a_huge_object_takes_little_memory(tmp_path: Path) -> None:
    assert max(peaks(tmp_path, 10_240 * MIB, 2000)) < MOST_MB
