"""Codes of words over REST, between whole nodes: what is offered comes, the code stays secret."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.unit.gateway.test_object_api import calling, put, refused
from tests.unit.node.object_lab import MIB, met, nodes, play, some

from whispurrnet.extensions.filesync import invitation
from whispurrnet.gateway import offers, pair_api
from whispurrnet.node.pairing import Pairing
from whispurrnet.wire import words


async def ended(http: httpx.AsyncClient, path: str, states: tuple[str, ...]) -> dict[str, Any]:
    """How something is, once it is so."""
    while True:
        row: Any = (await http.get(path)).json()
        row = row[0] if isinstance(row, list) else row
        if row["state"] in states:
            return dict(row)
        await asyncio.sleep(0.02)


async def offered(http: httpx.AsyncClient, oid: str, **ask: Any) -> dict[str, Any]:
    answer = await http.post(f"/objects/{oid}/offer", json=ask)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_object_goes_from_store_to_store_by_a_code() -> None:
    data = some(2 * MIB)

    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            info = await put(here, data)
            made = await offered(here, info["oid"], name="film.mp4")
            words.parse(made["code"])
            assert made["command"] == "whispurr receive"
            assert made["offer"]["state"] == "open"
            assert made["offer"]["expires_s"] > 60
            assert made["code"] not in (await here.get("/offers")).text
            row = (await there.post("/receive", json={"code": made["code"]})).json()
            assert (row["oid"], row["name"], row["size"]) == (info["oid"], "film.mp4", len(data))
            done = await ended(there, f"/receiving/{info['oid']}", ("done", "failed"))
            assert (done["state"], done["verified"]) == ("done", len(data)), done
            assert (await there.get(f"/objects/{info['oid']}/data")).content == data
            assert (await there.get(f"/objects/{info['oid']}")).json()["pinned"]
            told = await ended(here, "/offers", ("arrived",))
            assert [one["arrived"] for one in told["takers"]] == [True]
            assert made["code"] not in (await here.get("/offers")).text

    play(story)


def test_a_folder_comes_with_all_that_it_names() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            files = [await put(here, some(size)) for size in (5, 300_000)]
            inner = {"entries": {"a": files[0]["oid"]}}
            folder = (await here.post("/objects/wrap", json=inner)).json()["oid"]
            both = {"entries": {"in": folder, "b": files[1]["oid"]}}
            root = (await here.post("/objects/wrap", json=both)).json()["oid"]
            made = await offered(here, root)
            assert made["offer"]["size"] == 300_005
            row = (await there.post("/receive", json={"code": made["code"]})).json()
            assert row["folder"]
            done = await ended(there, f"/receiving/{root}", ("done", "failed"))
            assert done["state"] == "done", done
            for one in files:
                assert (await there.get(f"/objects/{one['oid']}")).json()["complete"]

    play(story)


def test_a_wrong_code_ends_it_and_both_are_told() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            info = await put(here, b"q")
            made = await offered(here, info["oid"])
            code = words.parse(made["code"])
            word = words.LIVING[(words.LIVING.index(code.words[0]) + 1) % 256]
            wrong = words.Code(code.nameplate, (word, *code.words[1:])).text
            answer = await there.post("/receive", json={"code": wrong, "timeout_s": 20})
            assert "code" in refused(answer, 502)
            row = await ended(here, "/offers", ("ended",))
            assert "wrong words" in row["why"]
            answer = await there.post("/receive", json={"code": made["code"], "timeout_s": 1.5})
            refused(answer, 504)
            assert (await there.get("/receiving")).json() == []

    play(story)


def test_nobody_offers_it() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            ask: dict[str, Any] = {"code": "7-otter-ladder", "timeout_s": 0.2}
            answer = await http.post("/receive", json=ask)
            assert "connected to nobody" in refused(answer, 504)
            for ask in ({"code": "otter"}, {"code": ""}, {"code": "7-otter-ladder", "x": 1}):
                refused(await http.post("/receive", json=ask), 400)

    play(story)


def test_a_code_is_no_part_of_an_address() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            answer = await http.post("/receive?code=7-otter-ladder", json={"code": "x"})
            assert "otter" not in refused(answer, 400)
            assert (await http.get("/receive/7-otter-ladder")).status_code == 404

    play(story)


def test_a_name_is_no_path() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            info = await put(http, b"q")
            for name in ("../x", "a/b", "con", "\x00", "x" * 300):
                refused(await http.post(f"/objects/{info['oid']}/offer", json={"name": name}), 400)
            refused(await http.post(f"/objects/{'ab' * 32}/offer", json={}), 404)
            assert (await http.get("/offers")).json() == []

    play(story)


def test_taken_back_nobody_gets_it() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            info = await put(here, b"q")
            one, two = [await offered(here, info["oid"]) for _ in range(2)]
            row = (await here.delete(f"/offers/{one['offer']['number']}")).json()
            assert row["state"] == "ended"
            refused(await here.delete(f"/offers/{one['offer']['number']}"), 404)
            ask = {"code": one["code"], "timeout_s": 1.5}
            refused(await there.post("/receive", json=ask), 504)
            ask = {"code": two["code"], "timeout_s": 20}
            assert (await there.post("/receive", json=ask)).status_code == 200
            assert (await ended(there, "/receiving", ("done", "failed")))["state"] == "done"
            await here.delete(f"/offers/{two['offer']['number']}")
            assert anna.names == ()

    play(story)


def test_what_is_received_can_be_stopped() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            info = await put(here, some(8 * MIB))
            anna.objects.limit(up=MIB)
            made = await offered(here, info["oid"])
            await there.post("/receive", json={"code": made["code"]})
            row = (await there.delete(f"/receiving/{info['oid']}")).json()
            assert row["state"] == "stopped"
            await asyncio.sleep(0.1)
            assert (await there.get("/transfers")).json() == []
            assert (await there.get(f"/receiving/{info['oid']}")).json()["state"] == "stopped"
            refused(await there.get(f"/receiving/{'ab' * 32}"), 404)

    play(story)


def test_there_is_an_end_to_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_api, "OFFERS_MAX", 2)
    assert offers.OFFERS_MAX > 2

    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            info = await put(http, b"q")
            made = [await offered(http, info["oid"]) for _ in range(2)]
            refused(await http.post(f"/objects/{info['oid']}/offer", json={}), 429)
            await http.delete(f"/offers/{made[0]['offer']['number']}")
            await offered(http, info["oid"])

    play(story)


def test_the_code_of_a_shared_folder_is_told_apart() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(ben) as there:
            await met(ben, anna)
            folder = invitation.offer(b"k" * 32, "notes")
            offer = await Pairing(anna).offer(folder.pack())
            answer = await there.post("/receive", json={"code": offer.code.text})
            refused(answer, 400)
            assert "whispurr sync" in answer.json()["cure"]

    play(story)


def test_an_offer_that_is_none() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(ben) as there:
            await met(ben, anna)
            offer = await Pairing(anna).offer(b"\x07nonsense")
            refused(await there.post("/receive", json={"code": offer.code.text}), 502)

    play(story)
