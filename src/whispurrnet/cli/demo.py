"""demo: real nodes find each other, whisper, fail and recover, while you watch."""

from __future__ import annotations


def run() -> int:
    """Watch nodes find each other and whisper; 0 only if all of it truly happened."""
    from whispurrnet.demo import director

    return director.run()
