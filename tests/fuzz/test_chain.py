"""A random walk among members and liars: nobody becomes a member whom no member let in."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, LimitError, ProtocolError
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.trust import chain
from whispurrnet.trust.chain import Chain

START_S = 1_800_000_000
KEYS = [SigningKey.from_bytes(bytes([n, 7]) * 16) for n in range(8)]
REALMS = [chain.realm_of(b"network %d" % n, KEYS[0].public) for n in range(2)]


class Walk:
    """Chains that were given, and a model of what is true of them."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.wall_s = START_S
        self.depth = self.rng.randint(1, 9)
        self.given: list[tuple[Chain, int, int, int]] = [
            ((), realm, 0, chain.FOREVER_S) for realm in range(2)
        ]
        """A chain, its realm, the number of its key, and when it ends."""

    def step(self) -> None:
        act = self.rng.choice([self.issue, self.issue, self.splice, self.change, self.wait])
        act()

    def wait(self) -> None:
        self.wall_s += self.rng.choice([1, 5, 300])

    def issue(self) -> None:
        above, realm, owner, ends_s = self.rng.choice(self.given)
        key = owner if self.rng.random() < 0.8 else self.rng.randrange(8)
        subject, life_s = self.rng.randrange(8), self.rng.randint(1, 2000)
        try:
            made = chain.issue(
                KEYS[key],
                above,
                KEYS[subject].public,
                REALMS[realm],
                depth=self.depth,
                life_s=life_s,
                wall_s=self.wall_s,
            )
        except AuthError:
            assert key != owner or ends_s <= self.wall_s
        except LimitError:
            assert len(above) >= min(self.depth, chain.LINKS_MAX)
        except ProtocolError:
            assert subject in {0, *(self.number(link.subject) for link in above)}
        else:
            assert key == owner
            ends_s = min(ends_s, self.wall_s + life_s)
            self.given.append((made, realm, subject, ends_s))
            assert chain.decode(chain.encode(made)) == made

    def number(self, public: bytes) -> int:
        return next(n for n, key in enumerate(KEYS) if key.public == public)

    def splice(self) -> None:
        """The links of two chains, put together as one likes."""
        one, other = (self.rng.choice(self.given)[0] for _ in range(2))
        self.judge(one[: self.rng.randint(0, 8)] + other[self.rng.randint(0, 8) :])

    def change(self) -> None:
        """One field of one link, and signed by whom one likes."""
        made = list(self.rng.choice(self.given)[0])
        if not made:
            return
        at = self.rng.randrange(len(made))
        change = self.rng.choice(
            [
                {"subject": self.rng.choice(KEYS).public},
                {"depth": self.rng.randrange(8)},
                {"not_after_s": self.wall_s + self.rng.randint(1, 2000)},
                {"signature": self.rng.randbytes(64)},
            ]
        )
        made[at] = link = msgspec.structs.replace(made[at], **change)
        if self.rng.random() < 0.5:
            key = self.rng.choice(KEYS[2:])  # two of them keep their keys to themselves
            made[at] = msgspec.structs.replace(
                link, signature=key.sign(chain._text(REALMS[0], key.public, link))
            )
            return  # a member may sign what it likes; `judge` knows only what was given
        self.judge(tuple(made))

    def judge(self, shown: Chain) -> None:
        """Good is what was given there, and its beginnings, until the first link expires."""
        ends_s = min((link.not_after_s for link in shown), default=chain.FOREVER_S)
        for realm in range(2):
            given = {one[: len(shown)] for one, where, _, _ in self.given if where == realm}
            try:
                member = chain.verify(shown, REALMS[realm], self.wall_s)
            except AuthError:
                assert shown and (shown not in given or ends_s <= self.wall_s)
            else:
                assert not shown or (shown in given and self.wall_s < ends_s)
                assert member.branch == (shown[0].subject if shown else b"")
                assert member.expires_s == ends_s
                assert len(shown) <= min(self.depth, chain.LINKS_MAX)


@pytest.mark.parametrize("block", range(4))
def test_a_random_walk(block: int) -> None:
    for seed in range(50):
        walk = Walk(50 * block + seed)
        for _ in range(40):
            walk.step()
