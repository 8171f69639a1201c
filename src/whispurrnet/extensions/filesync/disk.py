"""A real folder: what lies in it, and changes to it that lose nothing.

A file is put in place whole, in one step that exchanges it for the one that was there, and what
came out of the exchange is then looked at: if it is not what we took it for, somebody edited it in
this very moment, and it stays in the folder under another name. What is replaced or deleted goes
to `.whispurr/versions`. Links are never followed, nor is anything written through one.

All methods wait for the disk; call them from one thread.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from whispurrnet.base.errors import HostError
from whispurrnet.extensions.filesync.content import copy_checked, oid_of
from whispurrnet.extensions.filesync.index import fold
from whispurrnet.extensions.filesync.journal import Stamp
from whispurrnet.extensions.filesync.model_events import Apply
from whispurrnet.extensions.filesync.paths import OWN, problem
from whispurrnet.extensions.filesync.record import File
from whispurrnet.extensions.filesync.steps import exchange, remove_tree, sync_folder, umask

SETTLE_S = 0.05
"""A file that was changed less than this ago is looked at later: times on disks are coarse."""

VERSIONS_S = 30 * 86_400.0
"""For how long what was replaced or deleted is kept in `.whispurr/versions`."""

WRITERS = 8
"""Files that are forced to the disk at a time."""

Stamps = dict[str, tuple[Stamp, int]]


class Seen:
    """What one look at the folder has shown."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[bytes, int, bool, int, Stamp]] = {}
        """Object id, size, whether executable, time of change in ms, stamp."""
        self.gone: list[str] = []
        self.unshared: dict[str, str] = {}
        self.unsettled: list[str] = []
        """Changed just now; look again."""


