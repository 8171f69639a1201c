"""The public API between real nodes: in one process and in two, on both loops, over each transport.

Real sockets on loopback. Nothing sleeps to wait for something: each test waits for the event it is
about, under one deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.interop.lab import HERE, Actor, process

import whispurrnet
from whispurrnet.errors import AuthError, LimitError, NetworkError, UsageError
from whispurrnet.extensions.extension import Extension
from whispurrnet.node.peer import Request
from whispurrnet.node.stream import Stream
from whispurrnet.transport.tcp import stop_serving
from whispurrnet.wire.address import parse

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
QUIET: dict[str, Any] = {"lan": {"enabled": False}, "port": 0}
NAMES = itertools.count()
LIMIT_S = 30
PLACES = {
    "tcp": "/ip4/127.0.0.1/tcp/0",
    "tls": "/ip4/127.0.0.1/tcp/0/tls",
    "ws": "/ip4/127.0.0.1/tcp/0/ws",
    "wss": "/ip4/127.0.0.1/tcp/0/wss",
    "memory": "/memory/",
}


def place(transport: str) -> str:
    """Somewhere to listen."""
    return PLACES[transport] + (f"node-{next(NAMES)}" if transport == "memory" else "")


def run(test: Callable[[], Coroutine[Any, Any, None]], loop: str = "asyncio") -> None:
    """Run a test on one of the loops, under one deadline."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(limited())


@asynccontextmanager
async def pair(
    transport: str = "tcp", **settings: Any
) -> AsyncIterator[tuple[whispurrnet.Node, whispurrnet.Node, whispurrnet.Peer, whispurrnet.Peer]]:
    """Two nodes that are connected: Alice, Bob, Bob as Alice sees him, and the other way round."""
    async with (
        whispurrnet.open(listen=(place(transport),), **QUIET | settings) as bob,
        whispurrnet.open(listen=(), **QUIET | settings) as alice,
    ):
        there = await alice.connect(bob.ticket, timeout_s=10)
        yield alice, bob, there, await back(bob)


async def back(node: whispurrnet.Node) -> whispurrnet.Peer:
    """The one peer of a node, once it is there."""
    async with contextlib.aclosing(happenings(node)) as events:
        if not node.peers:
            async for event in events:
                if event["type"] == "peer_up":
                    break
    (peer,) = node.peers
    return peer


async def alone(node: whispurrnet.Node) -> None:
    """Wait until nobody is connected."""
    feed = node.events()
    while node.peers:
        await anext(feed)
    feed.close()


async def happenings(node: whispurrnet.Node) -> AsyncIterator[dict[str, Any]]:
    feed = node.events()
    try:
        async for event in feed:
            yield event
    finally:
        feed.close()


async def take(feed: Any, count: int) -> list[Any]:
    """The next items of a feed."""
    return [await anext(feed) for _ in range(count)]


async def echo(streams: Any) -> None:
    """Send back what comes on each stream."""
    async for stream in streams:
        async for chunk in stream:
            await stream.write(chunk)
        stream.finish()


# Every transport, both loops


