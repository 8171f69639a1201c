"""STUN: garbage, forged and shuffled messages; nothing breaks, and every client ends."""

from __future__ import annotations

import os
from random import Random

import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.nat import stun, stun_server
from whispurrnet.nat import stun_message as m
from whispurrnet.nat.stun_message import Endpoint, Message, decode, encode

RUNS = int(os.environ.get("FUZZ_RUNS", "1000"))
HOSTS = ("192.0.2.1", "192.0.2.2", "198.51.100.2", "2001:db8::1")
FOUR = tuple(tuple(Endpoint(h, p) for p in (3478, 3479)) for h in HOSTS[:2])


def place(rng: Random) -> Endpoint:
    return Endpoint(rng.choice(HOSTS), rng.choice((0, 1, 3478, 3479, 65535)))


def message(rng: Random, transactions: list[bytes]) -> bytes:
    """A message that is right in most respects."""
    unknown = tuple(rng.randrange(0x8000) for _ in range(rng.randrange(3)))
    kind = rng.choice(m.KINDS)
    data = encode(
        Message(
            kind=kind,
            transaction=rng.choice([*transactions, rng.randbytes(12)]),
            mapped=rng.choice((None, place(rng))),
            origin=rng.choice((None, place(rng))),
            other=rng.choice((None, place(rng))),
            change_ip=rng.random() < 0.3,
            change_port=rng.random() < 0.3,
            error=rng.choice((300, 420, 500, 699)) if kind == m.ERROR else 0,
            unknown=unknown,
            fingerprint=rng.random() < 0.5,
        )
    )
    if rng.random() < 0.3:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        data = bytes(changed)
    if rng.random() < 0.1:
        data = data[: rng.randrange(len(data))] + rng.randbytes(rng.randrange(8))
    return data


def test_what_is_read_is_bounded_and_all_else_is_refused() -> None:
    rng, read = Random(1), 0
    for _ in range(RUNS):
        data = message(rng, []) if rng.random() < 0.8 else rng.randbytes(rng.randrange(700))
        try:
            found = decode(data)
        except ProtocolError:
            continue
        read += 1
        assert len(found.unknown) <= m.UNKNOWN_MAX
        assert len(encode(found)) <= m.MESSAGE_BYTES_MAX
    assert read > RUNS // 4, "a fuzz that reads nothing finds nothing"


@pytest.mark.parametrize("places", [FOUR, ((FOUR[0][0],),)], ids=["four", "one"])
def test_a_server_never_amplifies_nor_speaks_unasked(
    places: tuple[tuple[Endpoint, ...], ...],
) -> None:
    rng, answers = Random(2), 0
    responder = stun_server.Responder(places, stun_server.Config(per_s=1e9, total_per_s=1e9))
    corners = [(r, c) for r, row in enumerate(places) for c in range(len(row))]
    for n in range(RUNS):
        data, source = message(rng, []), place(rng)
        replies = responder.handle(stun_server.Arrived(rng.choice(corners), source, data), n)
        assert len(replies) <= 1
        for reply in replies:
            answers += 1
            assert reply.to == source
            assert reply.at in corners
            assert len(reply.data) <= len(data) + stun_server.GROWTH_BYTES_MAX
            back = decode(reply.data)
            assert back.kind in (m.RESPONSE, m.ERROR)
            assert not responder.handle(stun_server.Arrived(corners[0], source, reply.data), n)
    assert answers > RUNS // 20


def test_a_client_ends_whatever_comes() -> None:
    for seed in range(max(RUNS // 10, 20)):
        rng = Random(seed)
        core = stun.Discovery(stun.Config(), entropy=rng.randbytes)
        servers = tuple((f"s{n}", place(rng)) for n in range(rng.randrange(12)))
        transactions: list[bytes] = []
        now, reports = 0.0, 0

        def do(event: stun.Event) -> int:
            reports = 0
            for effect in core.handle(event, now):  # noqa: B023
                if isinstance(effect, stun.Send):
                    transactions.append(decode(effect.data).transaction)  # noqa: B023
                else:
                    reports += 1
            core.check_invariants()  # noqa: B023
            return reports

        reports += do(stun.Begin(servers, HOSTS[2:3]))
        for _ in range(200):
            if core.deadline is None:
                break
            if rng.random() < 0.3:
                now = max(now, core.deadline)
                reports += do(Tick())
            else:
                sockets = rng.choice((stun.FIRST, stun.SECOND))
                source = rng.choice([*(p for _, p in servers), place(rng)])
                reports += do(stun.Arrived(sockets, source, message(rng, transactions)))
        while core.deadline is not None:
            now = core.deadline
            reports += do(Tick())
        assert reports == 1
        assert now < 30
