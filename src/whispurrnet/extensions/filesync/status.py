"""How a folder is: what is not the same everywhere, and why, in words."""

from __future__ import annotations

from collections.abc import Iterator

from whispurrnet.extensions.filesync.model import Model
from whispurrnet.extensions.filesync.model_events import Item, Totals
from whispurrnet.extensions.filesync.record import File, is_kept, same
from whispurrnet.extensions.filesync.wants import Want

_PHASES = {
    "new": "it is about to be looked at",
    "stage": "others are fetched first",
    "staging": "it is being fetched",
    "apply": "it is about to be put in place",
    "applying": "it is being put in place",
}


def totals(model: Model) -> Totals:
    """The folder in figures."""
    index, wants = model.index, model.plan.wants
    return Totals(
        files=len(index.folded),
        bytes=index.bytes,
        wanted=len(wants),
        wanted_bytes=sum(want.file.size for want in wants.values()),
        kept=sum(is_kept(path) for path in index.folded.values()),
        unshared=len(model.unshared),
        behind=sum(1 for _ in _behind(model)),
    )


def settled(model: Model) -> bool:
    """Whether nothing is to change here, and connected peers have all that we have."""
    return not model.plan.wants and not model.plan.applying and next(_behind(model), None) is None


def items(model: Model, limit: int = 1000) -> list[Item]:
    """What is not the same everywhere: what is wanted here, then what is not shared, then others.

    Args:
        model: The folder.
        limit: How many at most.
    """
    found: list[Item] = []
    for source in (_wanted(model), _unshared(model), _lacking(model)):
        for item in source:
            if len(found) >= limit:
                return found
            found.append(item)
    return found


def _wanted(model: Model) -> Iterator[Item]:
    for path, want in model.plan.wants.items():
        here = model.index.files.get(path)
        reason = want.reason or _PHASES.get(want.phase, "")
        if want.phase == "retry":
            reason += "; it is tried again"
        yield Item(path, _here(here, want), _there(want), reason)


def _here(here: File | None, want: Want) -> str:
    if here is None:
        return "not in this folder yet"
    if not here.live:
        return "deleted in this folder"
    if want.keep:
        return "edited in this folder, too: it will be kept under another name"
    return "an older version in this folder"


def _there(want: Want) -> str:
    what = "has a newer one" if want.file.live else "deleted it"
    return f"{want.whose or 'a device that is away'} {what}"


def _unshared(model: Model) -> Iterator[Item]:
    for path, reason in model.unshared.items():
        yield Item(path, "lies here, and is not shared", "nobody else has it", reason)


def _lacking(model: Model) -> Iterator[Item]:
    for name, path in _behind(model):
        if path not in model.plan.wants:
            live = model.index.files[path].live
            here = "up to date in this folder" if live else "deleted in this folder"
            there = f"{name} does not have it yet" if live else f"{name} still has it"
            yield Item(path, here, there, f"{name} has yet to take it, or says why it cannot")


def _behind(model: Model) -> Iterator[tuple[str, str]]:
    """Names of connected peers, and paths that they do not have as we do."""
    for remote in model.peers.remotes.values():
        if remote.peer is not None:
            for path, here in model.index.files.items():
                there = remote.files.get(path)
                if there is not here and not same(here, there):
                    yield remote.name, path
