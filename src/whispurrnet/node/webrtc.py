"""The shell of WebRTC links: runs the peer connections that `stack.signalling` wants.

Each attempt is one task: it makes the connection, says what describes it, and hands on what the
peer says, in order. When the data channel is open it becomes a link like any other.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from whispurrnet.base.errors import HostError, LimitError, NetworkError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.node.nat import RelayStun
from whispurrnet.node.sections import NatSettings
from whispurrnet.stack import events
from whispurrnet.stack.rtc_events import Policy
from whispurrnet.transport import webrtc_backend as library
from whispurrnet.transport import webrtc_sdp
from whispurrnet.transport.webrtc import WebrtcLink, binding_of
from whispurrnet.transport.webrtc_ice import parse_server

if TYPE_CHECKING:
    from whispurrnet.node.driver import Driver

log = get(__name__)

WITHOUT_TURN = "a=x-wn1-without-turn\r\n"
"""Said in an offer for hole punching alone: let the other side use no TURN server either."""

RELAYS_MAX = 2
"""So many of our relays are asked where we are; more tell nothing more."""

Word: TypeAlias = events.RtcAccept | events.RtcCandidate

ALONE = (
    "this machine has no network address besides loopback, which WebRTC does not use; connect it "
    "to a network, or go on without"
)
NO_TURN = "no TURN server answered, and nat.ice_policy allows nothing else; check nat.ice_servers"


def ice_of(nat: NatSettings) -> library.Ice:
    """How paths are looked for, with credentials that are good from now on.

    Raises:
        ConfigError: One of the servers is none.
    """
    secret, now_s = nat.turn_secret.reveal(), int(time.time())
    servers = [parse_server(one.reveal(), secret=bool(secret)) for one in nat.ice_servers]
    return library.Ice(
        servers=tuple(
            server.for_a_while(secret, now_s, secrets.token_bytes(8)) for server in servers
        ),
        relay_only=nat.ice_policy == "relay",
        host=nat.host_candidates,
    )


def webrtc_of(nat: NatSettings, *, stealth: bool = False) -> tuple[bool, str]:
    """Whether a node can make WebRTC links, and if not, why.

    Raises:
        HostError: They are asked for, and there is no library.
        ConfigError: A server to help with them is none.
    """
    ice = ice_of(nat)
    if nat.webrtc == "off" or (stealth and nat.webrtc == "auto"):
        return False, "WebRTC is switched off; set nat.webrtc" + (" = on" if stealth else "")
    try:
        library.find(nat.webrtc_backend, ice)
    except HostError as error:
        if nat.webrtc == "on":
            raise
        return False, str(error)
    return True, ""


class WebrtcShell:
    """The peer connections of one node.

    Args:
        driver: Runs their tasks, and takes their links.
        settings: How they are made.
    """

    def __init__(self, driver: Driver, settings: NatSettings) -> None:
        self.driver = driver
        self.settings = settings
        self.backend: library.Backend | None = None
        """The library, once it was needed."""
        self._attempts: dict[int, _Attempt] = {}
        self._relays = RelayStun(settings)
        driver.serve(
            {
                events.RtcStart: self._start,
                events.RtcAccept: self._hand_on,
                events.RtcCandidate: self._hand_on,
                events.RtcStop: self._stop,
            }
        )

    def _start(self, effect: events.RtcStart) -> None:
        attempt = self._attempts[effect.rtc] = _Attempt(self, effect)
        if self.driver.is_running:
            self.driver.spawn(self._run(attempt))

    def _hand_on(self, effect: Word) -> None:
        attempt = self._attempts.get(effect.rtc)
        if attempt is not None:
            attempt.words.put_nowait(effect)  # at most some 65: the core counts them

    def _stop(self, effect: events.RtcStop) -> None:
        attempt = self._attempts.pop(effect.rtc, None)
        if attempt is not None:
            attempt.words.put_nowait(None)

    async def _run(self, attempt: _Attempt) -> None:
        try:
            await attempt.run()
        finally:
            self._attempts.pop(attempt.rtc, None)

    async def with_relays(self, ice: library.Ice) -> library.Ice:
        """With the node's own relays as STUN servers, as far as they answer."""
        known = {server.url for server in ice.servers}
        urls = [url for url in await self._relays.answering(time.monotonic()) if url not in known]
        own = tuple(parse_server(url) for url in urls[:RELAYS_MAX])
        return msgspec.structs.replace(ice, servers=(*ice.servers, *own))

    async def load(self, ice: library.Ice) -> library.Backend:
        """The library; it may take a second to come into memory.

        Raises:
            HostError: There is none.
        """
        if self.backend is None:
            self.backend = await asyncio.to_thread(library.load, self.settings.webrtc_backend, ice)
        return self.backend


