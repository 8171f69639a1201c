"""Our own index: each path at its version, and what can be asked of them quickly.

Invariants: `log` leads from every seq in use to its path; `holders` has the live paths of each
content; `folded` has the live paths by their names without case, no two under one; `folders`
counts the live paths below each folder, by its name without case.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from whispurrnet.extensions.filesync.record import File


def fold(path: str) -> str:
    """A path as disks see it that do not tell upper case from lower."""
    return path.casefold()


def parents(path: str) -> Iterator[str]:
    """The folders that a path lies in, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


class LocalIndex:
    """What we have.

    Args:
        files: As they were saved.
    """

    def __init__(self, files: Iterable[File]) -> None:
        self.files: dict[str, File] = {}
        self.holders: dict[bytes, dict[str, None]] = {}
        self.folded: dict[str, str] = {}
        self.folders: Counter[str] = Counter()
        self.seq = 0
        self.bytes = 0
        self._log: list[tuple[int, str]] = []
        for file in sorted(files, key=lambda file: file.seq):
            self._note(file)

    def __len__(self) -> int:
        return len(self.files)

    def put(self, file: File) -> File:
        """Take a version in, under the next seq; return it."""
        file = msgspec.structs.replace(file, seq=self.seq + 1)
        self._note(file)
        if len(self._log) > 2 * len(self.files) + 64:
            self._log = [(seq, path) for seq, path in self._log if self.files[path].seq == seq]
        return file

    def since(self, seq: int, limit: int, bytes_max: int) -> tuple[list[File], int]:
        """Versions after `seq`, oldest first; and up to where that is all."""
        chosen: list[File] = []
        size = 0
        for number, path in self._log[bisect_right(self._log, seq, key=lambda row: row[0]) :]:
            file = self.files[path]
            if file.seq != number:
                continue
            size += 80 + 2 * len(path) + 20 * len(file.history)
            if chosen and (len(chosen) >= limit or size > bytes_max):
                return chosen, chosen[-1].seq
            chosen.append(file)
        return chosen, self.seq

    def below(self, folder: str) -> Iterator[str]:
        """The live paths in a folder; quick only when there are none."""
        if self.folders[fold(folder)]:
            start = fold(folder) + "/"
            yield from (path for short, path in self.folded.items() if short.startswith(start))

    def _note(self, file: File) -> None:
        old = self.files.get(file.path)
        if old is not None and old.live:
            self._leave(old)
        self.files[file.path] = file
        self.seq = file.seq
        self._log.append((file.seq, file.path))
        if file.live:
            assert fold(file.path) not in self.folded, "no two live paths differ in case only"
            self.holders.setdefault(file.oid, {})[file.path] = None
            self.folded[fold(file.path)] = file.path
            self.bytes += file.size
            for folder in parents(fold(file.path)):
                self.folders[folder] += 1

    def _leave(self, file: File) -> None:
        holders = self.holders[file.oid]
        del holders[file.path]
        if not holders:
            del self.holders[file.oid]
        del self.folded[fold(file.path)]
        self.bytes -= file.size
        for folder in parents(fold(file.path)):
            self.folders[folder] -= 1
            if not self.folders[folder]:
                del self.folders[folder]
