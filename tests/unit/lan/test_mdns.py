"""mDNS on this machine: real services on loopback, beside those of whoever else is there."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

pytest.importorskip("zeroconf", reason="the extra is not installed: pip install whispurrnet[mdns]")

import zeroconf
from zeroconf import DNSOutgoing, DNSPointer, ServiceStateChange, const
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.lan import mdns as module
from whispurrnet.lan import txt
from whispurrnet.lan.interfaces import Interface, interfaces
from whispurrnet.lan.mdns import SERVICE, SERVICES_MAX, Mdns, _Place

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
LOOPBACK = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
HERE: Interface = interfaces([LOOPBACK])[0]


class Ear:
    """Hears datagrams, and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.changed = asyncio.Event()

    def __call__(self, data: bytes) -> None:
        self.heard.append(data)
        self.changed.set()

    async def until(self, *datagrams: bytes) -> None:
        """Wait until these were heard; others are strangers'."""
        async with asyncio.timeout(20):
            while not set(datagrams) <= set(self.heard):
                self.changed.clear()
                await self.changed.wait()


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - the library tells nobody
            await asyncio.sleep(0.02)


def play(main, loop=asyncio.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(main())
        except BaseException:
            # What a failed test left open must not hang uvloop, where warnings are errors.
            warnings.simplefilter("ignore", ResourceWarning)
            raise


def make(port: int = 9000, **more: Any) -> Mdns:
    return Mdns(port, interfaces=[LOOPBACK], **{"look_s": 0.1, "pause_s": 0.1, **more})


def published(node: Mdns) -> AsyncServiceInfo:
    (place,) = node._places.values()
    assert place._info is not None
    return place._info


def other(name: str, text: bytes) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        SERVICE, name, port=1, properties=text, server="x.local.", addresses=[b"\x7f\0\0\x01"]
    )


@pytest.fixture
def beacons() -> Iterator[Callable[[], bytes]]:
    return lambda: secrets.token_bytes(512)


@pytest.mark.parametrize("loop", LOOPS)
def test_two_find_each_other_and_hear_what_changes_and_who_leaves(loop, beacons) -> None:
    async def main() -> None:
        ada, bob = make(9001), make(9002)
        ears = Ear(), Ear()
        await ada.start(ears[0])
        await bob.start(ears[1])
        assert ada.interfaces == bob.interfaces == (LOOPBACK,)
        one, two, three = beacons(), beacons(), beacons()
        ada.send(one)
        bob.send(two)
        await ears[0].until(two)
        await ears[1].until(one)
        bob.send(three)
        await ears[0].until(three)
        assert one not in ears[0].heard, "its own it does not hear"
        assert ears[0].heard.count(two) == 1
        name = published(bob).name
        (place,) = ada._places.values()
        assert name in place.seen
        assert ada.services >= 1
        await bob.close()
        await until(lambda: name not in place.seen)
        await ada.close()
        await ada.close()
        assert ada.interfaces == ()
        ada.send(one)

    play(main, loop)


def test_names_are_random_and_new_after_a_rotation(beacons) -> None:
    async def main() -> None:
        ada, bob, ear = make(), make(), Ear()
        await ada.start(Ear())
        await bob.start(ear)
        one, two = beacons(), beacons()
        ada.send(one)
        await ear.until(one)
        before = published(ada)
        ada.send(beacons())
        ada.renew()
        (place,) = ada._places.values()
        await until(lambda: place._info is None)
        ada.send(two)
        await ear.until(two)
        after = published(ada)
        names = {before.name, before.server, after.name, after.server}
        assert len(names) == 4
        host = socket.gethostname().lower()
        assert not any(host in str(name).lower() for name in names)
        (theirs,) = bob._places.values()
        assert before.name not in theirs.seen
        assert after.port == 9000
        assert after.addresses == [b"\x7f\0\0\x01"]
        await bob.close()
        await ada.close()

    play(main)


def test_what_changes_often_is_published_seldom(beacons) -> None:
    async def main() -> None:
        ada = make(pause_s=30.0)
        await ada.start(Ear())
        one = beacons()
        ada.send(one)
        (place,) = ada._places.values()
        await until(lambda: place._info is not None)
        ada.send(beacons())
        ada.send(b"")
        ada.send(bytes(txt.DATAGRAM_BYTES_MAX + 1))
        await asyncio.sleep(0.3)
        assert published(ada).text == txt.pack(one)
        await ada.close()

    play(main)


def test_an_interface_that_changed_or_broke_is_taken_anew(
    monkeypatch: pytest.MonkeyPatch, beacons
) -> None:
    async def main() -> None:
        present: list[Interface] = []
        monkeypatch.setattr(module, "interfaces", lambda only: present)
        ada, bob, ear = make(), make(), Ear()
        await ada.start(Ear())
        one = beacons()
        ada.send(one)
        assert ada.interfaces == ()
        present[:] = [HERE]
        await bob.start(ear)
        await ear.until(one)
        (first,) = ada._places.values()
        present.clear()
        await until(lambda: not ada.interfaces and not bob.interfaces)
        present[:] = [HERE]
        await until(lambda: ada.interfaces and bob.interfaces)
        ear.heard.clear()
        await ear.until(one)
        (second,) = ada._places.values()
        assert second is not first
        second.broken = True
        assert ada.interfaces == ()
        await until(lambda: ada.interfaces)
        await ada.close()
        await bob.close()

    play(main)


