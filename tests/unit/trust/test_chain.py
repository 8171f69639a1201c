"""Chains of invites: what is good, and everything that is not."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import AuthError, LimitError, ProtocolError
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.trust import chain
from whispurrnet.trust.chain import Certificate, Chain, Realm

NOW_S = 1_800_000_000
LIFE_S = 1000
FOUNDER, *KEYS = (SigningKey.from_bytes(bytes([n]) * 32) for n in range(1, 12))
REALM = chain.realm_of(b"network", FOUNDER.public)
BINDING = b"of this channel"


def issue(key: SigningKey, above: Chain, subject: bytes, *, depth: int = 8, **more: int) -> Chain:
    given = {"life_s": LIFE_S, "wall_s": NOW_S} | more
    return chain.issue(key, above, subject, REALM, depth=depth, **given)


def grown(length: int, depth: int = 8) -> Chain:
    """A chain of the founder and the first keys."""
    made: Chain = ()
    issuer = FOUNDER
    for key in KEYS[:length]:
        made = issue(issuer, made, key.public, depth=depth)
        issuer = key
    return made


def refused(bad: Chain, realm: Realm = REALM, wall_s: int = NOW_S) -> None:
    with pytest.raises(AuthError):
        chain.verify(bad, realm, wall_s)


def forge(link: Certificate, by: SigningKey, realm: Realm = REALM) -> Certificate:
    """The same link, signed anew."""
    return msgspec.structs.replace(link, signature=by.sign(chain._text(realm, by.public, link)))


def test_the_founder_is_a_member_without_a_chain() -> None:
    member = chain.verify((), REALM, NOW_S)
    assert (member.key, member.inviter, member.branch) == (FOUNDER.public, b"", b"")
    assert member.expires_s == chain.FOREVER_S


@pytest.mark.parametrize("length", range(1, 9))
def test_a_chain_says_who_who_let_in_and_who_answers_for_it(length: int) -> None:
    member = chain.verify(grown(length), REALM, NOW_S)
    assert member.key == KEYS[length - 1].public
    assert member.inviter == (KEYS[length - 2] if length > 1 else FOUNDER).public
    assert member.branch == KEYS[0].public
    assert (member.depth, member.expires_s) == (8 - length, NOW_S + LIFE_S)


def test_the_founder_says_how_deep() -> None:
    assert chain.verify(grown(4, depth=4), REALM, NOW_S).depth == 0
    with pytest.raises(LimitError):
        grown(5, depth=4)
    with pytest.raises(LimitError):
        grown(9, depth=99)


def test_a_member_cannot_allow_more_depth_than_it_has() -> None:
    """Whatever its own settings say."""
    short = issue(FOUNDER, (), KEYS[0].public, depth=2)
    assert chain.verify(issue(KEYS[0], short, KEYS[1].public, depth=8), REALM, NOW_S).depth == 0


def test_nothing_lasts_longer_than_what_it_stands_on() -> None:
    later = issue(KEYS[0], grown(1), KEYS[1].public, life_s=10 * LIFE_S, wall_s=NOW_S + 900)
    assert chain.verify(later, REALM, NOW_S + 900).expires_s == NOW_S + LIFE_S
    refused(later, wall_s=NOW_S + LIFE_S)
    chain.verify(later, REALM, NOW_S + LIFE_S - 1)


def test_who_is_no_member_lets_nobody_in() -> None:
    with pytest.raises(AuthError):
        issue(KEYS[0], (), KEYS[1].public)
    with pytest.raises(AuthError):
        issue(KEYS[2], grown(2), KEYS[3].public)  # with the chain of another
    with pytest.raises(AuthError):
        issue(KEYS[0], grown(1), KEYS[1].public, wall_s=NOW_S + LIFE_S)


def test_who_is_above_is_not_let_in_again() -> None:
    for key in (FOUNDER, KEYS[0], KEYS[1]):
        with pytest.raises(ProtocolError):
            issue(KEYS[1], grown(2), key.public)


# What is refused


def test_a_chain_that_was_made_up() -> None:
    """Signed by a key of one's own: as founder, as inviter, and for a made-up inviter."""
    bare = Certificate(KEYS[5].public, 7, NOW_S + LIFE_S, bytes(64))
    refused((bare,))
    refused((forge(bare, KEYS[5]),))
    refused((*grown(1), forge(msgspec.structs.replace(bare, depth=6), KEYS[5])))
    text = chain._text(REALM, FOUNDER.public, bare)  # names the founder, signed by another
    refused((msgspec.structs.replace(bare, signature=KEYS[5].sign(text)),))


