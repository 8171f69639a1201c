"""What holds for the whole command: the form of the answer, the node it is for."""

from __future__ import annotations

from typing import Literal

import msgspec


class Context(msgspec.Struct):
    """Set once by `main`, read by every command."""

    output: Literal["text", "json"] = "text"
    debug: bool = False
    api: str = ""
    """A port, or the URL of a node; empty: the node that runs here."""

    @property
    def json(self) -> bool:
        """Whether the answer is for a program."""
        return self.output == "json"


current = Context()
