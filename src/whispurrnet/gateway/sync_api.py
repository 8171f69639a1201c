"""What the REST API does with the folders of the settings: how they are, pause, go on, let in.

No path comes in, so nobody who may call makes this node read or write another folder; and none
goes out. To let somebody take part is to let it read and change the folder, so that is off unless
`sync.rest_admits` says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from whispurrnet.gateway import sync_answers as a
from whispurrnet.gateway.refusal import refuse
from whispurrnet.gateway.route import Call, Route, maker

if TYPE_CHECKING:
    from whispurrnet.extensions.filesync.keeper import Keeper
    from whispurrnet.node.node import Node
    from whispurrnet.node.settings import Settings

Items = Annotated[int, Meta(ge=0, le=1000)]
Folder = Annotated[str, Meta(min_length=1, max_length=255)]


class SyncApi:
    """The handlers that are about a folder kept in step; `Api` has the others, and the node."""

    _node: Node
    _settings: Settings
    _keepers: Sequence[Keeper] = ()

    async def folders(self, call: Call) -> list[a.SyncRow]:
        """The folders that are kept in step, if the settings name any, and what is not, and why."""
        return [_row(keeper, call.parameters.get("items", 100)) for keeper in self._keepers]

    async def pause_folder(self, call: Call) -> a.SyncRow:
        """Keep the folder in step no longer, until it is told to go on or the node starts again."""
        keeper = self._kept(call)
        await keeper.pause()
        return _row(keeper)

    async def resume_folder(self, call: Call) -> a.SyncRow:
        """Keep the folder in step again; if it failed, try again."""
        keeper = self._kept(call)
        await keeper.resume()
        return _row(keeper)

    async def admit(self, call: Call) -> a.SyncRow:
        """Let a peer take part, if the settings allow that to be said here."""
        keeper = self._kept(call)
        if not self._settings.sync.rest_admits:
            raise refuse(
                403,
                "Nobody is let in from here",
                "Who takes part can read and change the folder, and every user of this machine "
                "may call.",
                "Set sync.rest_admits = true and start the node again, or add to sync.peers.",
            )
        keeper.admit(self._node.peer(call.ask(a.AdmitAsk).peer))
        return _row(keeper)

    def _kept(self, call: Call) -> Keeper:
        wanted = call.parameters["folder"]
        keeper = next((one for one in self._keepers if one.name == wanted), None)
        if keeper is None:
            raise refuse(
                404,
                "No such folder is kept in step",
                "The settings do not name it.",
                "Set sync.folder or sync.folders and start again; GET sync tells its name.",
                "not_found",
            )
        return keeper

    def sync_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post = maker("GET"), maker("POST")
        one: dict[str, Any] = {"folder": Folder}
        return (
            get("/sync", self.folders, list[a.SyncRow], items=Items),
            post("/sync/{folder}/pause", self.pause_folder, a.SyncRow, **one),
            post("/sync/{folder}/resume", self.resume_folder, a.SyncRow, **one),
            post("/sync/{folder}/admit", self.admit, a.SyncRow, a.AdmitAsk, **one),
        )


def _row(keeper: Keeper, items: int = 100) -> a.SyncRow:
    status = keeper.status()
    if status is None:
        return a.SyncRow(
            name=keeper.name, state=keeper.state, trouble=_placeless(keeper, keeper.why)
        )
    return a.SyncRow(
        name=keeper.name,
        state=keeper.state,
        trouble=_placeless(keeper, status.trouble),
        totals=msgspec.convert(status.totals, a.SyncTotals, from_attributes=True),
        items=tuple(
            a.SyncItem(
                path=one.path,
                here=one.here,
                there=one.there,
                reason=_placeless(keeper, one.reason),
            )
            for one in status.items[:items]
        ),
        peers=status.peers,
        refused=status.refused,
        notes=tuple(_placeless(keeper, note) for note in status.notes),
    )


def _placeless(keeper: Keeper, text: str) -> str:
    """Words for people without where on this machine the folder lies."""
    for place in dict.fromkeys((keeper.folder.resolve(), keeper.folder)):
        for folder, shown in ((place, keeper.name), (place.parent, "...")):
            if folder != folder.parent:
                text = text.replace(str(folder), shown)
    return text
