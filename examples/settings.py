"""A node set up by a file, and what of it came from where."""

import asyncio
import tempfile
from pathlib import Path

import whispurrnet

TOML = """
listen = ["/ip4/127.0.0.1/tcp/0"]
network_secret = "a long text that only our nodes know"
lan.enabled = false
"""


def load() -> whispurrnet.Settings:
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder, "whispurr.toml")).write_text(TOML)
        settings, origins = whispurrnet.Settings.load(path, {"WHISPURRNET_MAX_PEERS": "20"})
    for key in ("listen", "max_peers", "session.level"):
        print(f"{key} is from: {origins[key].split()[0]}")
    return settings


async def main(settings: whispurrnet.Settings) -> None:
    async with whispurrnet.open(settings) as ada, whispurrnet.open(settings) as bob:
        await ada.connect(bob.listeners[0])  # who shares the secret needs no ticket


asyncio.run(main(load()))
