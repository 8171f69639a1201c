"""Zenoh 1.10.2 by its Python binding, from one process to the other over TLS.

One-way messages are published and never dropped (`CongestionControl.BLOCK`), in the batches that
Zenoh makes by default. Its shared memory is off, for what goes through it is not encrypted, and
would never leave the machine. Requests are queries to a queryable. The certificates are made for
each run.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zenoh
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.common import (
    BODY,
    IN_FLIGHT,
    WRITE_BYTES,
    answer_questions,
    far_end,
    free_port,
    p50,
    result,
    say,
    scaled,
)

HANDSHAKES, MESSAGES, ONE_AT_A_TIME, REQUESTS = 150, 400_000, 2_000, 20_000
BULK_BYTES = 1 << 30
KEY, ASK = "bench/data", "bench/ask"


def certify(folder: Path) -> None:
    """An authority, and a certificate of `localhost` that it signs, with its key."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = certificate("bench authority", authority_key, "bench authority", authority_key)
    leaf = certificate("localhost", key, "bench authority", authority_key)
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "certificate.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """One certificate, good for an hour."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def configured(folder: str, endpoint: str, *, listen: bool) -> zenoh.Config:
    """One end: it listens, or connects as a client, which does not wait for others to be found."""
    return zenoh.Config.from_json5(
        f"""{{
        mode: "{"peer" if listen else "client"}",
        {"listen" if listen else "connect"}: {{ endpoints: ["{endpoint}"] }},
        scouting: {{ multicast: {{ enabled: false }}, gossip: {{ enabled: false }} }},
        transport: {{ shared_memory: {{ enabled: false }}, link: {{ tls: {{
            root_ca_certificate: "{folder}/authority.pem",
            listen_certificate: "{folder}/certificate.pem",
            listen_private_key: "{folder}/key.pem",
        }} }} }},
        }}"""
    )


def serve(folder: str) -> None:
    """Count what is published and echo what is asked."""
    endpoint = f"tls/localhost:{free_port()}"
    got = {"messages": 0, "bytes": 0}

    def take(sample: zenoh.Sample) -> None:
        got["messages"] += 1
        got["bytes"] += len(sample.payload)

    def echo(query: zenoh.Query) -> None:
        with query:
            query.reply(ASK, query.payload)

    with zenoh.open(configured(folder, endpoint, listen=True)) as session:
        session.declare_subscriber(KEY, take)
        session.declare_queryable(ASK, echo)
        say({"endpoint": endpoint})
        answer_questions({name: lambda name=name: got[name] for name in got})


@contextmanager
def near() -> Iterator[tuple[zenoh.Config, Any]]:
    """How to reach the far end, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        certify(Path(folder))
        with far_end("bench.peers.zenoh_", folder) as far:
            yield configured(folder, far.address["endpoint"], listen=False), far


def handshake() -> dict[str, Any]:
    """Open a session and close it, one at a time."""
    with near() as (config, _):
        count = scaled(HANDSHAKES)
        started = time.perf_counter()
        for _ in range(count):
            zenoh.open(config).close()
        return {"handshake": result(count / (time.perf_counter() - started), count)}


def publish(body: bytes, count: int, what: str, wanted: int) -> float:
    """How many seconds it takes until the far end has so many bytes or messages."""
    with near() as (config, far), zenoh.open(config) as session:
        publisher = session.declare_publisher(KEY, congestion_control=zenoh.CongestionControl.BLOCK)
        while not publisher.matching_status.matching:
            time.sleep(0.001)  # until the far end's subscription is known here
        started = time.perf_counter()
        for _ in range(count):
            publisher.put(body)
        while far.ask(what) < wanted:
            time.sleep(0.001)
        return time.perf_counter() - started


def oneway() -> dict[str, Any]:
    """Small messages, none of them dropped."""
    count = scaled(MESSAGES)
    return {"oneway": result(count / publish(BODY, count, "messages", count), count)}


def bulk() -> dict[str, Any]:
    """The same with long ones."""
    count = scaled(BULK_BYTES // WRITE_BYTES)
    size = count * WRITE_BYTES
    taken = publish(bytes(WRITE_BYTES), count, "bytes", size)
    return {"bulk": result(size / taken / 1e6, size)}


def rpc() -> dict[str, Any]:
    """Queries, one at a time and with 64 in flight."""
    with near() as (config, _), zenoh.open(config) as session:
        querier = session.declare_querier(ASK)
        while not querier.matching_status.matching:
            time.sleep(0.001)
        times = []
        for _ in range(scaled(ONE_AT_A_TIME)):
            started = time.perf_counter()
            (reply,) = querier.get(payload=BODY)
            times.append(time.perf_counter() - started)
            assert bytes(reply.ok.payload) == BODY
        count = scaled(REQUESTS)
        waiting: deque[Any] = deque()
        done = 0
        started = time.perf_counter()
        while done < count:
            while len(waiting) < IN_FLIGHT and done + len(waiting) < count:
                waiting.append(querier.get(payload=BODY))
            (reply,) = waiting.popleft()
            assert len(reply.ok.payload) == len(BODY)
            done += 1
        rate = count / (time.perf_counter() - started)
        return {"rpc_p50": p50(times), "rpc_64": result(rate, count)}


FIGURES = {"handshake": handshake, "oneway": oneway, "rpc": rpc, "bulk": bulk}

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        say(FIGURES[sys.argv[1]]())
