"""The side of a handshake that opened the link.

Invariants:
    - the first message is the same whether or not a cookie was asked for, but for its mac2;
    - a cookie is returned once;
    - nothing is accepted that follows the second message: the responder has no more to say.

Source: CRYPTO sections 1.3 and 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from whispurrnet.base.errors import (
    AuthError,
    DowngradeRefused,
    NetworkError,
    ProtocolError,
    UsageError,
)
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.kex import X25519_BYTES, Entropy, Level, X25519Key, kem
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.noise import PSK_BYTES, HandshakeState
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session import gate as gates
from whispurrnet.session.payload import (
    HINT_BYTES,
    MACS_BYTES,
    Credentials,
    Hello,
    Offer,
    network_tag,
    psk_hint,
    suite_mask,
)
from whispurrnet.session.side import (
    PSK_MODIFIER,
    Arrived,
    Begin,
    Closed,
    Config,
    Effect,
    Event,
    Side,
    Write,
)
from whispurrnet.session.vetting import vet
from whispurrnet.wire.ids import PeerId


class Initiator(Side):
    """The side that opened the link.

    Args:
        config: Settings of this node's handshakes.
        identity: Who we are in this session.
        remote_key: The responder's static key: pattern XK. None: pattern XX, a first contact.
        expected_id: The only id that is accepted, or None.
        psk: A 32-byte secret shared with this responder (an invite's, say), or None.
        binding: 33 bytes: the TLS around the link as seen from here, or zeros.
        entropy: Where keys come from.
        wall: Unix time in milliseconds.
        level: The level of this attempt, if not the one of the settings.

    Raises:
        LevelUnavailable: The level needs an extra that is not installed.
        DowngradeRefused: The level is below the settings' own minimum.
        UsageError: A key of the wrong length.
    """

    def __init__(
        self,
        config: Config,
        identity: Ephemeral,
        *,
        remote_key: bytes | None,
        expected_id: PeerId | None,
        psk: Secret | None,
        binding: bytes,
        entropy: Entropy,
        wall: Callable[[], int],
        level: Level | None = None,
    ) -> None:
        super().__init__(config, binding=binding, entropy=entropy, wall=wall)
        level = config.level if level is None else level
        if level < config.min_level:
            raise DowngradeRefused(
                f"level {level:d} is below this node's min_level {config.min_level:d}"
            )
        kem(level)
        if remote_key is not None and len(remote_key) != X25519_BYTES:
            raise UsageError(f"a node's key has {X25519_BYTES} bytes, not {len(remote_key)}")
        if psk is not None and len(psk) != PSK_BYTES:
            raise UsageError(f"a pre-shared key has {PSK_BYTES} bytes, not {len(psk)}")
        self._identity = identity
        self._remote_key = remote_key
        self._expected_id = expected_id
        self._psk = psk
        self._hello = Hello(level, "XX" if remote_key is None else "XK")
        self._suites = suite_mask(config.min_level, config.level) | 1 << level
        self._m1 = b""
        self._cookie_seen = False

    def _check(self) -> None:
        super()._check()
        assert len(self._buffer) < self._hello.m2_bytes

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Begin():
                if self._noise is None:
                    yield from self._begin()
            case Arrived(data):
                if self._noise is not None:
                    yield from self._on_data(data)
            case Closed():
                error = NetworkError(
                    "the other side closed the link during the handshake; it may speak another "
                    "protocol, or know neither our network secret nor our invite"
                )
                yield self._refuse(error, "closed")
            case Tick():
                if self._deadline is not None and now >= self._deadline:
                    error = NetworkError(
                        f"no answer within {self.config.timeout_s:g} s: nobody with the expected "
                        "key (and network secret) listens there; check the ticket, it may be old"
                    )
                    yield self._refuse(error, "timeout")

    def _begin(self) -> Iterator[Effect]:
        if self._remote_key == self._identity.static.public:
            yield self._refuse(UsageError("this ticket is this node's own; take another"), "policy")
            return
        secret = self.config.network_secret
        ephemeral = X25519Key.from_bytes(self._entropy(X25519_BYTES))
        self._noise = HandshakeState(
            self._hello.noise_name,
            initiator=True,
            prologue=self._hello.prologue(network_tag(secret)),
            s=self._identity.static,
            e=ephemeral,
            rs=self._remote_key,
            entropy=self._entropy,
        )
        if self._psk is None:
            hint = self._entropy(HINT_BYTES)
        else:
            hint = psk_hint(self._psk, ephemeral.public)
        offer = Offer(self._suites, self.config.min_level, self.config.features, hint)
        try:
            noise = self._noise.write(offer.encode(self._entropy))
        except AuthError:
            yield self._refuse(UsageError("the ticket's key is no key; ask for another"), "auth")
            return
        m1 = self._hello.encode() + noise + bytes(MACS_BYTES)
        self._m1 = gates.address_macs(m1, self._remote_key, secret)
        yield Write(self._m1)

    def _on_data(self, data: bytes) -> Iterator[Effect]:
        self._buffer += data
        if not self._cookie_seen and self._buffer.startswith(gates.COOKIE_HEAD):
            if len(self._buffer) < gates.COOKIE_REPLY_BYTES:
                return
            cookie = self._open_cookie(bytes(self._buffer[: gates.COOKIE_REPLY_BYTES]))
            if cookie is not None:
                self._cookie_seen = True
                del self._buffer[: gates.COOKIE_REPLY_BYTES]
                yield Write(gates.add_cookie(self._m1, cookie))
        if len(self._buffer) < self._hello.m2_bytes:
            return
        m2 = bytes(self._buffer)
        self._buffer.clear()
        try:
            if len(m2) > self._hello.m2_bytes:
                raise ProtocolError("the peer spoke out of turn in the handshake")
            peer, m3 = self._answer(m2)
        except ProtocolError as error:
            yield self._refuse(error, "auth")
            return
        yield Write(m3)
        yield self._established(
            peer=peer,
            identity=self._identity,
            hello=self._hello,
            pairwise=self._psk is not None,
            rest=b"",
        )

    def _open_cookie(self, reply: bytes) -> bytes | None:
        """The cookie in the first 60 bytes, or None: then they begin a second message."""
        try:
            return gates.open_cookie(reply, self._m1, self._remote_key, self.config.network_secret)
        except AuthError:
            return None

    def _answer(self, m2: bytes) -> tuple[Credentials, bytes]:
        """Check the second message; return who wrote it, and the third.

        Raises:
            ProtocolError: It is not acceptable.
        """
        assert self._noise is not None, "m2 follows m1"
        peer = Credentials.decode(self._noise.read(m2))
        if self._noise.remote_static == self._identity.static.public:
            raise AuthError("this address leads back to this node itself; take it out of the list")
        expected = self._expected(
            self._hello, suites=self._suites, static=self._noise.remote_static
        )
        vet(peer, expected, expected_id=self._expected_id)
        self._noise.set_psk(PSK_MODIFIER, self._psk or self._network_psk())
        return peer, self._noise.write(self._own(self._identity, self._suites))