@pytest.mark.parametrize(
    ("ours", "theirs", "used"),
    [("aes", "aes", "AESGCM"), ("aes", "chacha", "ChaChaPoly"), ("chacha", "aes", "ChaChaPoly")],
)
def test_records_are_sealed_by_aes_only_if_both_sides_want_it(
    ours: str, theirs: str, used: str
) -> None:
    async def test() -> None:
        quiet = QUIET | {"listen": (place("tcp"),)}
        async with (
            whispurrnet.open(**quiet | {"session": {"record_cipher": theirs}}) as bob,
            whispurrnet.open(**quiet | {"session": {"record_cipher": ours}}) as alice,
        ):
            there = await alice.connect(bob.ticket, timeout_s=10)
            bob.on_request("echo", lambda request: request.body)
            assert await there.request("echo", b"sealed") == b"sealed"
            assert there.suite.endswith(f"records {used}")
            assert (await back(bob)).suite == there.suite

    run(test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("transport", PLACES)
def test_everything_works_over(transport: str, loop: str) -> None:
    async def test() -> None:
        async with pair(transport) as (alice, bob, to_bob, to_alice):
            assert to_bob.path == to_alice.path == f"direct {transport}"
            assert "MLKEM768" in to_bob.suite
            assert (to_bob.id, to_alice.id) == (bob.id, alice.id)
            heard = bob.messages(), alice.messages()
            await to_bob.whisper(b"there").received()
            await to_alice.whisper(b"back").received()
            to_bob.send_nowait(b"at once")
            assert [m.body for m in await take(heard[0], 2)] == [b"there", b"at once"]
            assert [m.body for m in await take(heard[1], 1)] == [b"back"]
            bob.on_request("double", lambda request: request.body * 2)
            assert await to_bob.request("double", b"ab") == b"abab"
            assert 0 < await to_bob.ping() < 5
            echoing = asyncio.create_task(echo(bob.streams()))
            stream = await to_bob.open_stream("echo")
            data = bytes(range(256)) * 4000
            await stream.write(data)
            stream.finish()
            assert await stream.read_all() == data
            echoing.cancel()
            assert "uvloop" in alice.debug()["loop"] if loop == "uvloop" else True

    run(test, loop)


def test_two_processes() -> None:
    """A node in another process hears a thousand whispers, in order, and its own are heard."""

    async def test() -> None:
        async with AsyncExitStack() as exits:
            words = (sys.executable, str(HERE / "actor.py"))
            there = json.dumps({**QUIET, "listen": [place("tcp")]})
            bob = Actor(await exits.enter_async_context(process(*words, there, "uvloop")))
            ticket = (await bob.hear())["ticket"]
            here = json.dumps({**QUIET, "listen": []})
            alice = Actor(await exits.enter_async_context(process(*words, here, "asyncio")))
            await alice.hear()
            await alice.order("connect", ticket=ticket, timeout_s=10)
            await alice.order("post", first=0, count=1000, every_s=0, burst=1)
            while (await alice.order("report"))["states"].get("received") != 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            report = await bob.order("report")
            assert (report["heard"], report["wrong"]) == (1000, [])

    run(test)


# Whispers


def test_a_receipt_goes_through_its_states() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, _):
            heard = bob.messages()
            receipt = to_bob.whisper(b"hello")
            assert receipt.state == "queued"
            assert await receipt.received() is receipt
            assert receipt.state == "received"
            assert await receipt is receipt
            message = await anext(heard)
            reading = asyncio.create_task(receipt.read())
            await to_bob.ping()
            assert not reading.done(), "nobody has read it"
            message.mark_read()
            await reading
            assert receipt.state == "read"
            assert "read" in repr(receipt)
            assert (message.kind, message.topic, message.sender.id) == ("WHISPER", None, alice.id)

    run(test)


def test_read_receipts_can_be_kept_to_oneself() -> None:
    async def test() -> None:
        async with pair(direct={"read_receipts": False}) as (_, bob, to_bob, to_alice):
            heard = bob.messages()
            receipt = to_bob.whisper(b"hello")
            (await anext(heard)).mark_read()
            await to_alice.ping()
            await to_bob.ping()
            assert receipt.state == "received"

    run(test)


def test_order_holds_within_a_priority_and_the_urgent_overtake() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            heard = bob.messages()
            for n in range(3000):
                to_bob.whisper(b"%d" % n + bytes(500), priority=1 + n % 3)
            to_bob.whisper(b"now!", priority=10)
            messages = await take(heard, 3001)
            assert [m.body for m in messages].index(b"now!") < 1000
            for lane in (1, 2, 3):
                numbers = [int(m.body.rstrip(b"\0")) for m in messages if m.priority == lane]
                assert numbers == list(range(lane - 1, 3000, 3))

    run(test)


