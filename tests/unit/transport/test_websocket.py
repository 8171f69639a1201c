"""The WebSocket transport; its links are in `test_websocket_link` and in `interop`."""

from __future__ import annotations

import subprocess
import sys

from whispurrnet.transport.websocket import WebSocketTransport


def test_it_serves_plain_and_tls() -> None:
    assert WebSocketTransport().names == ("ws", "wss")


def test_what_few_nodes_need_is_loaded_late() -> None:
    code = (
        "import sys, whispurrnet.transport.websocket, whispurrnet.transport.tls;"
        "sys.exit('websockets' in sys.modules or 'cryptography.x509' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
