"""What the doctor can see without a node: the machine, the extras, the files."""

from __future__ import annotations

import os
import platform
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from whispurrnet.base.errors import ConfigError, HostError
from whispurrnet.cli.running import folder

_GROUP = "239.192.74.1"
_PARTS = ("whispurrnet", "cryptography", "msgspec", "pynacl", "websockets", "starlette", "uvicorn")


def local_checks(port: int) -> Iterator[dict[str, str]]:
    """One finding after the other."""
    checks: tuple[tuple[str, Callable[[], tuple[str, str]]], ...] = (
        ("settings can be read", _settings),
        ("secrets in the settings file are private", _private),
        ("post-quantum key exchange works", _ml_kem),
        (f"port {port} can be used", lambda: _port(port)),
        ("UDP multicast reaches this machine", _multicast),
        ("the runtime folder is ours", _runtime),
    )
    for title, check in checks:
        cause, cure = check()
        yield _finding(title, "problem" if cause else "ok", cause, cure)
    yield _ipv6()
    yield _finding(
        "clock",
        "not checked",
        "Nobody else is asked for the time; peers refuse a clock ten minutes off.",
        "Compare it with a clock you trust.",
    )
    yield _optional("uvloop (faster)", "uvloop", "pip install uvloop")


def versions() -> dict[str, str]:
    """Of what runs here."""
    found = {"python": platform.python_version(), "system": platform.system()}
    for part in _PARTS:
        try:
            found[part] = version(part)
        except PackageNotFoundError:
            found[part] = "not installed"
    return found


def _finding(title: str, state: str, cause: str = "", cure: str = "") -> dict[str, str]:
    return {"title": title, "state": state, "cause": cause, "cure": cure}


def _settings() -> tuple[str, str]:
    from whispurrnet.node.settings import Settings, find_file

    try:
        Settings.load(find_file(), os.environ)
    except ConfigError as error:
        return str(error), "correct that line, or see `whispurr config show`"
    return "", ""


def _private() -> tuple[str, str]:
    from whispurrnet.node.settings import Settings, find_file

    path = find_file()
    if path is None or os.name != "posix":
        return "", ""
    try:
        settings, _ = Settings.load(path)
    except ConfigError:
        return "", ""  # said by the check before
    if not settings.network_secret and not settings.gateway.token:
        return "", ""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return "it holds a secret, and others may read it", f"chmod 600 {path.name}"
    return "", ""


def _ml_kem() -> tuple[str, str]:
    from whispurrnet.crypto.kex import Level, kem

    try:
        mechanism = kem(Level.L3)
        key = mechanism.generate(os.urandom)
        sealed, secret = mechanism.encapsulate(key.public)
        same = key.decapsulate(sealed) == secret
    except HostError as error:
        return str(error), "pip install -U cryptography"
    return ("", "") if same else ("the two sides disagree", "pip install -U cryptography")


def _port(port: int) -> tuple[str, str]:
    """Free, or answered by something: which one, the check of the node says."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return "", ""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return (
                f"it cannot be bound ({error.strerror or type(error).__name__})",
                "choose another: whispurr up --port 8766",
            )
    return "", ""


def _multicast() -> tuple[str, str]:
    """One datagram to a group of our own, on a port nobody else is on."""
    cure = "allow UDP multicast in the firewall, or join by ticket"
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind(("", 0))
            group = socket.inet_aton(_GROUP) + socket.inet_aton("0.0.0.0")  # noqa: S104
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            ear.settimeout(1.0)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            mouth.sendto(b"whispurr", (_GROUP, ear.getsockname()[1]))
            ear.recv(64)
    except OSError as error:
        reason = "nothing came back" if isinstance(error, TimeoutError) else error.strerror
        return f"nodes on this network will not find each other by themselves ({reason})", cure
    return "", ""


def _runtime() -> tuple[str, str]:
    place = folder()
    if place.exists() and hasattr(os, "getuid") and place.stat().st_uid != os.getuid():
        return "it belongs to somebody else", f"remove {place}, or set XDG_RUNTIME_DIR"
    return "", ""


def _ipv6() -> dict[str, str]:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return _finding("IPv6", "not checked", "This machine has none.", "")
    return _finding("IPv6", "ok")


def _optional(title: str, package: str, cure: str) -> dict[str, str]:
    if sys.platform == "win32":
        return _finding(title, "not checked", "Not made for this system.", "")
    try:
        version(package)
    except PackageNotFoundError:
        return _finding(title, "not checked", "It is not installed.", cure)
    return _finding(title, "ok")
