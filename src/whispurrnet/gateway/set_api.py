"""What the REST API does with sets of objects that nodes keep in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whispurrnet.gateway import object_answers as a
from whispurrnet.gateway.object_api import ObjectApi, Page, Start
from whispurrnet.gateway.refusal import refuse
from whispurrnet.gateway.route import Call, Route, maker

if TYPE_CHECKING:
    from whispurrnet.node.sets import SharedSet


class SetApi(ObjectApi):
    """The handlers that are about sets, and those about objects."""

    async def sets(self, _: Call) -> list[a.SetRow]:
        """The sets that are kept in step."""
        return [_set_row(shared) for shared in self._objects.sets.list()]

    async def new_set(self, _: Call) -> a.SetRow:
        """A new set, empty. It is shared as an object is: share with its id."""
        return _set_row(await self._objects.sets.new())

    async def set(self, call: Call) -> a.SetRow:
        """How one set is doing."""
        return _set_row(self._known(call))

    async def follow(self, call: Call) -> a.SetRow:
        """Keep a set in step with that of peers; they are to be named again after a start."""
        ask = call.ask(a.FollowAsk)
        shared = await self._objects.sets.follow(
            call.parameters["oid"],
            sources=[self._node.peer(ref) for ref in ask.sources],
            cap=bytes.fromhex(ask.cap) or None,
        )
        return _set_row(shared)

    async def leave(self, call: Call) -> a.SetRow:
        """Keep a set in step no longer; what is in it may go."""
        shared = self._known(call)
        row = _set_row(shared)
        await self._objects.sets.leave(shared.name)
        return row

    async def put(self, call: Call) -> a.SetRow:
        """Put objects that are here into a set."""
        shared = self._known(call)
        await self._objects.sets.put(shared.name, *call.ask(a.PutAsk).objects)
        return _set_row(shared)

    async def members(self, call: Call) -> a.SetEntriesAnswer:
        """What is in a set, oldest first; page by page."""
        start, limit = call.parameters.get("start", 0), call.parameters.get("limit", 100)
        found = await self._objects.sets.entries(self._known(call).name)
        rows = tuple(
            a.SetEntryRow(
                oid=one.oid.hex(), size=one.size, folder=one.collection, time_s=one.time_s
            )
            for one in found[start : start + limit]
        )
        return a.SetEntriesAnswer(entries=rows, total=len(found))

    def _known(self, call: Call) -> SharedSet:
        for shared in self._objects.sets.list():
            if shared.name == call.parameters["oid"]:
                return shared
        raise refuse(
            404, "No such set", "It is not kept here.", "Follow it, or make one.", "not_found"
        )

    def set_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post, delete = maker("GET"), maker("POST"), maker("DELETE")
        one: dict[str, Any] = {"oid": a.Oid}
        return (
            get("/sets", self.sets, list[a.SetRow]),
            post("/sets", self.new_set, a.SetRow),
            get("/sets/{oid}", self.set, a.SetRow, **one),
            delete("/sets/{oid}", self.leave, a.SetRow, **one),
            post("/sets/{oid}/follow", self.follow, a.SetRow, a.FollowAsk, **one),
            post("/sets/{oid}/objects", self.put, a.SetRow, a.PutAsk, **one),
            get(
                "/sets/{oid}/objects",
                self.members,
                a.SetEntriesAnswer,
                start=Start,
                limit=Page,
                **one,
            ),
            post("/sets/{oid}/share", self.share, a.ShareAnswer, a.ShareAsk, **one),
            post("/sets/{oid}/unshare", self.unshare, a.ShareAnswer, a.UnshareAsk, **one),
        )


def _set_row(shared: SharedSet) -> a.SetRow:
    progress = shared.progress
    return a.SetRow(
        id=shared.name,
        objects=shared.count,
        wanted=progress.wanted if progress else 0,
        sources=progress.sources if progress else 0,
        followers=progress.followers if progress else 0,
        comparing=progress.comparing if progress else 0,
        problems=dict(shared.problems),
    )