def test_what_nobody_comes_for_expires() -> None:
    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as alice:
            async with whispurrnet.open(listen=(place("tcp"),), **QUIET) as bob:
                to_bob = await alice.connect(bob.ticket)
            await alone(alice)
            short, long = to_bob.whisper(b"a", ttl_s=0.2), to_bob.whisper(b"b")
            with pytest.raises(NetworkError, match="expired"):
                await short
            assert (short.state, long.state) == ("expired", "queued")
            with pytest.raises(NetworkError, match="not connected"):
                to_bob.send_nowait(b"c")
            with pytest.raises(NetworkError, match="not connected"):
                await to_bob.request("anything")
        with pytest.raises(NetworkError, match="given up"):
            await long
        assert long.state == "failed"

    run(test)


def test_a_body_may_be_a_mebibyte_and_no_more() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            heard = bob.messages()
            most = bytes(range(256)) * 4096
            await to_bob.whisper(most).received()
            assert (await anext(heard)).body == most
            with pytest.raises(UsageError, match="1048576"):
                to_bob.whisper(most + b"x")
            with pytest.raises(UsageError):
                to_bob.send_nowait(most + b"x")
            with pytest.raises(UsageError):
                await to_bob.request("anything", most + b"x")
            bob.on_request("much", lambda request: request.body + b"x")
            with pytest.raises(NetworkError):
                await to_bob.request("much", most)
            assert await to_bob.request("much", most[:-1]) == most[:-1] + b"x"
            await to_bob.whisper(b"still here").received()

    run(test)


def test_a_full_queue_says_so() -> None:
    async def test() -> None:
        async with pair(direct={"queue_max": 50}) as (_, bob, to_bob, _):
            heard = bob.messages()
            with pytest.raises(LimitError):  # noqa: PT012
                for _ in range(60):
                    to_bob.whisper(b"x")
            assert len(await take(heard, 50)) == 50

    run(test)


def test_wrong_words_are_refused_with_a_reason() -> None:
    async def test() -> None:
        async with pair() as (alice, _, to_bob, _):
            assert alice.peer(to_bob.id[:8]) is alice.peer(to_bob.name) is to_bob
            for wrong in (
                lambda: alice.whisper("nobody", b"x"),
                lambda: to_bob.whisper(b"x", kind="CAT"),
                lambda: to_bob.whisper(b"x", kind="HEARTBEAT"),
                lambda: to_bob.whisper(b"x", priority=11),
                lambda: alice.join(""),
            ):
                with pytest.raises(UsageError):
                    wrong()
            for target in ("not a ticket", "/ip4/1.2.3/tcp/9", "WN1-AAAA"):
                with pytest.raises(UsageError):
                    await alice.connect(target)
            with pytest.raises(UsageError):
                await alice.connect(alice.ticket)  # it does not listen, so nobody is reached

    run(test)


# Requests


def test_requests_and_everything_that_becomes_of_them() -> None:
    async def test() -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> bytes:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return b""

        def refuse(request: Request) -> bytes:
            raise UsageError("only on Tuesdays")

        def broken(request: Request) -> bytes:
            raise ZeroDivisionError("the secret of the handler")

        async with pair() as (_, bob, to_bob, _):
            for handler in (slow, refuse, broken):
                bob.on_request(handler.__name__, handler)
            with pytest.raises(NetworkError, match="only on Tuesdays"):
                await to_bob.request("refuse")
            with pytest.raises(NetworkError) as told:
                await to_bob.request("broken")
            assert "secret" not in str(told.value)
            with pytest.raises(NetworkError, match="no handler"):
                await to_bob.request("missing")
            with pytest.raises(NetworkError, match="in time|too long"):
                await to_bob.request("slow", timeout_s=0.2)
            await asyncio.wait_for(ended.wait(), 5)
            began.clear()
            ended.clear()
            asking = asyncio.create_task(to_bob.request("slow"))
            await began.wait()
            asking.cancel()
            await asyncio.wait_for(ended.wait(), 5)
            answers = await asyncio.gather(
                *(to_bob.request("nothing" if n % 2 else "refuse") for n in range(200)),
                return_exceptions=True,
            )
            assert all(isinstance(answer, NetworkError) for answer in answers)

    run(test)


