"""What is taken of a peer's description, and what is told of ours."""

from __future__ import annotations

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.transport.webrtc_sdp import (
    CANDIDATES_MAX,
    fingerprint,
    our_candidate,
    ours,
    their_candidate,
    theirs,
)

PRINT = ":".join(["0A"] * 32)
HOST = "candidate:1 1 UDP 2114977791 192.168.1.7 50000 typ host"
PUBLIC = "candidate:1 1 udp 2114977791 9.9.9.9 50000 typ host"
SRFLX = "candidate:2 1 udp 1677729535 9.9.9.9 40000 typ srflx raddr 192.168.1.7 rport 50000"
RELAY = (
    "candidate:3 1 udp 1677729535 2620:fe::9 40000 typ relay raddr fd00::2 rport 50000 "
    "generation 0 ufrag x"
)
MDNS = "candidate:4 1 udp 2113937151 8b2f0e9e-5a0d-4b2e-9d41-3b9a0f0d5b1c.local 50001 typ host"


def sdp(*lines: str, media: str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel") -> str:
    fixed = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        media,
        "a=ice-ufrag:ab",
        f"a=fingerprint:sha-256 {PRINT}",
    ]
    return "\r\n".join([*fixed, *lines]) + "\r\n"


def test_the_fingerprint() -> None:
    assert fingerprint(sdp()) == b"\x0a" * 32
    assert fingerprint(sdp().lower()) == b"\x0a" * 32
    assert fingerprint(sdp(f"a=fingerprint:sha-256 {PRINT}")) == b"\x0a" * 32
    for other in (
        sdp().replace("sha-256", "sha-1"),
        sdp("a=fingerprint:sha-256 " + ":".join(["0B"] * 32)),
    ):
        with pytest.raises(ProtocolError, match="not one"):
            fingerprint(other)


def test_a_second_fingerprint_in_another_hash_is_taken_out() -> None:
    """Else the DTLS could be held to that one, and the binding be made of the other."""
    assert "sha-512" not in theirs(sdp("a=fingerprint:sha-512 " + ":".join(["0B"] * 64)))


@pytest.mark.parametrize(
    "bad",
    [
        sdp(media="m=audio 9 UDP/TLS/RTP/SAVPF 96"),
        sdp("m=video 9 UDP/TLS/RTP/SAVPF 96"),
        sdp("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"),
        "v=0\r\n",
    ],
)
def test_only_one_data_channel_section(bad: str) -> None:
    with pytest.raises(ProtocolError):
        theirs(bad)


@pytest.mark.parametrize("good", [HOST, PUBLIC, SRFLX, RELAY])
def test_addresses_are_tried(good: str) -> None:
    assert their_candidate(good) == good
    assert f"a={good}\r\n" in theirs(sdp(f"a={good}"))


@pytest.mark.parametrize(
    "bad",
    [
        MDNS,
        HOST.replace("192.168.1.7", "intranet.example"),
        HOST.replace("192.168.1.7", "127.0.0.1"),
        HOST.replace("192.168.1.7", "::1"),
        HOST.replace("192.168.1.7", "0.0.0.0"),
        HOST.replace("192.168.1.7", "224.0.0.251"),
        HOST.replace("192.168.1.7", "1.2.3"),
        HOST.replace(" UDP ", " TCP "),
        HOST.replace("50000", "0"),
        HOST.replace("50000", "65536"),
        HOST + "\na=fingerprint:sha-256 00",
        "candidate:",
        "",
    ],
)
def test_names_and_what_is_nobodys_business_are_not_tried(bad: str) -> None:
    assert their_candidate(bad) == ""
    if bad and "\n" not in bad:
        assert "candidate" not in theirs(sdp(f"a={bad}"))


def test_nobody_is_told_that_there_are_no_more() -> None:
    """aiortc would give up at once where candidates were withheld, before the checks arrive."""
    for told in (theirs(sdp("a=end-of-candidates")), ours(sdp("a=end-of-candidates"), host=False)):
        assert "end-of" not in told


def test_candidates_in_a_description_are_bounded() -> None:
    many = theirs(sdp(*[f"a={HOST}"] * 200))
    assert many.count("a=candidate:") == CANDIDATES_MAX


def test_what_is_told_of_us() -> None:
    assert ours(sdp(f"a={HOST}", "a=fingerprint:sha-384 00"), host=True).count("a=") == 3
    for candidate in (HOST, PUBLIC, SRFLX, RELAY):
        assert our_candidate(candidate, host=True) == candidate


def test_the_default_address_is_not_told() -> None:
    media = "m=application 50000 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.168.1.7"
    for host in (True, False):
        told = ours(sdp(media=media), host=host)
        assert "192.168" not in told
        assert "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n" in told


def test_the_own_network_is_withheld() -> None:
    assert our_candidate(HOST, host=False) == ""
    assert our_candidate(PUBLIC, host=False) == PUBLIC
    told = our_candidate(SRFLX, host=False)
    assert "192.168" not in told
    assert told.endswith("typ srflx raddr 0.0.0.0 rport 0")
    told = our_candidate(RELAY, host=False)
    assert "fd00" not in told
    assert "raddr :: rport 0 generation 0 ufrag x" in told
    assert "192.168" not in ours(sdp(f"a={HOST}", f"a={SRFLX}"), host=False)
    assert our_candidate(MDNS, host=False) == ""
