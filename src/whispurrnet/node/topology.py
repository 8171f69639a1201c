"""The map of a local network: who is connected to whom, among those who agreed to be in it.

A node with `lan.topology` says so in its hello. It answers one question, and only to peers on its
own network who have agreed as well: with whom of those like it is it connected? So nobody is named
who did not agree, and the rest of its peers appear as a number. Nothing is sent until somebody
asks; what one node knows of the map, it has from its own peers, who speak for themselves only.

Ids are the ephemeral ones: a map does not pass long-term identities on.

Source: seeds/004, "Network topology mapping" (FEATURES.md E3); DECISIONS section 1, `chum`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from whispurrnet.base.bounded import LruDict, TokenBucket
from whispurrnet.base.errors import LimitError, NetworkError, ProtocolError, UsageError
from whispurrnet.node.words import name_of
from whispurrnet.stack import greeting
from whispurrnet.stack.reach import Reach, reach
from whispurrnet.wire.ids import PeerId

if TYPE_CHECKING:
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer, Request

REQUEST: Final = "whispurrnet/topology"
"""The name of the question."""

PEERS_MAX = 256
"""How many peers one answer names; a hundred is what a node has at most by default."""

ANSWERS_PER_S, ANSWERS_BURST = 0.2, 5
"""How often one peer is answered."""

ASKERS_MAX = 1024

Id = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Near(msgspec.Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """The answer: with whom I am connected."""

    peers: Annotated[tuple[Id, ...], Meta(max_length=PEERS_MAX)]
    """Those on this network who agreed to be named, by their ephemeral ids."""
    others: Annotated[int, Meta(ge=0, le=0xFFFF)]
    """How many more there are."""


class MapNode(msgspec.Struct, frozen=True):
    """One node of the map."""

    id: str
    """64 hexadecimal characters: its ephemeral id, as last heard of."""
    name: str
    told: bool
    """Whether its own word is in the map; false: others say that they are connected to it."""
    others: int
    """How many peers it has besides those in the map."""
    asleep: bool = False
    """Whether it sleeps: then it is not asked."""


class MapLink(msgspec.Struct, frozen=True):
    """Two of them are connected: by the word of one, or of both."""

    a: str
    b: str
    both: bool


class Topology(msgspec.Struct, frozen=True):
    """The map, as this node can know it: its peers, and theirs."""

    nodes: tuple[MapNode, ...]
    """This node first."""
    links: tuple[MapLink, ...]
    age_s: float
    """How old the oldest answer in it is, in seconds."""
    silent: int
    """How many who agreed did not answer in time."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Near).decode


def decode(body: bytes) -> Near:
    """Read an answer.

    Raises:
        ProtocolError: It is malformed.
    """
    try:
        near = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("the answer about the network is malformed") from error
    if len(set(near.peers)) != len(near.peers):
        raise ProtocolError("an answer about the network names somebody twice")
    return near


