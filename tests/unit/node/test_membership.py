"""From settings to a realm, what the vault holds of it, and what is shown."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from whispurrnet.base.errors import ConfigError
from whispurrnet.crypto.keys import Secret
from whispurrnet.node.membership import (
    config_of,
    founding,
    pack,
    public_of,
    snapshot,
    unpack,
)
from whispurrnet.node.sections import MembershipSettings
from whispurrnet.sim.world import EPOCH_MS
from whispurrnet.stack.belonging import Holding
from whispurrnet.stack.config import Config, MembersConfig
from whispurrnet.stack.stack import Stack
from whispurrnet.trust import chain

SEED = b"f" * 32
FOUNDER = public_of(SEED)


def stack(holding: Holding | None, founder: str = FOUNDER) -> Stack:
    chance = Random(1)
    return Stack(
        Config(members=config_of(MembershipSettings(founder=founder))),
        entropy=chance.randbytes,
        wall=lambda: EPOCH_MS,
        rng=chance,
        now=0.0,
        holding=holding,
    )


def test_a_realm_is_open_unless_it_has_a_founder() -> None:
    assert config_of(MembershipSettings()) == MembersConfig()
    settings = MembershipSettings(founder=FOUNDER.upper(), depth=2, life_s=3600.5)
    assert config_of(settings) == MembersConfig(
        founder=bytes.fromhex(FOUNDER), depth=2, life_s=3600
    )


@pytest.mark.parametrize("founder", ["ab", "x" * 64, FOUNDER + "00", "0x" + FOUNDER[2:]])
def test_what_is_no_key_is_refused(founder: str) -> None:
    with pytest.raises(ConfigError, match="membership.founder"):
        config_of(MembershipSettings(founder=founder))


def test_the_founder_has_its_key_in_a_file(tmp_path: Path) -> None:
    assert founding(MembershipSettings(founder=FOUNDER)) is None
    path = tmp_path / "founder.key"
    path.write_text(SEED.hex() + "\n")
    path.chmod(0o600)
    found = founding(MembershipSettings(founder=FOUNDER.upper(), key_file=str(path)))
    assert found == Holding(Secret(SEED))
    if os.name == "posix":
        path.chmod(0o640)
        with pytest.raises(ConfigError, match="chmod 600"):
            founding(MembershipSettings(founder=FOUNDER, key_file=str(path)))


def test_what_is_kept_comes_back() -> None:
    for holding in (Holding(Secret(SEED)), Holding(Secret(SEED), b"chain")):
        assert unpack(pack(holding)) == holding
    assert unpack(b"") is None
    assert SEED.hex() not in repr(pack(Holding(Secret(SEED))))


def test_what_a_node_is() -> None:
    assert snapshot(stack(None, ""), EPOCH_MS).role == "open"
    root = stack(Holding(Secret(SEED)))
    shown = snapshot(root, EPOCH_MS)
    assert (shown.role, shown.key, shown.expires_s) == ("founder", FOUNDER, None)
    assert (shown.may_invite, shown.links, shown.members) == (True, 0, 0)
    outsider = snapshot(stack(None), EPOCH_MS)
    assert (outsider.role, outsider.may_invite, outsider.links) == ("outsider", False, 0)
    assert outsider.key != FOUNDER


def test_a_member_sees_how_long_it_is_one() -> None:
    root = stack(Holding(Secret(SEED))).shared.belonging
    seed = Secret(b"m" * 32)
    assert root.realm is not None
    made = chain.issue(
        root._key,
        (),
        bytes.fromhex(public_of(seed)),
        root.realm,
        depth=1,
        life_s=100,
        wall_s=EPOCH_MS // 1000,
    )
    shown = snapshot(stack(Holding(seed, chain.encode(made))), EPOCH_MS)
    assert (shown.role, shown.links, shown.may_invite) == ("member", 1, False)
    assert shown.expires_s == 100.0