def test_a_request_is_answered_when_the_peer_is_lost() -> None:
    async def test() -> None:
        began = asyncio.Event()

        async def slow(request: Request) -> bytes:
            began.set()
            await asyncio.Event().wait()
            return b""

        async with whispurrnet.open(listen=(), **QUIET) as alice:
            async with whispurrnet.open(listen=(place("tcp"),), **QUIET) as bob:
                bob.on_request("slow", slow)
                to_bob = await alice.connect(bob.ticket)
                asking = asyncio.create_task(to_bob.request("slow"))
                await began.wait()
            with pytest.raises(NetworkError):
                await asking

    run(test)


# Streams


@pytest.mark.parametrize("loop", LOOPS)
def test_a_slow_reader_makes_the_writer_wait(loop: str) -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            incoming = bob.streams()
            sending = await to_bob.open_stream("bulk")
            chunk, written = bytes(256 * 1024), 0
            digest = hashlib.sha256()

            async def write() -> None:
                nonlocal written
                for n in range(120):
                    part = n.to_bytes(4, "big") + chunk
                    await sending.write(part)
                    digest.update(part)
                    written += len(part)
                sending.finish()

            writing = asyncio.create_task(write())
            receiving: Stream = await anext(incoming)
            seen = -1
            while seen != written:  # until it stands still
                seen = written
                await asyncio.sleep(0.3)
            assert 0 < written < 8 << 20, "the writer did not wait for the reader"
            got = hashlib.sha256()
            async for part in receiving:
                got.update(part)
            await writing
            assert got.digest() == digest.digest()
            await to_bob.whisper(b"the session goes on").received()

    run(test, loop)


def test_a_reset_ends_a_stream_on_both_sides() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            incoming = bob.streams()
            ours = await to_bob.open_stream("one")
            await ours.write(b"x")
            theirs = await anext(incoming)
            assert await theirs.read() == b"x"
            theirs.reset()
            with pytest.raises(NetworkError):
                await ours.read()
            with pytest.raises(NetworkError):
                await theirs.write(b"y")
            with pytest.raises(NetworkError):
                await ours.write(b"z")
            ours.finish()  # nothing to say any more
            again = await to_bob.open_stream("two")
            await again.write(b"new")
            again.finish()
            assert await (await anext(incoming)).read_all() == b"new"

    run(test)


def test_a_stream_nobody_waits_for_is_refused() -> None:
    async def test() -> None:
        async with pair() as (_, _, to_bob, _):
            stream = await to_bob.open_stream("unwanted")
            with pytest.raises(NetworkError):
                await stream.read()

    run(test)


def test_a_cancelled_read_loses_nothing() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            incoming = bob.streams()
            stream = await to_bob.open_stream("one")
            await stream.write(b"1")
            theirs = await anext(incoming)
            assert await theirs.read() == b"1"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(theirs.read(), 0.05)
            await stream.write(b"2")
            assert await theirs.read() == b"2"
            feed = bob.messages()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(feed), 0.05)
            to_bob.whisper(b"3")
            assert (await anext(feed)).body == b"3"

    run(test)


# Topics


def test_a_topic_is_heard_by_those_who_joined_it() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, _):
            plain, own = bob.messages(), alice.join("moon/phase")
            async with bob.join("Moon/Phase") as topic:
                sent = await alice.resonate("moon/phase", b"full", strength=0.5)
                assert sent.neighbours == 1
                message = await anext(topic)
                assert (message.body, message.topic) == (b"full", "moon/phase")
                assert (message.strength, message.kind) == (0.5, "RESONANCE")
                assert (message.id, message.sender, message.author) == (sent.id, None, "")
                assert message.sender_name == "somebody"
                message.mark_read()  # nobody can be told
                with pytest.raises(UsageError):
                    await alice.resonate("moon/phase", b"x", strength=2.0)
            await alice.resonate("moon/phase", b"new")
            await alice.broadcast(b"over")
            await to_bob.whisper(b"plain").received()
            bodies = {message.body for message in await take(plain, 2)}
            assert bodies == {b"over", b"plain"}, "who left a topic hears it no more"
            await own.send(b"mine")
            assert len(own._feed) == 0, "nobody hears herself"

    run(test)


