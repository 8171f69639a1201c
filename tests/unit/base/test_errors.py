"""What can go wrong, and who can do something about it."""

from __future__ import annotations

import inspect

import pytest

from whispurrnet.base import errors

ERRORS = [value for value in vars(errors).values() if inspect.isclass(value)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_one_of_ours(error: type[Exception]) -> None:
    assert issubclass(error, errors.WhispurrError)
    assert error.__doc__


def test_the_tree_says_whose_fault_it_is() -> None:
    assert issubclass(errors.ConfigError, errors.UsageError)
    assert issubclass(errors.LevelUnavailable, errors.HostError)
    for kind in (errors.DowngradeRefused, errors.DowngradeDetected, errors.IdentityChanged):
        assert issubclass(kind, errors.AuthError)
    assert issubclass(errors.AuthError, errors.ProtocolError)
