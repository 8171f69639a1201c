"""SPAKE2 against an independent reference, the vectors of the RFC, and whoever guesses."""

from __future__ import annotations

import hashlib
import hmac
import os
from random import Random

import pytest

from whispurrnet.base.errors import AuthError, UsageError
from whispurrnet.crypto import pake
from whispurrnet.crypto.keys import Secret
from whispurrnet.crypto.pake import Agreed, M, N, Pake, schedule, stretch, transcript

# The reference: edwards25519 in affine coordinates, straight from RFC 8032, section 5.1; slow.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
ZERO: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def negative(point: Point) -> Point:
    return -point[0] % P, point[1]


def times(factor: int, point: Point) -> Point:
    total = ZERO
    while factor:
        if factor & 1:
            total = add(total, point)
        point, factor = add(point, point), factor >> 1
    return total


def decoded(raw: bytes) -> Point | None:
    number = int.from_bytes(raw, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def point(raw: bytes) -> Point:
    found = decoded(raw)
    assert found is not None
    return found


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def lengths(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def reference(w: int, x: int, y: int, a: bytes, b: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Both shares and both confirmations."""
    share_a = add(times(x, BASE), times(w, point(M)))
    share_b = add(times(y, BASE), times(w, point(N)))
    k_a = times(8 * x, add(share_b, negative(times(w, point(N)))))
    k_b = times(8 * y, add(share_a, negative(times(w, point(M)))))
    assert k_a == k_b
    shares = encoded(share_a), encoded(share_b)
    tt = lengths(a, b, *shares, encoded(k_a), w.to_bytes(32, "big"))
    ka = hashlib.sha256(tt).digest()[16:]
    prk = hmac.digest(bytes(32), ka, "sha256")
    kc = hmac.digest(prk, b"ConfirmationKeys\x01", "sha256")
    return (
        *shares,
        hmac.digest(kc[:16], tt, "sha256"),
        hmac.digest(kc[16:], tt, "sha256"),
    )


def scalar(rng: Random) -> bytes:
    return rng.randrange(1, L).to_bytes(32, "little")


def fixed(*answers: bytes):  # type: ignore[no-untyped-def]
    left = list(answers)
    return lambda n: left.pop(0).ljust(n, b"\0")


IDS = (b"who joins", b"who offers")
W = Secret((12345).to_bytes(32, "little"))


def pair(
    w_a: Secret = W,
    w_b: Secret = W,
    ids_a: tuple[bytes, bytes] = IDS,
    ids_b: tuple[bytes, bytes] = IDS,
) -> tuple[Pake, Pake]:
    return Pake("A", w_a, ids_a, os.urandom), Pake("B", w_b, ids_b, os.urandom)


@pytest.mark.parametrize("seed", range(5))
def test_like_the_reference(seed: int) -> None:
    rng = Random(seed)
    w, x, y = scalar(rng), scalar(rng), scalar(rng)
    ids = rng.randbytes(rng.randrange(40)), rng.randbytes(rng.randrange(40))
    a, b = Pake("A", Secret(w), ids, fixed(x)), Pake("B", Secret(w), ids, fixed(y))
    at_a, at_b = a.finish(b.share), b.finish(a.share)
    numbers = [int.from_bytes(one, "little") for one in (w, x, y)]
    assert (a.share, b.share, at_a.confirm, at_b.confirm) == reference(*numbers, *ids)
    assert at_a.check(at_b.confirm) == at_b.check(at_a.confirm)


@pytest.mark.parametrize(("mask", "letter"), [(M, "M"), (N, "N")])
def test_nobody_knows_the_logarithm_of_m_and_n(mask: bytes, letter: str) -> None:
    """Both come out of a hash, as in appendix A of RFC 9382."""
    digest = f"edwards25519 point generation seed ({letter})".encode()
    for _ in range(100):
        digest = hashlib.sha256(digest).digest()
        found = decoded(digest)
        if found is not None and times(L, found) == ZERO:
            break
    assert digest == mask


# RFC 9382, appendix B: P-256, but identities, transcript and key schedule are the same.
RFC = [
    (
        (b"server", b"client"),
        "2ee57912099d31560b3a44b1184b9b4866e904c49d12ac5042c97dca461b1a5f",
        (
            "04a56fa807caaa53a4d28dbb9853b9815c61a411118a6fe516a8798434751470"
            "f9010153ac33d0d5f2047ffdb1a3e42c9b4e6be662766e1eeb4116988ede5f912c"
        ),
        (
            "0406557e482bd03097ad0cbaa5df82115460d951e3451962f1eaf4367a420676"
            "d09857ccbc522686c83d1852abfa8ed6e4a1155cf8f1543ceca528afb591a1e0b7"
        ),
        (
            "0412af7e89717850671913e6b469ace67bd90a4df8ce45c2af19010175e37eed"
            "69f75897996d539356e2fa6a406d528501f907e04d97515fbe83db277b715d3325"
        ),
        "0e0672dc86f8e45565d338b0540abe69",
        "58ad4aa88e0b60d5061eb6b5dd93e80d9c4f00d127c65b3b35b1b5281fee38f0",
        "d3e2e547f1ae04f2dbdbf0fc4b79f8ecff2dff314b5d32fe9fcef2fb26dc459b",
    ),
    (
        (b"", b"client"),
        "0548d8729f730589e579b0475a582c1608138ddf7054b73b5381c7e883e2efae",
        (
            "04a897b769e681c62ac1c2357319a3d363f610839c4477720d24cbe32f5fd85f"
            "44fb92ba966578c1b712be6962498834078262caa5b441ecfa9d4a9485720e918a"
        ),
        (
            "04e0f816fd1c35e22065d5556215c097e799390d16661c386e0ecc84593974a6"
            "1b881a8c82327687d0501862970c64565560cb5671f696048050ca66ca5f8cc7fc"
        ),
        (
            "048f83ec9f6e4f87cc6f9dc740bdc2769725f923364f01c84148c049a39a735e"
            "bda82eac03e00112fd6a5710682767cff5361f7e819e53d8d3c3a2922e0d837aa6"
        ),
        "642f05c473c2cd79909f9a841e2f30a7",
        "47d29e6666af1b7dd450d571233085d7a9866e4d49d2645e2df975489521232b",
        "3313c5cefc361d27fb16847a91c2a73b766ffa90a4839122a9b70a2f6bd1d6df",
    ),
]


@pytest.mark.parametrize(("ids", "w", "share_a", "share_b", "k", "ke", "conf_a", "conf_b"), RFC)
def test_the_key_schedule_is_that_of_the_rfc(
    ids: tuple[bytes, bytes],
    w: str,
    share_a: str,
    share_b: str,
    k: str,
    ke: str,
    conf_a: str,
    conf_b: str,
) -> None:
    shares = bytes.fromhex(share_a), bytes.fromhex(share_b)
    text = transcript(ids, shares, bytes.fromhex(k), bytes.fromhex(w))
    assert [part.hex() for part in schedule(text)] == [ke, conf_a, conf_b]


def agreed(a: Pake, b: Pake) -> tuple[Agreed, Agreed]:
    return a.finish(b.share), b.finish(a.share)


@pytest.mark.parametrize(
    "changed",
    [
        {"w_b": Secret((12346).to_bytes(32, "little"))},
        {"ids_b": (IDS[0], b"somebody else")},
        {"ids_b": (b"somebody else", IDS[1])},
        {"ids_b": (IDS[1], IDS[0])},
        {"ids_b": (IDS[0] + IDS[1], b"")},
    ],
    ids=["another code", "another B", "another A", "swapped", "moved"],
)
def test_whoever_differs_is_refused(changed: dict[str, object]) -> None:
    at_a, at_b = agreed(*pair(**changed))  # type: ignore[arg-type]
    with pytest.raises(AuthError):
        at_a.check(at_b.confirm)
    with pytest.raises(AuthError):
        at_b.check(at_a.confirm)


def test_every_changed_byte_is_noticed() -> None:
    for at in range(32):
        a, b = pair()
        share = bytearray(b.share)
        share[at] ^= 1 << at % 8
        try:
            at_a = a.finish(bytes(share))
        except AuthError:
            pass
        else:
            at_b = b.finish(a.share)
            with pytest.raises(AuthError):
                at_b.check(at_a.confirm)
        at_a, at_b = agreed(*pair())
        confirm = bytearray(at_b.confirm)
        confirm[at] ^= 1 << at % 8
        with pytest.raises(AuthError):
            at_a.check(bytes(confirm))


def test_what_comes_back_is_refused() -> None:
    a, b = pair()
    with pytest.raises(AuthError, match="came back"):
        a.finish(a.share)
    at_a, at_b = agreed(a, b)
    assert at_a.confirm != at_b.confirm
    for one in (at_a, at_b):
        with pytest.raises(AuthError):
            one.check(one.confirm)


def test_points_of_no_use_are_refused() -> None:
    """Those of small order, those with a part of small order, and those that are none."""
    low = add(add(point(M), point(M)), (0, P - 1))  # order 2 L
    assert times(L, low) != ZERO
    bad = [
        *(y.to_bytes(32, "little") for y in (0, 1, P - 1, P, P + 1)),
        encoded(low),
        b"",
        M[:-1],
        M + b"\0",
        b"\xff" * 32,
        (2).to_bytes(32, "little"),
    ]
    assert decoded((2).to_bytes(32, "little")) is None
    for share in bad:
        with pytest.raises(AuthError):
            pair()[0].finish(share)


def test_a_share_that_cancels_the_mask_is_refused() -> None:
    w = int.from_bytes(W, "little")
    with pytest.raises(AuthError):
        pair()[0].finish(encoded(times(w, point(N))))
    with pytest.raises(AuthError):
        pair()[1].finish(encoded(times(w, point(M))))


def test_a_share_says_nothing_of_the_code() -> None:
    """For any other code there is a secret that gives the same share."""
    rng = Random(1)
    x, w, other = (rng.randrange(1, L) for _ in range(3))
    a = Pake("A", Secret(w.to_bytes(32, "little")), IDS, fixed(x.to_bytes(32, "little")))
    rest = add(point(a.share), negative(times(other, point(M))))
    assert times(L, rest) == ZERO


def test_a_code_is_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (pake.OPS, pake.MEMORY_BYTES) == (3, 64 << 20)
    one = stretch(b"otter-lantern", b"7")
    assert int.from_bytes(one, "little") < L
    assert one == stretch(b"otter-lantern", b"7")
    monkeypatch.setattr(pake, "MEMORY_BYTES", 1 << 20)
    few = stretch(b"otter-lantern", b"7")
    assert len({one, few, stretch(b"otter-lantern", b"8"), stretch(b"otter-lanterm", b"7")}) == 4
    assert "otter" not in repr(one)


@pytest.mark.parametrize("wrong", [b"", bytes(32), b"\1" * 31])
def test_a_scalar_is_one(wrong: bytes) -> None:
    with pytest.raises(UsageError):
        Pake("A", Secret(wrong), IDS, os.urandom)