class Mapper:
    """The part of one node in maps, and the map that it draws.

    Args:
        node: Whose it is.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._askers: LruDict[int, TokenBucket] = LruDict(ASKERS_MAX)

    def answer(self, request: Request) -> bytes:
        """Answer a peer.

        Raises:
            UsageError: This node, or the peer, has not agreed; or it is not on this network.
            LimitError: It asks too often.
        """
        peer = request.sender
        self._agreed()
        if not _is_mapped(peer):
            raise UsageError("only who agreed to be in maps of its network is told of others")
        bucket = self._askers.get(peer.handle)
        if bucket is None:
            bucket = TokenBucket(ANSWERS_PER_S, ANSWERS_BURST)
            self._askers.put(peer.handle, bucket)
        if not bucket.take(1, self._node.now()):
            raise LimitError("the map is asked for too often; wait some seconds")
        return _encode(self.near(peer))

    def near(self, asker: Peer | None = None) -> Near:
        """What this node says of itself; who asks knows already of its own link."""
        peers = [peer for peer in self._node.peers if peer is not asker]
        named = [peer.record.id for peer in peers if _is_mapped(peer)][:PEERS_MAX]
        return Near(tuple(named), min(len(peers) - len(named), 0xFFFF))

    async def draw(self, timeout_s: float) -> Topology:
        """Ask all who agreed, at once, and put together what they say.

        Raises:
            UsageError: This node has not agreed to be in maps, so nobody would answer.
        """
        self._agreed()
        peers = [peer for peer in self._node.peers if _is_mapped(peer)]
        awake = [peer for peer in peers if peer.presence[0] != "asleep"]
        asked_at = self._node.now()
        words = await asyncio.gather(*(self._ask(peer, timeout_s) for peer in awake))
        said = zip(awake, words, strict=True)
        told = {peer.handle: near for peer, near in said if near is not None}
        return chart(
            (bytes.fromhex(self._node.id), self._node.name, self.near()),
            [(_known(peer), told.get(peer.handle)) for peer in peers],
            age_s=round(self._node.now() - asked_at, 3),
            silent=len(awake) - len(told),
        )

    async def _ask(self, peer: Peer, timeout_s: float) -> Near | None:
        try:
            return decode(await peer.request(REQUEST, timeout_s=timeout_s))
        except (NetworkError, LimitError, ProtocolError):
            return None

    def _agreed(self) -> None:
        if not self._node.stack.shared.config.mapped:
            raise UsageError(
                "this node takes no part in maps of its network; set lan.topology = true "
                "here and on the others; in stealth nobody does"
            )


class Known(msgspec.Struct, frozen=True):
    """A peer of ours who agreed."""

    ids: tuple[bytes, ...]
    """Its ephemeral ids, the newest last: others may know it by one of before."""
    name: str
    asleep: bool


def _known(peer: Peer) -> Known:
    ids = tuple(peer.record.ids)
    return Known((*(i for i in ids if i != peer.record.id), peer.record.id), peer.name,
                 peer.presence[0] == "asleep")  # fmt: skip


def _is_mapped(peer: Peer) -> bool:
    """Whether a peer has agreed, and is on this network or machine as the link to it tells."""
    live = peer.record.live
    return (
        live is not None
        and bool(peer.record.capabilities & greeting.MAPPED)
        and Reach.MACHINE <= reach(live.address) <= Reach.NETWORK
    )


def chart(
    own: tuple[bytes, str, Near],
    peers: Iterable[tuple[Known, Near | None]],
    *,
    age_s: float,
    silent: int,
) -> Topology:
    """Put the words of several nodes together.

    Args:
        own: Our id, our name, and what we say.
        peers: Each peer who agreed, and what it says, if it did.
        age_s: How old that is, in seconds.
        silent: How many did not answer.
    """
    me, name, mine = own
    rows = list(peers)
    newest = {old: known.ids[-1] for known, _ in rows for old in known.ids} | {me: me}
    nodes = {me: MapNode(me.hex(), name, told=True, others=mine.others)}
    said: dict[tuple[bytes, bytes], set[bytes]] = {}
    for known, near in rows:
        id = known.ids[-1]
        others = 0 if near is None else near.others
        nodes[id] = MapNode(id.hex(), known.name, near is not None, others, known.asleep)
        said[_pair(me, id)] = {me, id}  # a session has two ends
    for known, near in rows:
        id = known.ids[-1]
        for told in near.peers if near is not None else ():
            other = newest.get(told, told)
            if other in {id, me}:
                continue  # nobody is connected to himself; and of our own sessions we know best
            shown = MapNode(other.hex(), name_of(PeerId(other)), told=False, others=0)
            nodes.setdefault(other, shown)
            said.setdefault(_pair(id, other), set()).add(id)
    links = tuple(MapLink(a.hex(), b.hex(), len(by) == 2) for (a, b), by in said.items())
    return Topology(tuple(nodes.values()), links, age_s, silent)


def _pair(a: bytes, b: bytes) -> tuple[bytes, bytes]:
    return (a, b) if a < b else (b, a)