def test_a_signed_message_is_of_a_peer_and_an_answer_can_be_whispered() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, to_alice), bob.join("moon") as topic:
            await alice.resonate("moon", b"who am I", signed=True)
            message = await anext(topic)
            assert (message.sender, message.author) == (to_alice, alice.id)
            assert message.sender_name == to_alice.name
            heard = alice.messages()
            await to_alice.whisper(b"you are alice").received()
            assert (await anext(heard)).sender is to_bob

    run(test)


def test_a_private_topic_is_heard_with_its_key_only() -> None:
    async def test() -> None:
        key, events = b"k" * 32, []
        async with (
            pair() as (alice, bob, _, _),
            bob.join("moon", key=key) as private,
            bob.join("moon") as public,
            bob.join("moon", key=b"o" * 32) as other,
        ):
            ours = alice.join("moon", key=key)
            await ours.send(b"for us", signed=True)
            await alice.resonate("moon", b"for all")
            assert (await anext(private)).body == b"for us"
            assert (await anext(public)).body == b"for all"
            await alice.broadcast(b"over")
            events = await take(bob.messages(), 1)
            assert [message.body for message in events] == [b"over"]
            assert [len(topic._feed) for topic in (private, public, other)] == [0, 0, 0]
            with pytest.raises(UsageError, match="32 bytes"):
                bob.join("moon", key=b"short")

    run(test)


def test_a_broadcast_and_an_emergency_come_with_the_other_messages() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, _, to_alice):
            watching, heard = bob.events(), bob.messages()
            await alice.broadcast(b"to all", signed=True)
            await alice.emergency(b"fire")
            messages = {message.kind: message for message in await take(heard, 2)}
            calm, urgent = messages["BROADCAST"], messages["EMERGENCY_SIGNAL"]
            assert (calm.body, calm.topic, calm.sender) == (b"to all", None, to_alice)
            assert (urgent.body, urgent.priority, urgent.sender) == (b"fire", 10, None)
            told = [event for event in await take(watching, 2) if event["type"] == "broadcast"]
            assert {event["kind"] for event in told} == {"BROADCAST", "EMERGENCY_SIGNAL"}
            json.dumps(told)
            for wrong in (bytes(15_361), bytes(1 << 20)):
                with pytest.raises(UsageError, match="15360"):
                    await alice.broadcast(wrong)

    run(test)


def test_what_crosses_two_nodes_that_know_nothing_of_it() -> None:
    """A line of four: what the first says, the last hears; those between heard nothing."""

    async def test() -> None:
        async with AsyncExitStack() as exits:
            mesh = {"gossip": {"share_address": False}}  # or the line would become a clique
            nodes = [
                await exits.enter_async_context(
                    whispurrnet.open(listen=(place("tcp"),), **QUIET | mesh)
                )
                for _ in range(4)
            ]
            for one, other in itertools.pairwise(nodes):
                await one.connect(other.ticket, timeout_s=10)
            assert [len(node.peers) for node in nodes] == [1, 2, 2, 1]
            inner = [node.messages() for node in nodes[1:3]]
            async with nodes[3].join("moon") as topic:
                sent = await nodes[0].resonate("moon", b"far away")
                message = await anext(topic)
                assert (message.body, message.id) == (b"far away", sent.id)
            assert [len(feed) for feed in inner] == [0, 0]
            assert [len(node.neighbours()) for node in nodes] == [1, 2, 2, 1]
            assert all(near.friend == near.outbound for n in nodes for near in n.neighbours())

    run(test)


def test_a_topic_too_many_is_refused_and_leaves_nothing_behind() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, _):
            topics = [bob.join(f"topic/{n}", threshold=1.0) for n in range(256)]
            for _ in range(2):
                with pytest.raises(LimitError):
                    bob.join("one more")
            assert len(bob.intents) == 256
            await alice.resonate("topic/255", b"x")
            assert (await anext(topics[255])).body == b"x"
            topics[0].close()
            async with bob.join("one more") as more:
                await alice.resonate("one more", b"heard")
                assert (await anext(more)).body == b"heard"
            await to_bob.whisper(b"fine").received()
            assert all(len(topic._feed) == 0 for topic in topics)

    run(test)


# Who is who


