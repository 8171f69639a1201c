"""Sealed objects at the command line: made with a key each, and opened by it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from whispurrnet.cli.context import current
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.render import note, say, show_json, size
from whispurrnet.cli.secret_key import looks_like_key, new_file
from whispurrnet.node.holdings import ObjectInfo
from whispurrnet.node.node import Node

SEALED = "sealed"
"""The mode of a sealed object."""


def check_sealing(
    paths: Sequence[Path], key_file: Path | None, *, sealed: bool, open_mode: bool
) -> None:
    """Whether these can be sealed in this way.

    Args:
        paths: What is to be sealed.
        key_file: Where the key is to go.
        sealed: Whether somebody said so.
        open_mode: Whether `--cdc` or `--public` was said.

    Raises:
        Fault: They cannot.
    """
    if not sealed:
        raise Fault("--key-file goes with --sealed", "", "say --sealed, too", Exit.USAGE)
    if open_mode:
        raise Fault(
            "--sealed does not go with --cdc or --public",
            "what is sealed shows nothing of its content, and both work by what it shows",
            "leave them out",
            Exit.USAGE,
        )
    if key_file is not None and len(paths) > 1:
        raise Fault(
            "Each sealed object has a key of its own, and a file holds one",
            f"{len(paths)} files were named",
            "seal them one by one, or pack them into one file",
            Exit.USAGE,
        )
    for path in paths:
        if path.is_dir():
            raise Fault(
                "A folder cannot be sealed",
                f"{path} is one",
                f"pack it into one file: tar -cf {path.name}.tar {path.name}",
                Exit.USAGE,
            )


async def add_sealed(node: Node, paths: Sequence[Path], key_file: Path | None) -> int:
    """Seal files, and tell their keys, or write the one there is to a file."""
    added: list[tuple[ObjectInfo, str]] = []
    for path in paths:
        with ExitStack() as after:
            # The file first: an object whose key cannot be kept is of no use.
            file = None if key_file is None else after.enter_context(new_file(key_file))
            info, key = await node.objects.seal(path)
            if file is not None:
                file.write(key.hex() + "\n")
        added.append((info, key.hex()))
    if current.json:
        shown = [msgspec.to_builtins(info) for info, _ in added]
        for entry, (_, key_text) in zip(shown, added, strict=True):
            entry.update({"key": key_text} if key_file is None else {"key_file": str(key_file)})
        show_json(shown)
        return Exit.DONE
    for path, (info, key_text) in zip(paths, added, strict=True):
        say(f"{info.oid}  {size(info.size)}  {path}")
        say(f"  key:   {key_text}" if key_file is None else f"  key:   is in {key_file}")
        with_file = "" if key_file is None else f" --key-file {key_file}"
        note(f"  open:  whispurr objects get {info.oid[:16]} --sealed{with_file} --to PATH")
    where = "is shown now and never again" if key_file is None else "is nowhere else"
    note(f"  the key {where}: without it nobody can open the object, with it whoever has both")
    return Exit.DONE


def refuse_keys(*tokens: str, given: bool = False) -> None:
    """Refuse a key among the arguments.

    Args:
        tokens: What was given where a key might have been put.
        given: It was called a key.

    Raises:
        Fault: One of them is a key.
    """
    if given or any(looks_like_key(token) for token in tokens):
        raise Fault(
            "A key is a secret, and every user of this machine sees arguments",
            "it was given on the command line; the name of a file may be, a key may not",
            "type it when `whispurr objects get OBJECT --sealed` asks for it, or use --key-file; "
            "if anybody may have seen it, seal the file anew",
            Exit.USAGE,
        )


async def write(node: Node, oid: str, to: Path, *, overwrite: bool, key: bytes | None) -> int:
    """Write an object, opened if there is a key; returns how many files that were.

    Raises:
        WhispurrError: It cannot be written, or the key is wrong.
    """
    if key is not None:
        await node.objects.unseal(oid, key, to, overwrite=overwrite)
        return 1
    count = len(await node.objects.export(oid, to, overwrite=overwrite))
    if (await node.objects.info(oid)).mode == SEALED:
        note("  it is sealed, and was written as it is; --sealed opens it by its key")
    return count
