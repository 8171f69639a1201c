"""The one table of protocol numbers, and the one table of message kinds.

A frame names a protocol (one byte), which names the core that reads it. A direct message also
names a kind (two bytes), which the application reads; all names of the four seeds' sets are
here. Names that mean one thing are aliases of one number. A number that is not here is counted
and ignored, never taken for another.

`python -m whispurrnet.stack.protocols` prints the tables of `docs/protocol/numbers.md`.
"""

from __future__ import annotations

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.wire import frame

PRIORITY_MAX = 10
PRIORITY_DEFAULT = 5


class Protocol(msgspec.Struct, frozen=True):
    """One protocol number."""

    number: int
    name: str
    core: str
    purpose: str


class Kind(msgspec.Struct, frozen=True):
    """One kind of message, as applications name it."""

    number: int
    name: str
    aliases: tuple[str, ...]
    seed: str
    carried: str
    """Which protocol carries it: `direct` (a whisper), `control`, `peer`, or the issue to come."""
    purpose: str
    priority: int = PRIORITY_DEFAULT


PROTOCOLS = (
    Protocol(frame.PADDING, "PADDING", "session.channel", "ends the frames of a record"),
    Protocol(frame.CONTROL, "CONTROL", "session.channel", "ping, pong, rekey, goodbye"),
    Protocol(frame.FRAGMENT, "FRAGMENT", "wire.frame", "a part of a message too long for a frame"),
    Protocol(frame.STREAM, "STREAM", "session.mux", "streams with credit-based flow control"),
    Protocol(frame.DIRECT, "DIRECT", "direct.courier", "whispers, receipts, requests, answers"),
    Protocol(frame.PEER, "PEER", "stack.greeting", "hello, identity, rotation, presence, sleep"),
    Protocol(frame.RETIRED, "RETIRED", "-", "not used again: once told which intents a peer wants"),
    Protocol(
        frame.GOSSIP, "GOSSIP", "gossip.spread", "messages for many: pushed, announced, asked"
    ),
    Protocol(frame.VIEW, "VIEW", "gossip.membership", "who is a neighbour of whom in the mesh"),
    Protocol(frame.RENDEZVOUS, "RENDEZVOUS", "discovery.rendezvous", "meeting under a name"),
    Protocol(frame.OBJECT, "OBJECT", "store.transfer", "objects: asked for, proven, in step"),
    Protocol(frame.RELAY, "RELAY", "nat.relay", "places at a relay, and circuits through it"),
    Protocol(frame.SIGNAL, "SIGNAL", "nat.signal", "offers and answers of WebRTC"),
)

_D, _C, _P, _G = "direct", "control", "peer", "gossip"

KINDS = (
    Kind(1, "WHISPER", ("DIRECT_MESSAGE",), "A10 B12", _D, "from one peer to another"),
    Kind(2, "RESONANCE", ("RESONANCE_WHISPER",), "A10 B12", _G, "to whoever listens to an intent"),
    Kind(3, "BROADCAST", ("GOSSIP_BROADCAST",), "A10 B12", _G, "to everyone"),
    Kind(4, "EMERGENCY_SIGNAL", (), "A10", _G, "critical alerts", PRIORITY_MAX),
    Kind(5, "HEARTBEAT", ("PING", "PONG", "HealthCheck"), "A10 B12 D16 E6", _C, "is it alive"),
    Kind(6, "PEER_DISCOVERY", (), "A10", "view", "who else is there"),
    Kind(7, "TURN", (), "A4", _G, "to any one of those who listen to an intent"),
    Kind(8, "TAKEN", (), "A4", _G, "one of them has it"),
    Kind(16, "FILE_SYNC", (), "B13", _D, "extension: files"),
    Kind(17, "MINING_SIGNAL", (), "B13", _D, "extension: compute signalling"),
    Kind(18, "DREAMSPACE", (), "B13", _D, "extension: journal bursts"),
    Kind(32, "Thought", (), "D16", _D, "cognitive processing data"),
    Kind(33, "AgentCoordination", ("coordination",), "D16", _D, "between agents"),
    Kind(34, "SwarmSync", (), "D16", _D, "swarm synchronisation"),
    Kind(35, "ConsensusProposal", (), "D16", "consensus", "a proposal to a group"),
    Kind(36, "ConsensusVote", (), "D16", "consensus", "a vote in a group"),
    Kind(37, "MetricsUpdate", (), "D16", _D, "performance metrics"),
    Kind(38, "Command", (), "D16", _D, "a direct command", 8),
    Kind(39, "Response", (), "D16", _D, "the answer to a command"),
    Kind(48, "HELLO", (), "E6", _P, "the first message of a session"),
    Kind(49, "KEY_EXCHANGE", (), "E6", _C, "a new pair of keys inside a session"),
    Kind(50, "OBJECT_SYNC", (), "E6", "objects", "which objects do you lack"),
    Kind(51, "OBJECT_REQUEST", (), "E6", "objects", "ask for an object"),
    Kind(52, "OBJECT_DATA", (), "E6", "objects", "a part of an object"),
    Kind(53, "STORAGE_METRICS", (), "E6", "objects", "how full a store is"),
    Kind(54, "ERROR", (), "E6", _D, "what went wrong"),
)
CHUM_CODES = (48, 49, 50, 51, 52, 5, 53, 54)
"""The kinds in the order of the chum seed's own codes 0 to 7 (E6)."""

