"""What the REST API takes and gives: one closed structure each; OpenAPI is made from them.

`whispurr --output json` prints these same structures. `SCHEMA` counts what is not an addition.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA = 2

Kind = Literal["usage", "refused", "host", "unreachable", "not_authentic", "limit", "not_found"]
Priority = Annotated[int, Meta(ge=0, le=10)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(max_length=2**20)]
Wait = Annotated[float, Meta(ge=0, le=300)]
Strength = Annotated[float, Meta(ge=0, le=1)]
Lifetime = Annotated[float, Meta(gt=0, le=300)]
TopicKey = Annotated[str, Meta(pattern="^([0-9a-fA-F]{64})?$")]
"""The key of a private topic, 64 hexadecimal characters; empty: the topic is public."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request's body is: closed, so that a misspelt field is an error."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer's body is."""


class ErrorAnswer(Answer, frozen=True):
    """Every refusal: one sentence, its cause, its cure."""

    error: str
    cause: str
    cure: str
    kind: Kind = "usage"


class IdentityAnswer(Answer, frozen=True):
    """Who the node is at the moment."""

    id: str
    name: str
    expires_s: float


class TicketAnswer(Answer, frozen=True):
    """A ticket, and the command for the other side."""

    ticket: str
    uri: str
    single_use: bool
    command: str


class ResonanceAsk(Ask, frozen=True):
    """Send a payload to whoever listens to an intent, anywhere in the mesh."""

    intent: Name
    payload: dict[str, Any]
    strength: Strength = 1.0
    priority: Priority = 5
    topic_key: TopicKey = ""
    signed: bool = False
    """Tell those who listen who sent it."""
    one_of: bool = False
    """Any one of those who listen is enough: after some seconds one takes it, seldom two."""
    ttl_s: Lifetime | None = None
    """How long it is of use; by default `message_ttl` of the node."""


class BroadcastAsk(Ask, frozen=True):
    """Send a text, or bytes as base64, to everyone in the mesh."""

    text: Text | None = None
    body_base64: Annotated[str, Meta(max_length=1_400_000)] | None = None
    signed: bool = False
    ttl_s: Lifetime | None = None


class SpreadAnswer(Answer, frozen=True):
    """A message is on its way through the mesh. Who hears it, nobody can know: not even we."""

    id: str
    """32 hexadecimal characters: the same wherever it arrives."""
    neighbours: int
    """How many neighbours this node has now."""
    state: Literal["sent", "queued"]
    """`queued`: there is no neighbour; it goes out with the first, until its time is over."""


class WhisperAsk(Ask, frozen=True):
    """Send a text, or bytes as base64, to one peer."""

    peer: Name
    text: Text | None = None
    body_base64: Annotated[str, Meta(max_length=1_400_000)] | None = None
    kind: Name = "WHISPER"
    priority: Priority | None = None
    ttl_s: Annotated[float, Meta(gt=0, le=604_800)] | None = None
    wait_s: Wait = 0.0
    """Answer when the peer has it, or after this long."""


class WhisperAnswer(Answer, frozen=True):
    """Where a whisper is: queued, sent, received, read, expired or failed."""

    id: int
    peer: str
    state: str


class ListenAsk(Ask, frozen=True):
    """Listen to an intent, or no longer."""

    intent: Name
    topic_key: TopicKey = ""
    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """How well a message must match; what leaving takes no notice of."""


class ListenAnswer(Answer, frozen=True):
    """The intents this API listens to."""

    listening: tuple[str, ...]
    """Those that are public."""
    private: tuple[str, ...] = ()
    """Those with a topic key."""
    key_id: str = ""
    """Stands for the key that was given, as in the messages that come by it."""


class MessageRow(Answer, frozen=True):
    """A message that arrived; `text` is null when the body is not UTF-8."""

    number: int
    """Counts from 1; ask for what came `after` one."""
    kind: str
    sender: str
    """`somebody` when nobody says who sent it."""
    sender_id: str
    """Of a peer of this node; empty when nobody says who sent it, or it is none."""
    author: str
    """Of a message of the mesh: the id of the node that signed it; empty when nobody did."""
    id: str
    """Of a message of the mesh: the same everywhere; empty of a whisper."""
    topic: str | None
    key_id: str
    """Stands for the key of a private topic; empty when it came by a public one."""
    text: str | None
    body_base64: str
    priority: int
    strength: float
    received_ms: int


