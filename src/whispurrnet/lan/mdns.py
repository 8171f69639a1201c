"""Beacons by multicast DNS: a service `_whispurr._tcp.local.` whose TXT record is the beacon.

For networks that carry mDNS and nothing else of the kind: many access points that hold back
multicast let it through, or repeat it from one network to the next. The library `zeroconf` (extra
`mdns`) does the protocol; this says what is published, and where.

- The instance and the host are named at random, and anew at each `renew`: no name of this machine
  goes out, and names of two identities have nothing in common.
- Every interface is a network of its own, with names, sockets and an address record of its own: a
  stranger in one does not learn our address in another.
- The TXT record is published again when the datagram has changed, but not each time: datagrams
  change every few seconds, and a record that does should not (RFC 6762, section 8.4). The pause
  between two grows from 2 s to 60 s; a beacon is good for 10 minutes.
- Interfaces are looked at every few seconds. One that has appeared or changed is taken, what was
  published on one that is gone ends by itself (a time to live of 2 minutes).

Bounds: 8 interfaces, 1024 services remembered, 16 asked for at once, records of 1300 bytes; the
library keeps at most 10,000 records for each interface.

Source: RFC 6762; RFC 6763, sections 4 to 7.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import importlib.util
import logging
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from whispurrnet.base.bounded import LruDict
from whispurrnet.base.errors import HostError, UsageError
from whispurrnet.base.log import get
from whispurrnet.lan import txt
from whispurrnet.lan.interfaces import Interface, interfaces
from whispurrnet.lan.multicast import OnDatagram

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE = "_whispurr._tcp.local."
NAME_BYTES = 8
TTL_S = 120
INTERFACES_MAX = 8
SERVICES_MAX = 1_024
ASKED_MAX = 16
ASK_MS = 3_000
CLOSE_S = 2.0
PAUSE_MIN_S, PAUSE_MAX_S = 2.0, 60.0
LOOK_S = 5.0

_MISSING = "mDNS needs one more library; pip install 'whispurrnet[mdns]'"
_FOR_GOOD = {errno.EADDRINUSE, errno.EACCES, errno.EPERM}
_ONLY_JOINED = (
    (socket.IPPROTO_IP, 49, 0),  # IP_MULTICAST_ALL, from linux/in.h
    (socket.IPPROTO_IPV6, 29, 0),  # IPV6_MULTICAST_ALL, from linux/in6.h
    (socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", 15), 0),
)

log = get(__name__)


def is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("zeroconf") is not None


class Mdns:
    """A service on the local network whose TXT record is the datagram last sent.

    Args:
        port: What the service record names: where peers call.
        interfaces: Names of the interfaces to use; when None those with a network, or loopback
            where there are none.
        look_s: How often to look for changed interfaces, in seconds.
        pause_s: The first pause between two publications, in seconds.
    """

    def __init__(
        self,
        port: int,
        *,
        interfaces: Sequence[str] | None = None,
        look_s: float = LOOK_S,
        pause_s: float = PAUSE_MIN_S,
    ) -> None:
        if not 0 < port < 1 << 16:
            raise UsageError(f"no service can be at port {port}; take one from 1 to 65535")
        self._port = port
        self._only = interfaces
        self._look_s = look_s
        self._pause_min_s = self._pause_s = pause_s
        self._due_s = 0.0  # monotonic
        self._data: bytes | None = None
        self._round = 0  # grows at each `renew`
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._places: dict[Interface, _Place] = {}
        self._hear: OnDatagram | None = None

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of the interfaces it is at work on."""
        return tuple(at.name for at, place in self._places.items() if not place.broken)

    @property
    def services(self) -> int:
        """How many services of others are remembered."""
        return sum(len(place.seen) for place in self._places.values())

    async def start(self, on_datagram: OnDatagram) -> None:
        """Look for others, and call `on_datagram` for each datagram they publish.

        Cancelling is safe: close it.

        Raises:
            HostError: The extra is not installed, or the port of mDNS cannot be had.
        """
        if not is_installed():
            raise HostError(_MISSING)
        await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")
        # It would write addresses and names of machines.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        self._hear = on_datagram
        try:
            await self._look()
        except OSError as error:
            if error.errno in _FOR_GOOD and not self.interfaces:
                await self._leave_all()
                raise HostError(
                    f"cannot listen for mDNS on UDP port 5353: {error.strerror}; let the program "
                    "that has it share it (avahi: disallow-other-stacks=no)"
                ) from error
            log.info("mDNS: an interface cannot be used; trying again")
        self._worker = asyncio.create_task(self._work(), name="mdns")

    def send(self, data: bytes) -> None:
        """Let this be the datagram that others find; one that is too long is passed over."""
        if 0 < len(data) <= txt.DATAGRAM_BYTES_MAX:
            first, self._data = self._data is None, data
            if first:
                self._wake.set()

    def renew(self) -> None:
        """Take new names: what was published ends now, and begins with the next datagram."""
        self._data = None
        self._round += 1
        self._pause_s, self._due_s = self._pause_min_s, 0.0
        self._wake.set()

    async def close(self) -> None:
        """Say that the service is gone, and stop; takes at most some two seconds."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        await self._leave_all()
        self._hear = None

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._look()
                await self._publish()
            except Exception as error:  # noqa: BLE001 - a supervisor: an interface, or the library
                log.info("mDNS: cannot look or publish (%s); trying again", error)
            wait_s = self._look_s
            if self._data is not None:
                wait_s = min(wait_s, max(0.0, self._due_s - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _look(self) -> None:
        """Take interfaces that have appeared or changed, and leave those that are gone.

        Raises:
            OSError: One of them cannot be used; the others are.
        """
        found = interfaces(self._only)
        outside = [interface for interface in found if not interface.is_loopback]
        present = dict.fromkeys((outside or found)[:INTERFACES_MAX])
        for gone in [old for old, at in self._places.items() if old not in present or at.broken]:
            await self._places.pop(gone).leave()
        failed: OSError | None = None
        for interface in present:
            if interface not in self._places:
                place = self._places[interface] = _Place(interface, self._heard)
                try:
                    await place.enter()
                except OSError as error:
                    failed = error
        if failed is not None:
            raise failed

    async def _publish(self) -> None:
        """Publish what is new, where it is time to."""
        now = time.monotonic()
        due = now >= self._due_s
        data, places = self._data, [at for at in self._places.values() if not at.broken]
        if due and data is not None:
            self._due_s = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
        work = (place.publish(data, self._port, self._round, due=due) for place in places)
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _heard(self, data: bytes) -> None:
        if self._hear is not None:
            self._hear(data)

    async def _leave_all(self) -> None:
        places, self._places = list(self._places.values()), {}
        await asyncio.gather(*(place.leave() for place in places))


class _Place:
    """One interface: what is published there, and what others publish."""

    def __init__(self, interface: Interface, hear: Callable[[bytes], None]) -> None:
        self.broken = True
        """Whether it is to be made anew; so it is until it was entered."""
        self.seen: LruDict[str, bytes] = LruDict(SERVICES_MAX)
        self._interface = interface
        self._hear = hear
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._info: AsyncServiceInfo | None = None
        self._round = 0
        self._names: LruDict[str, None] = LruDict(8)  # ours

    async def enter(self) -> None:
        """Open the sockets, and look for others.

        Raises:
            OSError: It cannot be used.
        """
        from zeroconf import Error, IPVersion
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        ip4 = self._interface.ip4
        try:
            self._zeroconf = AsyncZeroconf(
                interfaces=[str(ip4) if ip4 else self._interface.index],
                ip_version=IPVersion.V4Only if ip4 else IPVersion.V6Only,
            )
            await self._zeroconf.zeroconf.async_wait_for_start()
        except (Error, RuntimeError, ValueError) as error:
            raise OSError(f"mDNS: {type(error).__name__}") from error
        if not self._zeroconf.zeroconf.engine.senders:  # the library passes over what it cannot
            raise OSError("mDNS: the address of the interface is not there, or not yet")
        self._close_ears(self._zeroconf.zeroconf)
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE, handlers=[self._changed]
        )
        self.broken = False

    async def publish(self, data: bytes | None, port: int, round_: int, *, due: bool) -> None:
        """Withdraw what is of another round, and publish this if it is new and it is time to."""
        assert self._zeroconf is not None, "it was entered"
        try:
            if self._info is not None and self._round != round_:
                info, self._info = self._info, None
                await (await self._zeroconf.async_unregister_service(info))
            if data is None:
                return
            if self._info is None:
                self._info, self._round = self._describe(data, port), round_
                await (await self._zeroconf.async_register_service(self._info))
            elif due and self._info.text != txt.pack(data):
                self._info = self._describe(data, port, self._info)
                await (await self._zeroconf.async_update_service(self._info))
        except Exception:
            self.broken = True  # whatever it was: nothing of an older round may stay published
            raise

    async def leave(self) -> None:
        """Withdraw what is published, and close the sockets."""
        from zeroconf import Error

        browser, self._browser = self._browser, None
        if browser is not None:
            await browser.async_cancel()
        asked, self._asked = list(self._asked.values()), {}
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is None:
            return
        with contextlib.suppress(Error, OSError):
            async with asyncio.timeout(CLOSE_S):
                await zeroconf.async_close()

    def _describe(
        self, data: bytes, port: int, before: AsyncServiceInfo | None = None
    ) -> AsyncServiceInfo:
        """The service: under new names, or those it had before."""
        from zeroconf.asyncio import AsyncServiceInfo

        ip = self._interface.ip4 or self._interface.ip6
        name = before.name if before else f"{secrets.token_hex(NAME_BYTES)}.{SERVICE}"
        self._names.put(name, None)
        return AsyncServiceInfo(
            SERVICE,
            name,
            port=port,
            properties=txt.pack(data),
            server=(before and before.server) or f"{secrets.token_hex(NAME_BYTES)}.local.",
            host_ttl=TTL_S,
            other_ttl=TTL_S,
            addresses=[ip.packed] if ip else [],
        )

    def _close_ears(self, zeroconf: Zeroconf) -> None:
        """Hear nothing that came in on other interfaces; a socket that cannot hears it all.

        Where only one socket of a port wants a multicast datagram, Linux (6.18, early demux) gives
        it to any one that shares the port by SO_REUSEPORT; what was bound shares it no more then,
        and SO_REUSEADDR, which all mDNS programs set, lets others in.
        """
        if not sys.platform.startswith("linux"):
            return
        for reader in zeroconf.engine.readers:
            heard = reader.transport.get_extra_info("socket")
            for level, option, value in _ONLY_JOINED:
                with contextlib.suppress(OSError):  # of the other family
                    heard.setsockopt(level, option, value)

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """A service has come, has changed, or is gone."""
        from zeroconf import ServiceStateChange
        from zeroconf.asyncio import AsyncServiceInfo

        if name in self._names:
            return
        if state_change is ServiceStateChange.Removed:
            self.seen.pop(name)
            return
        info = AsyncServiceInfo(service_type, name)
        info.load_from_cache(zeroconf)
        if info.text:
            self._found(name, info.text)
        elif name not in self._asked and len(self._asked) < ASKED_MAX:
            self._asked[name] = asyncio.create_task(self._ask(zeroconf, info))

    async def _ask(self, zeroconf: Zeroconf, info: AsyncServiceInfo) -> None:
        """Ask for a service whose TXT record did not come along."""
        from zeroconf import Error

        try:
            await info.async_request(zeroconf, ASK_MS)
            if info.text:
                self._found(info.name, info.text)
        except (Error, OSError):
            log.info("mDNS: could not ask")
        finally:
            self._asked.pop(info.name, None)

    def _found(self, name: str, text: bytes) -> None:
        """Hand on what a service says, once."""
        if self.seen.get(name) == text or len(text) > txt.TXT_BYTES_MAX:
            return
        self.seen.put(name, text)
        data = txt.unpack(text)
        if data is not None:
            self._hear(data)