def test_an_address_that_is_not_there_yet_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, beacons
) -> None:
    class Deaf:
        """The library, where it has passed over the only interface."""

        def __init__(self, **_: Any) -> None:
            self.zeroconf = SimpleNamespace(
                async_wait_for_start=self.nothing, engine=SimpleNamespace(senders=[])
            )
            self.async_close = self.nothing

        async def nothing(self) -> None: ...

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(zeroconf.asyncio, "AsyncZeroconf", Deaf)
            ada = make()
            await ada.start(Ear())
            assert ada.interfaces == ()
        await until(lambda: ada.interfaces)
        await ada.close()

    play(main)


def test_loopback_only_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        def near(n: int) -> Interface:
            return Interface(f"en{n}", n, None, None, None)

        present = [HERE, *(near(n) for n in range(2, 20))]
        monkeypatch.setattr(module, "interfaces", lambda only: present)

        async def enter(self: _Place) -> None:
            self.broken = False

        monkeypatch.setattr(_Place, "enter", enter)
        ada = Mdns(9)
        await ada.start(Ear())
        assert ada.interfaces == tuple(f"en{n}" for n in range(2, 10))
        await ada.close()

    play(main)


def test_the_missing_extra_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(HostError, match=r"pip install 'whispurrnet\[mdns\]'"):
            await make().start(Ear())

    play(main)


def test_a_port_somebody_has_for_itself_is_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        def taken(*_: Any, **__: Any) -> None:
            raise OSError(errno.EADDRINUSE, "Address already in use")

        monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", taken)
        with pytest.raises(HostError, match="UDP port 5353: Address already in use; let"):
            await make().start(Ear())

    play(main)


def test_faults_of_the_library_are_tried_again(monkeypatch: pytest.MonkeyPatch, beacons) -> None:
    async def main() -> None:
        faults = [RuntimeError("no adapter"), zeroconf.Error("odd"), OSError("unplugged")]
        real = AsyncZeroconf.async_register_service

        async def register(self: AsyncZeroconf, info: Any) -> Any:
            if faults:
                raise faults.pop()
            return await real(self, info)

        monkeypatch.setattr(AsyncZeroconf, "async_register_service", register)
        ada, bob, ear = make(), make(), Ear()
        await ada.start(Ear())
        await bob.start(ear)
        one = beacons()
        ada.send(one)
        await ear.until(one)
        assert not faults
        await ada.close()
        await bob.close()

    play(main)


def test_a_record_that_did_not_come_along_is_asked_for(beacons) -> None:
    """A stranger's responder that answers with the pointer alone."""

    async def main() -> None:
        ear = Ear()
        place = _Place(HERE, ear)
        await place.enter()
        responder = AsyncZeroconf(interfaces=["127.0.0.1"])
        await responder.zeroconf.async_wait_for_start()
        name, one = f"{secrets.token_hex(8)}.{SERVICE}", beacons()
        responder.zeroconf.registry.async_add(other(name, txt.pack(one)))
        lonely = DNSOutgoing(const._FLAGS_QR_RESPONSE | const._FLAGS_AA)
        lonely.add_answer_at_time(
            DNSPointer(SERVICE, const._TYPE_PTR, const._CLASS_IN, 120, name), 0
        )
        responder.zeroconf.async_send(lonely)
        await ear.until(one)
        assert not place._asked or name not in place._asked
        await responder.async_close()
        await place.leave()

    play(main)


class Cache:
    """Stands in for the library: every service says what it is told to."""

    text = b""


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> type[Cache]:
    class Info:
        def __init__(self, _: str, name: str) -> None:
            self.name = name
            self.text = b""

        def load_from_cache(self, _: Any) -> None:
            self.text = Cache.text

        async def async_request(self, *_: Any) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(zeroconf.asyncio, "AsyncServiceInfo", Info)
    return Cache


def test_a_crowd_of_services_stays_within_bounds(crowd: type[Cache]) -> None:
    async def main() -> None:
        ear = Ear()
        place = _Place(HERE, ear)
        added, gone = ServiceStateChange.Added, ServiceStateChange.Removed
        zc: Any = SimpleNamespace()
        crowd.text = b""
        for n in range(100):
            place._changed(zc, SERVICE, f"silent {n}", added)
        assert len(place._asked) == module.ASKED_MAX
        crowd.text = txt.pack(b"x")
        for n in range(2 * SERVICES_MAX):
            place._changed(zc, SERVICE, f"n{n}", added)
        assert len(place.seen) == SERVICES_MAX
        assert len(ear.heard) == 2 * SERVICES_MAX
        place._changed(zc, SERVICE, f"n{n}", added)
        assert len(ear.heard) == 2 * SERVICES_MAX, "the same, once"
        place._changed(zc, SERVICE, f"n{n}", gone)
        assert f"n{n}" not in place.seen
        for crowd.text in (bytes(txt.TXT_BYTES_MAX + 1), b"\x03a=x"):
            place._changed(zc, SERVICE, "odd", added)
        assert len(ear.heard) == 2 * SERVICES_MAX
        await place.leave()
        assert not place._asked

    play(main)


@pytest.mark.parametrize("port", [0, 65536])
def test_what_is_no_port_is_a_mistake_of_the_caller(port: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 65535"):
        Mdns(port)
