"""What the chum seed asks of a node besides objects and sleep: who it is, and whom it sees.

The profile `chum` changes defaults only: every node has an instance id, and any may take part in
the map of its network.

Source: seeds/004 (FEATURES.md E1, E2, E3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from whispurrnet.base.errors import HostError, NetworkError
from whispurrnet.identity.instance import (
    STATUS,
    NodeIdentity,
    StorageMetrics,
    capability_names,
    chum_instance_id,
)
from whispurrnet.node.hardware import hardware
from whispurrnet.node.topology import REQUEST, Mapper, Topology
from whispurrnet.stack import object_events
from whispurrnet.store.messages import Metrics

if TYPE_CHECKING:
    from whispurrnet.crypto.keys import Secret
    from whispurrnet.node.node import Node
    from whispurrnet.node.peer import Peer


class Chum:
    """One node as an instance on a machine, and as a place on its network; `node.chum`.

    Args:
        node: Whose it is.
        secret: Local to this machine; of an ephemeral node, to this run.
    """

    def __init__(self, node: Node, secret: Secret) -> None:
        self._node = node
        self._mapper = Mapper(node)
        persona = node.identity.persona
        found = hardware()
        self._source = found.source
        self._lasting = persona is not None
        instance = bytes.fromhex(persona or node.id)
        self.instance_id = chum_instance_id(secret, found.id, instance).hex()
        """64 hexadecimal characters; the hardware id cannot be found in them.

        The same for one long-term identity on one machine; without one, for this run.
        """
        if node.settings.lan.topology:
            node.on_request(REQUEST, self._mapper.answer)

    async def identity(self) -> NodeIdentity:
        """Who this node is, what it can do, and how it is: the six fields of the seed."""
        node = self._node
        bits = node.stack.links.capabilities
        status = node.state.value
        return NodeIdentity(
            instance_id=self.instance_id,
            node_type=node.settings.profile,
            capabilities=capability_names(bits),
            capability_bits=bits,
            storage=await self.storage(),
            uptime_s=round(node.uptime_s, 1),
            status=status,
            status_code=STATUS.index(status),
            lasting=self._lasting,
            hardware=self._source,
        )

    async def storage(self) -> StorageMetrics:
        """How full the store of objects is; one that cannot be read is not healthy."""
        if not self._node.objects.opened:
            return StorageMetrics(
                objects=0, bytes=0, parts=0, quota_bytes=None, free_bytes=0, healthy=True
            )
        try:
            metrics = await self._node.objects.metrics()
        except HostError:
            return StorageMetrics(
                objects=0, bytes=0, parts=0, quota_bytes=None, free_bytes=0, healthy=False
            )
        room = metrics.quota is None or metrics.bytes < metrics.quota
        return StorageMetrics(
            objects=metrics.objects,
            bytes=metrics.bytes,
            parts=metrics.parts,
            quota_bytes=metrics.quota,
            free_bytes=metrics.free_bytes,
            healthy=room,
        )

    async def tell_storage(self, peer: Peer) -> None:
        """Tell a peer how full our store is, once; nobody is told otherwise.

        Raises:
            NetworkError: It is not connected.
        """
        told = await self.storage()
        if not peer.connected:
            raise NetworkError(f"{peer.name} is not connected; nothing is kept to be told later")
        metrics = Metrics(
            told.objects, told.bytes, told.parts, told.quota_bytes or 0, told.free_bytes, 0
        )
        self._node.submit(object_events.TellStorage(peer.handle, metrics))

    def storage_of(self, peer: Peer) -> StorageMetrics | None:
        """How full the store of a peer is by its own word, if it ever told."""
        told = self._node.objects.told_by(peer)
        if told is None:
            return None
        return StorageMetrics(
            objects=told.objects,
            bytes=told.bytes,
            parts=told.parts,
            quota_bytes=told.quota or None,
            free_bytes=told.free_bytes,
            healthy=not told.quota or told.bytes < told.quota,
        )

    async def topology(self, *, timeout_s: float = 3.0) -> Topology:
        """Who is connected to whom on this network, among those who agreed to be named.

        Args:
            timeout_s: How long the peers are given to answer.

        Raises:
            UsageError: This node has not agreed itself: `lan.topology` is off.
        """
        return await self._mapper.draw(timeout_s)
