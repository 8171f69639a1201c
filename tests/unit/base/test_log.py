"""Loggers that drop addresses, keys and bodies before anything is formatted."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whispurrnet.base import log
from whispurrnet.base.errors import NetworkError
from whispurrnet.base.log import VEIL, Veiled, tag, veil

ID = "3f" * 32
TELLING = [
    "192.168.7.9",
    "192.168.7.9:9000",
    "/ip4/10.0.0.1/tcp/9000",
    "/dns4/secret.example.org/tcp/443/wss",
    "/memory/kitchen",
    "fe80::1ff:fe23:4567:890a%eth0",
    "[2001:db8::17]:9000",
    "::1",
    "wss://relay.example.org/ws?token=x",
    "/home/ada/diary/monday.txt",
    ID,
    ID.upper(),
    ID[:8],
    "WN1-4QZ7KABCDEFGH234567",
    "bG9uZyBsb25nIGxvbmcgbG9uZyBsb25nIGxvbmcgbG9uZyBrZXk=",
]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="whispurrnet")
    return caplog


@pytest.mark.parametrize("text", TELLING)
def test_telling_text_is_dropped_wherever_it_comes_from(
    lines: pytest.LogCaptureFixture, text: str
) -> None:
    logger = log.get("unit")
    logger.info("link up %s now", text)
    logger.info(f"link up {text} now")  # noqa: G004 - what careless code would write
    logger.info("link up %(where)s now", {"where": text})
    assert [record.getMessage() for record in lines.records] == [f"link up {VEIL} now"] * 3


@pytest.mark.parametrize(
    "text",
    [
        "link up peer=a1b2c3 path=direct tcp rtt=12.5 ms",
        "rekeyed after 1048576 records, 12345678901 bytes",
        "4 of 8 peers: 2 tcp/ws, 1 lost; level L3 (MLKEM768)",
        "level ChaChaPoly_SHA256 refused, deadbeef? no: decade",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert veil(text).replace(VEIL, "deadbeef") == text


def test_bodies_become_their_length(lines: pytest.LogCaptureFixture) -> None:
    log.get("unit").info("%s %r %s", b"I saw you", bytearray(b"again"), memoryview(b"!"))
    assert lines.messages == ["<9 bytes> '<5 bytes>' <1 bytes>"]


def test_objects_become_the_name_of_their_type(lines: pytest.LogCaptureFixture) -> None:
    log.get("unit").info("%s %s", ["10.0.0.1"], {"topic": "moon"})
    log.get("unit").info("%s %s %s %s", None, True, 7, 2**255)
    assert lines.messages == ["<list> <dict>", "None True 7 <int>"]


def test_exceptions_keep_their_class_and_not_their_words(lines: pytest.LogCaptureFixture) -> None:
    logger = log.get("unit")
    logger.info("%s; %s", NetworkError("moon.example.org is away"), OSError(111, "ada.local"))
    try:
        raise NetworkError("moon.example.org is away")
    except NetworkError:
        logger.exception("dialling")
    assert lines.messages == ["<NetworkError>; ConnectionRefusedError(111)", "dialling"]
    assert "moon" not in lines.text
    assert lines.records[1].exc_text is not None
    assert lines.records[1].exc_text.endswith("NetworkError")
    assert "test_log.py" in lines.records[1].exc_text


def test_arguments_that_do_not_fit_are_not_printed(
    lines: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    log.get("unit").info("%d peers", "moon")
    log.get("unit").info("%s and %s", "moon")
    log.get("unit").info("%(a)s", {"b": "moon"})
    assert all(message.endswith("(the arguments do not fit)") for message in lines.messages)
    assert "moon" not in lines.text
    assert "moon" not in "".join(capsys.readouterr())


def test_a_veiled_thing_says_nothing() -> None:
    address = Veiled(("10.0.0.1", 9000))
    assert f"{address} {address!r} {address:>10} {address}" == f"{VEIL} {VEIL}   {VEIL} {VEIL}"
    assert address.reveal() == ("10.0.0.1", 9000)


def test_a_veiled_thing_may_be_logged(lines: pytest.LogCaptureFixture) -> None:
    log.get("unit").info("listening on %s", Veiled("10.0.0.1"))
    assert lines.messages == [f"listening on {VEIL}"]


def test_loggers_live_below_the_package() -> None:
    assert log.get("node.driver").name == "whispurrnet.node.driver"
    assert log.get("whispurrnet.node.driver") is log.get("node.driver")
    assert len(log.get("node.driver").filters) == 1


@given(st.binary(max_size=64))
def test_tags_are_short_and_do_not_hold_the_peer(peer: bytes) -> None:
    assert tag(peer) == tag(peer)
    assert len(tag(peer)) == 6
    assert veil(tag(peer)) == tag(peer)


def test_tags_tell_peers_apart() -> None:
    assert tag(1) != tag(2)
    assert tag(b"a" * 32) != tag(b"b" * 32)


def test_showing_prints_once_and_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger("whispurrnet")
    before, level = root.handlers[:], root.level
    try:
        log.show("info")
        log.show("warning")
        log.get("unit").info("quiet")
        log.get("unit").warning("loud %s", "10.0.0.1")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    written = capsys.readouterr().err
    assert written.endswith(f"WARNING whispurrnet.unit: loud {VEIL}\n")
    assert written.count("\n") == 1