def test_an_invite_lets_one_in_and_only_one() -> None:
    async def test() -> None:
        async with (
            whispurrnet.open(listen=(place("tcp"),), **QUIET) as bob,
            whispurrnet.open(listen=(), **QUIET) as alice,
            whispurrnet.open(listen=(), **QUIET) as mallory,
        ):
            invite = bob.invite()
            to_bob = await alice.connect(invite.text, timeout_s=10)
            await to_bob.whisper(b"thanks").received()
            with pytest.raises((NetworkError, AuthError)):
                await mallory.connect(invite, timeout_s=2)
            assert len(bob.peers) == 1

    run(test)


def test_the_wrong_key_and_the_wrong_network_are_not_answered() -> None:
    async def test() -> None:
        async with (
            whispurrnet.open(
                listen=(place("tcp"),), network_secret="a secret of ours", **QUIET
            ) as bob,
            whispurrnet.open(listen=(), network_secret="another one here", **QUIET) as mallory,
            whispurrnet.open(listen=(), **QUIET) as stranger,
            whispurrnet.open(listen=(), network_secret="a secret of ours", **QUIET) as alice,
        ):
            for other in (mallory, stranger):
                with pytest.raises(NetworkError):
                    await other.connect(bob.ticket, timeout_s=1)
            (address,) = bob.listeners
            assert (await alice.connect(address, timeout_s=10)).id == bob.id

    run(test)


def test_a_long_term_identity_keeps_its_queue_and_its_trust_through_restarts(
    tmp_path: Path,
) -> None:
    def long_term(who: str) -> dict[str, Any]:
        return {"identity": {"long_term": True, "state_dir": str(tmp_path / who)}}

    async def test() -> None:
        async with AsyncExitStack() as exits:
            alice = await exits.enter_async_context(
                whispurrnet.open(listen=(place("tcp"),), **QUIET, **long_term("alice"))
            )
            async with whispurrnet.open(listen=(), **QUIET, **long_term("bob")) as bob:
                to_alice = await bob.connect(alice.ticket)
                to_bob = await back(alice)
                assert to_alice.safety_number() == to_bob.safety_number()
                alice.verify(to_bob)
                assert to_bob.trust == "verified"
                first = to_bob.id, to_bob.persona
            await alone(alice)
            receipts = [to_bob.whisper(b"%d" % n) for n in range(20)]
            async with whispurrnet.open(listen=(), **QUIET, **long_term("bob")) as bob:
                heard = bob.messages()
                to_alice = await bob.connect(alice.ticket)
                assert to_alice.trust == "seen"
                assert [m.body for m in await take(heard, 20)] == [b"%d" % n for n in range(20)]
                for receipt in receipts:
                    await receipt
                assert to_bob.connected
                assert (to_bob.id != first[0], to_bob.persona == first[1]) == (True, True)
                await alice.revoke(to_bob)
                heard = alice.messages()
                with contextlib.suppress(NetworkError, AuthError):  # it may see her hello
                    to_alice = await bob.connect(alice.ticket, timeout_s=2)
                to_alice.whisper(b"let me in")
                await asyncio.sleep(1)
                assert len(heard) == 0
                assert not alice.peers

    run(test)


def test_rotation_is_seen_and_nothing_is_lost() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, to_alice):
            heard = bob.messages()
            before = alice.id, bob.id
            receipts = []
            for n in range(300):
                receipts.append(to_bob.whisper(b"%d" % n))
                if n % 100 == 50:
                    alice.rotate()
                    bob.rotate()
                await asyncio.sleep(0)
            await asyncio.gather(*(receipt.received() for receipt in receipts))
            assert [m.body for m in await take(heard, 300)] == [b"%d" % n for n in range(300)]
            await to_bob.ping()
            await to_alice.ping()
            assert (to_bob.id, to_alice.id) == (bob.id, alice.id)
            assert not {alice.id, bob.id} & set(before)
            assert len(bob.known_peers) == len(alice.known_peers) == 1
            assert alice.stats()["identityRotations"] == 3

    run(test)


# Loss and ends