class Disk:
    """The folder.

    Args:
        root: Where it is; `.whispurr` in it is there.
        stamps: Of each path of the index, how its file looked and at which `seq`; changed by the
            caller only.
    """

    def __init__(self, root: Path, stamps: Stamps) -> None:
        self.root = root
        self.own = root / OWN
        self.stamps = stamps
        self.fresh: dict[str, Stamp] = {}
        """Of the last `apply`: how the files look now."""
        self._inode = self.own.stat().st_ino
        self._count = 0
        self._mode = 0o666 & ~umask()
        self._unsynced: dict[Path, None] = {}
        self._ignored: dict[str, Stamp] = {}  # not shared, and not hashed again until it changes
        self.staged = self.own / "staged"
        self.staged.mkdir(exist_ok=True)
        for path in self.staged.iterdir():
            path.unlink()

    # Looking

    def scan(self, index: dict[str, File], stop: Callable[[], bool] = lambda: False) -> Seen:
        """Look at everything.

        Args:
            index: What we have.
            stop: Asked now and then.

        Raises:
            HostError: The folder is not there any more.
        """
        if not self.own.is_dir() or self.own.stat().st_ino != self._inode:
            raise HostError(f"{self.root} is not there any more; put it back and start again")
        seen = Seen()
        there: dict[str, None] = {}
        closed: list[str] = []
        for path, entry in self._walk("", seen, closed):
            there[path] = None
            self._see(path, entry, seen)
            if stop():
                return Seen()
        for path, (_, seq) in list(self.stamps.items()):
            file = index.get(path)
            if path in there or path in seen.unshared or file is None or not file.live:
                continue
            if file.seq == seq and not any(path.startswith(f"{folder}/") for folder in closed):
                seen.gone.append(path)
        for path in [path for path in self._ignored if path not in there]:
            del self._ignored[path]
            seen.unshared.setdefault(path, "")
        return seen

    def look(self, path: str, index: dict[str, File]) -> Seen:
        """Look at one path, even if it looks as before."""
        seen = Seen()
        self._ignored.pop(path, None)
        if problem(path):
            return seen
        try:
            status = (self.root / path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            if path in index and index[path].live:
                seen.gone.append(path)
            else:
                seen.unshared[path] = ""
            return seen
        except OSError as error:
            seen.unshared[path] = f"it cannot be read: {error.strerror}"
            return seen
        if stat.S_ISREG(status.st_mode) and not self._through_link(path):
            self._see(path, status, seen)
        elif path in index and index[path].live:
            seen.gone.append(path)
        return seen

    def ignore(self, path: str, stamp: Stamp) -> None:
        """What lies there is not shared: do not hash it again until it changes."""
        self._ignored[path] = stamp

    def _walk(
        self, folder: str, seen: Seen, closed: list[str]
    ) -> Iterator[tuple[str, os.stat_result]]:
        """The files below a folder, links and the like left out with a reason."""
        try:
            entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
        except OSError as error:
            closed.append(folder)
            seen.unshared[folder or "."] = f"the folder cannot be read: {error.strerror}"
            return
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if fold(entry.name) == OWN:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it went away meanwhile
            reason = problem(path)
            if not reason and stat.S_ISLNK(status.st_mode):
                reason = "it is a symbolic link; links are not followed and not shared"
            elif not reason and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                reason = "it is neither a file nor a folder"
            if reason:
                seen.unshared[_shown(path)] = reason
            elif stat.S_ISDIR(status.st_mode):
                yield from self._walk(path, seen, closed)
            else:
                yield path, status

    def _see(self, path: str, status: os.stat_result, seen: Seen) -> None:
        stamp = _stamp(status)
        if self.stamps.get(path, ((), 0))[0] == stamp or self._ignored.get(path) == stamp:
            return
        now_ns = time.time_ns()
        newest = max(status.st_mtime_ns, status.st_ctime_ns)
        if 0 <= now_ns - newest < SETTLE_S * 1e9:
            seen.unsettled.append(path)
            return
        try:
            file = os.open(
                self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            )
        except OSError as error:
            seen.unshared[path] = f"it cannot be read: {error.strerror}"
            return
        try:
            before = os.fstat(file)
            oid = oid_of(file, before.st_size)
            after = os.fstat(file)
        except OSError as error:
            seen.unshared[path] = f"it cannot be read: {error.strerror}"
            return
        finally:
            os.close(file)
        if oid is None or _stamp(before) != stamp or _stamp(after) != stamp:
            seen.unsettled.append(path)
            return
        changed_ms = max(0, status.st_mtime_ns // 1_000_000)
        seen.found[path] = (oid, status.st_size, _executable(status), changed_ms, stamp)

    # Changing

    def stage(self, path: str, oid: bytes) -> bool:
        """Copy a file of ours to where contents are put in place from; whether it is as thought."""
        if self._through_link(path):
            return False
        target = self.staged / oid.hex()
        target.unlink(missing_ok=True)
        return copy_checked(self.root / path, target, oid)

    def unstage(self, oid: bytes) -> None:
        """A content is not needed any more."""
        (self.staged / oid.hex()).unlink(missing_ok=True)

    def apply_all(self, changes: list[Apply]) -> list[tuple[str, dict[str, Stamp]]]:
        """Change the folder as asked, and force it to the disk.

        Returns:
            Of each change an empty text, or why nothing was changed; and how its files look now.
        """
        ready = self._prepare_all([one.file for one in changes if one.file.live])
        told: list[tuple[str, dict[str, Stamp]]] = []
        for change in changes:
            new = ready.pop(0) if change.file.live else None
            told.append((self._apply(change, new), self.fresh))
            if isinstance(new, Path):
                new.unlink(missing_ok=True)
        for folder in self._unsynced:
            if folder.is_dir():
                sync_folder(folder)
        self._unsynced.clear()
        return told

    def apply(self, change: Apply) -> str:
        """The same for one change; `fresh` has how its files look now."""
        return self.apply_all([change])[0][0]

    def _prepare_all(self, files: list[File]) -> list[Path | str]:
        """A file with each content, forced to the disk; all at a time, for disks group what is."""
        places: list[Path] = []
        for _ in files:
            self._count += 1
            places.append(self.own / f"new-{self._count}")
        if len(files) < 2:
            return list(map(self._prepare, files, places))
        with ThreadPoolExecutor(min(len(files), WRITERS)) as writers:
            return list(writers.map(self._prepare, files, places))

    def _apply(self, change: Apply, new: Path | str | None) -> str:
        self.fresh = {}
        path = change.file.path
        try:
            reason = problem(path) or (change.keep_as and problem(change.keep_as)) or ""
            if not reason and self._through_link(path):
                reason = "a link stands in its way; links are not followed"
            reason = reason or self._unexpected(path, change.expected)
            if isinstance(new, str):
                return reason or new
            return reason or self._change(change, new)
        except OSError as error:
            return f"the disk says: {error.strerror or type(error).__name__}"

    def _unexpected(self, path: str, expected: File | None) -> str:
        try:
            status = (self.root / path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return "it was deleted here just now" if expected and expected.live else ""
        if not stat.S_ISREG(status.st_mode):
            return "something stands here that is no file"
        if expected is None or not expected.live:
            return "a file stands here that is not shared yet"
        if self.stamps.get(path) != (_stamp(status), expected.seq):
            return "it is being changed here"
        return ""

    def _change(self, change: Apply, new: Path | None) -> str:
        path = change.file.path
        place = self.root / path
        old = self.stamps[path][0] if change.expected and change.expected.live else None
        if change.keep_as and (reason := self._keep(place, change.keep_as)):
            return reason
        if new is not None:
            mode = stat.S_IMODE(place.lstat().st_mode) if old else self._mode
            runs = (mode & 0o444) >> 2
            new.chmod(mode | runs if change.file.executable else mode & ~0o111)
            place.parent.mkdir(parents=True, exist_ok=True)
            if old is None:
                os.link(new, place)
                new.unlink()
            else:
                exchange(new, place)
                self._retire(new, path, old, kept=bool(change.keep_as))
            self.fresh[path] = _stamp(place.lstat())
        elif old is not None:
            out = self._way_out(path)
            os.rename(place, out)
            self._retire(out, path, old, kept=bool(change.keep_as))
            self._tidy(place.parent)
        if change.keep_as:
            self.fresh[change.keep_as] = _stamp((self.root / change.keep_as).lstat())
        self._unsynced[place.parent if place.parent.is_dir() else self.root] = None
        return ""

    def _prepare(self, file: File, new: Path) -> Path | str:
        """A file of its own with the content, or why there is none."""
        new.unlink(missing_ok=True)
        try:
            if not copy_checked(self.staged / file.oid.hex(), new, file.oid):
                return "its content is damaged"
            os.utime(new, ns=(time.time_ns(), file.changed_ms * 1_000_000))
        except OSError as error:
            new.unlink(missing_ok=True)
            return f"the disk says: {error.strerror or type(error).__name__}"
        return new

    def _keep(self, place: Path, name: str) -> str:
        """Give a file a second name; what lies there as the index says is left."""
        kept = self.root / name
        try:
            status = kept.lstat()
        except FileNotFoundError:
            if self._through_link(name):
                return "a link stands in its way; links are not followed"
            os.link(place, kept)
            return ""
        if self.stamps.get(name, ((), 0))[0] != _stamp(status):
            return f"{name!r} is in the way"
        return ""

    def _retire(self, came_out: Path, path: str, old: Stamp, *, kept: bool) -> None:
        """Put aside what was replaced, or give it back if it is not what we took it for."""
        if _core(_stamp(came_out.lstat())) != _core(old):
            self._rescue(came_out, path)
        elif kept:  # under its other name; two names of one file would change together
            came_out.unlink()
        elif came_out.parent == self.own:
            os.rename(came_out, self._way_out(path))

    def _rescue(self, file: Path, path: str) -> None:
        """An edit that nobody had seen stays in the folder, under a name of its own."""
        place = self.root / path
        ending = "".join(place.suffixes[-1:])
        stem = place.name.removesuffix(ending)[:150]
        self._count += 1
        name = f"{stem}.conflict-here-{time.time_ns() // 1_000_000}-{self._count}{ending}"
        os.link(file, place.with_name(name))
        file.unlink()

    def _way_out(self, path: str) -> Path:
        self._count += 1
        when = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        out = self.own / "versions" / f"{when}-{self._count}" / path
        out.parent.mkdir(parents=True)
        return out

    def _tidy(self, folder: Path) -> None:
        """Remove folders that have become empty."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _through_link(self, path: str) -> bool:
        """Whether a folder on the way is a link, or no folder."""
        way = self.root
        for part in path.split("/")[:-1]:
            way /= part
            if way.is_symlink():
                return True
        return False

    def prune(self, now_s: float) -> None:
        """Forget old versions."""
        versions = self.own / "versions"
        for folder in versions.iterdir() if versions.is_dir() else ():
            if folder.lstat().st_mtime < now_s - VERSIONS_S and not folder.is_symlink():
                remove_tree(folder)


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
        int(_executable(status)),
        status.st_ctime_ns,
    )


def _core(stamp: Stamp) -> Stamp:
    """A stamp without the time that renaming changes."""
    return stamp[:4]


def _executable(status: os.stat_result) -> bool:
    return bool(status.st_mode & 0o100)


def _shown(path: str) -> str:
    return path.encode(errors="replace").decode()
