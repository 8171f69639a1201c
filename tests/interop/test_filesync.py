"""Folder sync as people use it: the extension on real nodes, and `whispurr sync` in processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import whispurrnet
from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.extensions.filesync.filesync import FileSync
from whispurrnet.extensions.filesync.paths import OWN

HERE = {"listen": ["/ip4/127.0.0.1/tcp/0"], "lan": {"enabled": False}}
KEY = b"k" * 32
PATIENCE_S = 30.0


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and OWN not in path.parts
    }


def sync(root: Path, key: bytes | None = KEY) -> FileSync:
    return FileSync(root, key=key, scan_s=0.1)


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not so():  # noqa: ASYNC110 - nothing tells when a folder on the disk has changed
            await asyncio.sleep(0.02)


async def until_same(*pairs: tuple[FileSync, Path]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for one, _ in pairs:
                await one.settled(peers=len(pairs) - 1, timeout_s=PATIENCE_S)
            if len({str(tree(root)) for _, root in pairs}) == 1:
                return


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("ada", "bob", "eve")]
    for root in made:
        root.mkdir()
    return made


def test_files_large_and_small_edits_renames_and_deletions(roots: list[Path]) -> None:
    async def main() -> None:
        a, b, _ = roots
        large = Random(1).randbytes(3_000_000)
        (a / "sub").mkdir()
        (a / "sub" / "large").write_bytes(large)
        (a / "run.sh").write_text("#!")
        (a / "run.sh").chmod(0o755)
        (b / "note").write_text("from bob")
        (a / "link").symlink_to("/etc/passwd")
        (a / "CON").write_text("a device elsewhere")
        async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
            one, two = sync(a), sync(b)
            async with one.on(ada), two.on(bob):
                await ada.connect(bob.ticket)
                await until(lambda: (b / "sub" / "large").exists() and (a / "note").exists())
                assert (b / "sub" / "large").read_bytes() == large
                assert os.access(b / "run.sh", os.X_OK)
                await two.settled()
                reasons = {item.path: item.reason for item in one.status().items}
                assert "symbolic link" in reasons["link"]
                assert "device" in reasons["CON"]
                os.rename(b / "sub", b / "moved")
                (b / "note").unlink()
                (b / "run.sh").write_text("#! edited")
                await until(lambda: {*tree(a)} - {"CON"} == {"moved/large", "run.sh"})
                await until(lambda: (a / "run.sh").read_text() == "#! edited")
                old = [p.read_bytes() for p in (a / OWN / "versions").rglob("note")]
                assert old == [b"from bob"]

    asyncio.run(main())


def test_two_edits_at_a_time_are_both_kept_and_the_same_everywhere(roots: list[Path]) -> None:
    async def main() -> None:
        a, b, _ = roots
        async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
            (a / "x.txt").write_text("ada's")
            (b / "x.txt").write_text("bob's")
            one, two = sync(a), sync(b)
            async with one.on(ada), two.on(bob):
                await ada.connect(bob.ticket)
                await until_same((one, a), (two, b))
                assert set(tree(a).values()) == {b"ada's", b"bob's"}
                assert one.status().totals.kept == 1
                assert not one.status().items

    asyncio.run(main())


def test_whoever_has_no_key_sees_nothing_and_is_told_so(roots: list[Path]) -> None:
    async def main() -> None:
        a, b, c = roots
        (a / "secret").write_text("s")
        async with (
            whispurrnet.open(**HERE) as ada,
            whispurrnet.open(**HERE) as bob,
            whispurrnet.open(**HERE) as eve,
        ):
            one, wrong, named = sync(a), sync(b, b"x" * 32), FileSync(c, named=[ada.id])
            async with one.on(ada), wrong.on(bob), named.on(eve):
                await until(lambda: bool(one._engine.model.index.holders))
                await bob.connect(ada.ticket)
                peer = await eve.connect(ada.ticket)
                await until(lambda: bool(wrong.status().refused and named.status().refused))
                assert "key" in wrong.status().refused[0]
                assert not one.status().peers
                assert not tree(b)
                assert not tree(c)
                oid = next(iter(one._engine.model.index.holders))
                with pytest.raises(whispurrnet.WhispurrError, match="not in this folder"):
                    await peer.request("filesync/content", oid)

    asyncio.run(main())


def test_peers_that_name_each_other_need_no_key(roots: list[Path]) -> None:
    async def main() -> None:
        a, b, _ = roots
        (a / "x").write_text("1")
        async with whispurrnet.open(**HERE) as ada, whispurrnet.open(**HERE) as bob:
            one = FileSync(a, named=[bob.id], scan_s=0.1)
            two = FileSync(b, named=[ada.id], scan_s=0.1)
            async with one.on(ada), two.on(bob):
                await ada.connect(bob.ticket)
                await until_same((one, a), (two, b))
                assert tree(b) == {"x": b"1"}

    asyncio.run(main())


def test_three_nodes_and_a_folder_that_vanishes(roots: list[Path]) -> None:
    async def main() -> None:
        async with (
            whispurrnet.open(**HERE) as ada,
            whispurrnet.open(**HERE) as bob,
            whispurrnet.open(**HERE) as eve,
        ):
            nodes = [ada, bob, eve]
            syncs = [sync(root) for root in roots]
            async with syncs[0].on(ada), syncs[1].on(bob), syncs[2].on(eve):
                for number, root in enumerate(roots):
                    (root / f"f{number}").write_bytes(b"%d" % number * 1000)
                for node in nodes[1:]:
                    await node.connect(ada.ticket)
                await eve.connect(bob.ticket)
                await until_same(*zip(syncs, roots, strict=True))
                assert len(tree(roots[2])) == 3
                os.rename(roots[0], f"{roots[0]}-gone")
                roots[0].mkdir()
                with pytest.raises(HostError, match="not there any more"):
                    await syncs[0].settled(timeout_s=PATIENCE_S)
                assert len(tree(roots[2])) == 3

    asyncio.run(main())


def test_what_cannot_be_kept_in_step_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        FileSync(tmp_path / "none")
    with pytest.raises(UsageError, match="32 bytes"):
        FileSync(tmp_path, key=b"short")
    with pytest.raises(UsageError, match="not a peer"):
        FileSync(tmp_path, named=["somebody"])

    async def main() -> None:
        async with (
            whispurrnet.open(**HERE) as ada,
            whispurrnet.open(**HERE) as bob,
            sync(tmp_path).on(ada),
        ):
            with pytest.raises(HostError, match="another process"):
                await sync(tmp_path).on(bob).__aenter__()

    asyncio.run(main())


# Processes


@contextlib.contextmanager
def process(
    *arguments: str | Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WHISPURRNET_")}
    flags = ["--set", "lan.enabled=false", "--set", 'listen=["/ip4/127.0.0.1/tcp/0"]']
    command = [sys.executable, "-m", "whispurrnet", "sync", "--output", "json"]
    with subprocess.Popen(
        [*command, *map(str, arguments), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, **(environment or {})},
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def first(running: subprocess.Popen[str], kind: str) -> dict[str, object]:
    assert running.stdout is not None
    for line in running.stdout:
        said: dict[str, object] = json.loads(line)
        if said["type"] == kind:
            return said
    raise AssertionError(running.stderr.read() if running.stderr else "")


def test_the_command_survives_kills_and_ends_in_the_same_tree(roots: list[Path]) -> None:
    a, b, _ = roots
    rng = Random(2)
    for number in range(40):
        (a / f"file{number}").write_bytes(rng.randbytes(rng.choice([100, 100_000, 700_000])))
    (b / "own").write_text("bob's")
    with process(a) as ada:
        ticket = str(first(ada, "sharing")["ticket"])
        for wait_s in (0.7, 1.0):
            with process(b, "--with", ticket) as bob:
                time.sleep(wait_s)
                bob.send_signal(signal.SIGKILL)
        with process(b, "--with", ticket, "--once") as bob:
            assert bob.wait(60) == 0, bob.stderr
        assert tree(a) == tree(b)
        assert len(tree(a)) == 41
        ada.send_signal(signal.SIGKILL)
    (a / "file0").unlink()
    (b / "file1").write_text("edited")
    with process(a) as ada:  # the key is kept in the folder
        ticket = str(first(ada, "sharing")["ticket"])
        with process(b, "--with", ticket, "--once") as bob:
            assert bob.wait(60) == 0, bob.stderr
        assert tree(a) == tree(b)
        assert len(tree(a)) == 40
        assert (a / "file1").read_text() == "edited"
        ada.send_signal(signal.SIGINT)
        assert ada.wait(20) == 0


def test_a_wrong_ticket_and_a_wrong_folder_are_refused(roots: list[Path]) -> None:
    for arguments, word in (
        ((roots[0] / "none",), "no such folder"),
        ((roots[0], "--with", "somebody"), "not a peer"),
    ):
        with process(*arguments) as running:
            assert running.wait(20) == 2
            assert running.stdout is not None and running.stderr is not None
            assert word in (running.stdout.read() + running.stderr.read()).lower()


def test_a_code_of_words_brings_two_folders_together(roots: list[Path]) -> None:
    a, b, _ = roots
    (a / "x").write_text("by a code")

    async def main() -> None:
        async with whispurrnet.open(**HERE) as point:
            await asyncio.to_thread(both, point.ticket.text)

    def both(via: str) -> None:
        with process(a, "--code", "--via", via) as ada:
            code = str(first(ada, "sharing")["code"])
            environment = {"WHISPURRNET_CODE": code}
            with process(b, "--join", "--once", "--via", via, environment=environment) as bob:
                assert bob.wait(60) == 0, bob.stderr and bob.stderr.read()

    asyncio.run(main())
    assert tree(b) == {"x": b"by a code"}