class _Attempt:
    """One peer connection until its channel is open; hears of it until then."""

    def __init__(self, shell: WebrtcShell, start: events.RtcStart) -> None:
        self.rtc = start.rtc
        self.words: asyncio.Queue[Word | None] = asyncio.Queue()
        """What the peer says; None ends the attempt."""
        self._shell = shell
        self._start = start
        self._connection: library.Connection | None = None
        self._ours = ""
        self._theirs = start.offer
        self._found: list[tuple[str, str]] | None = []  # before we were described
        self._places = 0
        self._ice = library.Ice()
        self._theirs_by_turn = False
        self._handed_over = False

    async def run(self) -> None:
        """Make the connection; ends when it is open, or there will be none."""
        reason = ""
        try:
            await self._connect()
            while (word := await self.words.get()) is not None:
                await self._take(word)
        except WhispurrError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the libraries meet what a peer wrote, and raise anything
            log.warning("a WebRTC library failed: %s", type(error).__name__)
            reason = f"the WebRTC library failed ({type(error).__name__})"
        finally:
            if self._connection is not None and not self._handed_over:
                self._connection.hears = _NOBODY
                await self._connection.close()
        if reason and not self._handed_over:
            self._say(events.RtcFailed(self.rtc, reason))

    async def _connect(self) -> None:
        nat = self._shell.settings
        helped = await self._shell.with_relays(ice_of(nat))
        policy = "stun" if WITHOUT_TURN in self._start.offer else self._start.policy
        ice = self._ice = _narrowed(helped, policy)
        backend = await self._shell.load(ice)
        connection = self._connection = backend.connect(ice, self)
        if self._start.offer:
            offer = self._start.offer.replace(WITHOUT_TURN, "")
            sdp = await connection.answer(webrtc_sdp.theirs(offer))
        else:
            sdp = await connection.offer()
        self._places += sdp.count("\na=candidate:")
        self._ours = webrtc_sdp.ours(sdp, host=ice.host)
        if policy == "stun" and not self._start.offer:
            self._ours += WITHOUT_TURN
        self._say(events.RtcDescription(self.rtc, self._ours))
        found, self._found = self._found or [], None
        for candidate, mid in found:
            self.rtc_found(candidate, mid)
        if backend.NAME == "aiortc" and not self._places:  # it has looked everywhere by now
            self._alone()

    async def _take(self, word: Word) -> None:
        assert self._connection is not None
        if isinstance(word, events.RtcAccept):
            self._theirs = webrtc_sdp.theirs(word.sdp)
            await self._connection.accept(self._theirs)
        elif candidate := webrtc_sdp.their_candidate(word.candidate):
            self._theirs_by_turn |= "typ relay" in candidate
            await self._connection.add(candidate, word.mid)

    def _alone(self) -> None:
        raise NetworkError(NO_TURN if self._ice.relay_only else ALONE)

    def _say(self, event: events.Event) -> None:
        self._shell.driver.submit(event)

    # What the connection says

    def rtc_found(self, candidate: str, mid: str) -> None:
        """We may be reached there, too."""
        if self._found is not None:
            self._found.append((candidate, mid))
        elif not candidate:
            if not self._places:
                self.rtc_lost(NO_TURN if self._ice.relay_only else ALONE)
        else:
            self._places += 1
            told = webrtc_sdp.our_candidate(candidate, host=self._ice.host)
            if told:
                self._say(events.RtcFound(self.rtc, told, mid))

    def rtc_open(self) -> None:
        """The data channel is open: from now on it is a link."""
        if self._handed_over or self._connection is None:
            return
        fingerprints = [webrtc_sdp.fingerprint(sdp) for sdp in (self._ours, self._theirs)]
        inbound = bool(self._start.offer)
        if inbound:
            fingerprints.reverse()
        self._handed_over = True
        link = WebrtcLink(
            self._connection,
            _NOBODY,
            inbound=inbound,
            binding=binding_of(*fingerprints),
            turn=self._turn(),
        )
        self._say(events.RtcOpened(self.rtc))
        self.words.put_nowait(None)
        try:
            link.handler = self._shell.driver.take(link, self._start.dial)
        except LimitError:
            link.abort()

    def _turn(self) -> Literal["no", "maybe", "yes"]:
        """Whether it goes through a TURN server, as far as can be told without the library."""
        if self._ice.relay_only:
            return "yes"
        own = any(server.is_turn for server in self._ice.servers)
        return "maybe" if own or self._theirs_by_turn or "typ relay" in self._theirs else "no"

    def rtc_message(self, data: bytes | str) -> None:
        """Nothing arrives before the channel is open."""

    def rtc_low(self) -> None:
        """Nothing was sent yet."""

    def rtc_lost(self, reason: str) -> None:
        """There will be no channel."""
        if not self._handed_over:
            self._say(events.RtcFailed(self.rtc, reason))
            self.words.put_nowait(None)


def _narrowed(ice: library.Ice, policy: Policy) -> library.Ice:
    """Look for these paths alone, in this attempt."""
    if policy == "stun":
        plain = tuple(server for server in ice.servers if not server.is_turn)
        return msgspec.structs.replace(ice, servers=plain)
    return msgspec.structs.replace(ice, relay_only=True) if policy == "turn" else ice


class _Nobody:
    """Hears of a connection, or of a link, that nobody wants to hear of."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def ignore(*_: Any) -> None:
            """Ignored."""

        if name.startswith(("rtc_", "link_")):
            return ignore
        raise AttributeError(name)


_NOBODY: Any = _Nobody()
