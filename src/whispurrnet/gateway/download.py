"""An object as the answer to a request: whole, or a range of it; never all of it in memory.

What is in an object was made by others. So a browser is told to save it and not to look into it,
and its name is one that we make, or one that the caller gives and that is no path.

Source: RFC 9110 (sections 8.8, 13, 14), RFC 6266, RFC 8187.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from whispurrnet.base.errors import UsageError
from whispurrnet.gateway.refusal import Refusal, refuse
from whispurrnet.store import names

if TYPE_CHECKING:
    from whispurrnet.node.holdings import ObjectInfo
    from whispurrnet.node.objects import Objects

BLOCK_BYTES: Final = 1 << 20
"""How much is read at a time."""
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def respond(
    objects: Objects, info: ObjectInfo, headers: Mapping[str, str], name: str, *, head: bool
) -> Response:
    """Answer with an object, or what a `Range` asks for.

    Args:
        objects: Those of the node.
        info: Of the object.
        headers: Of the request.
        name: What to call it; empty: by its id.
        head: The request is a HEAD: only the headers.

    Raises:
        Refusal: The range lies beyond the end or is not here, or the name is a path.
        HostError: It cannot be read.
    """
    tag = f'"{info.oid}"'
    told = {
        "accept-ranges": "bytes",
        "content-disposition": f"attachment; {_named(info, name)}",
        "content-security-policy": "default-src 'none'; sandbox",
        "etag": tag,
        "x-content-type-options": "nosniff",
    }
    if tag in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=told)
    wanted = _range(headers, tag, info.size)
    start, end = wanted if wanted is not None else (0, info.size)
    if not info.complete and not (
        start < end and await objects.holds(info.oid, start, end - start)
    ):
        raise partial()
    if wanted is not None:
        told["content-range"] = f"bytes {start}-{end - 1}/{info.size}"
    told["content-length"] = str(end - start)
    status, media = 206 if wanted is not None else 200, "application/octet-stream"
    if head:
        return Response(status_code=status, headers=told, media_type=media)
    first = await objects.read(info.oid, start, min(BLOCK_BYTES, end - start))
    body = _blocks(objects, info.oid, start, end, first)
    return StreamingResponse(body, status, told, media)


def partial() -> Refusal:
    """What is answered when bytes that are wanted are not here."""
    return refuse(
        409, "It is not whole", "Parts of it are not here.", "Fetch it from a peer first."
    )


async def _blocks(
    objects: Objects, oid: str, start: int, end: int, first: bytes
) -> AsyncIterator[bytes]:
    """All that is wanted; the first block was read before anything was promised."""
    block = first
    while block:
        yield block
        start += len(block)
        block = await objects.read(oid, start, min(BLOCK_BYTES, end - start))


def _range(headers: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | None:
    """From where to where; None for all. What is no single range of bytes is passed over."""
    match = _RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or headers.get("if-range", tag) != tag or not any(match.groups()):
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    else:
        start, end = max(0, size - int(last)), size
    if start >= end:
        refusal = refuse(
            416,
            "The range cannot be had",
            f"The object has {size} bytes.",
            "Ask for bytes that it has.",
        )
        refusal.headers["content-range"] = f"bytes */{size}"
        raise refusal
    return start, end


def _named(info: ObjectInfo, name: str) -> str:
    if not name:
        return f'filename="{info.oid[:16]}.bin"'
    try:
        names.check(name)
    except UsageError as error:
        raise refuse(
            400, "The request was wrong", str(error), "Give the name of a file, and no path."
        ) from None
    return f"filename*=UTF-8''{quote(name, safe='')}"
