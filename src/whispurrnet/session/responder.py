"""The side of a handshake that accepted the link.

Invariants:
    - no byte is written before a first message with a right mac1 has come;
    - once silent, it keeps nothing of what comes;
    - it holds a place at the gate from the second message to its end, and only then.

Source: CRYPTO sections 1.3 and 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from whispurrnet.base.errors import AuthError, ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.hash import equal
from whispurrnet.crypto.kex import X25519_BYTES, Entropy, Level
from whispurrnet.crypto.noise import HandshakeState
from whispurrnet.identity.ephemeral import Ephemeral
from whispurrnet.session import gate as gates
from whispurrnet.session.gate import Gate, Verdict
from whispurrnet.session.payload import (
    HELLO_BYTES,
    M1_BYTES_MAX,
    M3_BYTES,
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
    FindPsk,
    Reason,
    Refused,
    Side,
    Write,
)
from whispurrnet.session.vetting import vet

_REASONS: dict[Verdict, Reason] = {
    "cookie": "busy",  # asked for once already
    "forged": "mac",
    "full": "busy",
    "replay": "replay",
}


class Responder(Side):
    """The side that accepted the link.

    Args:
        config: Settings of this node's handshakes.
        identities: Who we are: the current identity first, then those that still answer.
        gate: Shared by all responders of the node.
        psks: Given a test, finds the pre-shared key that passes it (an invite's or a pin's).
        remote: Where the link comes from; what a cookie is good for.
        binding: 33 bytes: the TLS around the link as seen from here, or zeros.
        entropy: Where keys come from.
        wall: Unix time in milliseconds.

    Raises:
        LevelUnavailable: The level of the settings needs an extra that is not installed.
    """

    def __init__(
        self,
        config: Config,
        identities: Sequence[Ephemeral],
        gate: Gate,
        psks: FindPsk,
        *,
        remote: bytes,
        binding: bytes,
        entropy: Entropy,
        wall: Callable[[], int],
    ) -> None:
        super().__init__(config, binding=binding, entropy=entropy, wall=wall)
        assert identities, "a node has at least one identity"
        self._identities = tuple(identities)
        self._gate = gate
        self._psks = psks
        self._remote = remote
        self._suites = suite_mask(config.min_level, max(Level))
        self._silent = False
        self._cookie_sent = False
        self._slot: int | None = None
        self._hello: Hello | None = None
        self._identity = self._identities[0]
        self._offer: Offer | None = None
        self._ephemeral = b""

    def _check(self) -> None:
        super()._check()
        assert len(self._buffer) < max(M1_BYTES_MAX, M3_BYTES)
        assert not (self._silent and (self._buffer or self._noise or self._slot is not None))

    def _react(self, event: Event, now: float) -> Iterator[Effect]:
        match event:
            case Begin():
                pass
            case Arrived(data):
                if self._noise is not None:
                    yield from self._on_third(data)
                elif not self._silent:
                    yield from self._on_first(data, now)
            case Closed():
                yield self._refuse(None, "closed")
            case Tick():
                if self._deadline is not None and now >= self._deadline:
                    yield self._refuse(None, "timeout")

    def _end(self) -> None:
        super()._end()
        if self._slot is not None:
            self._gate.leave(self._slot)
            self._slot = None

    def _silence(self, reason: Reason) -> Refused:
        """Answer nothing, and forget what comes, until the deadline."""
        self._silent = True
        self._noise = None
        self._buffer.clear()
        return Refused(None, silent=True, reason=reason)

    def _on_first(self, data: bytes, now: float) -> Iterator[Effect]:
        self._buffer += data
        if len(self._buffer) < HELLO_BYTES:
            return
        try:
            hello = Hello.decode(bytes(self._buffer[:HELLO_BYTES]))
        except ProtocolError:
            yield self._silence("malformed")
            return
        if not self._permits(hello):
            yield self._silence("policy")
        elif len(self._buffer) > hello.m1_bytes:
            yield self._silence("malformed")
        elif len(self._buffer) == hello.m1_bytes:
            m1 = bytes(self._buffer)
            self._buffer.clear()
            yield from self._on_m1(m1, hello, now)

    def _permits(self, hello: Hello) -> bool:
        if not self._suites >> hello.level & 1:
            return False
        first_contact = self.config.accept_first_contact or self.config.network_secret is not None
        return hello.pattern == "XK" or first_contact

    def _on_m1(self, m1: bytes, hello: Hello, now: float) -> Iterator[Effect]:
        secret = self.config.network_secret
        found = self._addressee(m1, hello)
        if found is None:
            yield self._silence("mac")
            return
        verdict = self._gate.judge(m1, self._remote, now)
        if verdict == "cookie" and not self._cookie_sent:
            self._cookie_sent = True
            static = found.static.public if hello.pattern == "XK" else None
            yield Write(self._gate.cookie_reply(m1, self._remote, static, secret, now))
        elif verdict != "answer":
            yield self._silence(_REASONS[verdict])
        else:
            self._identity = found
            try:
                m2 = self._answer(m1, hello)
            except ProtocolError:
                yield self._silence("auth")
                return
            self._slot = self._gate.enter(m1, now + self.config.timeout_s)
            yield Write(m2)

    def _addressee(self, m1: bytes, hello: Hello) -> Ephemeral | None:
        """Which of our identities the first message is for; in XX, the current one."""
        for identity in self._identities:
            static = identity.static.public if hello.pattern == "XK" else None
            if gates.is_addressed(m1, static, self.config.network_secret):
                return identity
        return None

    def _answer(self, m1: bytes, hello: Hello) -> bytes:
        """Read the first message; return the second.

        Raises:
            ProtocolError: The first is not acceptable.
        """
        noise = HandshakeState(
            hello.noise_name,
            initiator=False,
            prologue=hello.prologue(network_tag(self.config.network_secret)),
            s=self._identity.static,
            entropy=self._entropy,
        )
        offer = Offer.decode(noise.read(m1[HELLO_BYTES:-MACS_BYTES]))
        if not offer.suites >> hello.level & 1 or offer.min_level > hello.level:
            raise ProtocolError("the peer offers a level that it does not take")
        # A better common level is not a reason for silence: the answer lists ours, and so the
        # initiator learns that somebody took the better offer away.
        m2 = noise.write(self._own(self._identity, self._suites))
        self._hello, self._offer, self._noise = hello, offer, noise
        self._ephemeral = m1[HELLO_BYTES : HELLO_BYTES + X25519_BYTES]
        return m2

    def _on_third(self, data: bytes) -> Iterator[Effect]:
        self._buffer += data
        if len(self._buffer) < M3_BYTES:
            return
        m3, rest = bytes(self._buffer[:M3_BYTES]), bytes(self._buffer[M3_BYTES:])
        self._buffer.clear()
        try:
            peer, pairwise = self._admit(m3)
        except ProtocolError as error:
            yield self._refuse(error, "auth")
            return
        assert self._hello is not None, "m3 follows m1"
        yield self._established(
            peer=peer, identity=self._identity, hello=self._hello, pairwise=pairwise, rest=rest
        )

    def _admit(self, m3: bytes) -> tuple[Credentials, bool]:
        """Check the third message; return who wrote it, and whether by a pairwise secret.

        The offer's hint names one pre-shared key, or none; no other is tried.

        Raises:
            ProtocolError: It is not acceptable.
        """
        noise, offer, hello = self._noise, self._offer, self._hello
        assert noise is not None and offer is not None and hello is not None, "m3 follows m1"
        psk = self._psks(lambda psk: equal(psk_hint(psk, self._ephemeral), offer.psk_hint))
        noise.set_psk(PSK_MODIFIER, psk or self._network_psk())
        peer = Credentials.decode(noise.read(m3))
        if any(noise.remote_static == identity.static.public for identity in self._identities):
            raise AuthError("this node called itself")
        if (peer.suites, peer.min_level, peer.features) != (
            offer.suites,
            offer.min_level,
            offer.features,
        ):
            raise ProtocolError("the peer offers one thing first and another later")
        vet(peer, self._expected(hello, suites=self._suites, static=noise.remote_static))
        return peer, psk is not None
