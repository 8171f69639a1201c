"""The benchmark of WhispurrNet, and of four other networks on the same machine."""
