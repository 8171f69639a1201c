"""What the REST API does with objects: keeping, sharing, fetching, and sets that stay in step.

No path of this machine comes in or goes out. Whoever may call, and on loopback that is every user,
gets the objects that the node keeps, but not the files of the user that runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import LimitError, UsageError, WhispurrError
from whispurrnet.gateway import download
from whispurrnet.gateway import object_answers as a
from whispurrnet.gateway.refusal import Refusal, refuse
from whispurrnet.gateway.route import BODY_TIMEOUT_S, Call, Route, maker
from whispurrnet.node.holdings import ObjectInfo
from whispurrnet.wire.ids import parse_object_id

if TYPE_CHECKING:
    from whispurrnet.node.fetching import Fetching
    from whispurrnet.node.node import Node
    from whispurrnet.node.objects import Objects
    from whispurrnet.node.peer import Peer
    from whispurrnet.node.settings import Settings

Page = Annotated[int, Meta(ge=1, le=1000)]
Start = Annotated[int, Meta(ge=0, le=2**53)]
After = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
FileName = Annotated[str, Meta(max_length=255)]
Cut = Literal["fixed", "cdc"]

UPLOADS_MAX = 8
"""How many objects may come in at a time."""
ENDED_MAX = 256
"""Of how many fetches is known how they ended."""


class ObjectApi:
    """The handlers that are about objects; `Api` has the others, and the node."""

    _node: Node
    _settings: Settings

    def __init__(self) -> None:
        self._uploads = 0
        self._fetches: LruDict[str, Fetching] = LruDict(ENDED_MAX)

    @property
    def _objects(self) -> Objects:
        return self._node.objects

    # What is here

    async def objects(self, call: Call) -> a.ObjectsAnswer:
        """The objects that are here, by their ids; page by page."""
        limit = call.parameters.get("limit", 100)
        found = await self._objects.list(after=call.parameters.get("after_oid", ""), limit=limit)
        more = found[-1].oid if len(found) == limit else ""
        return a.ObjectsAnswer(objects=tuple(found), next=more)

    async def upload(self, call: Call) -> ObjectInfo:
        """Keep the bytes of the body, application/octet-stream, as an object."""
        request = call.request
        assert request is not None
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/octet-stream":
            raise refuse(
                415,
                "The body must be bytes",
                "The Content-Type is not application/octet-stream.",
                'Send -H "Content-Type: application/octet-stream" --data-binary @FILE.',
            )
        quota = self._settings.objects.quota_bytes or None
        length = request.headers.get("content-length", "")
        if quota is not None and length.isdecimal() and int(length) > quota:
            raise _no_room(f"it has more than {quota} bytes")
        if self._uploads >= UPLOADS_MAX:
            raise LimitError(f"{UPLOADS_MAX} objects come in already; wait for one of them")
        self._uploads += 1
        try:
            return await self._objects.add_stream(
                _parts(request),
                mode=call.parameters.get("mode", "fixed"),
                public=call.parameters.get("public", False),
                pin=call.parameters.get("pin", True),
                size_max=quota,
            )
        except LimitError as error:
            raise _no_room(str(error).partition("; ")[0]) from error
        finally:
            self._uploads -= 1

    async def wrap(self, call: Call) -> ObjectInfo:
        """Make a folder of objects that are here."""
        return await self._objects.wrap(call.ask(a.WrapAsk).entries)

    async def info(self, call: Call) -> ObjectInfo:
        """What there is to say of an object."""
        return await self._here(call.parameters["oid"])

    async def data(self, call: Call) -> Response:
        """The bytes of an object, or those that a Range asks for."""
        request, info = call.request, await self._here(call.parameters["oid"])
        assert request is not None
        name, head = call.parameters.get("name", ""), request.method == "HEAD"
        return await download.respond(self._objects, info, request.headers, name, head=head)

    async def entries(self, call: Call) -> a.EntriesAnswer:
        """What a folder names. The names were made by others: check them before they are paths."""
        info = await self._here(call.parameters["oid"], whole=True)
        if not info.collection:
            raise refuse(400, "It is no folder", "The object names no others.", "Get its data.")
        rows = tuple(
            a.EntryRow(
                name=one.name,
                oid=one.oid.hex(),
                size=one.size,
                folder=bool(one.kind),
                executable=one.executable,
                mtime_ms=one.mtime_ms,
            )
            for one in await self._objects.entries(info.oid)
        )
        return a.EntriesAnswer(entries=rows)

    async def pin(self, call: Call) -> ObjectInfo:
        """Keep an object, and what it names, until it is unpinned."""
        info = await self._here(call.parameters["oid"])
        await self._objects.pin(info.oid)
        return await self._here(info.oid)

    async def unpin(self, call: Call) -> ObjectInfo:
        """Keep it no longer: it may go."""
        info = await self._here(call.parameters["oid"])
        await self._objects.unpin(info.oid)
        return await self._here(info.oid)

    async def remove(self, call: Call) -> a.RemovedAnswer:
        """Remove an object at once."""
        info = await self._here(call.parameters["oid"])
        await self._objects.remove(info.oid)
        return a.RemovedAnswer(oid=info.oid)

    async def storage(self, _: Call) -> a.StorageAnswer:
        """How full the store of objects is."""
        objects = self._objects
        metrics = await objects.metrics()
        return a.StorageAnswer(
            objects=metrics.objects,
            bytes=metrics.bytes,
            parts=metrics.parts,
            quota=metrics.quota,
            free_bytes=metrics.free_bytes,
            pinned=metrics.pinned,
            fetching=len(objects.transfers()),
            fetched_bytes=objects.fetched_bytes,
            notes=tuple(objects.notes),
        )

    async def collect(self, _: Call) -> a.CollectedAnswer:
        """Remove what nobody keeps and nobody has used for an hour."""
        report = await self._objects.gc()
        return a.CollectedAnswer(
            removed=report.removed, freed_bytes=report.freed_bytes, over_bytes=report.over_bytes
        )

    # Sharing

    async def share(self, call: Call) -> a.ShareAnswer:
        """Let somebody have an object, or a set, and all that it names."""
        oid, to = call.parameters["oid"], call.ask(a.ShareAsk).to
        cap = self._objects.share(oid, self._whom(to))
        return a.ShareAnswer(oid=oid, cap=cap.hex() if cap is not None else "")

    async def unshare(self, call: Call) -> a.ShareAnswer:
        """Let somebody have it no longer, or nobody."""
        oid, to = call.parameters["oid"], call.ask(a.UnshareAsk).to
        self._objects.unshare(oid, self._whom(to) if to else None)
        return a.ShareAnswer(oid=oid)

    def _whom(self, to: str) -> Peer | str:
        """A word, a peer that is known, or a long-term identity that need not be."""
        if to in {"cap", "everyone"}:
            return to
        try:
            return self._node.peer(to)
        except UsageError:
            if len(to) == 64:  # as many as an id has
                return to
            raise

    # Fetching

    async def fetch(self, call: Call) -> a.TransferRow:
        """Get an object from peers; what has come of it before need not come again."""
        oid, ask = call.parameters["oid"], call.ask(a.FetchAsk)
        peers = [self._node.peer(ref) for ref in ask.sources]
        cap = bytes.fromhex(ask.cap) or None
        fetching = self._fetches.get(oid)
        if fetching is None or fetching.over or cap is not None or ask.part or fetching.part:
            fetching = self._objects.fetch(
                oid,
                sources=peers,
                cap=cap,
                collection=ask.folder,
                priority=ask.priority,
                part=ask.part,
            )
            self._fetches.put(oid, fetching)
        for peer in peers:
            fetching.add(peer)
        return await _row(fetching)

    async def transfers(self, _: Call) -> list[a.TransferRow]:
        """What is being fetched, and how what was asked for here ended."""
        rows = {oid: await _row(fetching) for oid, fetching in self._fetches.items()}
        for now in self._objects.transfers():
            if now.oid not in rows or rows[now.oid].state != "running":
                rows[now.oid] = _shown(now, "running")
        return list(rows.values())

    async def transfer(self, call: Call) -> a.TransferRow:
        """How far one fetch is."""
        oid = call.parameters["oid"]
        for row in await self.transfers(call):
            if row.oid == oid:
                return row
        raise _unknown("No such transfer", "It was not asked for, or long ago.", "See transfers.")

    async def stop(self, call: Call) -> a.TransferRow:
        """Fetch an object no longer; what has come of it stays."""
        row = await self.transfer(call)
        self._objects.give_up(parse_object_id(row.oid))
        return await self.transfer(call) if self._fetches.get(row.oid) is not None else row

    async def limit(self, call: Call) -> a.LimitsAnswer:
        """How fast objects may move from now on, until the node stops."""
        ask = call.ask(a.LimitsAsk)
        self._objects.limit(up=ask.up_bps, down=ask.down_bps, peer_up=ask.peer_up_bps)
        return a.LimitsAnswer(up_bps=ask.up_bps, down_bps=ask.down_bps, peer_up_bps=ask.peer_up_bps)

    # Within

    async def _here(self, oid: str, *, whole: bool = False) -> ObjectInfo:
        try:
            info = await self._objects.info(oid)
        except UsageError as error:
            cause = str(error).partition("; ")[0]
            raise _unknown("No such object", cause, "Fetch it from a peer first.") from None
        if whole and not info.complete:
            raise download.partial()
        return info

    def object_routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        get, post, delete = maker("GET"), maker("POST"), maker("DELETE")
        one: dict[str, Any] = {"oid": a.Oid}
        cut: dict[str, Any] = {"mode": Cut, "public": bool, "pin": bool}
        info, row = ObjectInfo, a.TransferRow
        return (
            get("/objects", self.objects, a.ObjectsAnswer, after_oid=After, limit=Page),
            post("/objects", self.upload, info, bytes, **cut),
            post("/objects/wrap", self.wrap, info, a.WrapAsk),
            get("/objects/{oid}", self.info, info, **one),
            delete("/objects/{oid}", self.remove, a.RemovedAnswer, **one),
            get("/objects/{oid}/data", self.data, bytes, name=FileName, **one),
            get("/objects/{oid}/entries", self.entries, a.EntriesAnswer, **one),
            post("/objects/{oid}/pin", self.pin, info, **one),
            post("/objects/{oid}/unpin", self.unpin, info, **one),
            post("/objects/{oid}/share", self.share, a.ShareAnswer, a.ShareAsk, **one),
            post("/objects/{oid}/unshare", self.unshare, a.ShareAnswer, a.UnshareAsk, **one),
            post("/objects/{oid}/fetch", self.fetch, row, a.FetchAsk, **one),
            get("/transfers", self.transfers, list[a.TransferRow]),
            get("/transfers/{oid}", self.transfer, row, **one),
            delete("/transfers/{oid}", self.stop, row, **one),
            post("/transfers/limits", self.limit, a.LimitsAnswer, a.LimitsAsk),
            get("/storage", self.storage, a.StorageAnswer),
            post("/storage/collect", self.collect, a.CollectedAnswer),
        )


async def _parts(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; who sends nothing for a while has left."""
    parts = aiter(request.stream())
    try:
        while True:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                part = await anext(parts)
            yield part
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise refuse(
            408, "The body did not come", f"{BODY_TIMEOUT_S:g} s passed.", "Send it again."
        ) from None
    except ClientDisconnect:
        raise refuse(400, "The body did not come", "The client left.", "Send it again.") from None


async def _row(fetching: Fetching) -> a.TransferRow:
    if not fetching.over:
        return _shown(fetching.now, "running")
    try:
        await fetching
    except WhispurrError as error:
        return _shown(fetching.now, "failed", str(error))
    return _shown(fetching.now, "done")


def _shown(now: Any, state: Literal["running", "done", "failed"], error: str = "") -> a.TransferRow:
    return a.TransferRow(
        oid=now.oid,
        state=state,
        verified=now.verified,
        total=now.total,
        rate_bps=round(now.rate_bps, 1) if state == "running" else 0.0,
        eta_s=now.eta_s if state == "running" else None,
        sources=tuple(a.SourceRow(name=name, rate_bps=round(bps, 1)) for name, bps in now.sources),
        waiting=now.waiting,
        blamed=now.blamed,
        error=error,
    )


def _unknown(error: str, cause: str, cure: str) -> Refusal:
    return refuse(404, error, cause, cure, "not_found")


def _no_room(cause: str) -> Refusal:
    return refuse(
        507,
        "There is no room",
        cause,
        "Unpin and collect what is not needed, or raise objects.quota_bytes.",
        "limit",
    )
