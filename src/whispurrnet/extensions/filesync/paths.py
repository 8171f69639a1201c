"""Which paths may be in a shared folder: those that every system can have, and no secret ways out.

A path is parts joined by `/`; each part is a name that `store.names` lets through. What lies under
`.whispurr` is this program's own, and never shared.
"""

from __future__ import annotations

from functools import lru_cache

from whispurrnet.extensions.filesync.index import fold
from whispurrnet.store import names

OWN = ".whispurr"
"""The folder in which the index, contents on their way and old versions are."""

PATH_BYTES_MAX = 4_000


@lru_cache(maxsize=4096)
def problem(path: str) -> str:
    """Why a path cannot be shared, or an empty text."""
    parts = path.split("/")
    if len(parts) > names.DEPTH_MAX:
        return f"it lies more than {names.DEPTH_MAX} folders deep"
    if len(path.encode(errors="replace")) > PATH_BYTES_MAX:
        return f"the path has more than {PATH_BYTES_MAX} bytes"
    if any(fold(part) == OWN for part in parts):
        return f"{OWN} is what this program keeps for itself"
    for part in parts:
        if found := names.fault(part):
            return f"the name {part!r} cannot be had everywhere: {found}"
    return ""