def test_a_chain_that_goes_in_a_circle() -> None:
    last = grown(2)[1]
    again = msgspec.structs.replace(last, subject=KEYS[0].public, depth=last.depth - 1)
    refused((*grown(2), forge(again, KEYS[1])))
    refused((*grown(2), forge(msgspec.structs.replace(again, subject=FOUNDER.public), KEYS[1])))
    refused((*grown(2), forge(msgspec.structs.replace(again, subject=KEYS[1].public), KEYS[1])))


def test_a_link_that_gives_more_than_its_issuer_had() -> None:
    first, second = grown(2)
    for change in ({"depth": first.depth}, {"not_after_s": first.not_after_s + 1}):
        refused((first, forge(msgspec.structs.replace(second, **change), KEYS[0])))


def test_a_chain_of_no_depth_left() -> None:
    short = grown(1, depth=1)
    more = Certificate(KEYS[1].public, 0, NOW_S + LIFE_S, bytes(64))
    refused((*short, forge(more, KEYS[0])))


def test_a_chain_with_a_link_left_out_or_out_of_order() -> None:
    whole = grown(4)
    for n in range(3):
        refused(whole[:n] + whole[n + 1 :])
    refused(whole[1:])
    refused((whole[1], whole[0], *whole[2:]))
    refused(whole + whole)


def test_another_realm_another_network_and_another_founder() -> None:
    whole = grown(2)
    refused(whole, chain.realm_of(b"other network", FOUNDER.public))
    refused(whole, chain.realm_of(b"network", KEYS[7].public))
    refused(whole, Realm(FOUNDER.public, bytes(32)))


def test_an_expired_link_anywhere() -> None:
    for n in range(3):
        whole = list(grown(3))
        whole[n] = forge(
            msgspec.structs.replace(whole[n], not_after_s=NOW_S - 1), [FOUNDER, *KEYS][n]
        )
        refused(tuple(whole))


def test_a_key_of_low_order_is_no_member() -> None:
    weak = issue(FOUNDER, (), bytes(32))
    with pytest.raises(AuthError):
        chain.check_for(bytes(32), bytes(64), chain.SHOWN, REALM, BINDING, 0)
    more = Certificate(KEYS[1].public, 0, NOW_S + 1, bytes(64))
    refused((*weak, more))


def test_every_flipped_bit() -> None:
    data = chain.encode(grown(2))
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises((AuthError, ProtocolError)):
            chain.verify(chain.decode(bytes(bad)), REALM, NOW_S)


# Bytes


def test_a_chain_has_one_form() -> None:
    for length in (0, 1, 8):
        whole = grown(length)
        data = chain.encode(whole)
        assert chain.decode(data) == whole
        assert len(data) <= chain.CHAIN_BYTES_MAX
    for longer in (data + b"\0", b"\xdc\x00" + bytes([8]) + data[1:], data[:-1], b"", b"\xc0"):
        with pytest.raises(ProtocolError):
            chain.decode(longer)


def test_a_longer_number_is_another_form() -> None:
    data = chain.encode(issue(FOUNDER, (), KEYS[0].public, depth=4))
    at = data.index(KEYS[0].public) + 32
    assert data[at] == 3
    with pytest.raises(ProtocolError, match="one form"):
        chain.decode(data[:at] + b"\xcc\x03" + data[at + 1 :])


def test_more_links_or_bytes_than_there_may_be() -> None:
    link = grown(1)[0]
    with pytest.raises(ProtocolError):
        chain.decode(chain.encode((link,) * 9))
    with pytest.raises(ProtocolError):
        chain.decode(bytes(chain.CHAIN_BYTES_MAX + 1))
    refused((link,) * 9)


# In a channel


def test_a_signature_is_good_in_one_channel_from_one_end_for_one_purpose() -> None:
    key, other = KEYS[0], chain.realm_of(b"other", FOUNDER.public)
    signature = chain.sign_for(key, chain.SHOWN, REALM, BINDING, 0)
    chain.check_for(key.public, signature, chain.SHOWN, REALM, BINDING, 0)
    for public, purpose, realm, binding, role in (
        (KEYS[1].public, chain.SHOWN, REALM, BINDING, 0),
        (key.public, chain.ASKED, REALM, BINDING, 0),
        (key.public, chain.SHOWN, other, BINDING, 0),
        (key.public, chain.SHOWN, REALM, b"of another", 0),
        (key.public, chain.SHOWN, REALM, BINDING, 1),
    ):
        with pytest.raises(AuthError):
            chain.check_for(public, signature, purpose, realm, binding, role)
