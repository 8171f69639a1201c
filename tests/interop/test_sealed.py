"""A sealed object between real processes: shared by a ticket, opened by its key alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.interop.test_send import Machine

VARIABLE = "WHISPURRNET_OBJECT_KEY"
EXIT_NOT_AUTHENTIC = 5


def objects(machine: Machine, *tokens: str, typed: str = "", key: str = "") -> tuple[int, str, str]:
    """Run `whispurr objects ...`: its exit code and what it said."""
    ran = subprocess.run(
        [sys.executable, "-m", "whispurrnet", "objects", *tokens, "--output", "json"],
        input=typed,
        capture_output=True,
        text=True,
        env=machine.env | ({VARIABLE: key} if key else {}),
        cwd=machine.folder,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_who_has_ticket_and_key_opens_it_and_who_has_one_of_them_does_not(tmp_path: Path) -> None:
    here, there = Machine(tmp_path / "here"), Machine(tmp_path / "there")
    data = b"the plan of the house\n" + os.urandom(700_000)
    (here.folder / "plan").write_bytes(data)
    code, said, errors = objects(here, "add", "plan", "--sealed", "--key-file", "plan.key")
    assert code == 0, errors
    oid = json.loads(said)[0]["oid"]
    key = (here.folder / "plan.key").read_text().strip()
    assert key not in said + errors
    sharing = here.start("objects", "share", oid, "--label", "plan")
    try:
        ticket = sharing.heard("offer")["ticket"]
        code, _, errors = objects(there, "get", ticket, "--sealed", "--to", "no", key="00" * 32)
        assert code == EXIT_NOT_AUTHENTIC, errors
        code, said, errors = objects(there, "get", ticket, "--sealed", "--to", "back", typed=key)
        assert code == 0, errors
        assert json.loads(said)["oid"] == oid
    finally:
        sharing.close()
    code, _, errors = objects(there, "get", oid, "--sealed", "--to", "again", key=key)
    assert code == 0, errors
    code, _, errors = objects(there, "get", oid, "--to", "raw")
    assert code == 0, errors
    work = there.folder
    assert sorted(path.name for path in work.iterdir()) == ["again", "back", "raw"]
    assert (work / "again").read_bytes() == (work / "back").read_bytes() == data
    assert b"the plan" not in (work / "raw").read_bytes()
