"""A process with a shelf is killed again and again: what it acknowledged is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Timer

from tests.unit.disk.shelves import CHUNK, shelf, small, some

from whispurrnet.store.object import Header, Mode
from whispurrnet.store.outline import Outline

ROOT = Path(__file__).parents[2]
KILLS = 3
CHUNKS = 200

WORKER = """
import sys
from pathlib import Path
from tests.unit.disk.shelves import CHUNK, shelf, small, some
from tests.interop.test_shelf_kill import outline
said = lambda *words: (sys.stdout.write(" ".join(map(str, words)) + "\\n"), sys.stdout.flush())
turn, folder = int(sys.argv[1]), Path(sys.argv[2])
data, made = outline()
with shelf(folder) as one:
    said("open", *(start + i for start, n in (one.entry(made.id) or made).have for i in range(n)))
    one.put_page(made.id, made.header, made.page(0))
    for step in range(10_000):
        batch = [small(some(900, 1_000_000 * turn + 10 * step + i)) for i in range(10)]
        one.put_small(batch)
        said("small", turn, step)
        index = step * 7 % 200
        one.write(made.id, index, data[index * CHUNK : (index + 1) * CHUNK])
        said("chunk", index)
        if step % 5 == 0:
            one.add_bytes(some(70_000, 1_000_000 * turn + step))
            said("big", turn, step)
"""


class _Made(Outline):
    have = ()


def outline() -> tuple[bytes, Outline]:
    data = some(CHUNK) * CHUNKS
    return data, _Made.of(Header(Mode.FIXED, 18, len(data)), data)


def run(turn: int, folder: Path, kill_after_s: float) -> list[list[str]]:
    """What a worker said before it was killed."""
    command = [sys.executable, "-c", WORKER, str(turn), str(folder)]
    path = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    ) as worker:
        assert worker.stdout is not None
        lines = [worker.stdout.readline()]
        timer = Timer(kill_after_s, worker.kill)
        timer.start()
        lines += worker.stdout.readlines()
        worker.wait()
        timer.cancel()
    assert worker.returncode == -9, lines
    return [line.split() for line in lines if line.endswith("\n")]


def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    rng = Random(os.getpid())
    _, made = outline()
    chunks: set[int] = set()
    acknowledged: list[tuple[str, int, int]] = []
    for turn in range(KILLS):
        said = run(turn, tmp_path / "a", rng.uniform(0.05, 0.5))
        assert said[0][0] == "open"
        found = set(map(int, said[0][1:]))
        assert chunks <= found, "a chunk would be sent twice"
        assert len(found - chunks) <= 1, "more is there than was said"
        chunks = found | {int(words[1]) for words in said if words[0] == "chunk"}
        acknowledged += [
            (words[0], int(words[1]), int(words[2]))
            for words in said
            if words[0] in {"small", "big"}
        ]
    assert len(acknowledged) > KILLS
    with shelf(tmp_path / "a") as one:
        assert one.notes == []
        for kind, turn, step in acknowledged:
            if kind == "small":
                batch = [small(some(900, 1_000_000 * turn + 10 * step + i)) for i in range(10)]
                assert one.read_small([oid for oid, _, _ in batch]) == batch
            else:
                data = some(70_000, 1_000_000 * turn + step)
                oid = Outline.of(Header(Mode.FIXED, 18, len(data)), data).id
                assert one.read_range(oid, 0, len(data)) == data
        entry = one.entry(made.id)
        assert entry is not None
        assert chunks <= {start + i for start, n in entry.have for i in range(n)}
        assert one.check(made.id) == []
