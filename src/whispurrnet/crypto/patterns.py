"""The handshake patterns of Noise as data, and the name that chooses one.

A pattern is written as the specification writes it: pre-messages before `...`, then the messages,
the initiator's first. Modifiers insert tokens: `pskN` where the specification says, `hfs` the KEM
tokens `e1` and `ekem1`.

Sources: The Noise Protocol Framework, revision 34, sections 7 to 9; KEM-based Hybrid Forward
Secrecy for Noise, revision 1, section 5.
"""

from __future__ import annotations

import functools
import re

import msgspec

from whispurrnet.base.errors import UsageError

DH_NAMES = ("25519", "448")
CIPHER_NAMES = ("ChaChaPoly", "AESGCM")
HASH_NAMES = ("SHA256", "SHA512", "BLAKE2s", "BLAKE2b")
KEM_NAMES = ("MLKEM512", "MLKEM768", "MLKEM1024")

PATTERNS = {
    "N": "<- s ... e es",
    "K": "-> s <- s ... e es ss",
    "X": "<- s ... e es s ss",
    "NN": "e / e ee",
    "NK": "<- s ... e es / e ee",
    "NX": "e / e ee s es",
    "XN": "e / e ee / s se",
    "XK": "<- s ... e es / e ee / s se",
    "XX": "e / e ee s es / s se",
    "KN": "-> s ... e / e ee se",
    "KK": "-> s <- s ... e es ss / e ee se",
    "KX": "-> s ... e / e ee se s es",
    "IN": "e s / e ee se",
    "IK": "<- s ... e es s ss / e ee se",
    "IX": "e s / e ee se s es",
    "NK1": "<- s ... e / e ee es",
    "NX1": "e / e ee s / es",
    "X1N": "e / e ee / s / se",
    "X1K": "<- s ... e es / e ee / s / se",
    "XK1": "<- s ... e / e ee es / s se",
    "X1K1": "<- s ... e / e ee es / s / se",
    "X1X": "e / e ee s es / s / se",
    "XX1": "e / e ee s / es s se",
    "X1X1": "e / e ee s / es s / se",
    "K1N": "-> s ... e / e ee / se",
    "K1K": "-> s <- s ... e es / e ee / se",
    "KK1": "-> s <- s ... e / e ee se es",
    "K1K1": "-> s <- s ... e / e ee es / se",
    "K1X": "-> s ... e / e ee s es / se",
    "KX1": "-> s ... e / e ee se s / es",
    "K1X1": "-> s ... e / e ee s / se es",
    "I1N": "e s / e ee / se",
    "I1K": "<- s ... e es s / e ee / se",
    "IK1": "<- s ... e s / e ee se es",
    "I1K1": "<- s ... e s / e ee es / se",
    "I1X": "e s / e ee s es / se",
    "IX1": "e s / e ee se s / es",
    "I1X1": "e s / e ee s / se es",
}


class Suite(msgspec.Struct, frozen=True):
    """What a protocol name chooses."""

    name: str
    dh: str
    kem: str
    """Empty without the `hfs` modifier."""
    cipher: str
    hash: str
    initiator_static_known: bool
    responder_static_known: bool
    messages: tuple[tuple[str, ...], ...]
    """The tokens of each message; a pre-shared key is `psk` and its number."""
    psks: tuple[int, ...]
    """The numbers of the `pskN` modifiers, in the order in which their tokens come."""


def _add_hfs(messages: list[list[str]]) -> None:
    """Insert the KEM tokens.

    "adds an "e1" token directly following the first occurrence of "e", unless there is a DH
    operation in this same message, in which case [it] is placed directly after this DH [...]
    also adds an "ekem1" token directly following the first occurrence of "ee"." (section 5)
    Where a message has several DHs it is the first, as snow has it; the two tables of the
    specification that differ (KK, and the missing `ee` of IN) contradict its text.
    """
    first = messages[0]
    exchanges = [token for token in first if token in ("es", "ss")]
    first.insert(first.index(exchanges[0] if exchanges else "e") + 1, "e1")
    for message in messages:
        if "ee" in message:
            message.insert(message.index("ee") + 1, "ekem1")
            return
    raise ValueError("hfs needs a pattern in which both sides send an ephemeral key")


def _add_psk(messages: list[list[str]], number: int) -> None:
    """Insert one pre-shared key: number 0 opens the first message, number N closes the N-th."""
    if number == 0:
        messages[0].insert(0, "psk0")
    else:
        messages[number - 1].append(f"psk{number}")


@functools.lru_cache(maxsize=64)
def parse(name: str) -> Suite:
    """Read a name such as `Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256`.

    Raises:
        UsageError: A part of it is not known here.
    """
    try:
        prefix, handshake, exchange, cipher, digest = name.split("_")
        base = handshake[: len(handshake) - len(handshake.lstrip("NKXI1"))]
        modifiers = handshake[len(base) :].split("+") if len(base) < len(handshake) else []
        pattern = PATTERNS[base]
        dh, plus, kem = exchange.partition("+")
        known, _, body = pattern.rpartition("...")
        messages = [message.split() for message in body.split("/")]
        for modifier in modifiers:
            if modifier == "hfs":
                _add_hfs(messages)
            elif re.fullmatch(r"psk[0-9]", modifier):
                _add_psk(messages, int(modifier[3:]))
            else:
                raise ValueError(f"no modifier {modifier!r}")
        if (
            prefix != "Noise"
            or dh not in DH_NAMES
            or cipher not in CIPHER_NAMES
            or digest not in HASH_NAMES
            or (plus + kem) not in ([f"+{k}" for k in KEM_NAMES] if "hfs" in modifiers else [""])
            or len(set(modifiers)) != len(modifiers)
        ):
            raise ValueError("an unknown or missing part")
    except (ValueError, KeyError, IndexError) as error:
        raise UsageError(
            f"not a Noise protocol this engine knows: {name[:80]!r} ({error}); an example is "
            "Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256"
        ) from error
    return Suite(
        name=name,
        dh=dh,
        kem=kem,
        cipher=cipher,
        hash=digest,
        initiator_static_known="-> s" in known,
        responder_static_known="<- s" in known,
        messages=tuple(map(tuple, messages)),
        psks=tuple(int(token[3:]) for m in messages for token in m if token.startswith("psk")),
    )
