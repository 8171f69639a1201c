"""Which library is taken, and what is said when there is none."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest

from whispurrnet.base.errors import HostError
from whispurrnet.transport import webrtc_backend as library
from whispurrnet.transport.webrtc_ice import parse_server


def pretend(monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    """Only these libraries are installed."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> object:
        if name in library.NAMES:
            return object() if name in there else None
        return real(name, package)

    def import_module(path: str) -> ModuleType:
        name = path.rpartition("webrtc_")[2]
        if name not in there:
            raise ImportError(f"no module named {name}")
        module = ModuleType(path)
        module.NAME = name  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(importlib, "import_module", import_module)


TCP = library.Ice(servers=(parse_server("turn:a:b@h?transport=tcp"),))
UDP = library.Ice(servers=(parse_server("turn:a:b@h"), parse_server("stun:h")))


@pytest.mark.parametrize(
    ("there", "wanted", "ice", "taken"),
    [
        (("aiortc", "aiolibdatachannel"), "auto", None, "aiolibdatachannel"),
        (("aiortc", "aiolibdatachannel"), "auto", UDP, "aiolibdatachannel"),
        (("aiortc", "aiolibdatachannel"), "auto", TCP, "aiortc"),
        (("aiolibdatachannel",), "auto", TCP, "aiolibdatachannel"),
        (("aiortc",), "auto", None, "aiortc"),
        (("aiortc", "aiolibdatachannel"), "aiortc", None, "aiortc"),
    ],
)
def test_the_best_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    wanted: library.Name,
    ice: library.Ice | None,
    taken: str,
) -> None:
    pretend(monkeypatch, *there)
    assert library.find(wanted, ice) == taken
    assert taken == library.load(wanted, ice).NAME


def test_none_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    for ask in (library.find, library.load):
        with pytest.raises(
            HostError, match=r"this machine has no WebRTC library.*whispurrnet\[webrtc\]"
        ):
            ask()
    assert library.installed() == ()


def test_the_one_that_is_wanted_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "aiortc")
    with pytest.raises(HostError, match="aiolibdatachannel"):
        library.load("aiolibdatachannel")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="aiolibdatachannel needs Python 3.12")
def test_an_unknown_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rtc = pytest.importorskip("aiolibdatachannel")
    monkeypatch.delattr(rtc.DataChannel, "_handle_closed")
    monkeypatch.delitem(
        sys.modules, "whispurrnet.transport.webrtc_aiolibdatachannel", raising=False
    )
    with pytest.raises(HostError, match="_handle_closed"):
        library.load("aiolibdatachannel")
