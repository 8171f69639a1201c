"""Where the published vectors are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("WHISPURR_VECTORS", CHECKOUT / ".." / "shared" / "vectors"))


@pytest.fixture(scope="session")
def published() -> Callable[[str], Any]:
    """Read one published file by its name below the folder, or skip and say where it comes from."""

    def read(name: str) -> Any:
        path = FOLDER / name
        if not path.exists():
            pytest.skip(
                f"{path} is not there: {name} is a published file (noise: mcginty/snow "
                "tests/vectors, wycheproof: C2SP/wycheproof testvectors_v1); name the folder that "
                "holds it in WHISPURR_VECTORS"
            )
        return json.loads(path.read_text())

    return read


@pytest.fixture(scope="session")
def ours() -> Callable[[str], Any]:
    """Read one of the vectors that this project froze."""
    return lambda name: json.loads((CHECKOUT / "vectors" / name).read_text())
