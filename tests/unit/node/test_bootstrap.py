"""Bootstrap peers: one that cannot be used does not stop the others, and silence is told."""

from __future__ import annotations

from whispurrnet.node.bootstrap import PATIENCE_S, Bootstrap
from whispurrnet.wire.ticket import Ticket

NOW_MS = 1_800_000_000_000
FRESH = Ticket(static_key=b"k" * 32, addresses=("/ip4/192.0.2.7/tcp/9000",)).text
OLD = Ticket(
    static_key=b"k" * 32, addresses=("/ip4/192.0.2.7/tcp/9000",), expires_s=NOW_MS // 1000 - 1
).text


def test_an_expired_ticket_is_a_problem_and_the_rest_is_called() -> None:
    bootstrap = Bootstrap((OLD, FRESH, "nonsense"), 0.0)
    calls = bootstrap.calls([1, 2, 3], NOW_MS)
    assert [call.ref for call in calls] == [2]
    assert all(call.persistent for call in calls)
    first, third = bootstrap.problems(0.0)
    assert "bootstrap 1" in first.what
    assert "expired" in first.why
    assert "bootstrap 3" in third.what


def test_silence_is_a_problem_until_it_ends() -> None:
    bootstrap = Bootstrap((FRESH,), 10.0)
    bootstrap.calls([7], NOW_MS)
    assert not bootstrap.problems(10.0 + PATIENCE_S / 2)
    (problem,) = bootstrap.problems(10.0 + PATIENCE_S)
    assert "does not answer" in problem.what
    assert problem.cure
    bootstrap.reached(99)
    assert bootstrap.problems(60.0)
    bootstrap.reached(7)
    assert not bootstrap.problems(60.0)


def test_relays_are_called_as_such_and_named_as_what_they_are() -> None:
    relays = Bootstrap((FRESH, OLD), 0.0, relay=True)
    (call,) = relays.calls([1, 2], NOW_MS)
    assert call.relay
    assert call.keep
    first, second = relays.problems(PATIENCE_S)
    assert "relay 2 cannot be used" in first.what
    assert "nat.relays" in first.cure
    assert "relay 1 does not answer" in second.what
