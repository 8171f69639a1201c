"""What survives a crash of who hands something over, and what does not outlive the errand."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.disk.errand import Kept, claim, waiting

KEY = "ab" * 16
KEPT = Kept(offered=b"secret", made_s=5, met=True)


def test_it_is_remembered_and_private(tmp_path: Path) -> None:
    errand = claim(tmp_path / "base", KEY)
    assert errand.read() is None
    errand.write(KEPT)
    assert stat.S_IMODE(os.stat(errand.folder / "errand").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(errand.folder).st_mode) == 0o700
    errand.release()
    again = claim(tmp_path / "base", KEY)
    assert again.read() == KEPT
    assert again.objects.parent == again.folder == tmp_path / "base" / KEY
    again.done()
    assert not (tmp_path / "base").exists()


def test_one_process_does_it_and_another_does_another(tmp_path: Path) -> None:
    first = claim(tmp_path, KEY)
    first.write(KEPT)
    second = claim(tmp_path, KEY)
    assert second.folder.name == f"{KEY}-2"
    assert second.read() is None
    held = [first, second, *(claim(tmp_path, KEY) for _ in range(6))]
    with pytest.raises(HostError, match="wait for one"):
        claim(tmp_path, KEY)
    assert waiting(tmp_path) == []
    for errand in held:
        errand.release()
    assert [errand.folder.name for errand in waiting(tmp_path)] == [KEY]


def test_who_is_killed_leaves_it_to_the_next(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from whispurrnet.disk.errand import *;"
        f"claim(Path(sys.argv[1]), '{KEY}').write(Kept(offered=b'x', made_s=1));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)
    (errand,) = waiting(tmp_path)
    assert errand.read() == Kept(offered=b"x", made_s=1)


def test_the_oldest_comes_first_and_rubbish_is_left_alone(tmp_path: Path) -> None:
    for key, made_s in (("cc" * 8, 3), ("aa" * 8, 9), ("bb" * 8, 1)):
        errand = claim(tmp_path, key)
        errand.write(Kept(offered=b"", made_s=made_s))
        errand.release()
    (tmp_path / "notes").mkdir()
    (tmp_path / ("dd" * 8)).symlink_to(tmp_path / "notes")
    empty = claim(tmp_path, "ee" * 8)
    empty.release()
    broken = claim(tmp_path, "ff" * 8)
    broken.write(KEPT)
    (broken.folder / "errand").write_bytes(b"\xc1")
    broken.release()
    assert [errand.folder.name[:2] for errand in waiting(tmp_path)] == ["bb", "cc", "aa"]
    assert (tmp_path / "notes").exists()
    assert waiting(tmp_path / "nowhere") == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="check the disk"):
        claim(tmp_path / "file", KEY)


def test_a_base_that_others_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(HostError, match="is a link"):
        claim(tmp_path / "link", KEY)
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(HostError, match="others can write"):
        claim(tmp_path / "real", KEY)
    assert list((tmp_path / "real").iterdir()) == []
