"""What the REST API takes and gives where it is about folders and handing over: see `answers`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from whispurrnet.gateway.answers import Answer, Ask, Name

FileName = Annotated[str, Meta(max_length=255)]
WordCount = Annotated[int, Meta(ge=2, le=8)]
CodeText = Annotated[str, Meta(min_length=1, max_length=256)]
JoinTime = Annotated[float, Meta(gt=0, le=300)]


class SyncTotals(Answer, frozen=True):
    """A folder in figures."""

    files: int
    bytes: int
    wanted: int
    """Paths that are to change here."""
    wanted_bytes: int
    kept: int
    """Files that were kept of a conflict."""
    unshared: int
    """Things in the folder that are not shared."""
    behind: int
    """Paths that connected peers do not have as we do."""


class SyncItem(Answer, frozen=True):
    """Something that is not the same everywhere, and why."""

    path: str
    """Within the folder."""
    here: str
    there: str
    reason: str


class SyncRow(Answer, frozen=True):
    """The folder that is kept in step."""

    name: str
    """What it is called; where it lies is not told."""
    state: Literal["running", "paused", "failed"]
    trouble: str
    """What keeps it from being kept in step."""
    totals: SyncTotals | None = None
    """None: it is not being kept in step."""
    items: tuple[SyncItem, ...] = ()
    peers: tuple[str, ...] = ()
    """Who takes part and is connected."""
    refused: tuple[str, ...] = ()
    """Who does not take part, and why."""
    notes: tuple[str, ...] = ()
    """What was found damaged."""


class AdmitAsk(Ask, frozen=True):
    """Let a peer take part, until this node stops; there, too, this node has to be let in."""

    peer: Name


class OfferAsk(Ask, frozen=True):
    """Give out a code of words for an object."""

    name: FileName = ""
    """What to call it; empty: by its id."""
    words: WordCount = 2


class TakerRow(Answer, frozen=True):
    """How far one is who takes it, as it says."""

    name: str
    verified: int
    total: int
    arrived: bool


class OfferRow(Answer, frozen=True):
    """An object that is offered by a code. The code is told once, to who asked for it."""

    number: int
    oid: str
    name: str
    size: int
    """Bytes, all files together."""
    folder: bool
    state: Literal["open", "met", "arrived", "ended"]
    """Met: the code is used up, and the object can be had by who used it, also later."""
    why: str
    """Why it ended."""
    expires_s: float
    """For how long the code is good; 0: it is used or over."""
    takers: tuple[TakerRow, ...]


class OfferAnswer(Answer, frozen=True):
    """A code of words."""

    code: str
    """A secret, good for one try; tell it to who is to have the object."""
    command: str
    """What to type there, which then asks for the code."""
    offer: OfferRow


class ReceiveAsk(Ask, frozen=True):
    """Take what somebody offers by a code into the store of this node."""

    code: CodeText
    timeout_s: JoinTime = 60.0
    """How long to look for who offers it."""


class ReceivingRow(Answer, frozen=True):
    """What was offered by a code, and how far it is."""

    oid: str
    name: str
    """Made by somebody else: it is text, never a path."""
    size: int
    """As who offers it says."""
    folder: bool
    state: Literal["running", "done", "failed", "stopped"]
    verified: int
    total: int
    rate_bps: float
    eta_s: float | None
    sources: int
    waiting: str
    """What is waited for, in words."""
    error: str
    """Why it failed."""
