"""Relays in whole stacks: tokens in parts, what follows too early, and where we say that we are."""

from __future__ import annotations

from tests.sim.test_relay import QUIET, RELAY, Town

from whispurrnet.nat import relay_messages
from whispurrnet.stack import events, greeting
from whispurrnet.stack.opening import Opening
from whispurrnet.stack.reach import Reach, reach
from whispurrnet.wire.address import parse

TOKEN = relay_messages.TOKEN_BYTES


def granted(town: Town) -> list[bytes]:
    """The tokens of a circuit from Alice to Bob, whose links the test opens itself."""
    relay = town.world.nodes["relay0"].relaying.relay
    stack = town.world.nodes["relay0"]
    (bob,) = [r.handle for r in stack.roster if r.live]
    alice = bob + 100
    from whispurrnet.nat import relay_events

    relay.handle(relay_events.Up(alice, b"a" * 32, ""), town.world.now)
    id = town.world.nodes["bob"].shared.identity.id
    asked = relay_events.Arrived(alice, relay_messages.Connect(1, id))
    effects = relay.handle(asked, town.world.now)
    return [effect.message.token for effect in effects]  # type: ignore[union-attr]


def link(town: Town, number: int, *parts: bytes) -> list[events.Effect]:
    """A link comes to the relay and says this; what the relay does."""
    stack, now = town.world.nodes["relay0"], town.world.now
    up = events.LinkUp(number, "/ip4/192.0.2.9/tcp/7", "tcp", None, bytes(33))
    found = stack.handle(up, now)
    for part in parts:
        found += stack.handle(events.LinkData(number, part), now)
    return found


def test_a_token_may_come_in_parts_and_never_reaches_the_handshake() -> None:
    town = Town()
    near, far = granted(town)
    stack = town.world.nodes["relay0"]
    assert link(town, 900, near[:1], near[1:20]) == []
    assert isinstance(stack.links.states[900], Opening)
    assert stack.handle(events.LinkData(900, near[20:]), town.world.now) == []
    assert 900 not in stack.links.states
    (splice,) = link(town, 901, far)
    assert isinstance(splice, events.Splice)
    assert (splice.caller, splice.target) == (900, 901)


def test_what_follows_a_token_too_early_ends_the_link() -> None:
    town = Town()
    near, _ = granted(town)
    assert link(town, 900, near + b"x") == [events.Close(900, abort=True)]
    assert town.world.nodes["relay0"].relaying.relay.expects(near)  # whose it is may still come


def test_other_bytes_get_what_every_node_gives() -> None:
    town = Town()
    near, _ = granted(town)
    plain = Town(relay=QUIET, relays=1)
    for number, said in enumerate((bytes(TOKEN), near[:10] + bytes(22), b"GET / HTTP/1.1\r\n\r\n")):
        assert link(town, 900 + number, said) == link(plain, 900 + number, said)


def test_a_link_that_goes_while_it_waits_frees_its_circuit() -> None:
    town = Town()
    near, _ = granted(town)
    link(town, 900, near)
    stack = town.world.nodes["relay0"]
    stack.handle(events.LinkDown(900, "closed"), town.world.now)
    assert stack.relaying.relay.circuits == 0


def test_where_we_are_said_to_be_is_bounded_and_relays_are_not_announced() -> None:
    town = Town(relays=3)
    bob = town.world.nodes["bob"]
    many = tuple(f"/ip4/192.0.2.{n}/tcp/9000" for n in range(12))
    bob.handle(events.Listening(many), town.world.now)
    assert len(bob.shared.addresses) == greeting.ADDRESSES_MAX
    assert bob.shared.addresses[-2:] == bob.shared.relayed
    assert not any(parse(text).is_relayed for text in bob.shared.direct)


def test_a_relayed_address_reaches_as_far_as_its_relay() -> None:
    way = parse("/ip4/203.0.113.9/tcp/1").through(b"k" * 32, b"i" * 32)
    assert reach(str(way)) is reach("/ip4/203.0.113.9/tcp/1")
    assert reach(str(parse("/ip4/8.8.8.8/tcp/1").through(b"k" * 32, b"i" * 32))) is Reach.WORLD
    home = parse("/ip4/127.0.0.1/tcp/1").through(b"k" * 32, b"i" * 32)
    assert reach(str(home)) is Reach.MACHINE  # nobody leads us into our own house by a relay


def test_a_circuit_that_cannot_be_says_why() -> None:
    town = Town()
    alice = town.world.nodes["alice"]
    ask = [
        ("/ip4/192.0.2.1/tcp/1", "names no relay"),
        ("nonsense", "names no relay"),
        (
            str(
                parse("/ip4/192.0.2.1/tcp/1").through(
                    alice.shared.identity.proof.static_key, b"i" * 32
                )
            ),
            "this node itself",
        ),
    ]
    for address, why in ask:
        (told,) = alice.handle(events.OpenCircuit(5, address), town.world.now)
        assert isinstance(told, events.NoCircuit)
        assert why in told.reason
    assert RELAY.relay.on
