"""What happens to a courier, what it wants done, and its settings.

Peers are small integers that the caller gives out: a handle stays with a peer through any number
of sessions and identities. The `id` of a message or a request is the caller's own number and
never travels.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from whispurrnet.base.machine import Tick
from whispurrnet.direct.messages import BODY_BYTES_MAX, Whisper


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a courier."""

    window: int = 8192
    """How many whispers of one lane may be sent and not acknowledged."""

    window_bytes: int = 4 * 1024 * 1024
    """How many bytes of one lane may be sent and not acknowledged."""

    queue_max: int = 100_000
    """How many messages may wait for one peer, those not yet acknowledged included."""

    queue_bytes_max: int = 64 * 1024 * 1024
    """How many bytes of messages may wait for one peer."""

    peers_max: int = 1000
    """How many peers are remembered; idle ones make room for new ones."""

    retry_s: float = 15.0
    """How long to wait for an acknowledgement in a live session before asking, in seconds."""

    requests_max: int = 1024
    """How many requests may be open at once with one peer, in each direction."""

    body_max: int = BODY_BYTES_MAX
    """The longest body that is sent, in bytes."""

    ttl_s: float = 300.0
    """How long an acknowledged whisper is of use unless it says so itself, in seconds."""

    unread_max: int = 4096
    """How many received whispers of one lane may wait to be reported as read."""


# Events


class Post(msgspec.Struct, frozen=True, gc=False):
    """Send a whisper."""

    peer: int
    id: int
    kind: int
    body: bytes
    priority: int = 5
    ttl_s: float | None = None
    """None: `Config.ttl_s`, or for one that is not acknowledged, the end of the session."""
    acknowledged: bool = True
    """False: sent once, dropped if the session ends first, and no `Progress`."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Send a request; exactly one `Answered` follows, unless it is abandoned."""

    peer: int
    id: int
    name: str
    body: bytes
    priority: int = 5
    timeout_s: float = 30.0


class Abandon(msgspec.Struct, frozen=True, gc=False):
    """Wait no longer for the answer to our request `id`."""

    peer: int
    id: int


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Answer the request `id` of a peer; ignored if nobody waits for it any more."""

    peer: int
    id: int
    body: bytes
    error: str = ""


class Up(msgspec.Struct, frozen=True, gc=False):
    """A session with the peer began, or took the place of the one before."""

    peer: int


class Down(msgspec.Struct, frozen=True, gc=False):
    """The session with the peer ended; what is acknowledged waits for the next one."""

    peer: int


class Forget(msgspec.Struct, frozen=True, gc=False):
    """Drop everything about a peer; what waits for it fails."""

    peer: int


class Merge(msgspec.Struct, frozen=True, gc=False):
    """The peer of handle `old` turned out to be that of `new`; `old` is not used any more."""

    old: int
    new: int


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """The body of a DIRECT frame arrived from an authenticated session with the peer."""

    peer: int
    body: bytes


class MarkRead(msgspec.Struct, frozen=True, gc=False):
    """The application has read a lane of a peer up to and including `seq`."""

    peer: int
    lane: int
    seq: int


Event: TypeAlias = (
    Arrived | Post | Ask | Answer | MarkRead | Abandon | Up | Down | Forget | Merge | Tick
)


# Effects

State: TypeAlias = Literal["sent", "received", "read", "expired", "failed"]


class Delivered(msgspec.Struct, frozen=True):
    """Whispers for the application, in the order to hand them over."""

    peer: int
    whispers: list[Whisper]


class Progress(msgspec.Struct, frozen=True, gc=False):
    """What became of an acknowledged whisper of ours.

    `expired` and `failed` are final: no acknowledgement came, and it will not be sent again. It
    may have been received all the same if it was `sent` before the session ended.
    """

    peer: int
    id: int
    state: State


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A peer asks; `id` is its own number for the `Answer`."""

    peer: int
    id: int
    name: str
    body: bytes
    priority: int
    timeout_s: float


class Abandoned(msgspec.Struct, frozen=True, gc=False):
    """Nobody waits for the answer to the peer's request `id` any more: stop working on it."""

    peer: int
    id: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """Our request has its answer, or a text that says why there is none."""

    peer: int
    id: int
    body: bytes
    error: str


Effect: TypeAlias = Delivered | Progress | Asked | Abandoned | Answered
