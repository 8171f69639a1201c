"""Two people and a code of words, over real sockets: alone, and by way of a third."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import whispurrnet
from whispurrnet.base.errors import AuthError, LimitError, NetworkError, UsageError
from whispurrnet.node import pairing as module
from whispurrnet.node.node import Node
from whispurrnet.node.pairing import Pairing
from whispurrnet.session.pairing import Config
from whispurrnet.wire.words import LIVING, Code

ALONE = {
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
}


@asynccontextmanager
async def nodes(count: int) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(whispurrnet.open(**ALONE)) for _ in range(count)]


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(40):
            await story()

    asyncio.run(timed())


def other(code: Code) -> Code:
    """The same number, another word."""
    word = LIVING[(LIVING.index(code.words[0]) + 1) % 256]
    return Code(code.nameplate, (word, *code.words[1:]))


def test_two_pair_and_have_the_same_key() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            await ben.connect(anna.ticket)
            offer = await Pairing(anna).offer(b"for ben")
            heard: list[str] = []
            met = await Pairing(ben).join(offer.code, timeout_s=20, told=heard.append)
            there = await offer.met()
            assert met.key == there.key
            assert met.payload == b"for ben"
            assert (met.peer.id, there.peer.id) == (anna.id, ben.id)
            assert heard == ["looking", "pairing"]
            offer.settle()
            assert offer.ended == "settled"
            assert anna.names == ()

    play(story)


def test_they_find_each_other_by_way_of_a_third() -> None:
    async def story() -> None:
        async with nodes(3) as (anna, ben, place):
            for node in (anna, ben):
                await node.connect(place.ticket)
            offer = await Pairing(anna).offer(b"for ben", count=4)
            met = await Pairing(ben).join(offer.code, timeout_s=20)
            assert met.peer.id == anna.id
            assert (await offer.met()).key == met.key

    play(story)


def test_a_wrong_word_ends_the_code_and_both_hear_why() -> None:
    async def story() -> None:
        async with nodes(2) as (anna, ben):
            await ben.connect(anna.ticket)
            offer = await Pairing(anna).offer(b"for ben")
            with pytest.raises(AuthError, match="not those of the code.*ask the sender"):
                await Pairing(ben).join(other(offer.code), timeout_s=20)
            with pytest.raises(AuthError, match="wrong words.*new one"):
                await offer.met()
            assert anna.names == ()

    play(story)


def test_waiting_ends_with_a_word_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.1)

    async def story() -> None:
        async with nodes(2) as (anna, ben):
            code = Code(7, ("otter", "laptop"))
            with pytest.raises(NetworkError, match="connected to nobody"):
                await Pairing(ben).join(code, timeout_s=0.3)
            await ben.connect(anna.ticket)
            with pytest.raises(NetworkError, match="nobody who offers this code"):
                await Pairing(ben).join(code, timeout_s=0.3)
            pairing = Pairing(anna, Config(lifetime_s=0.2))
            offer = await pairing.offer(b"late")
            with pytest.raises(LimitError, match="in time"):
                await offer.met()
            offer = await Pairing(anna).offer(b"taken back")
            offer.close()
            with pytest.raises(UsageError, match="taken back"):
                await offer.met()
            anna.register("pair/7")  # a name that was left behind
            with pytest.raises(NetworkError, match="no code of this number"):
                await Pairing(ben).join(code, timeout_s=0.5)

    play(story)


def test_codes_of_one_node_have_numbers_of_their_own() -> None:
    async def story() -> None:
        async with nodes(1) as (anna,):
            pairing = Pairing(anna)
            offers = [await pairing.offer(b"") for _ in range(4)]
            assert len({offer.code.nameplate for offer in offers}) == 4
            for offer in offers:
                offer.close()
            assert anna.names == ()

    play(story)
