"""Random walks of a pairing: peers who know, guess, stop, repeat, come back, and send rubbish."""

from __future__ import annotations

from random import Random

import pytest

from whispurrnet.base.errors import AuthError, ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.crypto.keys import Secret
from whispurrnet.session import pairing
from whispurrnet.session import pairing_messages as wire
from whispurrnet.session.joining import Answered, Ask, Begin, Joined, Joining
from whispurrnet.session.pairing import Answer, Asked, Config, Ended, Offering, Paired, Settle

WALKS, STEPS = 200, 80
SCALARS = [Secret(bytes((n,)).ljust(32, b"\0")) for n in (1, 2)]


def walk(seed: int) -> tuple[int, int, str]:
    """One walk; how many paired, how many guessed wrong, and why it ended."""
    rng = Random(seed)
    odds = [rng.random() for _ in range(6)]
    config = Config(runs_max=3, hellos_per_s=rng.choice([1.0, 1000.0]))
    now, ref = 0.0, 0
    offering = Offering(config, 7, SCALARS[0], b"it", entropy=rng.randbytes, now=now)
    sessions = [rng.randbytes(32) for _ in range(5)]
    knows = [rng.random() < 0.7 for _ in sessions]
    joinings: dict[int, Joining] = {}
    waiting: dict[int, bytes] = {}
    keys: dict[int, bytes] = {}
    wrong, why, sent = 0, "", [b""]

    def ask(peer: int, body: bytes) -> bytes | None:
        nonlocal ref, wrong, why
        ref += 1
        try:
            effects = offering.handle(Asked(ref, peer, sessions[peer], body), now)
        except ProtocolError:
            return None
        answers = [it for it in effects if isinstance(it, Answer)]
        assert [it.ref for it in answers] == [ref]
        for it in effects:
            if isinstance(it, Paired):
                assert knows[peer], "who does not know the code never pairs"
                keys[peer] = it.key
            if isinstance(it, Ended):
                assert not why, "it ends once"
                why = it.why
        wrong += answers[0].body == wire.answer(wire.No(wire.WRONG))
        assert wrong <= 1, "one guess"
        return answers[0].body

    for _ in range(STEPS):
        peer = rng.randrange(5)
        what = rng.choices(["go", "begin", "rubbish", "down", "time", "settle"], odds)[0]
        if what == "begin" and peer not in waiting:
            scalar = SCALARS[not knows[peer]]
            joinings[peer] = Joining(config, 7, scalar, entropy=rng.randbytes)
            first = joinings[peer].handle(Begin(peer, sessions[peer]), now)[0]
            assert isinstance(first, Ask)
            waiting[peer] = first.body
        elif what == "go" and peer in waiting:
            body = waiting.pop(peer)
            sent.append(body)
            answer = ask(peer, body)
            if answer is not None and rng.random() < 0.9:
                for it in joinings[peer].handle(Answered(answer), now):
                    if isinstance(it, Ask):
                        waiting[peer] = it.body
                    if isinstance(it, Joined):
                        assert knows[peer] and keys[peer] == it.key and it.payload == b"it"
        elif what == "rubbish":
            body = bytearray(rng.choice(sent))
            if body and rng.random() < 0.5:
                body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
            if wire_kind(bytes(body)) != "Confirm":  # that would be a guess, and a right to end it
                ask(peer, bytes(body))
        elif what == "down":
            sessions[peer] = rng.randbytes(32)
            waiting.pop(peer, None)
        elif what == "time":
            now += rng.expovariate(1 / 100)
            for it in offering.handle(Tick(), now):
                assert isinstance(it, Ended) and not why
                why = it.why
        elif what == "settle" and rng.random() < 0.3:
            for it in offering.handle(Settle(), now):
                assert isinstance(it, Ended) and keys
                why = it.why
        offering.check_invariants()
        assert offering.ended == bool(why)
        assert offering.deadline is None or offering.deadline >= 0
    return len(keys), wrong, why


def wire_kind(body: bytes) -> str:
    try:
        return type(wire.question(body)).__name__
    except ProtocolError:
        return ""


def walks() -> list[tuple[int, int, str]]:
    return [walk(seed) for seed in range(WALKS)]


def test_walks() -> None:
    ends = walks()
    assert sum(paired > 0 for paired, _, _ in ends) > 10
    assert {why for _, _, why in ends} >= {"wrong", "settled", ""}


@pytest.mark.parametrize("fault", ["more guesses", "no check"])
def test_the_walks_notice(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Controls: a code that survives a wrong guess, and one whose guesses are not looked at."""
    if fault == "more guesses":
        end = Offering._end

        def forgiving(self: Offering, why: str, effects: list[pairing.Effect]) -> None:
            if why != "wrong":
                end(self, why, effects)  # type: ignore[arg-type]

        monkeypatch.setattr(Offering, "_end", forgiving)
    else:

        def gullible(self: pairing.Agreed, confirm: bytes) -> Secret:
            return self._key

        monkeypatch.setattr(pairing.Agreed, "check", gullible)
    with pytest.raises((AssertionError, AuthError)):
        walks()
