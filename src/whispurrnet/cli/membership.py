"""membership: found a closed realm, and see what this node is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from whispurrnet.cli.client import find
from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit
from whispurrnet.cli.render import note, say, show_json, span
from whispurrnet.cli.secret_key import write_key


def init(
    path: Annotated[Path, Parameter(name="FILE", help="Where the key is written; new.")],
) -> int:
    """Make the key of a founder; whoever has the file decides who is a member."""
    from whispurrnet.node.membership import public_of

    founder = public_of(write_key(path))
    if current.json:
        show_json({"path": str(path), "founder": founder})
        return Exit.DONE
    say(f"● the founder's secret key is in {path}; keep it, and a copy where nobody else reads")
    say("  the settings of every node of the realm:")
    say(f'    [membership]\n    founder = "{founder}"')
    say("  and on the node of the founder only, below them:")
    say(f'    key_file = "{path.absolute().as_posix()}"')
    note("  next: whispurr up, then let others in: whispurr ticket --invite")
    return Exit.DONE


def show() -> int:
    """What this node is in its realm, and until when."""
    answer = find().get("/membership", dict[str, Any])
    if current.json:
        show_json(answer)
        return Exit.DONE
    for line in lines(answer):
        say(line)
    return Exit.DONE


def lines(answer: dict[str, Any]) -> list[str]:
    """The answer, for people."""
    role, links, expires_s = answer["role"], answer["links"], answer["expires_s"]
    if role == "open":
        return [
            "● the realm is open: everybody belongs to it",
            "  close one: whispurr membership init",
        ]
    said = {
        "founder": "● this node founded the realm",
        "member": f"● a member, {links} invite{'s' * (links != 1)} from the founder",
        "outsider": "▲ this node is no member: it neither hears nor passes on what is spread",
    }[role]
    if expires_s is not None:
        said += f"; for {span(expires_s)} more"
    found = [said, f"  founder {answer['founder']}", f"  we      {answer['key']}"]
    found.append(f"  of the peers that are connected, {answer['members']} are members")
    if role == "outsider":
        found.append("  next: ask a member for an invite, then: whispurr join")
    elif answer["may_invite"]:
        found.append("  next: let others in: whispurr ticket --invite")
    else:
        found.append("  our invites make no members: the chain is as long as the founder allows")
    return found
