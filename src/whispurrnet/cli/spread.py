"""resonate, broadcast, emergency: to many, whoever and wherever they are."""

from __future__ import annotations

import base64
import sys
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit
from whispurrnet.cli.render import note, say, show_json
from whispurrnet.cli.secret_key import KeyFile, topic_key

PATIENCE_S = 60.0
INPUT_MAX = 2**20 + 1

Signed = Annotated[bool, Parameter(negative="", help="Tell those who hear it who sent it.")]
Ttl = Annotated[float | None, Parameter(help="Seconds it is of use; at most 300.")]
Words = Annotated[str | None, Parameter(name="TEXT", help="Otherwise standard input.")]


def resonate(
    intent: Annotated[str, Parameter(help="Who listens to it gets the payload.")],
    payload: Annotated[
        str | None, Parameter(help="A JSON object, or a text; otherwise standard input.")
    ] = None,
    *,
    strength: Annotated[float, Parameter(help="How much it is meant, from 0 to 1.")] = 1.0,
    signed: Signed = False,
    one_of: Annotated[
        bool, Parameter(negative="", help="Any one of those who listen is enough.")
    ] = False,
    ttl: Ttl = None,
    key_file: KeyFile = None,
) -> int:
    """Send to whoever listens to an intent, anywhere in the mesh."""
    key = topic_key(key_file)
    text = sys.stdin.read(INPUT_MAX) if payload is None else payload
    try:
        value = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        value = text
    ask = {
        "intent": intent,
        "payload": value if isinstance(value, dict) else {"value": value},
        "strength": strength,
        "topic_key": key,
        "one_of": one_of,
    }
    return _send("/resonance", ask, signed, ttl)


def broadcast(text: Words = None, *, signed: Signed = False, ttl: Ttl = None) -> int:
    """Send to everyone in the mesh."""
    return _send("/broadcast", _body(text), signed, ttl)


def emergency(text: Words = None, *, signed: Signed = False, ttl: Ttl = None) -> int:
    """Alert everyone in the mesh; it overtakes all else, and neighbours can tell its origin."""
    return _send("/emergency", _body(text), signed, ttl)


def _body(text: str | None) -> dict[str, Any]:
    if text is not None:
        return {"text": text}
    if sys.stdin.isatty():
        note("  type, and end with Ctrl-D:")
    return {"body_base64": base64.b64encode(sys.stdin.buffer.read(INPUT_MAX)).decode()}


def _send(path: str, ask: dict[str, Any], signed: bool, ttl: float | None) -> int:
    ask |= {"signed": signed} | ({"ttl_s": ttl} if ttl is not None else {})
    answer = find().post(path, dict[str, Any], ask, patience_s=PATIENCE_S)
    count = answer["neighbours"]
    if current.json:
        show_json(answer)
    elif count:
        say(f"→ sent into the mesh ({count} neighbour{'' if count == 1 else 's'})")
    else:
        say("… queued: this node has no neighbour yet")
    if not count:
        note("  it goes out with the first; see `whispurr status`, or join somebody")
        return Exit.NOT_REACHABLE
    return Exit.DONE
