"""STUN messages: the published vectors, and what is refused."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import ProtocolError
from whispurrnet.nat import stun_message as m
from whispurrnet.nat.stun_message import Endpoint, Message, decode, encode

# RFC 5769, sections 2.1 (request), 2.2 (IPv4 response), 2.3 (IPv6 response); data, unchanged.
SAMPLE_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
SAMPLE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
SAMPLE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
SAMPLES = (SAMPLE_REQUEST, SAMPLE_IPV4, SAMPLE_IPV6)
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

HERE, THERE = Endpoint("192.0.2.1", 32853), Endpoint("2001:db8::7", 1)


def raw(kind: int, *attributes: bytes, cookie: int = m.COOKIE, length: int | None = None) -> bytes:
    body = b"".join(attributes)
    size = len(body) if length is None else length
    return struct.pack("!HHI", kind, size, cookie) + TRANSACTION + body


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def test_the_published_request() -> None:
    message = decode(SAMPLE_REQUEST)
    assert (message.kind, message.transaction) == (m.REQUEST, TRANSACTION)
    assert message.fingerprint
    assert message.unknown == (0x0024,), "PRIORITY must be understood; ICE-CONTROLLED need not"


@pytest.mark.parametrize(
    ("sample", "host"),
    [(SAMPLE_IPV4, "192.0.2.1"), (SAMPLE_IPV6, "2001:db8:1234:5678:11:2233:4455:6677")],
    ids=["IPv4", "IPv6"],
)
def test_the_published_responses(sample: bytes, host: str) -> None:
    message = decode(sample)
    assert message.kind == m.RESPONSE
    assert message.mapped == Endpoint(host, 32853)
    assert message.fingerprint
    assert not message.unknown


@pytest.mark.parametrize("sample", SAMPLES, ids=["request", "IPv4", "IPv6"])
def test_no_bit_of_what_is_fingerprinted_can_be_changed(sample: bytes) -> None:
    """Not without the fingerprint going too, as when the attribute before it swallows it."""
    refused = 0
    for bit in range(8 * len(sample)):
        changed = bytearray(sample)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert not decode(bytes(changed)).fingerprint
        except ProtocolError:
            refused += 1
    assert refused > 8 * len(sample) * 0.9


@given(
    st.binary(min_size=12, max_size=12),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.integers(0, 65535),
    st.booleans(),
)
def test_what_is_encoded_is_decoded(
    transaction: bytes,
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    fingerprint: bool,
) -> None:
    place = Endpoint(str(ip), port)
    message = Message(
        kind=m.RESPONSE,
        transaction=transaction,
        mapped=place,
        origin=HERE,
        other=THERE,
        fingerprint=fingerprint,
    )
    assert decode(encode(message)) == message


@pytest.mark.parametrize("change", [(True, False), (False, True), (True, True)])
def test_requests(change: tuple[bool, bool]) -> None:
    message = Message(
        kind=m.REQUEST, transaction=TRANSACTION, change_ip=change[0], change_port=change[1]
    )
    data = encode(message)
    assert decode(data) == message
    assert data.endswith(bytes((0, 0, 0, 4 * change[0] + 2 * change[1])))


def test_errors_tell_which_attributes() -> None:
    data = encode(
        Message(kind=m.ERROR, transaction=TRANSACTION, error=420, reason="no", unknown=(3, 0x24))
    )
    message = decode(data)
    assert (message.error, message.reason) == (420, "no")
    assert bytes.fromhex("000a000400030024") in data


def test_the_addresses_are_hidden_from_translators_that_meddle() -> None:
    """RFC 8489, section 14.2: XOR-MAPPED-ADDRESS does not hold the address in the clear."""
    data = encode(Message(kind=m.RESPONSE, transaction=TRANSACTION, mapped=HERE))
    assert ipaddress.ip_address(HERE.host).packed not in data


def test_the_plain_address_counts_where_there_is_no_other() -> None:
    plain = attribute(m.MAPPED_ADDRESS, bytes.fromhex("0001 0050 c0000202"))
    assert decode(raw(m.RESPONSE, plain)).mapped == Endpoint("192.0.2.2", 80)
    xored = bytes.fromhex("002000080001a147e112a643")
    assert decode(raw(m.RESPONSE, plain, xored)).mapped == Endpoint("192.0.2.1", 32853)


def test_what_follows_the_integrity_does_not_count() -> None:
    """RFC 8489, section 14.5: it is not covered, so anybody may have put it there."""
    integrity = attribute(m.MESSAGE_INTEGRITY, bytes(20))
    plain = attribute(m.MAPPED_ADDRESS, bytes.fromhex("0001 0050 c0000202"))
    assert decode(raw(m.RESPONSE, integrity, plain)).mapped is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(19),
        raw(m.REQUEST, cookie=0x2112A443),
        raw(0x0003),  # Allocate
        raw(0x8001),
        raw(m.REQUEST, length=4),
        raw(m.REQUEST, b"\x00\x06\x00\x01", length=4),
        raw(m.REQUEST, b"abc"),
        raw(m.REQUEST) + b"more",
        raw(m.REQUEST, *[attribute(0x8022, b"")] * (m.ATTRIBUTES_MAX + 1)),
        raw(m.REQUEST, attribute(0x8022, bytes(528))),
        raw(m.REQUEST, attribute(m.CHANGE_REQUEST, b"")),
        raw(m.RESPONSE, attribute(m.XOR_MAPPED_ADDRESS, bytes(8))),
        raw(m.RESPONSE, attribute(m.XOR_MAPPED_ADDRESS, b"\x00\x02" + bytes(6))),
        raw(m.RESPONSE, attribute(m.XOR_MAPPED_ADDRESS, b"\x00")),
        raw(m.ERROR),
        raw(m.ERROR, attribute(m.ERROR_CODE, b"\x00\x00\x07\x00")),
        raw(m.ERROR, attribute(m.ERROR_CODE, b"\x00\x00\x04\x64")),
        SAMPLE_REQUEST + attribute(0x8022, b""),
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_nothing_follows_the_fingerprint() -> None:
    data = encode(Message(kind=m.REQUEST, transaction=TRANSACTION, fingerprint=True))
    longer = raw(m.REQUEST, data[20:], attribute(0x8022, b""))
    with pytest.raises(ProtocolError):
        decode(longer)


def test_unknown_attributes_are_bounded() -> None:
    message = decode(raw(m.REQUEST, *[attribute(0x7000 + n, b"") for n in range(20)]))
    assert len(message.unknown) == m.UNKNOWN_MAX


def test_nothing_says_what_runs_here() -> None:
    data = encode(Message(kind=m.REQUEST, transaction=TRANSACTION, fingerprint=True))
    assert len(data) == 28, "a header and a fingerprint, no SOFTWARE"


def test_places_for_people() -> None:
    assert str(HERE) == "192.0.2.1:32853"
    assert str(THERE) == "[2001:db8::7]:1"
