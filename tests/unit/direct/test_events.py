"""What is said to and by a courier: its defaults are those of the specification."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.direct import events
from whispurrnet.direct.events import Config, Post


def test_defaults():
    config = Config()
    assert (config.window, config.window_bytes) == (8192, 4 * 2**20)
    assert (config.queue_max, config.queue_bytes_max) == (100_000, 64 * 2**20)
    assert (config.peers_max, config.requests_max, config.body_max) == (1000, 1024, 2**20)
    assert (config.retry_s, config.ttl_s) == (15.0, 300.0)


def test_unknown_settings_are_refused():
    with pytest.raises(msgspec.ValidationError, match="windows"):
        msgspec.convert({"windows": 1}, Config)


def test_a_post_is_acknowledged_and_of_middle_priority_by_default():
    post = Post(1, 2, 3, b"")
    assert (post.priority, post.ttl_s, post.acknowledged) == (5, None, True)


def test_events_and_effects_do_not_change():
    for union in (events.Event, events.Effect):
        for type_ in union.__args__:
            assert type_.__struct_config__.frozen
