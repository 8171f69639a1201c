"""Sealing: what is changed in any byte does not open."""

from __future__ import annotations

import os

import pytest

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto.aead import InvalidTag, cipher, xopen, xseal

KEY, NONCE = bytes(range(32)), bytes(range(24))


def test_xseal_and_xopen():
    sealed = xseal(KEY, NONCE, b"the text", b"context")
    assert len(sealed) == 8 + 16
    assert xopen(KEY, NONCE, sealed, b"context") == b"the text"
    assert xopen(KEY, NONCE, xseal(KEY, NONCE, b"")) == b""


def test_xopen_refuses_every_change():
    sealed = xseal(KEY, NONCE, b"the text", b"context")
    wrong = [
        (os.urandom(32), NONCE, sealed, b"context"),
        (KEY, os.urandom(24), sealed, b"context"),
        (KEY, NONCE, sealed, b"contexT"),
        (KEY, NONCE, sealed, b""),
        (KEY, NONCE, sealed + b"\0", b"context"),
        *((KEY, NONCE, sealed[:n], b"context") for n in range(len(sealed))),
        *(
            (KEY, NONCE, sealed[:at] + bytes((sealed[at] ^ 0x80,)) + sealed[at + 1 :], b"context")
            for at in range(len(sealed))
        ),
    ]
    for arguments in wrong:
        with pytest.raises(AuthError):
            xopen(*arguments)


@pytest.mark.parametrize("name", ["ChaChaPoly", "AESGCM"])
def test_suites(name):
    suite, nonce = cipher(name, KEY), bytes(12)
    sealed = suite.encrypt(nonce, b"the text", b"context")
    assert suite.decrypt(nonce, sealed, b"context") == b"the text"
    changed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    for context, wrong in ((b"contexT", sealed), (b"context", changed), (b"context", sealed[:15])):
        with pytest.raises(InvalidTag):
            suite.decrypt(nonce, wrong, context)
    with pytest.raises(InvalidTag):
        cipher(name, os.urandom(32)).decrypt(nonce, sealed, b"context")


def test_suites_differ():
    sealed = cipher("ChaChaPoly", KEY).encrypt(bytes(12), b"text", b"")
    assert sealed != cipher("AESGCM", KEY).encrypt(bytes(12), b"text", b"")


@pytest.mark.parametrize(("name", "key"), [("none", KEY), ("ChaChaPoly", b"short"), ("", KEY)])
def test_no_such_suite(name, key):
    with pytest.raises(UsageError, match="ChaChaPoly or AESGCM"):
        cipher(name, key)