class MessagesAnswer(Answer, frozen=True):
    """What arrived, oldest first; `last` is the highest number given so far."""

    last: int
    messages: tuple[MessageRow, ...]


class ReadAnswer(Answer, frozen=True):
    """A message was marked as read."""

    number: int


class ConnectAsk(Ask, frozen=True):
    """A ticket, or the address of a node."""

    ticket: Annotated[str, Meta(min_length=1, max_length=4096)]
    timeout_s: Annotated[float, Meta(gt=0, le=120)] | None = None
    """By default `session.timeout_ms` of the node."""


class PeerAsk(Ask, frozen=True):
    """A peer: its name, id, or the beginning of its id."""

    peer: Name


class PingAsk(Ask, frozen=True):
    """Measure the round trip to a peer."""

    peer: Name
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0


class PingAnswer(Answer, frozen=True):
    """A round trip."""

    peer: str
    path: str
    rtt_ms: float


class NeighbourRow(Answer, frozen=True):
    """A peer with whom this node gossips."""

    id: str
    name: str
    path: str
    outbound: bool
    """Whether this node called: nobody else chose it."""
    friend: bool
    """Whether one side wants this very peer, not only somebody in the mesh."""
    score: float
    """What its gossip was worth: at most 0.7, below 0 for faults. Nobody is told."""
    since_s: float


class NameAsk(Ask, frozen=True):
    """Be found under a name, or no longer."""

    name: Name


class NamesAnswer(Answer, frozen=True):
    """The names under which this node is to be found."""

    names: tuple[str, ...]
    places: int
    """At how many meeting places now; with none a name is left at the first that connects."""


class FindAsk(Ask, frozen=True):
    """Look who is registered under a name."""

    name: Name
    count: Annotated[int, Meta(ge=1, le=256)] = 20
    """How many are enough."""
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 12.0


class FoundRow(Answer, frozen=True):
    """A node that is registered under a name. The ticket proves nothing; joining by it does."""

    ticket: str
    key: str
    """Its static key: 64 hexadecimal characters."""
    addresses: tuple[str, ...]
    expires_s: int
    """Until when the ticket is valid, in unix seconds."""


class FoundAnswer(Answer, frozen=True):
    """Who is registered under a name, by the word of the meeting places."""

    found: tuple[FoundRow, ...]
    places: int
    """How many were asked."""


Presence = Literal["online", "away", "busy", "asleep"]


class PresenceAsk(Ask, frozen=True):
    """Tell the peers how this node is doing."""

    state: Presence
    note: Annotated[str, Meta(max_length=120)] = ""


class PresenceAnswer(Answer, frozen=True):
    """What the peers are told."""

    state: str
    note: str


class SleepAsk(Ask, frozen=True):
    """Speak seldom from now on."""

    for_s: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None
    """For so long; null: until the node is used."""
    note: Annotated[str, Meta(max_length=120)] = ""


class SleepAnswer(Answer, frozen=True):
    """Whether the node sleeps."""

    asleep: bool


class TrustRow(Answer, frozen=True):
    """What is known of a peer's long-lived self."""

    name: str
    id: str
    persona: str | None
    trust: str
    safety_number: str
    """Sixty digits to compare over another way; empty unless both have a long-term identity."""


class SettingRow(Answer, frozen=True):
    """One setting, and where its value came from."""

    path: str
    value: Any
    origin: str
    env: str


class Check(Answer, frozen=True):
    """One finding of the doctor."""

    title: str
    state: Literal["ok", "problem", "not checked"]
    cause: str = ""
    cure: str = ""


class DoctorAnswer(Answer, frozen=True):
    """All findings; safe to paste: no id, address or name."""

    verdict: str
    ok: bool
    checks: tuple[Check, ...]
