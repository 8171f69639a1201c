"""Tickets: where a node is and how to know it, as text, as URI and as the payload of a QR code.

    WN1- | base32( version 1 | flags 1 | static_key 32 | expires_s 4 | [psk 32] | [persona 32]
                   | count 1 | count times (length 1 | address) | check 4 )

Numbers are big endian; base32 is that of RFC 4648, section 6, in upper case without padding, so
that a QR code holds the text in its alphanumeric mode (ISO/IEC 18004, 7.4.4). `check` is the start
of SHA-256 over `WN1 ticket` and all bytes before it: it finds typing errors, it proves nothing.

Invariants:
    - one ticket has one text: what parses is written back as it was, but for case and spaces;
    - any text fits in one QR code;
    - the addresses are text of somebody else: they are parsed by who dials, never used as a path.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

import msgspec

from whispurrnet.base.errors import UsageError
from whispurrnet.crypto.hash import sha256
from whispurrnet.crypto.keys import Secret

PREFIX = "WN1-"
SCHEME = "whispurr:"
ADDRESSES_MAX = 8
ADDRESS_BYTES_MAX = 255
EXPIRES_S_MAX = 2**32 - 1
TEXT_MAX = 3_500
"""Longer text is not looked at; the longest ticket has 3,452 characters."""

_VERSION = 1
_HAS_PSK, _HAS_PERSONA = 1, 2
_KEY_BYTES = 32
_CHECK_BYTES = 4
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


class Ticket(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """How to reach a node, and the key by which to know it.

    `str(ticket)` is its text, to hand to a person; with a `psk` that text is a secret. The `repr`
    shows no key and no address.

    Raises:
        UsageError: A field is out of its bounds.
    """

    static_key: bytes
    """The 32 bytes of the node's X25519 key: who answers there must hold it."""

    addresses: tuple[str, ...] = ()
    """At most 8, in the order in which to try them, such as `/ip4/192.0.2.7/tcp/9000`."""

    expires_s: int = 0
    """Unix time in seconds after which the ticket is of no use; 0 for never."""

    psk: Secret | None = None
    """32 bytes that make the ticket an invite: they work once."""

    persona: bytes | None = None
    """The 32 bytes of the long-term identity that the node must prove, if it has one."""

    def __post_init__(self) -> None:
        for name, value in (
            ("static_key", self.static_key),
            ("psk", self.psk),
            ("persona", self.persona),
        ):
            if value is not None and len(value) != _KEY_BYTES:
                raise UsageError(f"a ticket's {name} has {_KEY_BYTES} bytes, not {len(value)}")
        if self.psk is not None and type(self.psk) is not Secret:
            raise UsageError("a ticket's psk is a Secret: wrap it, so that it is never shown")
        if not 0 <= self.expires_s <= EXPIRES_S_MAX:
            raise UsageError(
                f"a ticket's expires_s is a Unix time in seconds up to {EXPIRES_S_MAX}, "
                f"not {self.expires_s}"
            )
        if len(self.addresses) > ADDRESSES_MAX:
            raise UsageError(
                f"a ticket holds {ADDRESSES_MAX} addresses at most, not {len(self.addresses)}; "
                "leave out those that only work on this machine"
            )
        for address in self.addresses:
            _check_address(address)

    @classmethod
    def parse(cls, text: str) -> Ticket:
        """Read a ticket from its text or its URI; case and white space do not matter.

        An expired ticket is read too: see `check`.

        Raises:
            UsageError: It is not a ticket, or a character of it was changed.
        """
        return _decode(_unwrap(text))

    @property
    def text(self) -> str:
        """`WN1-` and upper-case letters and digits."""
        body = _encode(self)
        return PREFIX + base64.b32encode(body + _check_bytes(body)).decode().rstrip("=")

    @property
    def uri(self) -> str:
        """`whispurr:WN1-...`, for a link."""
        return SCHEME + self.text

    @property
    def qr_text(self) -> str:
        """The URI in upper case, all of it in the alphanumeric mode of QR codes."""
        return self.uri.upper()

    @property
    def single_use(self) -> bool:
        """Whether the ticket is an invite that works once."""
        return self.psk is not None

    def check(self, wall_ms: int) -> None:
        """Refuse a ticket whose time is over.

        Args:
            wall_ms: Unix time in milliseconds.

        Raises:
            UsageError: It expired.
        """
        if self.expires_s and wall_ms >= self.expires_s * 1000:
            raise UsageError(f"this ticket expired at {_when(self.expires_s)}; ask for a new one")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        kind = "invite" if self.single_use else "ticket"
        until = _when(self.expires_s) if self.expires_s else "never"
        return f"<{kind}: {len(self.addresses)} addresses, expires {until}>"


