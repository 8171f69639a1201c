"""whisper, listen, chat: talking."""

from __future__ import annotations

import base64
import sys
import threading
from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.cli.client import Client, find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import (
    clean,
    clean_lines,
    colour,
    note,
    say,
    show_json,
    show_json_line,
)
from whispurrnet.cli.secret_key import KeyFile, topic_key

POLL_S = 25.0
LATEST = 2**53
_MARKS = {"queued": "…", "sent": "→", "received": "✓", "read": "✓✓", "expired": "✗", "failed": "✗"}
_TO_ALL = {"BROADCAST": " to everyone", "EMERGENCY_SIGNAL": " EMERGENCY"}
_ENDS = {"expired", "failed"}
_Messages = dict[str, Any]
PeerName = Annotated[str, Parameter(help="Its name, or the beginning of its id.")]


def whisper(
    peer: PeerName,
    text: Annotated[str | None, Parameter(help="What to say; otherwise standard input.")] = None,
    *,
    wait: Annotated[float, Parameter(help="Seconds to wait until the peer has it.")] = 10.0,
    priority: Annotated[int | None, Parameter(help="0 to 10; 10 overtakes all.")] = None,
    ttl: Annotated[float | None, Parameter(help="Seconds it is kept for a peer away.")] = None,
    kind: Annotated[str, Parameter(help="The kind of message.")] = "WHISPER",
) -> int:
    """Whisper to a peer, and see it arrive: queued, sent, received, read."""
    ask: dict[str, Any] = {"peer": peer, "wait_s": wait, "kind": kind}
    ask |= {"text": text} if text is not None else {"body_base64": _input()}
    ask |= {"priority": priority} if priority is not None else {}
    ask |= {"ttl_s": ttl} if ttl is not None else {}
    answer = find().post("/whisper", dict[str, Any], ask, patience_s=wait)
    state = answer["state"]
    if current.json:
        show_json(answer)
    else:
        by = f"{state} by" if state in {"received", "read"} else f"{state} for"
        say(f"{_MARKS.get(state, '')} {by} {clean(answer['peer'])}")
    if state in _ENDS:
        return Exit.FAILED
    if state == "queued" and wait:
        note("  it is kept, and sent when the peer is back; see `whispurr status`")
        return Exit.NOT_REACHABLE
    return Exit.DONE


def _input() -> str:
    if sys.stdin.isatty():
        note("  type, and end with Ctrl-D:")
    return base64.b64encode(sys.stdin.buffer.read(2**20 + 1)).decode()


def listen(
    intent: Annotated[str | None, Parameter(help="An intent; otherwise all that comes.")] = None,
    *,
    count: Annotated[int, Parameter(help="End after so many; 0 never.")] = 0,
    threshold: Annotated[float, Parameter(help="How well it must match, from 0 to 1.")] = 0.5,
    key_file: KeyFile = None,
) -> int:
    """Print what arrives, until Ctrl-C."""
    client = find()
    last = client.get("/messages", _Messages, after=LATEST)["last"]
    wanted: tuple[str, str] | None = None
    if intent is not None:
        from whispurrnet.gossip.resonance import normalise

        ask = {"intent": intent, "topic_key": topic_key(key_file), "threshold": threshold}
        wanted = normalise(intent), client.post("/listen", dict[str, Any], ask)["key_id"]
    elif key_file is not None:
        raise Fault(
            "A key needs its intent", "", "whispurr listen moon --key-file FILE", Exit.USAGE
        )
    note(f"  listening{f' to {intent}' if intent else ''}; end with Ctrl-C")
    seen = 0
    while True:
        answer = client.get("/messages", _Messages, POLL_S, after=last, wait_s=POLL_S)
        last = answer["last"]
        for message in answer["messages"]:
            if wanted is not None and (message["topic"], message["key_id"]) != wanted:
                continue
            _show(message)
            client.post(f"/messages/{message['number']}/read", dict[str, Any])
            seen += 1
            if count and seen >= count:
                return Exit.DONE


def _show(message: dict[str, Any]) -> None:
    if current.json:
        show_json_line(message)
        return
    topic = f" #{clean(message['topic'])}" if message["topic"] else ""
    to_all = _TO_ALL.get(message["kind"], "")
    who = colour(clean(message["sender"]) + topic + to_all, "bold")
    text = message["text"]
    if text is None:
        count = len(base64.b64decode(message["body_base64"]))
        text = f"({count} bytes that are not text)"
    say(f"{who}: {clean_lines(text)}")


def chat(peer: PeerName) -> int:
    """Talk with a peer, line by line, until Ctrl-D."""
    client = find()
    row = client.get(f"/peers/{_quoted(peer)}", dict[str, Any])
    name = row["name"]
    last = client.get("/messages", _Messages, after=LATEST)["last"]
    note(f"  talking with {clean(name)} ({row['path']}, level {row['level']}); end with Ctrl-D")
    ended = threading.Event()
    ear = threading.Thread(target=_hear, args=(find(), row["name"], last, ended), daemon=True)
    ear.start()
    try:
        for line in sys.stdin:
            text = line.rstrip("\n")
            if not text:
                continue
            ask = {"peer": name, "text": text, "wait_s": 3.0}
            state = client.post("/whisper", dict[str, Any], ask, patience_s=3.0)["state"]
            note(f"  {_MARKS.get(state, '')} {state}")
    finally:
        ended.set()
    return Exit.DONE


def _hear(client: Client, name: str, last: int, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            answer = client.get("/messages", _Messages, POLL_S, after=last, wait_s=POLL_S)
        except Fault as fault:
            note(f"  {fault.sentence}; {fault.cure}")
            return
        last = answer["last"]
        for message in answer["messages"]:
            if message["sender"] == name and message["topic"] is None and not ended.is_set():
                _show(message)
                client.post(f"/messages/{message['number']}/read", dict[str, Any])


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
