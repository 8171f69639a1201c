"""version, config show, install-completion: about the program itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import colour, note, say, show_json


def version() -> int:
    """The version of this program, of its API and of what it stands on."""
    from whispurrnet.cli.checks import versions
    from whispurrnet.gateway.answers import SCHEMA

    found = {**versions(), "api": str(SCHEMA)}
    if current.json:
        show_json(found)
    else:
        say(f"whispurr {found.pop('whispurrnet')}")
        for name, number in found.items():
            say(f"  {name} {number}")
    return Exit.DONE


def config_show(
    *,
    origin: Annotated[bool, Parameter(negative="", help="Where each value came from.")] = False,
    config: Annotated[
        Path | None, Parameter(env_var="WHISPURRNET_CONFIG", help="Another settings file.")
    ] = None,
) -> int:
    """Every setting as a node started here and now would have it; secrets are not shown."""
    import msgspec

    from whispurrnet.cli.running import folder
    from whispurrnet.node.settings import Settings, config_dir, env_name, find_file, shown

    path = config or find_file()
    settings, origins = Settings.load(path, os.environ)
    rows = [
        {"path": key, "value": shown(value), "origin": origins[key], "env": env_name(key)}
        for key, value in settings.items()
    ]
    if current.json:
        show_json(rows)
        return Exit.DONE
    for row in rows:
        value = msgspec.json.encode(row["value"]).decode()
        line = f"{row['path']} = {value}"
        say(f"{line}   {colour('# ' + str(row['origin']), 'dim')}" if origin else line)
    note(
        f"  file: {path or f'none; ./whispurr.toml or {config_dir()}/whispurr.toml would be read'}"
    )
    note(f"  running nodes: {folder()}")
    return Exit.DONE


def install_completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell"] | None,
        Parameter(help="The shell; otherwise the one in use."),
    ] = None,
    *,
    print_only: Annotated[
        bool, Parameter(name="--print", negative="", help="Print the script, change nothing.")
    ] = False,
) -> int:
    """Complete commands with Tab."""
    from whispurrnet.cli.main import app

    try:
        if print_only:
            say(app.generate_completion(shell=shell))
            return Exit.DONE
        path = app.install_completion(shell=shell)
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise Fault(
            "Completion could not be installed",
            str(error) or type(error).__name__,
            "name the shell: whispurr install-completion bash",
        ) from error
    say(f"● completion is in {path}; open a new terminal")
    return Exit.DONE
