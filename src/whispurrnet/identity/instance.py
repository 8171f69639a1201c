"""The id of an instance, and what a node says of itself: `NodeIdentity` of the chum seed.

Such an id is made from what names the machine and what names the instance on it, under a secret
that never leaves the machine. So it stays the same as long as all three do, two instances never
share one, and nobody can find the hardware id in it, not even by trying all there are.

Source: seeds/004, "Node Identity" (FEATURES.md E1, E2); DECISIONS section 2.
"""

from __future__ import annotations

from typing import Final

import msgspec

from whispurrnet.crypto.hash import hmac_sha256

CAPABILITIES: Final[tuple[str, ...]] = (
    *("gossip", "shared address", "lasting session", "meeting place", "closed realm"),
    *("objects", "mapped"),
)
"""What the bits of a hello mean, the lowest first (see `stack.greeting`)."""

STATUS: Final[tuple[str, ...]] = ("NotListening", "Starting", "Listening", "ShuttingDown")
"""The states of the seed, in the order of their codes."""


class StorageMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How full the store of objects is; none of it names an object."""

    objects: int
    bytes: int
    """Of whole objects and of the parts that arrived."""
    parts: int
    quota_bytes: int | None
    """None: as much as the disk has."""
    free_bytes: int
    """Of the disk; 0 where nothing stays."""
    healthy: bool
    """Whether it can be read, and has room."""


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The six fields of the seed. All but the first two are of this moment."""

    instance_id: str
    """64 hexadecimal characters."""
    node_type: str
    """The profile, such as `chum`."""
    capabilities: tuple[str, ...]
    """What it says in each hello that it can do."""
    capability_bits: int
    """The same, as the 32 bits that travel."""
    storage: StorageMetrics
    uptime_s: float
    status: str
    """One of `STATUS`."""
    status_code: int
    """Its number there: the seed's `status`."""
    lasting: bool
    """Whether the instance id outlives this run."""
    hardware: str
    """What stands for the hardware: `machine id`, `network card`, or `none` and why."""


def chum_instance_id(secret: bytes, hardware_id: bytes, instance: bytes) -> bytes:
    """The id of a chum instance; 32 bytes, from which the hardware id cannot be found.

    Args:
        secret: Local to this machine, and never sent.
        hardware_id: What names the machine.
        instance: What names the instance on it.
    """
    length = len(hardware_id).to_bytes(4, "big")
    return hmac_sha256(secret, b"WN1 chum", length, hardware_id, instance)


def capability_names(bits: int) -> tuple[str, ...]:
    """The names of the bits that are set; those of a later version are left out."""
    return tuple(name for n, name in enumerate(CAPABILITIES) if bits >> n & 1)