class Road:
    """A TCP forwarder that can be closed."""

    def __init__(self, target: str) -> None:
        self.target = parse(target)
        self.writers: list[asyncio.StreamWriter] = []
        self.address = ""
        self.is_open = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        onward = await asyncio.open_connection(self.target.host, self.target.port)
        self.writers.append(onward[1])
        if not self.is_open:  # closed meanwhile
            onward[1].transport.abort()

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        await asyncio.gather(carry(reader, onward[1]), carry(onward[0], writer))

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.accept, "127.0.0.1", port)
        self.address = f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}"
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False
            await stop_serving(server)
            for writer in self.writers:
                writer.transport.abort()
            self.writers.clear()
            await asyncio.sleep(0)


def test_a_lost_peer_is_called_again_and_gets_what_waited() -> None:
    async def test() -> None:
        fast = {"pool": {"backoff_min_s": 0.1, "backoff_max_s": 0.3, "breaker_s": 0.3}}
        async with (
            whispurrnet.open(listen=(place("tcp"),), **QUIET, **fast) as bob,
            whispurrnet.open(listen=(), **QUIET, **fast) as alice,
        ):
            road = Road(bob.listeners[0])
            ticket = whispurrnet.Ticket(
                static_key=bob.ticket.static_key, addresses=(), expires_s=bob.ticket.expires_s
            )
            heard = bob.messages()
            async with road.open():
                port = parse(road.address).port
                text = whispurrnet.Ticket(
                    static_key=ticket.static_key,
                    addresses=(road.address,),
                    expires_s=ticket.expires_s,
                )
                to_bob = await alice.connect(text)
                stream = await to_bob.open_stream("one")
                await to_bob.whisper(b"0").received()
            with pytest.raises(NetworkError):
                await stream.read()
            ups = happenings(alice)
            waiting = asyncio.create_task(anext(ups))
            receipts = [to_bob.whisper(b"%d" % n) for n in range(1, 50)]
            async with road.open(port):
                await asyncio.gather(*(receipt.received() for receipt in receipts))
                assert [m.body for m in await take(heard, 50)] == [b"%d" % n for n in range(50)]
                assert (await waiting)["type"] in {"peer_up", "peer_down"}
                assert alice.peers == (to_bob,), "the same peer, the same object"
            await ups.aclose()

    run(test)


def test_closing_in_the_middle_of_everything_ends_everything() -> None:
    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as alice:
            closing = whispurrnet.open(listen=(place("tcp"),), **QUIET)
            bob = await closing.__aenter__()
            to_bob = await alice.connect(bob.ticket)
            to_alice = await back(bob)
            feeds = [bob.messages(), bob.events(), bob.streams()]
            topic = bob.join("moon")

            async def drain(feed: Any) -> str:
                async for _ in feed:
                    pass
                return "over"

            async def flood() -> None:
                while True:
                    await to_alice.send(bytes(10_000))

            async def pour() -> None:
                stream = await to_alice.open_stream("bulk")
                while True:
                    await stream.write(bytes(100_000))

            over = [asyncio.create_task(drain(feed)) for feed in (*feeds, topic)]
            work = [
                asyncio.create_task(flood()),
                asyncio.create_task(pour()),
                asyncio.create_task(to_alice.request("nothing", timeout_s=60)),
                asyncio.create_task(bob.connect("/ip4/127.0.0.1/tcp/1", timeout_s=60)),
            ]
            receipts = [to_alice.whisper(bytes(1000)) for _ in range(2000)]
            theirs = [to_bob.whisper(bytes(1000)) for _ in range(2000)]
            await asyncio.sleep(0.05)
            async with asyncio.timeout(8):
                await closing.__aexit__(None, None, None)
                ends = await asyncio.gather(*work, return_exceptions=True)
                assert all(isinstance(end, NetworkError) for end in ends), ends
                assert await asyncio.gather(*over) == ["over"] * 4
                for receipt in receipts:
                    with contextlib.suppress(NetworkError):
                        await receipt
            assert {r.state for r in receipts} <= {"received", "read", "failed"}
            assert {r.state for r in theirs} <= {"queued", "sent", "received"}
            assert bob.state.value == "NotListening"
            assert not to_alice.connected
            assert not bob.peers

    run(test)


