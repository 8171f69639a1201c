from __future__ import annotations

from typing import Any

import jsonschema_rs

from whispurrnet.testing.virtual_loop import run


def document(calling: Any) -> dict[str, Any]:
    async def call() -> dict[str, Any]:
        async with calling() as http:
            answer: dict[str, Any] = (await http.get("/openapi.json")).json()
            return answer

    return run(call())


def test_every_reference_leads_somewhere(calling: Any) -> None:
    described = document(calling)
    known = described["components"]["schemas"]

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].rpartition("/")[2] in known
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(described["paths"])
    walk(known)


def test_operations_are_named_and_described(calling: Any) -> None:
    described = document(calling)
    assert described["openapi"] == "3.1.0"
    operations = [op for path in described["paths"].values() for op in path.values()]
    names = [op["operationId"] for op in operations]
    assert len(set(names)) == len(names) >= 20
    assert all(op["summary"] for op in operations)


def test_answers_hold_to_the_schema(calling: Any) -> None:
    described = document(calling)

    async def call() -> None:
        async with calling() as http:
            for path, operations in described["paths"].items():
                if "get" not in operations or "{" in path:
                    continue
                needed = [
                    p["name"] for p in operations["get"].get("parameters", ()) if p["required"]
                ]
                answer = await http.get(path, params=dict.fromkeys(needed, "x"))
                content = operations["get"]["responses"]["200"]["content"]
                schema = {
                    **content["application/json"]["schema"],
                    "components": described["components"],
                }
                assert answer.status_code == 200, path
                assert jsonschema_rs.is_valid(schema, answer.json()), path

    run(call())


def test_the_page_names_every_path(calling: Any) -> None:
    async def call() -> str:
        async with calling() as http:
            return str((await http.get("/docs")).text)

    page = run(call())
    for path in document(calling)["paths"]:
        assert path in page
