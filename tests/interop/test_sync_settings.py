"""`[sync]`: two nodes that are up keep a folder in step, and say how it is."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.interop.test_cli import Shell, Up

import whispurrnet
from whispurrnet.extensions.filesync import invitation
from whispurrnet.extensions.filesync.filesync import FileSync
from whispurrnet.extensions.filesync.journal import kept_key
from whispurrnet.wire.object_ticket import ObjectTicket
from whispurrnet.wire.ticket import Ticket


def machine(home: Path, folder: Path, ticket: str = "", more: Path | None = None) -> Shell:
    home.mkdir()
    alone = {"LAN_ENABLED": "false", "LISTEN": "/ip4/127.0.0.1/tcp/0", "PORT": "0"}
    folders = "" if more is None else str(more)
    return Shell(home, SYNC_FOLDER=str(folder), SYNC_TICKET=ticket, SYNC_FOLDERS=folders, **alone)


async def share(*folders: Path) -> None:
    """Give folders one key, as `whispurr sync` does with a ticket."""
    async with whispurrnet.open(listen=(), lan={"enabled": False}) as node:
        for folder in folders:
            async with FileSync(folder, key=b"k" * 32).on(node):
                pass


def post(up: Up, path: str) -> Any:
    url = f"http://localhost:{up.facts['port']}/api/whispurrnet/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=20) as answer:
        return json.load(answer)


def there(path: Path) -> None:
    ends = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_two_nodes_that_are_up_keep_a_folder_in_step(tmp_path: Path) -> None:
    one, two = tmp_path / "notes", tmp_path / "other"
    for folder in (one, two):
        folder.mkdir()
    (one / "hello.txt").write_text("from ada")
    (one / "link").symlink_to("/etc/passwd")
    album, copies = tmp_path / "album", tmp_path / "copies"
    for folder in (album, copies):
        folder.mkdir()
    asyncio.run(share(album, copies))
    (album / "photo").write_text("of both")
    first = machine(tmp_path / "ada", one, more=album)
    with first.up() as ada:
        key = kept_key(one)
        assert key is not None
        node = Ticket.parse(ada.facts["ticket"])
        ticket = ObjectTicket(invitation.offer(key, "notes"), node).text
        second = machine(tmp_path / "bob", two, ticket, more=copies)
        with second.up() as bob:
            there(two / "hello.txt")
            there(copies / "photo")
            assert not (two / "photo").exists()
            answer = first.until(*ada.api, true=lambda answer: answer["sync"][0]["peers"])
            assert answer["sync"][0]["peers"] == [bob.facts["name"]]
            shown = first.run("status", "--detailed", *ada.api).stdout
            assert "folder notes:" in shown
            assert "folder album:" in shown
            assert "symbolic link" in shown
            assert post(bob, "sync/other/pause")["state"] == "paused"
            assert "folder other: paused" in second.run("status", "--detailed", *bob.api).stdout
            (one / "late.txt").write_text("while it paused")
            assert post(bob, "sync/other/resume")["state"] == "running"
            there(two / "late.txt")
            config = second.run("config", "show").stdout
            assert ticket not in config
            assert bob.stop() == 0
        assert ada.stop() == 0
