"""Addresses from anywhere: read and written again the same, or refused in a sentence."""

from __future__ import annotations

import contextlib
import os
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base.errors import UsageError
from whispurrnet.wire.address import Address, at, parse

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
WORDS = """
    ip4 ip6 ip6zone dns dns4 dns6 memory tcp udp tls ws wss http-path p2p quic-v1 alice eth0
    127.0.0.1 0.0.0.0 1.2.3.4 256.1.1.1 ::1 :: fe80::1 2001:db8::7 fe80::1%eth0 ::ffff:1.2.3.4
    localhost node.example a..b -x xn--p1ai 0 1 80 9000 65535 65536 007 -1 %2f a%20b x%2Fy
""".split()  # noqa: SIM905
WORDS += ["", " ", "ü", "\n", "\x00", "ab" * 32, "AB" * 32, "12D3KooW", "/" * 9, "a" * 300]


def hold(text: str) -> None:
    """Whatever the text, the rules hold."""
    with contextlib.suppress(UsageError):
        address = parse(text)
        assert parse(str(address)) == address
        assert str(parse(str(address))) == str(address)
        assert str(address).isascii()
        assert 0 <= address.port < 65536
        assert len(address.peer_id) in {0, 64}
        assert address.place
        if address.is_ip:
            assert at(address.host, address.port).host == address.host


@given(st.text(max_size=600))
def test_any_text(text: str) -> None:
    hold(text)
    hold("/" + text)


def test_words_in_any_order() -> None:
    rng = Random(1)
    read = 0
    for _ in range(RUNS):
        text = "/" + "/".join(rng.choices(WORDS, k=rng.randrange(1, 9)))
        hold(text)
    for _ in range(RUNS):
        words = [rng.choice(["ip4", "ip6", "dns"]), rng.choice(WORDS), "tcp", rng.choice(WORDS)]
        words += rng.choices(
            ["tls", "ws", "wss", "p2p", "ab" * 32, "http-path", "x"], k=rng.randrange(3)
        )
        text = "/" + "/".join(words)
        hold(text)
        with contextlib.suppress(UsageError):
            parse(text)
            read += 1
    assert read > RUNS / 200, "the walk hardly ever writes a right address"


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: ("ip4", str(ip))),
    st.ip_addresses(v=6).map(lambda ip: ("ip6", str(ip))),
    st.tuples(
        st.sampled_from(["dns", "dns4", "dns6"]),
        st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    ),
)


@given(
    HOSTS,
    st.integers(0, 65535),
    st.sampled_from(["tcp", "tls", "ws", "wss"]),
    st.one_of(st.just(""), st.binary(min_size=32, max_size=32).map(bytes.hex)),
    st.from_regex(r"/[A-Za-z0-9._~-]{1,30}(/[A-Za-z0-9._~-]{1,30}){0,2}", fullmatch=True),
)
def test_every_address_survives_its_text(host, port, transport, peer_id, path) -> None:
    kind, name = host
    path = path if transport in {"ws", "wss"} else "/ws"
    address = Address(kind, name, port, transport, peer_id, path)
    assert parse(str(address)) == address
