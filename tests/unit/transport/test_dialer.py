"""Which attempt starts when, who wins, and that nothing is left open; on virtual time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from whispurrnet.base.errors import AuthError, NetworkError, UsageError
from whispurrnet.testing.virtual_loop import run
from whispurrnet.transport.dialer import Attempt, Config, Dialer, interleave
from whispurrnet.transport.link import Link, LinkHandler
from whispurrnet.transport.memory import Hub, MemoryLink, MemoryTransport
from whispurrnet.wire.address import Address, parse

FOUR = [parse(f"/ip4/192.0.2.{n}/tcp/9000") for n in range(1, 9)]
SIX = [parse(f"/ip6/2001:db8::{n}/tcp/9000") for n in range(1, 9)]


class Heard:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def link_data(self, link: Link, data: bytes) -> None:
        self.heard.append(data)

    def link_lost(self, link: Link, reason: str) -> None:
        self.heard.append(reason)

    def link_paused(self, link: Link) -> None:
        self.heard.append("paused")

    def link_resumed(self, link: Link) -> None:
        self.heard.append("resumed")


class Web:
    """A transport whose places answer as the test says, and which remembers what is open."""

    names = ("tcp",)

    def __init__(self, answers: dict[str, Callable[[LinkHandler, Address], object]]) -> None:
        self.answers = answers
        self.started: list[tuple[float, str]] = []
        self.open: list[MemoryLink] = []

    async def dial(self, address: Address, handler: LinkHandler, *, host: str | None = None):
        place = host or address.host
        self.started.append((asyncio.get_running_loop().time(), place))
        answer = self.answers.get(place)
        if answer is None:
            await asyncio.sleep(3600)
        link = await answer(handler, address)
        self.open.append(link)
        return link

    async def listen(self, address: Address, accept: object) -> object:
        raise AssertionError

    @property
    def left_open(self) -> list[MemoryLink]:
        return [link for link in self.open if not link.reason]


def after(delay_s: float, *, first: bytes = b""):
    """Connects after a while; speaks first, if it has something to say."""

    async def answer(handler: LinkHandler, address: Address) -> MemoryLink:
        await asyncio.sleep(delay_s)
        near = MemoryLink(address, handler, inbound=False)
        far = MemoryLink(address, Heard(), inbound=True)
        near.join(far)
        far.write(first)
        return near

    return answer


def fails(delay_s: float, kind: type[Exception] = NetworkError):
    async def answer(handler: LinkHandler, address: Address) -> MemoryLink:
        await asyncio.sleep(delay_s)
        raise kind(f"cannot reach {address}: nothing listens there")

    return answer


def hangs_up(delay_s: float):
    async def answer(handler: LinkHandler, address: Address) -> MemoryLink:
        link = await after(delay_s)(handler, address)
        handler.link_lost(link, "closed by the peer")
        return link

    return answer


def test_the_first_address_that_answers_is_used_alone() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": after(0.2)})
        link = await Dialer([web]).dial(FOUR[:3], Heard())
        assert link.remote == FOUR[0]
        assert web.started == [(0.0, "192.0.2.1")]

    run(main())


def test_a_slow_one_gets_company_after_the_stagger_and_loses() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": after(10.0), "192.0.2.2": after(0.1)})
        here = Heard()
        link = await Dialer([web]).dial(FOUR[:3], here)
        assert link.remote == FOUR[1]
        assert web.started == [(0.0, "192.0.2.1"), (0.25, "192.0.2.2")]
        assert asyncio.get_running_loop().time() == 0.35
        await asyncio.sleep(20)
        assert web.left_open == [link]
        assert here.heard == []

    run(main())


def test_a_failure_starts_the_next_at_once() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": fails(0.01), "192.0.2.2": fails(0.01), "192.0.2.3": after(0.01)})
        link = await Dialer([web]).dial(FOUR[:3], Heard())
        assert link.remote == FOUR[2]
        assert [round(at, 3) for at, _ in web.started] == [0.0, 0.01, 0.02]

    run(main())


def test_the_slow_first_may_still_win() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": after(0.4), "192.0.2.2": after(10.0)})
        link = await Dialer([web]).dial(FOUR[:2], Heard())
        assert link.remote == FOUR[0]
        assert len(web.started) == 2

    run(main())


def test_two_that_answer_at_the_same_moment_leave_one_open() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": after(0.5), "192.0.2.2": after(0.25, first=b"loser?")})
        here = Heard()
        link = await Dialer([web]).dial(FOUR[:2], here)
        await asyncio.sleep(1)
        assert web.left_open == [link]
        assert len(web.open) == 2
        assert link.handler is here
        assert here.heard in ([], [b"loser?"])

    run(main())


def test_what_the_winner_said_first_is_heard() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": after(0.1, first=b"hello")})
        here = Heard()
        link = await Dialer([web]).dial(FOUR[:1], here)
        await asyncio.sleep(0.1)
        assert here.heard == [b"hello"]
        link.close()
        await asyncio.sleep(10)
        assert here.heard == [b"hello", "closed here"]

    run(main())


def test_one_that_hangs_up_at_once_does_not_win() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": hangs_up(0.1), "192.0.2.2": after(0.1)})
        assert (await Dialer([web]).dial(FOUR[:2], Heard())).remote == FOUR[1]
        with pytest.raises(NetworkError, match=r"192.0.2.1/tcp/9000 hung up at once"):
            await Dialer([web]).dial(FOUR[:1], Heard())

    run(main())


def test_when_none_answers_each_says_why() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": fails(0.1), "2001:db8::1": fails(0.1, AuthError)})
        with pytest.raises(NetworkError) as caught:
            await Dialer([web]).dial([FOUR[0], SIX[0], FOUR[1]], Heard())
        text = str(caught.value)
        assert text.startswith("none of 3 addresses answered: ")
        assert "/ip4/192.0.2.1/tcp/9000: nothing listens there" in text
        assert "/ip6/2001:db8::1/tcp/9000: nothing listens there" in text
        assert "/ip4/192.0.2.2/tcp/9000 did not answer in 5 s" in text
        assert asyncio.get_running_loop().time() < 6

    run(main())


def test_one_alone_says_what_it_is() -> None:
    async def main() -> None:
        with pytest.raises(AuthError, match="nothing listens"):
            await Dialer([Web({"192.0.2.1": fails(0.1, AuthError)})]).dial(FOUR[:1], Heard())

    run(main())


def test_cancelling_leaves_nothing_open() -> None:
    async def main(at: float) -> None:
        web = Web({"192.0.2.1": after(0.5), "192.0.2.2": after(0.25), "192.0.2.3": after(0.1)})
        here = Heard()
        try:
            async with asyncio.timeout(at):
                await Dialer([web]).dial(FOUR[:3], here)
        except TimeoutError:
            await asyncio.sleep(1)
            assert web.left_open == []
            assert here.heard == []
        else:
            await asyncio.sleep(1)
            assert len(web.left_open) == 1

    for at in (0.1, 0.25, 0.3, 0.4999, 0.5, 0.5001):
        run(main(at))


def connected_as_it_was_cancelled():
    async def answer(handler: LinkHandler, address: Address) -> MemoryLink:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return await after(0)(handler, address)
        raise AssertionError

    return answer


def slow_to_cancel():
    async def answer(handler: LinkHandler, address: Address) -> MemoryLink:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)
        raise AssertionError

    return answer


def test_one_that_connects_as_it_is_cancelled_is_closed() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": connected_as_it_was_cancelled(), "192.0.2.2": after(0.1)})
        link = await Dialer([web]).dial(FOUR[:2], Heard())
        assert link.remote == FOUR[1]
        assert len(web.open) == 2
        assert web.left_open == [link]

    run(main())


def test_cancelling_after_one_has_won_closes_it_too() -> None:
    async def main() -> None:
        web = Web({"192.0.2.1": slow_to_cancel(), "192.0.2.2": after(0.1)})
        here = Heard()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await Dialer([web]).dial(FOUR[:2], here)
        await asyncio.sleep(10)
        assert len(web.open) == 1
        assert web.left_open == []
        assert here.heard == []

    run(main())


def test_the_same_address_is_tried_once_and_not_too_many() -> None:
    async def main() -> None:
        web = Web({})
        with pytest.raises(NetworkError):
            await Dialer([web], Config(attempts_max=3)).dial(FOUR[:1] * 5 + FOUR[1:], Heard())
        assert [place for _, place in web.started] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]

    run(main())


def test_nothing_to_dial_is_a_mistake_of_the_caller() -> None:
    async def main() -> None:
        dialer = Dialer([Web({})])
        with pytest.raises(
            UsageError, match="no address to dial; give one that ends in one of: tcp"
        ):
            await dialer.dial([], Heard())
        with pytest.raises(UsageError):
            await dialer.dial([parse("/ip4/1.2.3.4/tcp/9/ws")], Heard())
        assert dialer.can_dial(FOUR[0])
        assert not dialer.can_dial(parse("/memory/a"))

    run(main())


def test_the_first_transport_that_serves_a_name_has_it() -> None:
    async def main() -> None:
        hub = Hub()
        listener = await MemoryTransport(hub).listen(parse("/memory/alice"), lambda _: Heard())
        dialer = Dialer([MemoryTransport(hub), MemoryTransport(Hub())])
        assert (await dialer.dial([parse("/memory/alice")], Heard())).path == "memory"
        await listener.close()

    run(main())


# Names


def resolving(loop: asyncio.AbstractEventLoop, answers: dict[str, object]) -> list[str]:
    """Make the loop resolve names as the test says; returns which were asked for."""
    asked: list[str] = []

    async def getaddrinfo(host, port, *, family=0, type=0):
        asked.append(f"{host} {family}")
        answer = answers[host]
        if isinstance(answer, OSError):
            raise answer
        if answer is None:
            await asyncio.sleep(3600)
        return [(0, type, 6, "", (ip, port)) for ip in answer]

    loop.getaddrinfo = getaddrinfo
    return asked


def test_every_address_of_a_name_is_an_attempt() -> None:
    async def main() -> None:
        name = parse("/dns/node.example/tcp/9000")
        asked = resolving(
            asyncio.get_running_loop(),
            {"node.example": ["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.1"]},
        )
        web = Web({"2001:db8::2": after(0.1)})
        link = await Dialer([web]).dial([name], Heard())
        assert link.remote == name, "the name stays: TLS and HTTP ask for it"
        assert [place for _, place in web.started] == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]
        assert asked == [f"node.example {int(socket.AF_UNSPEC)}"]

    run(main())


def test_names_of_one_family_ask_for_that_one() -> None:
    async def main() -> None:
        asked = resolving(asyncio.get_running_loop(), {"a": ["192.0.2.1"], "b": ["2001:db8::1"]})
        web = Web({"192.0.2.1": after(0.0)})
        await Dialer([web]).dial([parse("/dns4/a/tcp/9"), parse("/dns6/b/tcp/9")], Heard())
        assert asked == [f"a {int(socket.AF_INET)}", f"b {int(socket.AF_INET6)}"]

    run(main())


def test_an_ip_address_is_never_resolved() -> None:
    async def main() -> None:
        asked = resolving(asyncio.get_running_loop(), {})
        await Dialer([Web({"192.0.2.1": after(0.0)})]).dial(FOUR[:1], Heard())
        assert asked == []

    run(main())


def test_a_name_that_does_not_resolve_is_one_reason_among_others() -> None:
    async def main() -> None:
        gone = socket.gaierror(-2, "Name or service not known")
        resolving(asyncio.get_running_loop(), {"gone.example": gone, "slow.example": None})
        dialer = Dialer([Web({"192.0.2.1": after(0.0), "192.0.2.2": fails(0.0)})])
        names = [parse("/dns/gone.example/tcp/9"), parse("/dns/slow.example/tcp/9")]
        link = await dialer.dial([*names, FOUR[0]], Heard())
        assert link.remote == FOUR[0]
        with pytest.raises(NetworkError, match="cannot resolve gone.example") as caught:
            await dialer.dial([*names, FOUR[1]], Heard())
        assert "DNS did not answer for /dns/slow.example/tcp/9" in str(caught.value)
        with pytest.raises(NetworkError, match="^cannot resolve gone.example"):
            await dialer.dial(names[:1], Heard())

    run(main())


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ([], []),
        ("aaa", "aaa"),
        ("aaabb", "ababa"),
        ("baaa", "baaa"),
        ("abbba", "ababb"),
        (":", ":"),
    ],
)
def test_families_take_turns_and_the_first_stays_first(given: str, ordered: str) -> None:
    hosts = {"a": "192.0.2.", "b": "2001:db8::", ":": "::"}
    attempts = [Attempt(FOUR[0], f"{hosts[kind]}{n}") for n, kind in enumerate(given)]
    result = interleave(attempts)
    assert sorted(a.host for a in result) == sorted(a.host for a in attempts)
    kinds = {"192.0.2": "a", "2001:db8:": "b", ":": ":"}
    assert [kinds[a.host[: a.host.rindex("." if "." in a.host else ":")]] for a in result] == list(
        ordered
    )


class Relays(Web):
    names = ("relay",)


def relayed(n: int) -> Address:
    return parse(f"/dns/relay{n}.example/tcp/9000").through(bytes(31) + bytes([n]), bytes(32))


def test_relays_come_after_all_that_is_direct_and_are_not_resolved() -> None:
    async def main() -> None:
        web, relays = Web({}), Relays({"relay1.example": after(0.1)})
        dialer = Dialer([web, relays])
        link = await dialer.dial([relayed(1), *FOUR[:4]], Heard())
        assert link.remote == relayed(1)
        assert [at for at, _ in web.started] == pytest.approx([0.0, 0.125, 0.25, 0.375])
        assert relays.started == [(pytest.approx(0.5), "relay1.example")]

    run(main())


def test_a_relay_is_tried_at_once_when_nothing_else_is_left() -> None:
    async def main() -> None:
        web, relays = Web({"192.0.2.1": fails(0.0)}), Relays({"relay2.example": after(0.1)})
        dialer = Dialer([web, relays])
        began = asyncio.get_running_loop().time()
        link = await dialer.dial([FOUR[0], relayed(1), relayed(2)], Heard())
        assert link.remote == relayed(2)
        assert relays.started[0][0] == pytest.approx(began)
        assert relays.started[1][0] == pytest.approx(began + 0.25)

    run(main())


def test_a_direct_link_wins_within_its_head_start() -> None:
    async def main() -> None:
        web, relays = Web({"192.0.2.1": after(0.2)}), Relays({"relay1.example": after(0.0)})
        link = await Dialer([web, relays]).dial([relayed(1), FOUR[0]], Heard())
        assert link.remote == FOUR[0]
        assert not relays.started

    run(main())


def test_without_relays_a_relayed_address_is_not_dialled() -> None:
    async def main() -> None:
        dialer = Dialer([Web({})])
        assert not dialer.can_dial(relayed(1))
        with pytest.raises(UsageError, match="no address to dial"):
            await dialer.dial([relayed(1)], Heard())

    run(main())