def test_a_goodbye_is_final() -> None:
    async def test() -> None:
        async with pair() as (alice, bob, to_bob, to_alice):
            await to_bob.close()
            assert not to_bob.connected
            await alone(bob)
            assert bob.why_away(to_alice) == "the peer said goodbye"
            await asyncio.sleep(1.0)
            assert not alice.peers
            assert not bob.peers
            assert (await alice.connect(bob.ticket)) is to_bob

    run(test)


def test_what_happens_is_told() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            feed = bob.events()
            inbox = bob.messages()
            await to_bob.whisper("grüße".encode()).received()
            to_bob.whisper(b"\xff\x00")
            bob.rotate()
            told = await take(feed, 3)
            by_type = {(event["type"], event.get("encoding")): event for event in told}
            assert by_type["message", "text"]["body"] == "grüße"
            assert by_type["message", "hex"]["body"] == "ff00"
            assert ("rotated", None) in by_type
            json.dumps(told)
            assert len(await take(inbox, 2)) == 2

    run(test)


def test_a_full_inbox_makes_the_sender_wait_and_loses_nothing() -> None:
    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            heard = bob.messages(limit=100)
            receipts = [to_bob.whisper(b"%d" % n + bytes(2000)) for n in range(4000)]
            await receipts[0]
            await asyncio.sleep(0.3)
            done = sum(receipt.state == "received" for receipt in receipts)
            assert done < 3000, "nobody waited"
            bodies = [int(m.body.rstrip(b"\0")) for m in await take(heard, 4000)]
            assert bodies == list(range(4000))
            await receipts[-1]

    run(test)


# Extensions


def test_an_extension_lives_as_long_as_it_is_installed() -> None:
    class Journal(Extension):
        name = "journal"
        kinds = ("DREAMSPACE", "FILE_SYNC")

        def __init__(self) -> None:
            self.life: list[str] = []
            self.seen = asyncio.Event()

        async def initialize(self) -> None:
            self.life.append("initialize")

        async def on_message(self, message: whispurrnet.Message) -> None:
            self.life.append(f"{message.kind} {message.body.decode()}")
            self.seen.set()
            if message.body == b"bad":
                raise ZeroDivisionError

        async def cleanup(self) -> None:
            self.life.append("cleanup")

    class Rival(Extension):
        name = "rival"
        kinds = ("Thought", "DREAMSPACE")

    async def test() -> None:
        async with pair() as (_, bob, to_bob, _):
            heard = bob.messages()
            journal = Journal()
            async with journal.on(bob):
                assert bob.stats()["activeExtensions"] == ["journal"]
                for body in (b"bad", b"good"):
                    journal.seen.clear()
                    await to_bob.whisper(body, kind="DREAMSPACE").received()
                    await journal.seen.wait()
                await to_bob.whisper(b"plain").received()
                for wrong in (Journal(), Rival(), Extension()):
                    with pytest.raises(UsageError):
                        async with wrong.on(bob):
                            pass
                assert bob.stats()["activeExtensions"] == ["journal"]
            await to_bob.whisper(b"after", kind="DREAMSPACE").received()
            await to_bob.whisper(b"a thought", kind="Thought").received()
            assert journal.life == [
                *("initialize", "DREAMSPACE bad", "DREAMSPACE good", "cleanup"),
            ]
            assert [m.body for m in await take(heard, 3)] == [b"plain", b"after", b"a thought"]
            assert bob.stats()["activeExtensions"] == []

    run(test)


def test_an_extension_that_cannot_start_is_not_installed() -> None:
    class Broken(Extension):
        name = "broken"
        kinds = ("DREAMSPACE",)

        async def initialize(self) -> None:
            raise UsageError("it cannot")

    async def test() -> None:
        async with whispurrnet.open(listen=(), **QUIET) as node:
            for _ in range(2):
                with pytest.raises(UsageError, match="it cannot"):
                    async with Broken().on(node):
                        pass
            assert node.stats()["activeExtensions"] == []

    run(test)
