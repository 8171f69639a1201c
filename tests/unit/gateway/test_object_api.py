"""Objects over HTTP, on real nodes: what goes in comes out, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.node.object_lab import ALONE, MIB, met, nodes, play, some, until

import whispurrnet
from whispurrnet.gateway import object_api
from whispurrnet.gateway.app import create_app
from whispurrnet.gateway.live import Live
from whispurrnet.node.node import Node
from whispurrnet.node.settings import Settings
from whispurrnet.store.manifest import Entry, Kind, encode

API = "/api/whispurrnet"
BYTES = {"content-type": "application/octet-stream"}


@contextlib.asynccontextmanager
async def calling(
    node: Node, client: tuple[str, int] = ("127.0.0.1", 5), **gateway: Any
) -> AsyncIterator[httpx.AsyncClient]:
    settings = node.settings.replace(gateway=gateway) if gateway else node.settings
    transport = httpx.ASGITransport(create_app(node, settings, Live(node)), client=client)
    base = f"http://localhost:8765{API}"
    async with httpx.AsyncClient(transport=transport, base_url=base) as http:
        yield http


async def put(http: httpx.AsyncClient, data: bytes, **how: Any) -> dict[str, Any]:
    answer = await http.post("/objects", content=data, headers=BYTES, params=how)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refused(answer: httpx.Response, status: int) -> str:
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert set(body) == {"error", "cause", "cure", "kind"}
    assert all(body.values())
    return str(body["cause"])


def test_what_is_put_in_comes_out() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            for size in (0, 5, 65_537, 3 * MIB):  # more than `gateway.body_bytes_max`
                info = await put(http, some(size))
                assert (info["size"], info["complete"], info["pinned"]) == (size, True, True)
                assert (await http.get(f"/objects/{info['oid']}")).json() == info
                answer = await http.get(f"/objects/{info['oid']}/data")
                assert (answer.status_code, answer.content) == (200, some(size))
            page = (await http.get("/objects", params={"limit": 3})).json()
            assert len(page["objects"]) == 3
            rest = (await http.get("/objects", params={"after_oid": page["next"]})).json()
            assert (len(rest["objects"]), rest["next"]) == (1, "")
            assert not (await put(http, b"q", pin=False))["pinned"]

    play(story)


def test_an_answer_is_to_be_saved_and_not_looked_into() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            info = await put(http, b"<script>alert(1)</script>")
            answer = await http.get(f"/objects/{info['oid']}/data")
            headers = answer.headers
            assert headers["content-type"] == "application/octet-stream"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"] == "default-src 'none'; sandbox"
            named = f'attachment; filename="{info["oid"][:16]}.bin"'
            assert headers["content-disposition"] == named
            assert headers["etag"] == f'"{info["oid"]}"'
            answer = await http.get(f"/objects/{info['oid']}/data", params={"name": 'ä";x.html'})
            assert refused(answer, 400)
            answer = await http.get(f"/objects/{info['oid']}/data", params={"name": "ä; x.html"})
            named = "attachment; filename*=UTF-8''%C3%A4%3B%20x.html"
            assert answer.headers["content-disposition"] == named
            for name in ("../x", "a/b", "x\r\nset-cookie: a=b", "con", "\x00"):
                answer = await http.get(f"/objects/{info['oid']}/data", params={"name": name})
                assert refused(answer, 400)

    play(story)


def test_ranges() -> None:
    data = some(3 * MIB)
    size = len(data)

    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            info = await put(http, data)
            path = f"/objects/{info['oid']}/data"
            for text, start, end in (
                ("bytes=0-0", 0, 1),
                ("bytes=10-99", 10, 100),
                (f"bytes={size - 5}-", size - 5, size),
                ("bytes=-7", size - 7, size),
                (f"bytes=-{size * 2}", 0, size),
                (f"bytes=5-{size * 9}", 5, size),
                (f"bytes={MIB - 1}-{MIB * 2 + 1}", MIB - 1, MIB * 2 + 2),
            ):
                answer = await http.get(path, headers={"range": text})
                assert answer.status_code == 206, text
                assert answer.content == data[start:end]
                assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
                assert answer.headers["content-length"] == str(end - start)
            for text in ("bytes=-", "bytes=9-3", "bytes=0-1,5-6", "chunks=1-2", "bytes=a-b", "x"):
                answer = await http.get(path, headers={"range": text})
                assert (answer.status_code, len(answer.content)) == (200, size), text
            for text in (f"bytes={size}-", "bytes=-0", f"bytes={size}-{size + 1}"):
                answer = await http.get(path, headers={"range": text})
                assert str(size) in refused(answer, 416)
                assert answer.headers["content-range"] == f"bytes */{size}"
            tag = answer.headers.get("etag", f'"{info["oid"]}"')
            answer = await http.get(path, headers={"range": "bytes=0-1", "if-range": tag})
            assert answer.status_code == 206
            answer = await http.get(path, headers={"range": "bytes=0-1", "if-range": '"x"'})
            assert answer.status_code == 200
            answer = await http.get(path, headers={"if-none-match": tag})
            assert (answer.status_code, answer.content) == (304, b"")
            answer = await http.head(path)
            assert (answer.headers["content-length"], answer.content) == (str(size), b"")

    play(story)


def test_what_is_not_there_is_not_found() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("GET", "/data"),
                ("GET", "/entries"),
                ("POST", "/pin"),
                ("POST", "/unpin"),
            ):
                answer = await http.request(method, f"/objects/{'ab' * 32}{path}")
                refused(answer, 404)
                refused(await http.request(method, f"/objects/AB{path}"), 400)
            refused(await http.get(f"/transfers/{'ab' * 32}"), 404)
            refused(await http.get(f"/sets/{'ab' * 32}"), 404)

    play(story)


def test_no_path_of_this_machine_is_taken(tmp_path: Path) -> None:
    """Whoever may call gets what the node keeps, not what its user may read."""
    (tmp_path / "diary").write_bytes(b"secret")

    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            for key in ("path", "what", "file"):
                answer = await http.post(
                    "/objects", params={key: str(tmp_path / "diary")}, headers=BYTES, content=b""
                )
                refused(answer, 400)
            answer = await http.post("/objects", json={"path": str(tmp_path / "diary")})
            refused(answer, 415)

    play(story)


def test_uploads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(40):
            taken += 1
            yield bytes(100_000)

    async def story() -> None:
        async with nodes(1, objects={"quota_bytes": MIB}) as (anna,), calling(anna) as http:
            answer = await http.post("/objects", content=some(2 * MIB), headers=BYTES)
            assert "1048576" in refused(answer, 507)
            answer = await http.post("/objects", content=parts(), headers=BYTES)
            assert "1048576" in refused(answer, 507)
            assert taken <= 12, "the rest is not even taken"
            await put(http, some(MIB // 2))
            answer = await http.post("/objects", content=some(MIB - 9), headers=BYTES)
            assert "quota" in refused(answer, 507)
            assert (await http.get("/storage")).json()["bytes"] == MIB // 2
            monkeypatch.setattr(object_api, "UPLOADS_MAX", 0)
            refused(await http.post("/objects", content=b"", headers=BYTES), 429)
            large = await http.post("/objects/wrap", json={"entries": {"x" * 9: "a" * (3 * MIB)}})
            refused(large, 413)

    play(story)


def test_who_sends_nothing_does_not_hold_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_api, "BODY_TIMEOUT_S", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)
        yield b"y"

    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            refused(await http.post("/objects", content=slow(), headers=BYTES), 408)
            assert (await http.get("/objects")).json()["objects"] == []

    play(story)


def test_the_guard_stands_before_objects_too() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            async with calling(anna, client=("192.0.2.9", 5)) as http:
                refused(await http.post("/objects", content=b"x", headers=BYTES), 403)
            async with calling(anna) as http:
                foreign = {**BYTES, "origin": "https://evil.example"}
                refused(await http.post("/objects", content=b"x", headers=foreign), 403)
                rebound = {**BYTES, "host": "evil.example:8765"}
                refused(await http.post("/objects", content=b"x", headers=rebound), 403)
            async with calling(anna, client=("192.0.2.9", 5), token="night-bird") as http:
                known = {**BYTES, "authorization": "Bearer night-bird"}
                answer = await http.post("/objects", content=b"x", headers=known)
                assert answer.status_code == 200

    play(story)


def test_pins_and_garbage() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            info = await put(http, b"x")
            assert not (await http.post(f"/objects/{info['oid']}/unpin")).json()["pinned"]
            assert (await http.post(f"/objects/{info['oid']}/pin")).json()["pinned"]
            assert (await http.post("/storage/collect")).json()["removed"] == 0
            removed = await http.delete(f"/objects/{info['oid']}")
            assert removed.json() == {"oid": info["oid"]}
            assert (await http.get("/storage")).json()["objects"] == 0

    play(story)


def test_a_folder_is_made_listed_and_fetched() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            one = await put(here, some(MIB))
            entries = {"one.bin": one["oid"], "two.bin": one["oid"]}
            folder = (await here.post("/objects/wrap", json={"entries": entries})).json()
            assert folder["collection"]
            oid = folder["oid"]
            shared = (await here.post(f"/objects/{oid}/share", json={})).json()
            assert len(shared["cap"]) == 64
            ask = {"sources": [anna.name], "cap": shared["cap"], "folder": True}
            row = (await there.post(f"/objects/{oid}/fetch", json=ask)).json()
            assert row["state"] == "running"
            while row["state"] == "running":
                row = (await there.get(f"/transfers/{oid}")).json()
                await asyncio.sleep(0.01)
            assert (row["state"], row["error"]) == ("done", "")
            assert row["verified"] == row["total"] == 2 * MIB + folder["size"]
            rows = (await there.get(f"/objects/{oid}/entries")).json()["entries"]
            assert [(one["name"], one["size"], one["folder"]) for one in rows] == [
                ("one.bin", MIB, False),
                ("two.bin", MIB, False),
            ]
            got = await there.get(f"/objects/{rows[0]['oid']}/data")
            assert got.content == some(MIB)
            refused(await there.get(f"/objects/{one['oid']}/entries"), 400)
            assert (await there.get("/transfers")).json()[0]["state"] == "done"
            wrong = await here.post("/objects/wrap", json={"entries": {"../x": one["oid"]}})
            refused(wrong, 400)

    play(story)


def test_a_fetch_is_stopped_and_one_that_fails_says_why() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            oid = (await put(here, some(8 * MIB)))["oid"]
            limits = {"up_bps": 2e6}
            assert (await here.post("/transfers/limits", json=limits)).json()["up_bps"] == 2e6
            await here.post(f"/objects/{oid}/share", json={"to": "everyone"})
            ask = {"sources": [anna.id]}
            await there.post(f"/objects/{oid}/fetch", json=ask)
            again = await there.post(f"/objects/{oid}/fetch", json=ask)
            assert again.json()["state"] == "running"
            assert len((await there.get("/transfers")).json()) == 1
            await until(lambda: ben.objects.fetched_bytes)
            refused(await there.get(f"/objects/{oid}/data"), 409)
            row = (await there.delete(f"/transfers/{oid}")).json()
            assert (row["state"], "stopped" in row["error"]) == ("failed", True)
            assert ben.objects.transfers() == ()
            wrong = await there.post(f"/objects/{oid}/fetch", json={"sources": []})
            refused(wrong, 400)
            wrong = await there.post(f"/objects/{oid}/fetch", json={"sources": ["nobody"]})
            assert "nobody" in refused(wrong, 400)
            refused(await here.post(f"/objects/{oid}/share", json={"to": "nobody"}), 400)

    play(story)


def test_grants_by_name_and_by_identity() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here:
            await met(ben, anna)
            oid = (await put(here, b"x"))["oid"]
            for to in (ben.name, ben.id, "ab" * 32, "everyone"):
                answer = await here.post(f"/objects/{oid}/share", json={"to": to})
                assert answer.json() == {"oid": oid, "cap": ""}
                answer = await here.post(f"/objects/{oid}/unshare", json={"to": to})
                assert answer.status_code == 200
            assert (await here.post(f"/objects/{oid}/unshare", json={})).status_code == 200
            assert len(anna.stack.exchange.grants) == 0

    play(story)


def test_sets() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(anna) as here, calling(ben) as there:
            await met(ben, anna)
            oid = (await put(here, b"x"))["oid"]
            made = (await here.post("/sets")).json()
            name = made["id"]
            cap = (await here.post(f"/sets/{name}/share", json={})).json()["cap"]
            put_in = await here.post(f"/sets/{name}/objects", json={"objects": [oid]})
            assert put_in.json()["objects"] == 1
            ask = {"sources": [anna.name], "cap": cap}
            assert (await there.post(f"/sets/{name}/follow", json=ask)).status_code == 200
            (shared,) = ben.objects.sets.list()
            await shared.until(1)
            page = (await there.get(f"/sets/{name}/objects")).json()
            assert (page["total"], page["entries"][0]["oid"]) == (1, oid)
            assert (await there.get(f"/sets/{name}/objects?start=1")).json()["entries"] == []
            (row,) = (await there.get("/sets")).json()
            assert (row["id"], row["objects"], row["problems"]) == (name, 1, {})
            wrong = await here.post(f"/sets/{name}/objects", json={"objects": ["ab" * 32]})
            refused(wrong, 400)
            assert (await there.delete(f"/sets/{name}")).status_code == 200
            assert (await there.get("/sets")).json() == []

    play(story)


def test_names_that_others_made_stay_text() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,), calling(anna) as http:
            inner = await put(http, b"x")
            name = "<b>\u00e9 & 'quoted'".replace("<", "(").replace(">", ")")
            data = encode([Entry(name, bytes.fromhex(inner["oid"]), 1, Kind.FILE)])
            folder = await put(http, data)
            assert folder["collection"]
            rows = (await http.get(f"/objects/{folder['oid']}/entries")).json()["entries"]
            assert rows[0]["name"] == name
            bad = await put(http, data[:8] + b"\x91\xc0")
            assert (await http.get(f"/objects/{bad['oid']}/entries")).status_code in {400, 502}

    play(story)


def test_a_file_that_changed_is_an_error_before_anything_is_promised(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(some(MIB))

    async def story() -> None:
        async with whispurrnet.open(Settings(), **ALONE) as anna, calling(anna) as http:
            info = await anna.objects.add(file)
            file.write_bytes(some(MIB, 2))
            refused(await http.get(f"/objects/{info.oid}/data"), 503)

    play(story)


def test_a_part_is_fetched_and_read_and_the_rest_is_not_here() -> None:
    data = some(3 * MIB)

    async def story() -> None:
        async with nodes(2) as (anna, ben), calling(ben) as http:
            here, _ = await met(ben, anna)
            info = await anna.objects.add(data)
            anna.objects.share(info.oid, "everyone")
            path = f"/objects/{info.oid}"
            ask = {"sources": [here.id], "part": [MIB, 10]}
            assert (await http.post(f"{path}/fetch", json=ask)).status_code == 200
            await until(lambda: not ben.objects.transfers())
            row = (await http.get(f"/transfers/{info.oid}")).json()
            assert (row["state"], row["verified"]) == ("done", MIB // 4)
            assert not (await http.get(path)).json()["complete"]
            answer = await http.get(f"{path}/data", headers={"range": f"bytes={MIB}-{MIB + 9}"})
            assert (answer.status_code, answer.content) == (206, data[MIB : MIB + 10])
            refused(await http.get(f"{path}/data", headers={"range": "bytes=0-9"}), 409)
            refused(await http.get(f"{path}/data"), 409)
            for part in ([-1, 5], [0, 0], [5], "x"):
                ask = {"sources": [here.id], "part": part}
                refused(await http.post(f"{path}/fetch", json=ask), 400)
            ask = {"sources": [here.id], "part": [0, 1], "folder": True}
            refused(await http.post(f"{path}/fetch", json=ask), 400)
            ask = {"sources": [here.id]}
            await http.post(f"{path}/fetch", json=ask)
            await until(lambda: not ben.objects.transfers())
            assert (await http.get(f"{path}/data")).content == data

    play(story)
