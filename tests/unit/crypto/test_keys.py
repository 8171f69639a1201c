"""Secrets are not shown."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.crypto.keys import Secret

KEY = Secret(b"do not show me, ever")


@pytest.mark.parametrize(
    "shown",
    [
        repr(KEY),
        str(KEY),
        f"{KEY}",
        f"{KEY!r:>40}",
        "{}".format(KEY),  # noqa: UP032 - one way more
        "%s %r" % (KEY, KEY),  # noqa: UP031 - and another
        repr([KEY]),
        repr({"key": KEY}),
    ],
)
def test_nothing_shows_it(shown):
    assert "show" not in shown
    assert "Secret(20 bytes)" in shown


def test_a_struct_that_holds_one_does_not_show_it():
    class Keys(msgspec.Struct, frozen=True):
        send: Secret

    assert "show" not in repr(Keys(KEY))


def test_it_is_bytes():
    assert KEY == b"do not show me, ever"
    assert hash(KEY) == hash(bytes(KEY))
    assert type(KEY[:4]) is bytes
    assert len(KEY) == 20
