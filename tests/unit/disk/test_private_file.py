"""A private file: one of the two contents is there, whole, whatever happens; and only for us."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.disk import private_file as module
from whispurrnet.disk.private_file import PrivateFile

OLD, NEW = b"old" * 10, b"new" * 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "state"


def file(folder: Path) -> PrivateFile:
    return PrivateFile(folder, "secret", bytes_max=1_000)


def write(folder: Path, data: bytes) -> None:
    file(folder).replace(lambda _: data)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read(folder: Path) -> None:
    assert file(folder).read() is None
    assert not file(folder).exists
    assert not folder.exists()
    olds = []
    for data in (OLD, NEW, b""):
        file(folder).replace(lambda old, data=data: [olds.append(old), data][1])  # type: ignore[misc]
        assert file(folder).read() == data
    assert olds == [None, OLD, NEW]
    assert file(folder).exists
    assert os.listdir(folder) == ["secret"]


def test_who_makes_the_content_may_refuse(folder: Path) -> None:
    write(folder, OLD)

    def refuse(_: bytes | None) -> bytes:
        raise HostError("no")

    with pytest.raises(HostError, match="no"):
        file(folder).replace(refuse)
    assert file(folder).read() == OLD
    write(folder, NEW)


def test_a_large_file_is_refused(folder: Path) -> None:
    write(folder, bytes(1_000))
    with (folder / "secret").open("ab") as grown:
        grown.write(b"x")
    with pytest.raises(HostError, match="larger"):
        file(folder).read()


def test_modes_whatever_the_umask(folder: Path) -> None:
    for umask in (0o000, 0o077, 0o777):  # with the last one only the file is made anew
        old = os.umask(umask)
        try:
            write(folder, NEW)
        finally:
            os.umask(old)
        assert mode(folder) == 0o700
        assert mode(folder / "secret") == 0o600


def test_what_others_can_reach_is_refused_with_the_cure(folder: Path) -> None:
    write(folder, OLD)
    path = folder / "secret"
    for wrong in (0o640, 0o604, 0o620, 0o666):
        path.chmod(wrong)
        with pytest.raises(HostError, match=f"chmod 600 {path}"):
            file(folder).read()
        with pytest.raises(HostError, match="chmod 600"):
            write(folder, NEW)
    path.chmod(0o600)
    for wrong in (0o755, 0o710, 0o777):
        folder.chmod(wrong)
        with pytest.raises(HostError, match=f"chmod 700 {folder}"):
            file(folder).read()
        with pytest.raises(HostError, match="chmod 700"):
            write(folder, NEW)
    folder.chmod(0o700)
    assert file(folder).read() == OLD


def test_what_belongs_to_somebody_else_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, OLD)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(HostError, match="belongs to another user"):
        file(folder).read()


def test_symbolic_links_are_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, OLD)
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    for act in (file(folder).read, lambda: write(folder, NEW)):
        with pytest.raises(HostError, match="symbolic link"):
            act()
    folder.unlink()
    folder.symlink_to(tmp_path / "nowhere")
    with pytest.raises(HostError, match="symbolic link"):
        write(folder, NEW)
    folder.unlink()
    folder.mkdir(mode=0o700)
    (folder / "secret").symlink_to(elsewhere / "secret")
    for act in (file(folder).read, lambda: write(folder, NEW)):
        with pytest.raises(HostError, match="symbolic link"):
            act()
    assert file(elsewhere).read() == OLD


def test_a_link_under_the_name_of_the_new_file_is_not_written_through(
    folder: Path, tmp_path: Path
) -> None:
    write(folder, OLD)
    precious = tmp_path / "precious"
    precious.write_text("do not touch")
    (folder / "secret.new").symlink_to(precious)
    write(folder, NEW)
    assert precious.read_text() == "do not touch"
    assert file(folder).read() == NEW


def test_odd_things_in_the_place_of_the_file(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    os.mkfifo(folder / "secret", 0o600)
    with pytest.raises(HostError, match="not a regular file"):
        file(folder).read()
    (folder / "secret").unlink()
    (folder / "secret").mkdir()
    with pytest.raises(HostError, match="not a regular file"):
        file(folder).read()
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(HostError, match="not a folder"):
        file(path).read()
    with pytest.raises(HostError):
        write(path / "below", OLD)


def test_only_one_process_writes(folder: Path) -> None:
    write(folder, OLD)
    held = file(folder)
    with held._opened() as opened:
        held._lock(opened)
        with pytest.raises(HostError, match="another process is writing"):
            write(folder, NEW)
    write(folder, NEW)


# Interrupted writes

STEPS = ("mkdir", "open", "fchmod", "write", "fsync", "close", "replace", "unlink")


class Failing:
    """The module `os`, of which the n-th call that touches the disk does something else."""

    def __init__(self, at: int, instead: Callable[[str], object]) -> None:
        self.left = at
        self.instead = instead
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in STEPS:
            return real

        def call(*args: object, **kwargs: object) -> object:
            self.calls.append(name)
            if name == "write" and len(args[1]) > 100:  # type: ignore[arg-type]
                args = (args[0], args[1][:100])  # type: ignore[index]  # a write may be short
            self.left -= 1
            if self.left == 0:
                if name == "close":  # which closes even when it fails
                    real(*args, **kwargs)
                self.instead(name)
            return real(*args, **kwargs)

        return call


def count_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    with monkeypatch.context() as patch:
        watch = Failing(-1, lambda _: None)
        patch.setattr(module, "os", watch)
        write(folder, NEW)
    return watch.calls


def test_the_order_of_a_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, OLD)
    calls = count_steps(folder, monkeypatch)
    written = [name for name in calls if name in ("write", "fsync", "replace")]
    assert written[:1] == ["write"]
    assert written[-3:] == ["fsync", "replace", "fsync"]
    assert written.count("write") > 1, "short writes are carried on"


def test_a_write_that_fails_at_any_step_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, OLD)
    steps = len(count_steps(folder, monkeypatch))

    def fail(name: str) -> None:
        raise OSError(errno.ENOSPC, f"No space left on device ({name})")

    errors = []
    for step in range(1, steps + 1):
        write(folder, OLD)
        with monkeypatch.context() as patch:
            patch.setattr(module, "os", Failing(step, fail))
            try:
                write(folder, NEW)
            except HostError as error:
                errors.append(str(error))
        assert file(folder).read() in (OLD, NEW), f"step {step}"
        assert set(os.listdir(folder)) <= {"secret", "secret.new"}
    assert len(errors) > steps // 2
    assert all("make room on the disk" in error and str(folder) in error for error in errors)
    write(folder, NEW)
    assert os.listdir(folder) == ["secret"]
    assert file(folder).read() == NEW


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # os.fork beside threads
def test_a_process_killed_at_any_step_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, OLD)
    steps = len(count_steps(folder, monkeypatch))
    seen = set()
    for step in range(1, steps + 1):
        write(folder, OLD)
        child = os.fork()
        if child == 0:
            module.os = Failing(step, lambda _: os._exit(9))  # type: ignore[assignment]
            try:
                write(folder, NEW)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 9, f"step {step}"
        state = file(folder).read()
        assert state in (OLD, NEW), f"step {step}"
        seen.add("old" if state == OLD else "new")
        write(folder, NEW)  # what was left behind is in nobody's way
        assert os.listdir(folder) == ["secret"]
    assert seen == {"old", "new"}


def test_a_first_write_that_fails_leaves_nothing_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = len(count_steps(tmp_path / "counted", monkeypatch))
    for step in range(1, steps + 1):
        folder = tmp_path / f"state {step}"
        with monkeypatch.context() as patch:

            def fail(name: str) -> None:
                raise OSError(errno.EIO, f"Input/output error ({name})")

            patch.setattr(module, "os", Failing(step, fail))
            with suppress(HostError):
                write(folder, NEW)
        assert file(folder).read() in (None, NEW), f"step {step}"
        write(folder, OLD)
        assert file(folder).read() == OLD


def test_a_disk_that_cannot_be_written_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, cure in [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "another state_dir"),
        (errno.EIO, "check the disk"),
    ]:

        def fail(_: str, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(module, "os", Failing(1, fail))
            with pytest.raises(HostError, match=cure):
                write(folder, NEW)
