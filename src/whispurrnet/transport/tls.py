"""TLS around a link: TLS 1.3 only, with a certificate bound to the identity, or a public one.

The outer TLS hides what is spoken; who is there is proved by the handshake inside, which carries
the *binding*, 1 and the SHA-256 of the server's certificate, so that TLS ended by somebody in
between is seen. A certificate bound to an identity (`transport.certificate`) is asked for when an
IP address is dialled; a DNS name must show a certificate the system trusts. A failed validation is
an error.

Only the server shows a certificate: Python's `ssl` cannot ask a client for one that no authority
signed. The handshake inside authenticates both.

Source: RFC 8446; libp2p specs, tls/tls.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from whispurrnet.base.errors import HostError
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.transport.link import NO_BINDING, binding_of
from whispurrnet.wire.address import Address

if TYPE_CHECKING:
    from whispurrnet.transport.certificate import Certificate

ALPN = ["http/1.1"]


def make_certificate(signing: SigningKey, *, wall_ms: int) -> Certificate:
    """A certificate bound to an identity; see `certificate.make_certificate`."""
    from whispurrnet.transport import certificate  # X.509 takes its time to load; few nodes need it

    return certificate.make_certificate(signing, wall_ms=wall_ms)


def load_certificate(chain_file: str | Path, key_file: str | Path) -> Certificate:
    """A public certificate from PEM files; see `certificate.load_certificate`.

    Raises:
        HostError: A file cannot be read, or is not what it should be; names it.
    """
    from whispurrnet.transport import certificate  # as above

    return certificate.load_certificate(chain_file, key_file)


class _Context(ssl.SSLContext):
    """A server's context that remembers which certificate it shows."""

    binding = NO_BINDING


class Tls:
    """The TLS side of a node: the certificate it shows, and what it asks of others.

    Args:
        certificate: What listeners show; without one, this node can only dial.
        ca_file: PEM certificates of authorities to trust beside the system's, for DNS names.
    """

    def __init__(
        self, certificate: Certificate | None = None, *, ca_file: str | Path | None = None
    ) -> None:
        self._ca_file = ca_file
        self._current = None if certificate is None else _server_context(certificate)
        self._bound = _client_context(ssl.PROTOCOL_TLS_CLIENT)
        self._bound.check_hostname = False
        self._bound.verify_mode = ssl.CERT_NONE  # `outer` verifies, before a byte is passed on
        self._public: ssl.SSLContext | None = None

    def replace(self, certificate: Certificate) -> None:
        """Show another certificate from now on, also on listeners that are open."""
        self._current = _server_context(certificate)

    def server_context(self) -> ssl.SSLContext:
        """What a listener needs.

        Raises:
            HostError: There is no certificate.
        """
        if self._current is None:
            raise HostError(
                "listening with TLS needs a certificate; set one, or listen without /tls"
            )
        front = self._current

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            del name, context
            if self._current is not None:
                connection.context = self._current

        # Called for each connection, with or without a name: a context has one certificate, and
        # `replace` must not change the one an open handshake is bound to.
        front.sni_callback = choose
        return front

    def client_context(self, address: Address) -> ssl.SSLContext:
        """What dialling `address` needs.

        Raises:
            HostError: The file of authorities cannot be read.
        """
        if address.is_ip:
            return self._bound
        if self._public is None:
            context = _client_context(ssl.PROTOCOL_TLS_CLIENT)
            context.load_default_certs()
            if self._ca_file is not None:
                try:
                    context.load_verify_locations(self._ca_file)
                except OSError as error:
                    raise HostError(
                        f"{self._ca_file} holds no PEM certificates; check it"
                    ) from error
            self._public = context
        return self._public


def outer(
    transport: asyncio.BaseTransport, remote: Address, *, inbound: bool
) -> tuple[bytes, bytes]:
    """The binding of a connection, and the Ed25519 key its server is bound to (or nothing).

    Raises:
        AuthError: The server's certificate is not one of a node.
    """
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return NO_BINDING, b""
    if inbound:
        assert isinstance(connection.context, _Context), "made by `Tls.server_context`"
        return connection.context.binding, b""
    from whispurrnet.transport.certificate import verify_certificate  # few links need it, or X.509

    der = connection.getpeercert(binary_form=True)
    assert der is not None, "a TLS 1.3 server always shows a certificate"
    if not remote.is_ip:
        return binding_of(der), b""  # validated in the handshake
    # Python tells of the certificates above the leaf from 3.13 on; before, a leaf that signed
    # itself is proof enough that they do not matter.
    chain = getattr(connection, "get_unverified_chain", lambda: [der])()
    return binding_of(der), verify_certificate(chain, time.time())


def _server_context(certificate: Certificate) -> _Context:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.binding = certificate.binding
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a resumed session would link two connections of one peer
    context.set_alpn_protocols(ALPN)
    with _file(certificate.chain_pem) as chain, _file(certificate.key_pem) as key:
        context.load_cert_chain(chain, key, password=bytes(certificate.password))
    return context


def _client_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(ALPN)
    return context


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[str]:
    """A path under which `content` can be read for a moment: `ssl` loads from files only.

    In memory where the system can; else on disk, where the key is encrypted by a password that
    is not there.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("x")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x"
            path.write_bytes(content)
            yield str(path)
