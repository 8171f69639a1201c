"""What the operating system says becomes a sentence with the place and the cure."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from whispurrnet.base.errors import AuthError, HostError, NetworkError
from whispurrnet.transport.faults import dial_error, listen_error, lost_reason
from whispurrnet.wire.address import parse

PLACE = parse("/ip4/192.0.2.7/tcp/9000")


def fault(code: int) -> OSError:
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (fault(errno.ECONNREFUSED), "nothing listens there; check the port"),
        (fault(errno.EHOSTUNREACH), "no route to that host"),
        (fault(errno.ENETUNREACH), "online"),
        (fault(errno.ETIMEDOUT), "firewall"),
        (fault(errno.EMFILE), "too many open files"),
        (fault(errno.ECONNRESET), "hung up at once"),
        (TimeoutError(), "no answer"),
        (fault(errno.EISDIR), "is a directory"),
        (OSError("Multiple exceptions: [Errno 111] ..."), "the connection broke"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "no TLS 1.3 is spoken there"),
    ],
)
def test_dialling(error: OSError, words: str) -> None:
    result = dial_error(PLACE, error)
    assert type(result) is NetworkError
    assert str(PLACE) in str(result)
    assert words in str(result)


def test_a_name_that_does_not_resolve() -> None:
    result = dial_error(parse("/dns/a.example/tcp/9"), socket.gaierror(-2, "Name not known"))
    assert "cannot resolve a.example" in str(result)
    assert "DNS" in str(result)


def test_a_certificate_that_is_not_valid_is_about_the_peer() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired."
    result = dial_error(parse("/dns/a.example/tcp/9/tls"), error)
    assert type(result) is AuthError
    assert "certificate has expired; check name and clock" in str(result)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EADDRINUSE, "taken by another program; stop it, or choose another"),
        (errno.EACCES, "from 1024 up"),
        (errno.EADDRNOTAVAIL, "/ip4/0.0.0.0 listens on all"),
        (errno.EAFNOSUPPORT, "listen on the other kind"),
        (errno.EISDIR, "cannot be opened: is a directory"),
    ],
)
def test_listening(code: int, words: str) -> None:
    result = listen_error(PLACE, fault(code))
    assert type(result) is HostError
    assert "port 9000" in str(result)
    assert words in str(result)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "closed by the peer"),
        (fault(errno.ECONNRESET), "reset by the peer"),
        (BrokenPipeError(errno.EPIPE, "x"), "reset by the peer"),
        (fault(errno.ETIMEDOUT), "the peer no longer answers"),
        (fault(errno.ENETDOWN), "this machine went offline"),
        (fault(errno.EISDIR), "is a directory"),
        (ssl.SSLError(1, "bad"), "TLS failed"),
        (ValueError("x"), "the connection broke"),
    ],
)
def test_losing(error: Exception | None, words: str) -> None:
    assert lost_reason(error) == words
