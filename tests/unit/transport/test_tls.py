"""TLS around links: who is trusted under which address, and what must be refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
import warnings
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from whispurrnet.base.errors import AuthError, HostError, NetworkError
from whispurrnet.crypto.sign import SigningKey
from whispurrnet.transport.certificate import Certificate
from whispurrnet.transport.link import NOBODY, Link, LinkHandler
from whispurrnet.transport.tcp import TcpTransport
from whispurrnet.transport.tls import Tls, load_certificate, make_certificate
from whispurrnet.transport.websocket import WebSocketTransport
from whispurrnet.wire.address import Address, parse

DAY_S = 86_400
ALICE = SigningKey.from_bytes(b"a" * 32)
HERE = parse("/ip4/127.0.0.1/tcp/0/tls")
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.OID_COMMON_NAME, "Test CA")])
        self.certificate = self.sign(self.name, self.key.public_key(), None)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, host: str | None, days: int = 2
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=4))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, host: str, days: int = 2) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self.sign(x509.Name([]), key.public_key(), host, days)
        chain_file, key_file = self.folder / f"{host}.pem", self.folder / f"{host}.key"
        chain_file.write_bytes(leaf.public_bytes(Encoding.PEM) + self.file.read_bytes())
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return load_certificate(chain_file, key_file)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def meet(
    server: Tls, client: Tls, host: str | None, ending: str = "tls"
) -> tuple[Link, Link]:
    """Dial a TLS listener by name, or by IP address when `host` is None."""
    accepted: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    def accept(link: Link) -> LinkHandler:
        accepted.set_result(link)
        return NOBODY

    kind = TcpTransport if ending == "tls" else WebSocketTransport
    listener = await kind(server).listen(parse(f"/ip4/127.0.0.1/tcp/0/{ending}"), accept)
    address = listener.address
    if host is not None:
        address = Address("dns", host, address.port, address.transport)
    try:
        link = await kind(client).dial(address, NOBODY, host="127.0.0.1")
        return link, await accepted
    finally:
        await listener.close()


def play(loop, main) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(main)
        except BaseException:
            # What a failed test left open must not hang uvloop, where warnings are errors.
            warnings.simplefilter("ignore", ResourceWarning)
            raise


async def part(*links: Link) -> None:
    for link in links:
        link.abort()
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ending", ["tls", "wss"])
def test_a_public_certificate_is_validated_by_its_name(authority, loop, ending) -> None:
    async def main() -> None:
        certificate = authority.issue("node.example")
        near, far = await meet(
            Tls(certificate), Tls(ca_file=authority.file), "node.example", ending
        )
        assert near.binding == far.binding == certificate.binding
        assert near.certified == b""
        await part(near, far)

    play(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("issued", "days", "dialled", "trusting", "words"),
    [
        ("node.example", 2, "node.example", False, "certificate in certificate chain"),
        ("node.example", 2, "other.example", True, "not valid for 'other.example'"),
        ("node.example", -1, "node.example", True, "expired"),
        ("node.example", 2, None, True, "not a node's certificate"),
        (None, 2, "node.example", True, "self-signed"),
    ],
)
def test_a_certificate_that_does_not_fit_is_an_error(
    authority, loop, issued, days, dialled, trusting, words
) -> None:
    async def main() -> None:
        if issued is None:
            certificate = make_certificate(ALICE, wall_ms=int(time.time() * 1000))
        else:
            certificate = authority.issue(issued, days)
        client = Tls(ca_file=authority.file if trusting else None)
        with pytest.raises(AuthError, match=words) as caught:
            await meet(Tls(certificate), client, dialled)
        assert "/tcp/" in str(caught.value)
        await asyncio.sleep(0.02)

    play(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ending", ["tls", "wss"])
def test_an_expired_certificate_of_a_node_is_an_error(loop, ending) -> None:
    async def main() -> None:
        old = make_certificate(ALICE, wall_ms=int(time.time() - 30 * DAY_S) * 1000)
        with pytest.raises(AuthError, match=f"/{ending}: the node's certificate is not valid now"):
            await meet(Tls(old), Tls(), None, ending)
        await asyncio.sleep(0.02)

    play(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_certificate_is_replaced_while_it_listens(loop) -> None:
    async def main() -> None:
        wall_ms = int(time.time() * 1000)
        one, two = (make_certificate(ALICE, wall_ms=wall_ms) for _ in range(2))
        server, client = Tls(one), TcpTransport()
        links: list[Link] = []

        def accept(link: Link) -> LinkHandler:
            links.append(link)
            return NOBODY

        listener = await TcpTransport(server).listen(HERE, accept)
        links.append(await client.dial(listener.address, NOBODY))
        server.replace(two)
        links.append(await client.dial(listener.address, NOBODY))
        while len(links) < 4:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
        assert {link.binding for link in links if link.inbound} == {one.binding, two.binding}
        assert {link.binding for link in links if not link.inbound} == {one.binding, two.binding}
        await listener.close()
        await part(*links)

    play(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_older_tls_is_not_spoken(loop) -> None:
    async def main() -> None:
        server = Tls(make_certificate(ALICE, wall_ms=int(time.time() * 1000)))
        listener = await TcpTransport(server).listen(HERE, lambda _: NOBODY)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):  # noqa: PT011 - a reset, or a TLS alert
            await asyncio.open_connection("127.0.0.1", listener.address.port, ssl=old)
        await listener.close()

    play(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_who_speaks_no_tls_is_told_apart(loop) -> None:
    async def main() -> None:
        listener = await TcpTransport().listen(
            parse("/ip4/127.0.0.1/tcp/0"), lambda link: link.write(b"hello, no TLS") or NOBODY
        )
        wrong = parse(f"/ip4/127.0.0.1/tcp/{listener.address.port}/tls")
        with pytest.raises(NetworkError, match="no TLS 1.3 is spoken there"):
            await TcpTransport().dial(wrong, NOBODY)
        await listener.close()

    play(loop, main())


def test_listening_needs_a_certificate() -> None:
    async def main() -> None:
        with pytest.raises(HostError, match="needs a certificate"):
            await TcpTransport().listen(HERE, lambda _: NOBODY)

    asyncio.run(main())


def test_without_files_in_memory_the_key_is_sealed_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    seen: list[bytes] = []
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda p, b: seen.append(b) or write(p, b))
    Tls(make_certificate(ALICE, wall_ms=0)).server_context()
    assert len(seen) == 2
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in seen[1]


def test_a_file_of_authorities_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="nowhere.pem holds no PEM certificates"):
        Tls(ca_file=tmp_path / "nowhere.pem").client_context(parse("/dns/a.example/tcp/9/tls"))
