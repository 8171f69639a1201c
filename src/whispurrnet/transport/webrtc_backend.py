"""What a WebRTC library has to do for us, and which one does it.

Two libraries are known: aiolibdatachannel (C++, fast, Python 3.12 and newer) and aiortc (Python,
everywhere). Neither is needed to run a node; the extra `[webrtc]` brings the one that fits.

Neither can restart ICE, and aiolibdatachannel can neither reach TURN servers over TCP nor say
which pair of addresses it has chosen. Both leave out loopback addresses.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Literal, Protocol, TypeAlias, cast

import msgspec

from whispurrnet.base.errors import HostError
from whispurrnet.transport.webrtc_ice import IceServer

LABEL = "wn1"
"""The data channel's name."""

MESSAGE_BYTES_MAX = 16 * 1024
"""The longest message, which every browser takes and no receiver has to hold back."""

BUFFER_BYTES = 256 * 1024
"""So much is handed to the library unsent, and no more."""

BUFFER_LOW_BYTES = 96 * 1024
"""At so little it is handed more."""

CLOSE_S = 2.0
"""How long a library may take to close, in seconds."""

Name: TypeAlias = Literal["aiolibdatachannel", "aiortc"]

NAMES: tuple[Name, ...] = ("aiolibdatachannel", "aiortc")
"""The libraries, the better first."""

_MODULES: dict[Name, str] = {
    "aiolibdatachannel": "whispurrnet.transport.webrtc_aiolibdatachannel",
    "aiortc": "whispurrnet.transport.webrtc_aiortc",
}

CURE = "pip install 'whispurrnet[webrtc]'"


class Ice(msgspec.Struct, frozen=True, kw_only=True):
    """How paths are looked for."""

    servers: tuple[IceServer, ...] = ()
    relay_only: bool = False
    """Go through a TURN server, so that the peer does not learn our address."""
    host: bool = True
    """Tell the peer addresses of our own network."""


class Hears(Protocol):
    """Who hears of a connection; called from the loop."""

    def rtc_found(self, candidate: str, mid: str) -> None:
        """We may be reached there; empty: there are no more."""
        ...

    def rtc_open(self) -> None:
        """The data channel is open; messages follow, not before."""
        ...

    def rtc_message(self, data: bytes | str) -> None:
        """Something arrived, in order."""
        ...

    def rtc_low(self) -> None:
        """Little is buffered: send on."""
        ...

    def rtc_lost(self, reason: str) -> None:
        """It is gone; nothing comes after, and this once."""
        ...


class Connection(Protocol):
    """One peer connection with one data channel."""

    hears: Hears
    """Who hears of it; may be changed at any time."""

    @property
    def buffered(self) -> int:
        """Bytes handed over and not sent."""
        ...

    @property
    def selected(self) -> tuple[str, int] | None:
        """The address and port of the other side, if the library tells."""
        ...

    @property
    def turn(self) -> tuple[str, int] | None:
        """The address and port on a TURN server that carries it; None: none, or not told."""
        ...

    async def offer(self) -> str:
        """Make the data channel, and the description that offers it."""
        ...

    async def answer(self, sdp: str) -> str:
        """Take an offer; the description that answers it."""
        ...

    async def accept(self, sdp: str) -> None:
        """Take the answer."""
        ...

    async def add(self, candidate: str, mid: str) -> None:
        """Try the peer there, too; never empty."""
        ...

    def send(self, data: bytes | str) -> None:
        """Send a message; ignored when the channel is not open."""
        ...

    async def close(self) -> None:
        """Close, at once; what is buffered may be lost. May be called again."""
        ...


class Backend(Protocol):
    """A module of a library."""

    NAME: Name

    def connect(self, ice: Ice, hears: Hears) -> Connection:
        """A new peer connection.

        Raises:
            HostError: The library cannot make one.
        """
        ...


def load(wanted: Literal["auto"] | Name = "auto", ice: Ice | None = None) -> Backend:
    """The library to use.

    Args:
        wanted: Which; `auto` takes the best that is installed and can do what `ice` asks for.
        ice: How paths are looked for.

    Raises:
        HostError: It is not installed; names the cure.
    """
    failure = ""
    for name in _order(wanted, ice):
        try:
            module: Any = importlib.import_module(_MODULES[name])
            return cast("Backend", module)
        except ImportError as error:
            failure = failure or str(error)
    raise HostError(f"this machine has no WebRTC library ({failure}); {CURE}")


def find(wanted: Literal["auto"] | Name = "auto", ice: Ice | None = None) -> Name:
    """The library that `load` would try first, without bringing it into memory.

    Raises:
        HostError: It is not installed; names the cure.
    """
    names = _order(wanted, ice)
    for name in names:
        if importlib.util.find_spec(name) is not None:
            return name
    raise HostError(f"this machine has no WebRTC library ({' or '.join(names)}); {CURE}")


def _order(wanted: Literal["auto"] | Name, ice: Ice | None) -> list[Name]:
    names: list[Name] = list(NAMES) if wanted == "auto" else [wanted]
    if wanted == "auto" and ice is not None and any(server.over_tcp for server in ice.servers):
        names.reverse()  # only aiortc speaks TURN over TCP
    return names


def installed() -> tuple[Name, ...]:
    """Those that are installed."""
    found: list[Name] = []
    for name in NAMES:
        try:
            load(name)
        except HostError:
            continue
        found.append(name)
    return tuple(found)
