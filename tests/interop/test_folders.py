"""Several folders on one node, and nodes that have some of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.interop.test_filesync import HERE, tree, until, until_same

import whispurrnet
from whispurrnet.errors import ConfigError, UsageError
from whispurrnet.extensions.filesync import messages
from whispurrnet.extensions.filesync.desk import Desk
from whispurrnet.extensions.filesync.filesync import FileSync
from whispurrnet.extensions.filesync.keeper import keepers
from whispurrnet.extensions.filesync.messages import Hello, Message, No, SyncCodec, folder_of
from whispurrnet.node.sections import SyncSettings

KEYS = {name: name.encode().ljust(32, b"k") for name in ("work", "home", "club")}


class Home:
    """A node and its folders."""

    def __init__(self, node: whispurrnet.Node, root: Path, *names: str) -> None:
        self.node = node
        self.root = root
        self.syncs: dict[str, FileSync] = {}
        for name in names:
            (root / name).mkdir(parents=True)
            self.syncs[name] = FileSync(root / name, key=KEYS[name], scan_s=0.1)

    async def begin(self, life: AsyncExitStack) -> None:
        for sync in self.syncs.values():
            await life.enter_async_context(sync.on(self.node))

    def pair(self, name: str) -> tuple[FileSync, Path]:
        return self.syncs[name], self.root / name


def test_each_folder_goes_to_those_who_have_it(tmp_path: Path) -> None:
    large = b"0123456789abcdef" * 40_000

    async def main() -> None:
        async with AsyncExitStack() as life:
            nodes = [await life.enter_async_context(whispurrnet.open(**HERE)) for _ in range(3)]
            ada = Home(nodes[0], tmp_path / "ada", "work", "home")
            bob = Home(nodes[1], tmp_path / "bob", "home", "work", "club")
            eve = Home(nodes[2], tmp_path / "eve", "work")
            (ada.root / "work" / "plan").write_text("of work")
            (bob.root / "home" / "film").write_bytes(large)
            (bob.root / "club" / "list").write_text("of members")
            (eve.root / "work" / "note").write_text("from eve")
            for home in (ada, bob, eve):
                await home.begin(life)
            await bob.node.connect(ada.node.ticket)
            to_bob = await eve.node.connect(bob.node.ticket)
            await eve.node.connect(ada.node.ticket)
            await until_same(ada.pair("work"), bob.pair("work"), eve.pair("work"))
            await until_same(ada.pair("home"), bob.pair("home"))
            assert tree(eve.root / "work") == {"note": b"from eve", "plan": b"of work"}
            assert tree(ada.root / "home") == {"film": large}
            await until(lambda: len(bob.syncs["club"].status().refused) == 2)
            assert all("another folder" in one for one in bob.syncs["club"].status().refused)
            assert [*eve.syncs["work"].status().refused] == []
            oids = [*bob.syncs["home"]._engine.model.index.holders]
            for oid in oids:  # she takes part at work, and asks for what is at home
                with pytest.raises(whispurrnet.WhispurrError, match="not in this folder"):
                    await to_bob.request("filesync/content", oid)
            (bob.root / "home" / "film").unlink()
            (eve.root / "work" / "plan").write_text("changed")
            await until_same(ada.pair("home"), bob.pair("home"))
            await until_same(ada.pair("work"), bob.pair("work"), eve.pair("work"))
            assert tree(ada.root / "home") == {}
            assert tree(ada.root / "work")["plan"] == b"changed"

    asyncio.run(main())


def test_a_folder_that_leaves_does_not_disturb_the_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as life:
            nodes = [await life.enter_async_context(whispurrnet.open(**HERE)) for _ in range(2)]
            ada = Home(nodes[0], tmp_path / "ada", "work", "home")
            bob = Home(nodes[1], tmp_path / "bob", "work", "home")
            await ada.begin(life)
            async with bob.syncs["home"].on(bob.node):
                await life.enter_async_context(bob.syncs["work"].on(bob.node))
                await bob.node.connect(ada.node.ticket)
                (ada.root / "home" / "a").write_text("a")
                await until_same(ada.pair("home"), bob.pair("home"))
            assert bob.node.extensions == ["filesync"]
            (ada.root / "work" / "b").write_text("b")
            await until_same(ada.pair("work"), bob.pair("work"))
            async with FileSync(bob.root / "home", scan_s=0.1).on(bob.node):
                (ada.root / "home" / "c").write_text("c")
                await until((bob.root / "home" / "c").exists)
        assert bob.node.extensions == []

    asyncio.run(main())


def test_two_folders_that_nobody_could_tell_apart_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with whispurrnet.open(**HERE) as node:
            ada = Home(node, tmp_path, "work")
            (tmp_path / "copy").mkdir()
            copy = FileSync(tmp_path / "copy", key=KEYS["work"])
            async with ada.syncs["work"].on(node):
                with pytest.raises(UsageError, match="same key"):
                    async with copy.on(node):
                        pass
                assert node.extensions == ["filesync"]
            assert node.extensions == []

    asyncio.run(main())


def test_another_version_and_another_folder_are_told(tmp_path: Path) -> None:
    codec, said = SyncCodec(), asyncio.Queue[Message]()

    async def hear(message: whispurrnet.Message) -> None:
        for one in codec.decode(message.body):
            said.put_nowait(one)

    async def refusal() -> No:
        while not isinstance(answer := await asyncio.wait_for(said.get(), 10), No):
            pass
        return answer

    async def main() -> None:
        async with whispurrnet.open(**HERE) as node, whispurrnet.open(**HERE) as old:
            ada = Home(node, tmp_path, "work", "home")
            async with AsyncExitStack() as life:
                await ada.begin(life)
                old.on_kind("FILE_SYNC", hear)
                peer = await old.connect(node.ticket)
                names = [folder_of(KEYS[name], bytes.fromhex(old.id)) for name in ("home", "club")]
                for version, name, code, text in (
                    (1, names[0], messages.OTHER_VERSION, "version 1 of folder sync, and we 2"),
                    (2, names[1], messages.OTHER_FOLDER, "another folder"),
                ):
                    hello = Hello(version, name, 77, b"n" * 16, False)
                    peer.whisper(codec.encode(hello), kind="FILE_SYNC")
                    answer = await refusal()
                    assert (answer.code, answer.folder) == (code, name)
                    assert text in answer.text
                no = No(messages.OTHER_VERSION, "old", folder_of(KEYS["home"], peer.record.id))
                await peer.whisper(codec.encode(no), kind="FILE_SYNC").received()
                home, work = ada.syncs["home"], ada.syncs["work"]
                await until(lambda: "old" in "".join(home.status().refused))
                assert not work.status().refused

    asyncio.run(main())


def test_without_the_desk_a_folder_hears_what_is_meant_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "_meant", lambda self, _, __: self._folders)
    with pytest.raises(AssertionError):
        test_another_version_and_another_folder_are_told(tmp_path)


def test_the_settings_may_name_several(tmp_path: Path) -> None:
    for place in ("ada/work", "ada/home", "bob/work", "bob/home", "bob/more/home"):
        (tmp_path / place).mkdir(parents=True)
    for name in ("work", "home"):
        (tmp_path / "ada" / name / "file").write_text(name)

    def wanted(who: str, *more: str) -> SyncSettings:
        places = [str(tmp_path / who / name) for name in ("work", "home", *more)]
        return SyncSettings(folder=places[0], folders=tuple(places[1:]))

    async def main() -> None:
        async with AsyncExitStack() as life:
            nodes = [await life.enter_async_context(whispurrnet.open(**HERE)) for _ in range(2)]
            for who in ("ada", "bob"):  # as `whispurr sync` once: each folder keeps its key
                for name in ("work", "home"):
                    async with FileSync(tmp_path / who / name, key=KEYS[name]).on(nodes[0]):
                        pass
            found: list[Any] = []
            for node, who in zip(nodes, ("ada", "bob"), strict=True):
                found += [await life.enter_async_context(one) for one in keepers(node, wanted(who))]
            assert [keeper.name for keeper in found] == ["work", "home"] * 2
            assert {keeper.state for keeper in found} == {"running"}
            await nodes[1].connect(nodes[0].ticket)
            for name in ("work", "home"):
                place = tmp_path / "bob" / name / "file"
                await until(place.exists)
                assert place.read_text() == name
            with pytest.raises(ConfigError, match="'home'"):
                keepers(nodes[1], wanted("bob", "more/home"))

    asyncio.run(main())
