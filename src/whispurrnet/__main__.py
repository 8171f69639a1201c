"""`python -m whispurrnet` is `whispurr`."""

from __future__ import annotations

from whispurrnet.cli.main import main

if __name__ == "__main__":
    main()
