"""What the other devices have, as they told it, and who of them is there."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from whispurrnet.base.errors import ProtocolError
from whispurrnet.extensions.filesync.model_events import Down, Index, Up
from whispurrnet.extensions.filesync.record import DEVICES_MAX, OID_BYTES, File


class Remote(msgspec.Struct):
    """What one device has."""

    files: dict[str, File]
    upto: int = 0
    """All its changes up to this number are in `files`."""
    name: str = ""
    """For people."""
    peer: int | None = None
    """By whom it can be reached now."""


class Line(msgspec.Struct):
    """How far a peer has been told of our index."""

    device: int
    sent: int
    reset: bool = False
    waiting: bool = False
    """Whether the last message has not arrived yet."""


class Peers:
    """The other devices.

    Args:
        device: Ours.
        remotes: What was saved of the others.
        files_max: How many paths one of them may have.
    """

    def __init__(self, device: int, remotes: dict[int, Remote], files_max: int) -> None:
        self._device = device
        self._files_max = files_max
        self.remotes = remotes
        self.lines: dict[int, Line] = {}

    def up(self, event: Up, seq: int) -> None:
        """A peer is there; `seq` is where our index ends.

        Raises:
            ProtocolError: It uses our name, or there are too many devices.
        """
        if event.device == self._device:
            raise ProtocolError(
                "that folder goes by the same device number as this one: it was copied with its "
                "`.whispurr` folder; delete `.whispurr` in one of the two and start again"
            )
        remote = self.remotes.get(event.device)
        if remote is None:
            if len(self.remotes) >= DEVICES_MAX:
                raise ProtocolError(f"more than {DEVICES_MAX} devices for one folder")
            remote = self.remotes[event.device] = Remote({})
        if remote.peer is not None:
            self.lines.pop(remote.peer, None)
        self.down(Down(event.peer))
        remote.peer, remote.name = event.peer, event.name
        known = event.have <= seq
        self.lines[event.peer] = Line(event.device, event.have if known else 0, reset=not known)

    def down(self, event: Down) -> None:
        """A peer is gone; an unknown one is ignored."""
        line = self.lines.pop(event.peer, None)
        if line is not None and self.remotes[line.device].peer == event.peer:
            self.remotes[line.device].peer = None

    def take(self, event: Index) -> tuple[int, list[str]]:
        """A part of an index; return whose, and which paths may be different now.

        Raises:
            ProtocolError: It is out of order, too long, or from nobody who takes part.
        """
        line = self.lines.get(event.peer)
        if line is None:
            raise ProtocolError("an index from a peer that does not take part")
        remote = self.remotes[line.device]
        known = 0 if event.reset else remote.upto
        last = 0
        for file in event.files:
            if not last < file.seq <= event.upto:
                raise ProtocolError("an index is not in order")
            if file.oid and len(file.oid) != OID_BYTES:
                raise ProtocolError("an index has a file whose content has no proper id")
            if list(file.history) != sorted(dict(file.history).items()):
                raise ProtocolError("a history is not in order")
            last = file.seq
        files = [file for file in event.files if file.seq > known]  # the others came before
        if len(files) + (0 if event.reset else len(remote.files)) > self._files_max:
            fresh = sum(file.path not in remote.files for file in files)
            if event.reset or fresh + len(remote.files) > self._files_max:
                raise ProtocolError(f"an index has more than {self._files_max} paths")
        changed = dict.fromkeys(remote.files) if event.reset else {}
        if event.reset:
            remote.files = {}
        for file in files:
            remote.files[file.path] = file
            changed[file.path] = None
        remote.upto = max(event.upto, known)
        return line.device, list(changed)

    def of(self, path: str) -> Iterator[tuple[Remote, File]]:
        """What the others have at a path."""
        for remote in self.remotes.values():
            file = remote.files.get(path)
            if file is not None:
                yield remote, file

    def sources(self, path: str, oid: bytes) -> tuple[int, ...]:
        """The peers that are there and have this content at this path."""
        return tuple(
            remote.peer
            for remote, file in self.of(path)
            if file.oid == oid and remote.peer is not None
        )
