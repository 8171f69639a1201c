"""Reticulum 1.5.7 over its TCP interface on loopback: links, packets, requests and resources.

A packet on a link is sent once and may be lost; what is counted is what arrives. An acknowledged
message is a packet that the far end proves. Requests are those of a link; bulk is a `Resource`,
which is compressed unless it is told not to be: it is told, for random bytes gain nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import RNS

from bench.common import (
    BODY,
    IN_FLIGHT,
    answer_questions,
    far_end,
    free_port,
    p50,
    result,
    say,
    scaled,
)

HANDSHAKES, PACKETS, PROVED, ONE_AT_A_TIME, REQUESTS = 100, 3_000, 3_000, 500, 2_000
BULK_BYTES = 32 << 20
WAIT_S = 30.0
LOST_S = 5.0
"""A packet or a request that is not answered for so long is lost."""
SILENCE_S = 1.0
"""What has not arrived when nothing has come for so long is lost."""


def start(folder: str, interface: str) -> None:
    """Reticulum in this process alone, with one interface."""
    text = f"[reticulum]\nshare_instance = No\nenable_transport = No\n[interfaces]\n{interface}"
    (Path(folder) / "config").write_text(text)
    RNS.Reticulum(folder, loglevel=RNS.LOG_CRITICAL)


def serve(folder: str) -> None:
    """Count packets, prove them, answer requests, take resources."""
    port = free_port()
    start(
        folder,
        "[[Far]]\ntype = TCPServerInterface\nenabled = yes\n"
        f"listen_ip = 127.0.0.1\nlisten_port = {port}\n",
    )
    got = {"packets": 0, "last": 0.0, "bytes": 0}

    def take(data: bytes, packet: Any) -> None:
        got["packets"] += 1
        got["last"] = time.monotonic()

    def concluded(resource: Any) -> None:
        got["bytes"] += resource.total_size

    def linked(link: Any) -> None:
        link.set_packet_callback(take)
        link.set_resource_strategy(RNS.Link.ACCEPT_ALL)
        link.set_resource_concluded_callback(concluded)

    def echo(path: str, data: bytes, request: bytes, link: Any, remote: Any, at: float) -> bytes:
        return data

    identity = RNS.Identity()
    here = RNS.Destination(identity, RNS.Destination.IN, RNS.Destination.SINGLE, "bench", "far")
    here.set_proof_strategy(RNS.Destination.PROVE_ALL)
    here.set_link_established_callback(linked)
    here.register_request_handler("echo", echo, allow=RNS.Destination.ALLOW_ALL)
    say({"port": port, "hash": here.hash.hex()})
    answer_questions({"got": lambda: got})


@contextmanager
def near() -> Iterator[tuple[Any, Any]]:
    """The far destination, and its process."""
    with (
        tempfile.TemporaryDirectory() as theirs,
        tempfile.TemporaryDirectory() as ours,
        far_end("bench.peers.reticulum", theirs) as far,
    ):
        start(
            ours,
            "[[Near]]\ntype = TCPClientInterface\nenabled = yes\n"
            f"target_host = 127.0.0.1\ntarget_port = {far.address['port']}\n",
        )
        hash = bytes.fromhex(far.address["hash"])
        RNS.Transport.request_path(hash)
        wait(lambda: RNS.Transport.has_path(hash), "no path to the far end")
        identity = RNS.Identity.recall(hash)
        yield (
            RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "bench", "far"),
            far,
        )


def wait(condition: Callable[[], bool], problem: str) -> None:
    """Look every millisecond until it is so."""
    until = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(problem)
        time.sleep(0.001)


def link_to(destination: Any) -> Any:
    """A link that stands."""
    up = threading.Event()
    link = RNS.Link(destination, established_callback=lambda _: up.set())
    if not up.wait(WAIT_S):
        raise SystemExit("no link came about")
    return link


def handshake() -> dict[str, Any]:
    """Links, one at a time."""
    with near() as (destination, _):
        count = scaled(HANDSHAKES)
        started = time.perf_counter()
        for _ in range(count):
            link_to(destination).teardown()
        return {"handshake": result(count / (time.perf_counter() - started), count)}


def oneway() -> dict[str, Any]:
    """Packets on a link, as fast as they are taken; some are lost."""
    with near() as (destination, far):
        link = link_to(destination)
        count = scaled(PACKETS)
        started = time.monotonic()
        for _ in range(count):
            RNS.Packet(link, BODY, create_receipt=False).send()
        sent = time.monotonic()
        while time.monotonic() - max(far.ask("got")["last"], sent) < SILENCE_S:
            time.sleep(0.05)
        got = far.ask("got")
        note = f"{got['packets']} of {count} arrived"
        rate = got["packets"] / (got["last"] - started)
        return {"oneway": result(rate, count, note)}


def in_flight(count: int, send: Callable[[Callable[..., None], Callable[..., None]], Any]) -> Any:
    """How many a second with 64 in flight, and how many failed."""
    room, failed = threading.Semaphore(IN_FLIGHT), []

    def done(*_: Any) -> None:
        room.release()

    def lost(*_: Any) -> None:
        failed.append(1)
        room.release()

    started = time.perf_counter()
    for _ in range(count):
        room.acquire()
        if not send(done, lost):
            lost()
    for _ in range(IN_FLIGHT):
        room.acquire()
    taken = time.perf_counter() - started
    note = f"{len(failed)} of {count} were lost" if failed else ""
    return result((count - len(failed)) / taken, count, note)


def acked() -> dict[str, Any]:
    """Packets that the far end proves."""
    with near() as (destination, _):
        link = link_to(destination)

        def send(done: Callable[..., None], lost: Callable[..., None]) -> bool:
            receipt = RNS.Packet(link, BODY).send()
            if not receipt:
                return False
            receipt.set_timeout(LOST_S)
            receipt.set_delivery_callback(done)
            receipt.set_timeout_callback(lost)
            return True

        return {"acked": in_flight(scaled(PROVED), send)}


def set_event(event: threading.Event, _: Any) -> None:
    """The request has ended, well or not."""
    event.set()


def rpc() -> dict[str, Any]:
    """Requests on a link, one at a time and with 64 in flight."""
    with near() as (destination, _):
        link = link_to(destination)
        times, count = [], scaled(ONE_AT_A_TIME)
        for _ in range(count):
            over = threading.Event()
            started = time.perf_counter()
            end = partial(set_event, over)
            receipt = link.request("echo", BODY, end, end, timeout=LOST_S)
            over.wait(WAIT_S)
            if receipt and receipt.get_status() == RNS.RequestReceipt.READY:
                times.append(time.perf_counter() - started)
        one = p50(times)
        if len(times) < count:
            one["note"] = f"{count - len(times)} of {count} were lost"

        def ask(done: Callable[..., None], lost: Callable[..., None]) -> bool:
            return bool(link.request("echo", os.urandom(100), done, lost, timeout=LOST_S))

        return {"rpc_p50": one, "rpc_64": in_flight(scaled(REQUESTS), ask)}


def bulk() -> dict[str, Any]:
    """One resource."""
    with near() as (destination, _):
        link = link_to(destination)
        data = os.urandom(scaled(BULK_BYTES, 1 << 16))
        done = threading.Event()
        started = time.perf_counter()
        resource = RNS.Resource(data, link, auto_compress=False, callback=lambda _: done.set())
        if not done.wait(4 * WAIT_S) or resource.status != RNS.Resource.COMPLETE:
            raise SystemExit("the resource did not arrive")
        return {"bulk": result(len(data) / (time.perf_counter() - started) / 1e6, len(data))}


def object_one() -> dict[str, Any]:
    """What is nearest to an object there: a resource, as for `bulk`."""
    return {"object_one": bulk()["bulk"]}


FIGURES = {
    "object_one": object_one,
    "handshake": handshake,
    "oneway": oneway,
    "acked": acked,
    "rpc": rpc,
    "bulk": bulk,
}

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    say(FIGURES[sys.argv[1]]())
    os._exit(0)  # Reticulum's threads would go on
