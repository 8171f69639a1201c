"""The routes for one node among machines: instance, topology, sleep."""

from __future__ import annotations

from typing import Any

from whispurrnet.testing.virtual_loop import run

API = "/api/whispurrnet"
A, B = "aa" * 32, "bb" * 32


def call(calling: Any, method: str, path: str, body: Any = None) -> Any:
    async def calls() -> Any:
        async with calling() as http:
            more = {} if body is None else {"json": body}
            return await http.request(method, API + path, **more)

    return run(calls())


def test_the_six_fields_of_the_seed(calling: Any, node: Any) -> None:
    told = call(calling, "GET", "/instance").json()
    assert (told["instance_id"], told["node_type"], told["status_code"]) == (A, "chum", 2)
    assert told["storage"]["objects"] == 2
    assert told["capabilities"] == ["objects"]


def test_the_map(calling: Any, node: Any) -> None:
    told = call(calling, "GET", "/topology").json()
    assert told["links"] == [{"a": A, "b": B, "both": True}]
    assert call(calling, "GET", "/topology?timeout_s=1").status_code == 400
    assert call(calling, "GET", "/topology?timeout_s=61").status_code == 400
    assert node.chum.waited == [3.0, 1.0]


def test_sleep(calling: Any, node: Any) -> None:
    assert call(calling, "GET", "/sleep").json() == {"asleep": False}
    ask = {"for_s": 60, "note": "good night"}
    assert call(calling, "POST", "/sleep", ask).json() == {"asleep": True}
    assert node.slept == (60.0, "good night")
    assert call(calling, "POST", "/sleep", {}).json() == {"asleep": True}
    assert node.slept == (None, "")
    assert call(calling, "DELETE", "/sleep").json() == {"asleep": False}
    for wrong in ({"for_s": 0}, {"for_s": -1}, {"note": "x" * 121}, {"until": 3}):
        assert call(calling, "POST", "/sleep", wrong).status_code == 400
