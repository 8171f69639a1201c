"""Session descriptions of WebRTC: what is taken of a peer's, and what is told of ours.

A description is written by a library here and read by one there. In between we take out what a
peer must not be able to do with it, and what we do not want to tell:

    - one data section and nothing else: no audio, no video;
    - one fingerprint, SHA-256: the session in the link is bound to it, so the DTLS of the link must
      be held to that one and not to a second one in another hash;
    - candidates are UDP and name IP addresses. A name, as the `.local` ones of browsers, would have
      us ask a resolver for what a peer chose; the browser's checks reach us without it. Nor does
      anybody but ourselves have business with our loopback;
    - addresses of this machine's own network are withheld if the settings say so.

Source: RFC 8866 (SDP), RFC 8840 section 4.3.1 (default addresses), RFC 8839 (candidates), RFC 8122
(fingerprints), RFC 8841 (data channels).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from whispurrnet.base.errors import ProtocolError

FINGERPRINT_BYTES = 32
CANDIDATES_MAX = 64

_FINGERPRINT = re.compile(
    r"a=fingerprint:sha-256 ([0-9A-F]{2}(?::[0-9A-F]{2}){31})\s*", re.IGNORECASE
)
_CANDIDATE = re.compile(
    r"(candidate:[\w+/]{1,32} [0-9]{1,3} udp [0-9]{1,10}) ([0-9A-Fa-f:.]{2,45}) ([0-9]{1,5})"
    r" (typ (host|srflx|prflx|relay))(?: raddr (\S{1,64}) rport ([0-9]{1,5}))?((?: [\w.+/-]+)*)\s*",
    re.IGNORECASE,
)
_MEDIA = re.compile(r"^(m=application )[0-9]+( )", re.MULTILINE)
_DEFAULT = re.compile(r"^c=IN IP[46] [^\r\n]*", re.MULTILINE)
_NOWHERE = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - RFC 8839, section 5.1: not said


def fingerprint(sdp: str) -> bytes:
    """The 32 bytes of the SHA-256 fingerprint of the DTLS certificate.

    Raises:
        ProtocolError: There is none, or more than one.
    """
    found = {
        match[1].upper() for line in sdp.splitlines() if (match := _FINGERPRINT.fullmatch(line))
    }
    if len(found) != 1:
        raise ProtocolError(f"a WebRTC description has {len(found)} SHA-256 fingerprints, not one")
    return bytes.fromhex(found.pop().replace(":", ""))


def theirs(sdp: str) -> str:
    """A peer's description, as far as it is believed.

    Raises:
        ProtocolError: It is about more than one data channel section, or has no fingerprint.
    """
    fingerprint(sdp)
    sections = [line for line in sdp.splitlines() if line.startswith("m=")]
    if len(sections) != 1 or not sections[0].startswith("m=application "):
        raise ProtocolError("a WebRTC description is about more than a data channel")
    return _rewrite(sdp, their_candidate)


def ours(sdp: str, *, host: bool) -> str:
    """Our description, as it is told; without `host`, addresses of our own network are withheld.

    Besides candidates, a description names a default address; with candidates it means nothing.
    """
    told = _rewrite(sdp, lambda candidate: our_candidate(candidate, host=host))
    told = _MEDIA.sub(r"\g<1>9\g<2>", told)
    return _DEFAULT.sub("c=IN IP4 0.0.0.0", told)


def their_candidate(candidate: str) -> str:
    """A peer's candidate if we will try it, else empty."""
    match = _CANDIDATE.fullmatch(candidate)
    address = _address(match[2]) if match else None
    if match is None or address is None or not 0 < int(match[3]) <= 65535:
        return ""
    unusable = address.is_loopback or address.is_multicast or address.is_unspecified
    return "" if unusable else candidate.strip()


def our_candidate(candidate: str, *, host: bool) -> str:
    """A candidate of ours as it is told, or empty if it is not."""
    match = _CANDIDATE.fullmatch(candidate)
    address = _address(match[2]) if match else None
    if match is None or address is None:
        return ""
    if host:
        return candidate.strip()
    if match[5].lower() == "host" and not address.is_global:
        return ""
    related = f" raddr {_NOWHERE[address.version]} rport 0" if match[6] else ""
    return f"{match[1]} {match[2]} {match[3]} {match[4]}{related}{match[8]}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _rewrite(sdp: str, keep: Callable[[str], str]) -> str:
    lines: list[str] = []
    candidates = 0
    for line in sdp.splitlines():
        if line.startswith("a=fingerprint:") and not _FINGERPRINT.fullmatch(line):
            continue
        if line.startswith("a=end-of-candidates"):
            continue  # what was taken out here may reach the other side all the same
        if line.startswith("a=candidate:"):
            kept = keep(line[2:]) if candidates < CANDIDATES_MAX else ""
            if not kept:
                continue
            candidates += 1
            lines.append(f"a={kept}")
        elif line:
            lines.append(line)
    return "\r\n".join(lines) + "\r\n"
