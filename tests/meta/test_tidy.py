"""The house keeps itself tidy: what a linter does not check, this does.

Modelled on TigerBeetle's `src/tidy.zig`. Each rule is one function; a rule that hurts is
changed here, in the open, not worked around.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "whispurrnet"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
CORES = {
    *("base", "crypto", "wire", "identity", "session", "discovery", "nat", "gossip", "direct"),
    *("mailbox", "onion", "shadow", "veil", "store", "dag", "trust", "stack"),
}

LINES_PER_MODULE_MAX = 400
LINES_PER_FUNCTION_MAX = 60

# Why these may be longer; an entry that is no longer needed fails too.
LONG_MODULES: dict[str, str] = {
    "stack/events.py": "a vocabulary: some fifty records of two or three fields, nothing to follow",
}
LONG_FUNCTIONS: dict[str, str] = {}

UNFINISHED = re.compile("TODO|FIXME|XXX|raise NotImplemented|not implemented")
REGISTRIES = re.compile(r"pypi\.|pythonhosted\.|npmjs\.|registry\.[a-z]|artifactory")


def name(module: Path) -> str:
    return str(module.relative_to(SOURCE))


def functions(module: Path) -> list[tuple[str, int]]:
    """Each function's name and its lines, decorators not counted."""
    return [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]


@pytest.fixture(params=MODULES, ids=name)
def module(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_module_fits(module: Path) -> None:
    lines = len(module.read_text().splitlines())
    if name(module) in LONG_MODULES:
        assert lines > LINES_PER_MODULE_MAX, "this module has become short: drop its entry"
    else:
        assert lines <= LINES_PER_MODULE_MAX, "find the second noun, or give a reason above"


def test_functions_fit_a_screen(module: Path) -> None:
    for function, lines in functions(module):
        if f"{name(module)}:{function}" not in LONG_FUNCTIONS:
            assert lines <= LINES_PER_FUNCTION_MAX, function


def test_reasons_are_still_needed() -> None:
    long = {
        f"{name(module)}:{function}"
        for module in MODULES
        for function, lines in functions(module)
        if lines > LINES_PER_FUNCTION_MAX
    }
    assert LONG_FUNCTIONS.keys() <= long
    assert LONG_MODULES.keys() <= {name(module) for module in MODULES}


def test_cores_are_synchronous(module: Path) -> None:
    if module.relative_to(SOURCE).parts[0] in CORES:
        waiting = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
        for node in ast.walk(ast.parse(module.read_text())):
            assert not isinstance(node, waiting), name(module)


def test_modules_say_what_they_are(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", "?"))


def test_nothing_is_unfinished(module: Path) -> None:
    assert not UNFINISHED.findall(module.read_text())


def test_what_is_caught_is_named(module: Path) -> None:
    """All errors are caught to be raised again, or by a supervisor that says why it is one."""
    text = module.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.id if isinstance(node.type, ast.Name) else ""
            line = lines[node.lineno - 1]
            assert node.type is not None, f"line {node.lineno}: name what is caught"
            if caught in {"Exception", "BaseException"} and ":  # " not in line:
                again = node.body[-1]
                assert isinstance(again, ast.Raise), f"line {node.lineno}: too broad"


def test_every_package_is_one() -> None:
    for folder in {module.parent for module in MODULES}:
        assert (folder / "__init__.py").exists(), folder


@pytest.mark.parametrize(
    "path",
    [
        *("pyproject.toml", "Makefile", ".ci/run", "requirements.lock", "requirements-dev.lock"),
        *("README.md", *(name(module) for module in MODULES)),
    ],
)
def test_no_registry_is_named(path: str) -> None:
    file = ROOT / path if (ROOT / path).exists() else SOURCE / path
    text = file.read_text()
    assert not REGISTRIES.findall(text)
    if path.endswith(".lock"):
        assert "://" not in text
        assert "--hash=sha256:" in text


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_tests_do_not_sleep(path: Path) -> None:
    """Tests of cores live on given times; only real sockets and processes may take their time."""
    kind, folder, *_ = *path.relative_to(ROOT / "tests").parts, ""
    if path.name == "test_node_port.py":  # fuzzes a real port
        return
    if kind in {"unit", "fuzz", "sim", "vectors"} and folder != "testing":
        text = path.read_text()
        assert "time.sleep(" not in text
        if kind != "unit" or folder in CORES:
            assert "asyncio.sleep(" not in text


def test_unit_tests_mirror_the_source() -> None:
    """A module is covered by its own test module: no folder of tests without one of source."""
    for path in TESTS:
        parts = path.relative_to(ROOT / "tests").parts
        if parts[0] == "unit" and len(parts) > 2:
            assert (SOURCE / Path(*parts[1:-1])).is_dir(), path
