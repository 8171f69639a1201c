"""Why a peer is connected or not: between real nodes, over memory and loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import whispurrnet
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.errors import NetworkError, UsageError
from whispurrnet.node import prospects
from whispurrnet.node.prospects import blame, said_of, span
from whispurrnet.node.why import Why, why
from whispurrnet.stack import greeting
from whispurrnet.transport import faults
from whispurrnet.trust.evidence import Kind

QUIET: dict[str, Any] = {"lan": {"enabled": False}, "port": 0}
PORTS = itertools.count()
CLOSED = "/ip4/127.0.0.1/tcp/9"


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(limited())


@contextlib.asynccontextmanager
async def pair(**settings: Any) -> AsyncIterator[tuple[whispurrnet.Node, whispurrnet.Node]]:
    """Ada and Bob, whom she called."""
    here = {**QUIET, **settings}
    async with (
        whispurrnet.open(listen=(f"/memory/why-{next(PORTS)}",), **here) as bob,
        whispurrnet.open(listen=(), **here) as ada,
    ):
        await ada.connect(bob.ticket)
        yield ada, bob


async def until(node: whispurrnet.Node, true: Callable[[], bool]) -> None:
    """Wait for an event of the node after which something holds."""
    with contextlib.closing(node.events()) as feed:
        while not true():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):  # not all that changes is an event
                    await anext(feed)


def text(answer: Why) -> str:
    return "\n".join((answer.verdict, *answer.facts, *answer.cures))


def test_a_connected_peer_by_which_path_and_as_what() -> None:
    async def test() -> None:
        async with pair() as (ada, bob):
            await until(ada, lambda: bool(ada.neighbours()))
            await ada.peers[0].ping()
            answer = why(ada, bob.name)
            assert why(ada, bob.listeners[0]) == why(ada, bob.ticket.text) == answer
            assert answer.verdict == f"{bob.name} is connected by direct memory"
            assert (answer.connected, answer.neighbour, answer.place) == (True, True, "")
            assert (answer.path, answer.cures) == ("direct memory", ())
            assert "we called it" in text(answer)
            assert "level 3" in text(answer)
            assert "round trip" in text(answer)
            assert "neighbour for 0 s (a friend), score" in text(answer)
            assert "reads too slowly" not in text(answer)
            live = ada.peers[0].record.live
            assert live is not None
            live.gossip.put(0, bytes(9 << 20), 5)
            assert "it reads too slowly: 1 frames of the mesh made room" in text(why(ada, bob.name))
            await until(bob, lambda: bool(bob.peers))
            other = why(bob, ada.name)
            assert "it called us" in text(other)
            assert why(ada, ada.peers[0].id) == why(ada, ada.peers[0].id[:8])

    run(test)


def test_a_peer_that_takes_no_part_in_gossip() -> None:
    async def test() -> None:
        async with pair(gossip={"enabled": False}) as (ada, bob):
            answer = why(ada, bob.name)
            assert (answer.connected, answer.neighbour) == (True, False)
            assert "gossip is off here" in text(answer)
            assert "set gossip.enabled = true" in answer.cures

    run(test)


def test_a_peer_that_is_no_member_of_the_realm(tmp_path: Path) -> None:
    key = SigningKey.from_bytes(b"f" * 32)
    (tmp_path / "key").write_text((b"f" * 32).hex())
    (tmp_path / "key").chmod(0o600)
    closed = {"founder": key.public.hex()}
    founder = {"membership": closed | {"key_file": str(tmp_path / "key")}}

    async def test() -> None:
        async with whispurrnet.open(
            listen=(f"/memory/why-{next(PORTS)}",), **QUIET, **founder
        ) as root:
            for settings, ours, theirs in (
                ({"membership": closed}, "this node is no member", "not shown that it is a member"),
                ({}, "its closed realm only", "not shown that it is a member"),
            ):
                async with whispurrnet.open(listen=(), **QUIET, **settings) as ada:
                    await ada.connect(root.ticket)
                    assert ours in text(why(ada, root.name))
                    await until(root, lambda: bool(root.peers))
                    (there,) = root.peers
                    answer = why(root, there.id)
                    assert theirs in text(answer)
                    assert "whispurr ticket --invite" in text(answer)
                await until(root, lambda: not root.peers)

    run(test)


def test_a_peer_that_was_slowed_down_and_one_whose_gossip_did_harm() -> None:
    async def test() -> None:
        async with pair() as (ada, bob):
            peer, shared = ada.peers[0], ada.stack.shared
            shared.evidence.note(peer.record.deeds, Kind.FORGED, ada.now())
            answer = why(ada, bob.name)
            assert "but slowed down: it sent what does not authenticate" in answer.verdict
            assert answer.place == "the peer"
            ada.stack.gossiping.standing.fault(peer.handle, "invalid", ada.now())
            for overlay in ada.stack.gossiping.overlays.values():
                overlay._leave(peer.handle, ada.now())
            answer = why(ada, bob.name)
            assert not answer.neighbour
            assert "did harm, its score is -10" in text(answer)

    run(test)


def test_a_peer_that_said_goodbye() -> None:
    async def test() -> None:
        async with pair() as (ada, bob):
            await until(bob, lambda: bool(bob.peers))
            await bob.disconnect(bob.peers[0])
            await until(ada, lambda: not ada.peers)
            answer = why(ada, bob.name)
            assert not answer.connected
            assert "the peer said goodbye" in answer.verdict
            assert "whispurr join" in " ".join(answer.cures)
            assert "gone 0 s ago" in text(answer)

    run(test)


def test_a_peer_that_vanished_is_called_and_each_address_tells() -> None:
    """Its port is closed: the peer is at fault, the circuit opens, and the next call is named."""

    async def test() -> None:
        here = {**QUIET, "pool": {"breaker_failures": 1, "backoff_min_s": 5.0}}
        async with whispurrnet.open(listen=(), **here) as ada:
            async with whispurrnet.open(listen=("/ip4/127.0.0.1/tcp/0",), **QUIET) as bob:
                await ada.connect(bob.ticket)
                name, handle = bob.name, ada.peers[0]
                bob.submit = lambda _: None  # type: ignore[method-assign] # no goodbye
            await until(ada, lambda: not ada.peers)
            calls = ada.stack.shared.calls
            (target,) = calls.targets(handle.record.target, handle.record.static_key)
            await until(ada, lambda: (call := calls.get(target)) is not None and bool(call.error))
            answer = why(ada, name)
            assert answer.verdict == (
                f"{name} is not connected: cannot reach {calls.get(target).addresses[0]}: "  # type: ignore[union-attr]
                "nothing listens there"
            )
            assert answer.place == "the peer"
            assert "(at fault: the peer)" in text(answer)
            assert "the circuit is open: it rests for 30 s" in text(answer)
            assert "it is called again in" in text(answer)
            assert "check the port, and that the node is up" in answer.cures
            address = calls.get(target).addresses[0]  # type: ignore[union-attr]
            assert why(ada, address).place == "the peer"

    run(test)


def test_an_address_that_nobody_calls() -> None:
    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as ada:
            answer = why(ada, CLOSED)
            assert answer.place == "you"
            assert f"{CLOSED} is not connected, and nobody calls it" == answer.verdict
            with pytest.raises(UsageError, match="no peer is called"):
                why(ada, "lone-wolf-88")
            waiting = asyncio.ensure_future(ada.connect(CLOSED, timeout_s=20))
            calls = ada.stack.shared.calls
            target = b"@" + CLOSED.encode()
            await until(ada, lambda: (call := calls.get(target)) is not None and bool(call.error))
            answer = why(ada, CLOSED)
            assert "nothing listens there" in answer.verdict
            assert "given up after a few calls" in text(answer)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, NetworkError):
                await waiting
            answer = why(ada, CLOSED)
            assert "nobody calls it any more" in answer.verdict
            assert "nothing listens there" in answer.verdict
            assert answer.place == "the peer"

    run(test)


def test_a_revoked_peer(tmp_path: Path) -> None:
    async def test() -> None:
        lasting = [{"long_term": True, "state_dir": str(tmp_path / name)} for name in ("a", "b")]
        here = {"listen": (f"/memory/why-{next(PORTS)}",), **QUIET}
        async with (
            whispurrnet.open(**here, identity=lasting[1]) as bob,
            whispurrnet.open(listen=(), **QUIET, identity=lasting[0]) as ada,
        ):
            peer = await ada.connect(bob.ticket)
            await ada.revoke(peer)
            await until(ada, lambda: not ada.peers)
            answer = why(ada, bob.name)
            assert (answer.verdict, answer.place) == (
                f"{bob.name} is not connected: you revoked it",
                "you",
            )
            assert f"whispurr trust verify {bob.name}" in answer.cures[0]
            persona = peer.persona
        assert persona is not None
        async with whispurrnet.open(listen=(), **QUIET, identity=lasting[0]) as ada:
            assert why(ada, persona[:12]).verdict == "you revoked it"

    run(test)


def test_a_refused_peer_and_a_greylisted_one() -> None:
    async def test() -> None:
        async with pair() as (ada, bob):
            peer, now = ada.peers[0], ada.now()
            for _ in range(3):
                ada.stack.gossiping.standing.fault(peer.handle, "invalid", now)
            await ada.disconnect(peer)
            answer = why(ada, bob.name)
            assert "refused for an hour" in answer.verdict
            for _ in range(3):
                ada.stack.shared.evidence.note(peer.record.deeds, Kind.MALFORMED, now)
                ada.stack.shared.evidence.note(peer.record.deeds, Kind.FORGED, now)
            answer = why(ada, bob.name)
            assert "refused for a while, because it" in answer.verdict
            assert answer.place == "the peer"

    run(test)


# Who is to blame


def test_every_fault_of_a_transport_has_a_place() -> None:
    for phrase in faults._DIAL.values():
        assert blame(NetworkError(f"cannot reach {CLOSED}: {phrase}")), phrase
    for phrase in (*faults._LOST.values(), "closed by the peer", "the connection broke"):
        assert blame(phrase), phrase


def test_every_goodbye_has_a_place_or_is_nobodys_fault() -> None:
    for number, phrase in greeting.REASONS.items():
        assert (blame(phrase) == "") == (number == greeting.DUPLICATE), phrase


def test_the_kind_of_an_error_counts_more_than_its_words() -> None:
    from whispurrnet.errors import AuthError, HostError

    assert blame(HostError("no route")) == "your machine"
    assert blame(UsageError("the peer")) == "you"
    assert blame(AuthError("no answer")) == "the peer"
    assert blame("") == ""


def test_what_is_said_of_one_address_among_others() -> None:
    said = (
        "none of 2 addresses answered: cannot reach /ip4/192.0.2.7/tcp/90: nothing listens there; "
        "check the port; /ip4/192.0.2.7/tcp/9000 did not answer in 5 s; check the host"
    )
    assert said_of("/ip4/192.0.2.7/tcp/90", said) == "nothing listens there"
    assert said_of("/ip4/192.0.2.7/tcp/9000", said) == "did not answer in 5 s"
    assert said_of("/ip4/192.0.2.8/tcp/90", said) == ""
    assert prospects._cures(said) == ["check the port", "check the host"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (89, "89 s"), (120, "2 min"), (7200, "2 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_looking_takes_no_time() -> None:
    """It is called for each row of a table."""

    async def test() -> None:
        async with pair() as (ada, bob):
            started = time.perf_counter()
            for _ in range(100):
                why(ada, bob.name)
            assert time.perf_counter() - started < 2

    run(test)