def _when(expires_s: int) -> str:
    return datetime.fromtimestamp(expires_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _check_bytes(body: bytes) -> bytes:
    return sha256(b"WN1 ticket", body)[:_CHECK_BYTES]


def _check_address(address: str) -> None:
    if not (
        address.startswith("/")
        and address.isascii()
        and address.isprintable()
        and " " not in address
        and len(address) <= ADDRESS_BYTES_MAX
    ):
        raise UsageError(
            f"not an address for a ticket: {address[:70]!r}; it is at most {ADDRESS_BYTES_MAX} "
            "printable characters, such as /ip4/192.0.2.7/tcp/9000"
        )


def _not_a_ticket(reason: str) -> UsageError:
    return UsageError(f"not a ticket: {reason}; a ticket begins with {PREFIX}")


def _damaged(reason: str) -> UsageError:
    return UsageError(
        f"not a ticket: {reason}; a ticket begins with {PREFIX} and is copied whole: copy it again"
    )


def _unwrap(text: str) -> bytes:
    """The bytes that a text stands for, check included."""
    if len(text) > 2 * TEXT_MAX:
        raise _not_a_ticket(f"{len(text)} characters are too many")
    compact = "".join(text.split())
    if not compact:
        raise _not_a_ticket("it is empty")
    if not compact.isascii():
        strange = next(letter for letter in compact if not letter.isascii())
        raise _not_a_ticket(f"{strange!r} does not occur in one")
    letters = compact.upper().removeprefix(SCHEME.upper())
    if not letters.startswith(PREFIX):
        raise _not_a_ticket(f"it begins with {compact[:8]!r}")
    letters = letters[len(PREFIX) :]
    if len(letters) > TEXT_MAX:
        raise _not_a_ticket(f"{len(letters)} characters are too many")
    for place, letter in enumerate(letters, 1):
        if letter not in _ALPHABET:
            raise _damaged(f"{letter!r} at place {place} after {PREFIX} does not occur in one")
    try:
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except binascii.Error:
        raise _damaged("a character is missing or was added") from None
    if base64.b32encode(raw).decode().rstrip("=") != letters:
        raise _damaged("the last character was changed")  # bits beyond the last byte are set
    return raw


def _encode(ticket: Ticket) -> bytes:
    flags = (_HAS_PSK if ticket.psk is not None else 0) | (
        _HAS_PERSONA if ticket.persona is not None else 0
    )
    parts = [
        bytes((_VERSION, flags)),
        ticket.static_key,
        ticket.expires_s.to_bytes(4, "big"),
        ticket.psk or b"",
        ticket.persona or b"",
        bytes((len(ticket.addresses),)),
    ]
    for address in ticket.addresses:
        parts += (bytes((len(address),)), address.encode("ascii"))
    return b"".join(parts)


class _Reader:
    """Takes bytes from the front; what is not there is an error."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        part = self.data[self.at : self.at + size]
        if len(part) != size:
            raise _damaged("it ends too early")
        self.at += size
        return part

    def number(self, size: int) -> int:
        """The next `size` bytes as a number."""
        return int.from_bytes(self.take(size), "big")


def _decode(raw: bytes) -> Ticket:
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(raw) <= _CHECK_BYTES or check != _check_bytes(body):
        raise _damaged("its check does not match, a part is missing or was changed")
    reader = _Reader(body)
    version = reader.number(1)
    if version != _VERSION:
        raise UsageError(
            f"this ticket has version {version}, and this program reads version {_VERSION}; "
            "bring both sides to the same release"
        )
    flags = reader.number(1)
    if flags & ~(_HAS_PSK | _HAS_PERSONA):
        raise UsageError(
            f"this ticket asks for something this program does not know (flags {flags:#x}); "
            "bring both sides to the same release"
        )
    static_key = reader.take(_KEY_BYTES)
    expires_s = reader.number(4)
    psk = Secret(reader.take(_KEY_BYTES)) if flags & _HAS_PSK else None
    persona = reader.take(_KEY_BYTES) if flags & _HAS_PERSONA else None
    count = reader.number(1)
    if count > ADDRESSES_MAX:
        raise _damaged(f"it holds {count} addresses, and {ADDRESSES_MAX} is the most")
    # latin-1 reads any byte, so that `_check_address` is the one judge of what is allowed
    addresses = tuple(reader.take(reader.number(1)).decode("latin-1") for _ in range(count))
    if reader.at != len(body):
        raise _damaged("something follows after its end")
    return Ticket(
        static_key=static_key,
        addresses=addresses,
        expires_s=expires_s,
        psk=psk,
        persona=persona,
    )
