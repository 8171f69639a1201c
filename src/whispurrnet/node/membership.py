"""The membership of a node in a closed realm: in its settings, in its vault, and as it is shown."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from whispurrnet.base.errors import ConfigError
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.sign import SEED_BYTES, SigningKey
from whispurrnet.node.sections import MembershipSettings
from whispurrnet.stack.belonging import Holding
from whispurrnet.stack.config import MembersConfig

if TYPE_CHECKING:
    from whispurrnet.stack.stack import Stack

_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """What this node is in its realm."""

    role: Literal["open", "outsider", "member", "founder"]
    """`open`: the realm has no founder, and everybody belongs to it."""
    founder: str = ""
    """The public key of the founder: 64 hexadecimal characters."""
    key: str = ""
    """Our public key in the realm; the same in every session."""
    links: int = 0
    """How many invites are between the founder and us."""
    may_invite: bool = False
    """Whether our invites make members."""
    expires_s: float | None = None
    """Until our membership ends, in seconds; null: never, or there is none."""
    members: int = 0
    """How many of the peers that are connected are members."""


def config_of(settings: MembershipSettings) -> MembersConfig:
    """The configuration of a realm.

    Raises:
        ConfigError: The founder is no key.
    """
    if not settings.founder:
        if settings.key_file:
            raise ConfigError(
                "membership.key_file: there is a key but no realm; set membership.founder, which "
                "`whispurr membership init` has printed"
            )
        return MembersConfig()
    if not _HEX.fullmatch(settings.founder):
        raise ConfigError(
            "membership.founder: this is no public key; take the 64 hexadecimal characters that "
            "`whispurr membership init` has printed"
        )
    return MembersConfig(
        founder=bytes.fromhex(settings.founder),
        depth=settings.depth,
        life_s=int(settings.life_s),
    )


def founding(settings: MembershipSettings) -> Holding | None:
    """The key of the founder, if this node has it.

    Raises:
        ConfigError: The file cannot be read, others may read it, or it holds another key.
    """
    if not settings.key_file:
        return None
    path = Path(settings.key_file).expanduser()
    try:
        with path.open(encoding="ascii") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigError(
                    f"membership.key_file: others of this machine may read {path}; chmod 600 {path}"
                )
            text = file.read(1024).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"membership.key_file: {path} cannot be read ({reason})") from error
    if not _HEX.fullmatch(text):
        raise ConfigError(
            f"membership.key_file: {path} holds no key; make one: whispurr membership init FILE"
        )
    seed = Secret(bytes.fromhex(text))
    if public_of(seed) != settings.founder.lower():
        raise ConfigError(
            f"membership.key_file: {path} holds the key of another founder than membership.founder"
        )
    return Holding(seed)


def public_of(seed: bytes) -> str:
    """The public key of 32 secret bytes, as it stands in `membership.founder`."""
    return SigningKey.from_bytes(seed).public.hex()


def pack(holding: Holding) -> Secret:
    """As it stands in the vault."""
    return Secret(holding.seed + holding.chain)


def unpack(kept: bytes) -> Holding | None:
    """What stood in the vault; None if nothing did."""
    if len(kept) < SEED_BYTES:
        return None
    return Holding(Secret(kept[:SEED_BYTES]), bytes(kept[SEED_BYTES:]))


def snapshot(stack: Stack, wall_ms: int) -> Membership:
    """What a node is in its realm at the moment."""
    belonging = stack.shared.belonging
    realm, ours = belonging.realm, belonging.member
    if realm is None:
        return Membership(role="open")
    role: Literal["outsider", "member", "founder"] = "outsider"
    if ours is not None:
        role = "founder" if belonging.is_founder else "member"
    return Membership(
        role=role,
        founder=realm.founder.hex(),
        key=belonging.public.hex(),
        links=belonging.links,
        may_invite=belonging.may_invite,
        expires_s=max(0.0, ours.expires_s - wall_ms / 1000) if role == "member" and ours else None,
        members=sum(
            record.live is not None and record.member is not None for record in stack.roster
        ),
    )
