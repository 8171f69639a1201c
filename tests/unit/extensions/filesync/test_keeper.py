"""The folder of the settings: who may take part is found in them, and members find each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.object_lab import ALONE, met, nodes, play

import whispurrnet
from whispurrnet.base.errors import ConfigError
from whispurrnet.crypto.keys import Secret
from whispurrnet.extensions.filesync import invitation
from whispurrnet.extensions.filesync.keeper import Keeper
from whispurrnet.node.sections import SecretText, SyncSettings
from whispurrnet.wire.ids import ObjectId
from whispurrnet.wire.object_ticket import ObjectTicket, Offered

KEY = b"k" * 32


def made(path: Path) -> Path:
    path.mkdir()
    return path


async def there(path: Path) -> None:
    while not await asyncio.to_thread(path.exists):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.02)


def test_the_ticket_of_the_settings_opens_a_folder_and_is_needed_once(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two")
    (one / "a").write_text("q")

    async def story() -> None:
        async with whispurrnet.open(**ALONE) as anna, whispurrnet.open(**ALONE) as ben:
            text = ObjectTicket(invitation.offer(KEY, "one"), anna.ticket).text
            for ticket in (text, ""):  # the second time the key is kept
                settings = SyncSettings(folder=str(one), ticket=SecretText(ticket))
                mine = SyncSettings(folder=str(two), ticket=SecretText(ticket))
                async with Keeper(anna, settings) as here, Keeper(ben, mine) as keeper:
                    assert (here.state, keeper.state, keeper.why) == ("running", "running", "")
                    if ticket:
                        await there(two / "a")
                        (one / "b").write_text("later")
                    else:
                        await met(ben, anna)
                        await there(two / "b")
                assert keeper.state == "paused"
                assert ben.extensions == []

    play(story)


def test_a_folder_under_another_key_is_left_alone(tmp_path: Path) -> None:
    folder = made(tmp_path / "one")

    async def story() -> None:
        async with whispurrnet.open(**ALONE) as anna:
            for key, state in ((KEY, "running"), (b"x" * 32, "failed"), (KEY, "running")):
                text = ObjectTicket(invitation.offer(key, "one"), anna.ticket).text
                settings = SyncSettings(folder=str(folder), ticket=SecretText(text))
                async with Keeper(anna, settings) as keeper:
                    assert keeper.state == state
                    assert ("another key" in keeper.why) == (state == "failed")

    play(story)


def test_the_folder_of_another_process_is_named_and_tried_again(tmp_path: Path) -> None:
    folder = made(tmp_path / "one")

    async def story() -> None:
        settings = SyncSettings(folder=str(folder))
        async with (
            nodes(2) as (anna, ben),
            Keeper(anna, settings) as first,
            Keeper(ben, settings) as second,
        ):
            assert (second.state, bool(second.why)) == ("failed", True)
            assert second.status() is None
            await first.pause()
            await second.resume()
            assert (second.state, second.why) == ("running", "")

    play(story)


@pytest.mark.parametrize("wrong", ["WN1-NONSENSE", "file"])
def test_a_wrong_ticket_is_an_error_in_the_settings(wrong: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with whispurrnet.open(**ALONE) as anna:
            text = wrong
            if wrong == "file":
                offered = Offered(ObjectId(b"o" * 32), Secret(KEY), "x", 1, False)
                text = ObjectTicket(offered, anna.ticket).text
            with pytest.raises(ConfigError, match="sync"):
                Keeper(anna, SyncSettings(folder=str(tmp_path), ticket=SecretText(text)))

    play(story)


def test_the_ticket_is_shown_by_nothing() -> None:
    settings: Any = whispurrnet.Settings().replace(sync={"ticket": "WNO1-SECRET"})
    assert "SECRET" not in repr(settings)
    assert settings.to_json()["sync"]["ticket"] == "<set>"
