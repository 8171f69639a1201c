"""The folder of the settings over REST: how it is, pause, go on, let in; no path, either way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.gateway.test_object_api import refused
from tests.unit.node.object_lab import ALONE, met, play

import whispurrnet
from whispurrnet.extensions.filesync.filesync import FileSync
from whispurrnet.extensions.filesync.keeper import Keeper
from whispurrnet.gateway.app import create_app
from whispurrnet.gateway.live import Live
from whispurrnet.node.node import Node

API = "http://localhost:8765/api/whispurrnet"


@contextlib.asynccontextmanager
async def kept(folder: Path, **sync: Any) -> AsyncIterator[tuple[Node, httpx.AsyncClient]]:
    """A node that keeps a folder, and a client of it."""
    settings: dict[str, Any] = {**ALONE, "sync": {"folder": str(folder), **sync}}
    async with whispurrnet.open(**settings) as node, Keeper(node, node.settings.sync) as keeper:
        app = create_app(node, node.settings, Live(node), keepers=[keeper])
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url=API) as http:
            yield node, http


async def row(http: httpx.AsyncClient, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The folder, once something is so."""
    while True:
        (found,) = (await http.get("/sync")).json()
        if true(found):
            return dict(found)
        await asyncio.sleep(0.02)


def made(path: Path) -> Path:
    path.mkdir()
    return path


def test_how_it_is_and_why_something_is_not_the_same(tmp_path: Path) -> None:
    here, there = made(tmp_path / "notes"), made(tmp_path / "other")
    (here / "a.txt").write_text("from here")
    (here / "link").symlink_to("/etc/passwd")
    (there / "b.txt").write_text("from there")

    async def story() -> None:
        async with whispurrnet.open(**ALONE) as ben, kept(here, peers=[ben.id]) as (anna, http):
            async with FileSync(there, named=[anna.id], scan_s=0.1).on(ben):
                await met(ben, anna)
                found = await row(
                    http, lambda one: one["totals"]["files"] == 2 and not one["totals"]["behind"]
                )
            assert (found["name"], found["state"], found["trouble"]) == ("notes", "running", "")
            assert found["peers"] == [ben.name]
            (item,) = found["items"]
            assert item["path"] == "link"
            assert "symbolic link" in item["reason"]
            assert (await http.get("/sync", params={"items": 0})).json()[0]["items"] == []
            assert str(tmp_path) not in (await http.get("/sync")).text

    play(story)
    assert (there / "a.txt").read_text() == "from here"
    assert (here / "b.txt").read_text() == "from there"


def test_it_pauses_and_goes_on_where_it_was(tmp_path: Path) -> None:
    here, there = made(tmp_path / "notes"), made(tmp_path / "other")

    async def story() -> None:
        async with whispurrnet.open(**ALONE) as ben, kept(here, peers=[ben.id]) as (anna, http):
            sync = FileSync(there, named=[anna.id], scan_s=0.1)
            async with sync.on(ben):
                await met(ben, anna)
                await sync.settled()
                found = (await http.post("/sync/notes/pause")).json()
                assert (found["state"], found["totals"]) == ("paused", None)
                assert "filesync" not in anna.extensions
                assert (await http.post("/sync/notes/pause")).json()["state"] == "paused"
                (there / "late").write_text("came while it paused")
                await asyncio.sleep(0.3)
                assert not (here / "late").exists()
                assert (await http.post("/sync/notes/resume")).json()["state"] == "running"
                await row(http, lambda _: (here / "late").exists())

    play(story)


@pytest.mark.parametrize("may", [False, True])
def test_nobody_is_let_in_unless_the_settings_say_so(may: bool, tmp_path: Path) -> None:
    here, there = made(tmp_path / "notes"), made(tmp_path / "other")
    (here / "secret").write_text("q")

    async def let_in(http: httpx.AsyncClient, name: str) -> None:
        await row(http, lambda one: one["peers"] == [name])
        await row(http, lambda _: (there / "secret").exists())
        await http.post("/sync/notes/pause")
        await http.post("/sync/notes/resume")
        await row(http, lambda one: one["peers"] == [name])
        refused(await http.post("/sync/notes/admit", json={"peer": "x"}), 400)

    async def story() -> None:
        sync = {"peers": ["ab" * 32], "rest_admits": may}
        async with whispurrnet.open(**ALONE) as ben, kept(here, **sync) as (anna, http):
            ours = FileSync(there, named=[anna.id], scan_s=0.1)
            async with ours.on(ben):
                _, ben_there = await met(ben, anna)
                answer = await http.post("/sync/notes/admit", json={"peer": ben.id})
                if may:
                    assert answer.status_code == 200
                    await let_in(http, ben_there.name)
                    return
                assert "every user" in refused(answer, 403)
                found = await row(http, lambda one: one["refused"])
                assert found["peers"] == []
                assert not (there / "secret").exists()

    play(story)


def test_a_folder_that_is_not_there_stops_nothing_and_tells_no_place(tmp_path: Path) -> None:
    here = tmp_path / "notes"

    async def story() -> None:
        async with kept(here) as (_, http):
            found = await row(http, lambda one: one["state"] == "failed")
            assert "no folder" in found["trouble"]
            assert str(tmp_path) not in found["trouble"]
            here.mkdir()
            assert (await http.post("/sync/notes/resume")).json()["state"] == "running"

    play(story)


def test_only_the_folder_of_the_settings(tmp_path: Path) -> None:
    here = made(tmp_path / "notes")

    async def story() -> None:
        async with kept(here) as (_, http):
            for name in ("other", "..", str(tmp_path), "%2e%2e%2fnotes"):
                answer = await http.post(f"/sync/{name}/pause")
                assert answer.status_code in {404, 405}, name
            for ask in ({"folder": "/etc"}, {"path": "/etc"}):
                answer = await http.post("/sync", json=ask)
                assert answer.status_code in {404, 405}
        async with whispurrnet.open(**ALONE) as node:
            transport = httpx.ASGITransport(create_app(node, node.settings, Live(node)))
            async with httpx.AsyncClient(transport=transport, base_url=API) as http:
                assert (await http.get("/sync")).json() == []
                refused(await http.post("/sync/notes/resume"), 404)

    play(story)
