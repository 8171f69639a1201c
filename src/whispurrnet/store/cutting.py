"""Cutting by content: where the chunks of mode CDC end.

FastCDC lets what was inserted or removed move the bounds near it and no others, so that two
versions of a file share most of their chunks. The lengths of chunks tell what the content is:
for versioned files that may be known, never for sealed ones.

Needs the extra `cdc`. Its fallback in Python takes three minutes for a gigabyte and is refused.

Source: Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
Deduplication", USENIX ATC 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from whispurrnet.base.errors import HostError
from whispurrnet.store.object import CHUNK_LOG2, Data


class _Chunk(Protocol):
    length: int


_Cut = Callable[[Data, int, int, int], Iterable[_Chunk]]


def cut(data: Data, *, last: bool = True, chunk_log2: int = CHUNK_LOG2) -> list[int]:
    """The lengths of the chunks of `data`, one after the other.

    Args:
        data: All of an object, or what follows the chunks that are cut already.
        last: Whether the object ends with it. If not, the last chunk is left out: its end is not
            known before more of the object is.
        chunk_log2: The average, as a power of two; chunks are a quarter to four times as long.

    Returns:
        Lengths in bytes. Without `last` they make up less than `data`, and there are none when it
        is shorter than the longest chunk.

    Raises:
        HostError: The extra is not installed, or without its compiled part.
    """
    average = 1 << chunk_log2
    lengths = [c.length for c in _fastcdc()(data, average >> 2, average, average << 2)]
    if last:
        return lengths or [0]
    sure: list[int] = []
    at = 0
    for length in lengths:
        if len(data) - at < average << 2:
            break
        sure.append(length)
        at += length
    return sure


@cache
def _fastcdc() -> _Cut:
    """The compiled FastCDC.

    Raises:
        HostError: It is not there.
    """
    try:
        module = import_module("fastcdc.fastcdc_cy")
    except ImportError as error:
        raise HostError(
            "cutting by content needs the compiled fastcdc, which is not installed; get it with: "
            "pip install 'whispurrnet[cdc]', or take the mode fixed"
        ) from error
    return cast("_Cut", module.fastcdc_cy)
