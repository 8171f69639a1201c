"""Addresses: what is read, how it is written, and what an error says."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.address import TEXT_CHARS_MAX, Address, at, parse

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/ip4/127.0.0.1/tcp/9000", Address("ip4", "127.0.0.1", 9000, "tcp")),
        ("/ip4/0.0.0.0/tcp/0", Address("ip4", "0.0.0.0", 0, "tcp")),
        ("/ip4/1.2.3.4/tcp/9000/tls", Address("ip4", "1.2.3.4", 9000, "tls")),
        ("/ip6/::1/tcp/8765/ws", Address("ip6", "::1", 8765, "ws")),
        ("/dns4/host/tcp/443/wss", Address("dns4", "host", 443, "wss")),
        ("/dns6/a.b-c.example/tcp/65535", Address("dns6", "a.b-c.example", 65535, "tcp")),
        ("/dns/xn--bcher-kva.example/tcp/1", Address("dns", "xn--bcher-kva.example", 1, "tcp")),
        ("/memory/alice", Address("memory", "alice", 0, "memory")),
        (f"/memory/alice/p2p/{ID}", Address("memory", "alice", 0, "memory", ID)),
        (f"/ip4/1.2.3.4/tcp/9/ws/p2p/{ID}", Address("ip4", "1.2.3.4", 9, "ws", ID)),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/9", Address("ip6", "fe80::1%eth0", 9, "tcp")),
        (
            f"/dns/host/tcp/443/wss/http-path/mesh%2Fdoor/p2p/{ID}",
            Address("dns", "host", 443, "wss", ID, "/mesh/door"),
        ),
    ],
)
def test_what_is_read_is_written_again(text: str, expected: Address) -> None:
    assert parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("/ip6/2001:DB8:0:0::7/tcp/9000", "/ip6/2001:db8::7/tcp/9000"),
        ("/dns/Node.Example./tcp/9000", "/dns/node.example/tcp/9000"),
        ("/dns/host/tcp/443/tls/ws", "/dns/host/tcp/443/wss"),
        ("/ip4/1.2.3.4/tcp/9/ws/http-path/ws", "/ip4/1.2.3.4/tcp/9/ws"),
        (f"/memory/a/p2p/{ID.upper()}", f"/memory/a/p2p/{ID}"),
    ],
)
def test_other_spellings_become_the_canonical_one(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "part", "cure"),
    [
        ("", "''", "/ip4/192.0.2.7/tcp/9000"),
        ("/", "too short", "/ip4/"),
        ("//", "too short", "/ip4/"),
        ("/ip4", "too short", "/ip4/"),
        ("/ip4/1.2.3.4/tcp", "too short", "/ip4/"),
        ("/ip4/1.2.3/tcp/9000", "'1.2.3' is not an IPv4", "/dns/NAME"),
        ("/ip4/bootstrap.node/tcp/9000", "'bootstrap.node' is not an IPv4", "/dns/NAME"),
        ("/ip4/::1/tcp/9000", "'::1' is not an IPv4", "/ip4/"),
        ("/ip4/01.2.3.4/tcp/9000", "not an IPv4", "/ip4/"),
        ("/ip6/1.2.3.4/tcp/9000", "'1.2.3.4' is not an IPv6", "/ip6/2001:db8::7"),
        ("/ip6/fe80::1%eth0/tcp/9000", "not an IPv6", "/ip6/"),
        ("/ip6zone/eth0/ip4/1.2.3.4/tcp/1", "zone", "/ip6zone/eth0/ip6/fe80::1"),
        ("/ip6zone/a b/ip6/fe80::1/tcp/1", "zone", "/ip6zone/eth0/ip6/fe80::1"),
        ("/ip6zone", "too short", "/ip4/"),
        ("/ip6zone/eth0", "too short", "/ip4/"),
        ("/dns/a_b..c/tcp/9000", "not a DNS name", "/dns/node.example"),
        ("/dns/-a/tcp/9000", "not a DNS name", "/dns/node.example"),
        ("/dns/bücher.example/tcp/9000", "xn--", "/dns/node.example"),
        (f"/dns/{'a' * 64}.example/tcp/9000", "not a DNS name", "/dns/"),
        (f"/dns/{'a.' * 130}b/tcp/9000", "not a DNS name", "/dns/"),
        ("/ip4/1.2.3.4/udp/9000", "/udp", "/ip4/192.0.2.7/tcp/9000"),
        ("/ip4/1.2.3.4/tcp/65536", "'65536'", "0 to 65535"),
        ("/ip4/1.2.3.4/tcp/-1", "'-1'", "0 to 65535"),
        ("/ip4/1.2.3.4/tcp/+80", "'+80'", "0 to 65535"),
        ("/ip4/1.2.3.4/tcp/080", "'080'", "0 to 65535"),
        ("/ip4/1.2.3.4/tcp/٣", "'٣'", "0 to 65535"),
        ("/ip4/1.2.3.4/tcp/", "''", "0 to 65535"),
        ("/ip4/1.2.3.4/tcp/80/quic", "/quic", "/ws"),
        ("/ip4/1.2.3.4/tcp/80/ws/ws", "/ws/ws", "/ws"),
        ("/ip4/1.2.3.4/tcp/80/", "unknown ending /", "/ws"),
        ("/ip4/1.2.3.4/tcp/80/http-path/x", "unknown ending", "/ws"),
        ("/ip4/1.2.3.4/tcp/80/tls/http-path/x", "unknown ending /tls", "/ws"),
        ("/ip4/1.2.3.4/tcp/80/ws/http-path/a%20b", "'/a b' is not an HTTP path", "/http-path/"),
        ("/ip4/1.2.3.4/tcp/80/ws/http-path/a%0d%0ab", "not an HTTP path", "/http-path/"),
        (f"/ip4/1.2.3.4/tcp/80/ws/http-path/{'a' * 128}", "not an HTTP path", "/http-path/"),
        ("/memory/", "one name", "/memory/alice"),
        ("/memory/a/b", "one name", "/memory/alice"),
        ("/memory/a b", "one name", "/memory/alice"),
        ("/unix/run/x.sock/y", "/unix", "ip4, ip6, dns"),
        ("/ip4/1.2.3.4/tcp/9/p2p/12D3KooWabc", "/p2p/12D3KooWabc", "bridge"),
        ("/ip4/1.2.3.4/tcp/9/p2p/" + "0" * 63, "64 hexadecimal", "/p2p/0a0a"),
        ("/ip4/1.2.3.4/tcp/9/p2p/" + "0" * 64 + "\n", "64 hexadecimal", "/p2p/0a0a"),
        ("/" * (TEXT_CHARS_MAX + 1), "513 characters", "/ip4/"),
    ],
)
def test_an_error_names_the_part_and_the_cure(text: str, part: str, cure: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert part in str(caught.value)
    assert cure in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.7:9000", "/ip4/192.0.2.7/tcp/9000"),
        ("[2001:db8::7]:9000", "/ip6/2001:db8::7/tcp/9000"),
        ("node.example:9000", "/dns/node.example/tcp/9000"),
        ("ws://node.example:8765/ws", "/dns/node.example/tcp/8765/ws"),
        ("wss://192.0.2.7:443", "/ip4/192.0.2.7/tcp/443/wss"),
        ("tcp://localhost:9000", "/dns/localhost/tcp/9000"),
        ("http://localhost:9000", "/ip4/192.0.2.7/tcp/9000"),
        ("a b:9000", "/ip4/192.0.2.7/tcp/9000"),
        ("host:port", "/ip4/192.0.2.7/tcp/9000"),
        ("ws://[::1", "/ip4/192.0.2.7/tcp/9000"),
    ],
)
def test_who_writes_it_like_elsewhere_is_shown_how_it_is_here(text: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"write it like {meant}$"):
        parse(text)


def test_a_socket_tells_an_address() -> None:
    assert at("127.0.0.1", 9, "ws") == Address("ip4", "127.0.0.1", 9, "ws")
    assert at("fe80::1%eth0", 9) == Address("ip6", "fe80::1%eth0", 9, "tcp")
    with pytest.raises(UsageError, match="'localhost' is not an IP address"):
        at("localhost", 9)


def test_what_an_address_says_of_itself() -> None:
    everywhere = parse("/ip4/0.0.0.0/tcp/0/wss")
    assert everywhere.is_ip
    assert everywhere.is_tls
    assert everywhere.is_unspecified
    name = parse("/dns/host/tcp/1")
    assert not name.is_ip
    assert not name.is_tls
    assert not name.is_unspecified
    assert parse("/ip6/::/tcp/1").is_unspecified
    assert not parse("/memory/a").is_unspecified


def test_places_for_people() -> None:
    assert parse("/ip4/1.2.3.4/tcp/9").place == "1.2.3.4:9"
    assert parse("/ip6/::1/tcp/9").place == "[::1]:9"
    assert parse("/dns/host/tcp/9/ws").place == "host:9"
    assert parse("/memory/alice").place == "memory 'alice'"


def test_other_addresses_made_from_one() -> None:
    address = parse(f"/ip4/0.0.0.0/tcp/0/ws/http-path/x/p2p/{ID}")
    assert str(address.with_port(7)) == f"/ip4/0.0.0.0/tcp/7/ws/http-path/x/p2p/{ID}"
    assert str(address.with_host("::1")) == f"/ip6/::1/tcp/0/ws/http-path/x/p2p/{ID}"
    assert str(address.with_peer("")) == "/ip4/0.0.0.0/tcp/0/ws/http-path/x"


def test_an_address_travels_as_a_structure() -> None:
    address = parse(f"/dns/host/tcp/443/wss/http-path/x/p2p/{ID}")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(address), type=Address) == address
    assert {address: 1}[parse(str(address))] == 1


KEY, ID = "0b" * 32, "0a" * 32
RELAYED = f"/ip4/192.0.2.7/tcp/9000/ws/http-path/mesh/relay/{KEY}/p2p/{ID}"


def test_an_address_through_a_relay() -> None:
    address = parse(RELAYED)
    assert str(address) == RELAYED
    assert address.is_relayed
    assert (address.relay, address.peer_id, address.transport) == (KEY, ID, "ws")
    assert address.path == "/mesh"
    assert str(address.base) == "/ip4/192.0.2.7/tcp/9000/ws/http-path/mesh"
    assert not address.base.is_relayed
    assert address.base.through(bytes.fromhex(KEY), bytes.fromhex(ID)) == address
    assert address.with_host("::1").relay == KEY
    assert (
        str(
            parse(
                RELAYED.upper()
                .replace("/IP4/", "/ip4/")
                .replace("/TCP/", "/tcp/")
                .replace("/WS/HTTP-PATH/MESH/RELAY/", "/ws/http-path/mesh/relay/")
                .replace("/P2P/", "/p2p/")
            )
        )
        == RELAYED
    )
    assert parse(f"/memory/alice/relay/{KEY}/p2p/{ID}").base == parse("/memory/alice")


@pytest.mark.parametrize(
    "ending",
    [
        f"/relay/{KEY}",  # it does not say who is there
        f"/relay/{KEY[2:]}/p2p/{ID}",
        f"/relay/{'zz' * 32}/p2p/{ID}",
        f"/relay//p2p/{ID}",
        f"/relay/{KEY}/relay/{KEY}/p2p/{ID}",  # a relay behind a relay
        f"/p2p/{ID}/relay/{KEY}/p2p/{ID}",
    ],
)
def test_what_is_no_address_through_a_relay(ending: str) -> None:
    with pytest.raises(UsageError):
        parse("/ip4/192.0.2.7/tcp/9000" + ending)


def test_the_longest_relayed_address_of_an_ip_fits_where_addresses_travel() -> None:
    text = f"/ip6/{':'.join(['ffff'] * 8)}/tcp/65535/wss/relay/{KEY}/p2p/{ID}"
    assert len(str(parse(text))) <= 200


@pytest.mark.parametrize(
    "text",
    [
        "/webrtc",
        "/turn",
        "/webrtc-or-turn",
        "/ip4/192.0.2.20/udp/50001/turn",
        "/ip6/::1/udp/1/webrtc",
    ],
)
def test_where_webrtc_links_come_from(text: str) -> None:
    address = parse(text)
    assert str(address) == text
    assert (address.protocol, address.is_relayed) == ("udp", False)


@pytest.mark.parametrize("text", [f"/p2p/{'0a' * 32}", f"/relay/{'0b' * 32}/p2p/{'0a' * 32}"])
def test_who_without_where_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="too short"):
        parse(text)