WHISPER, RESONANCE, BROADCAST, EMERGENCY, TURN, TAKEN = 1, 2, 3, 4, 7, 8

HOW_TO_SPREAD = {
    RESONANCE: "resonate",
    BROADCAST: "broadcast",
    EMERGENCY: "emergency",
    TURN: "resonate with one_of",
    TAKEN: "nothing: the node says it",
}

BY_NUMBER = {kind.number: kind for kind in KINDS}
_BY_NAME = {name.casefold(): kind for kind in KINDS for name in (kind.name, *kind.aliases)}


def kind_of(name: str) -> Kind:
    """The kind with this name or alias, in any case.

    Raises:
        UsageError: There is none.
    """
    kind = _BY_NAME.get(name.casefold())
    if kind is None:
        known = ", ".join(kind.name for kind in KINDS if kind.carried == _D)
        raise UsageError(f"unknown kind of message {name!r}; use one of {known}")
    return kind


def sendable(name: str) -> Kind:
    """The kind with this name, which an application may send to a peer.

    Raises:
        UsageError: There is none, or it is carried by another protocol.
    """
    kind = kind_of(name)
    if kind.number in HOW_TO_SPREAD:
        raise UsageError(
            f"{kind.name} goes to many, not to one peer; use {HOW_TO_SPREAD[kind.number]}"
        )
    if kind.carried != _D:
        raise UsageError(
            f"{kind.name} is not a direct message: the {kind.carried} protocol sends it"
        )
    return kind


def name_of(number: int) -> str:
    """The name of a kind, or `kind N` for one this version does not know."""
    kind = BY_NUMBER.get(number)
    return kind.name if kind else f"kind {number}"


def markdown() -> str:
    """Both tables, for the documentation."""
    lines = [
        "# Numbers on the wire",
        "",
        "Made by `python -m whispurrnet.stack.protocols`; do not edit.",
        "",
        "## Protocols: the first byte of a frame",
        "",
        "| number | name | core | purpose |",
        "|---|---|---|---|",
        *(f"| {p.number} | {p.name} | `{p.core}` | {p.purpose} |" for p in PROTOCOLS),
        "",
        "## Kinds of messages",
        "",
        "A kind carried by `direct` can be sent as a whisper; the others name what another does.",
        "",
        "| number | name | aliases | feature | carried by | purpose | priority |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {k.number} | {k.name} | {', '.join(k.aliases)} | {k.seed} | {k.carried} "
            f"| {k.purpose} | {k.priority} |"
            for k in KINDS
        ),
        "",
        "The chum seed's codes 0 to 7 are, in its order: "
        + ", ".join(BY_NUMBER[number].name for number in CHUM_CODES)
        + ".",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is what the command is for
