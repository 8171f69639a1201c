"""js-libp2p 3.3's GossipSub on node 26: what `js/gossip.mjs` is told.

It publishes with a window: without one it is about a third faster, but two of five runs came to
a halt with messages missing.

`make bench` installs it into `.bench-js`, by npm.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.common import say, scaled
from bench.gossip import ROOT, Work, measure

HOME = Path(os.environ.get("BENCH_JS", ROOT / ".bench-js"))
NODE = HOME / "node_modules" / ".bin" / "node"
COUNT, WINDOW = 2_000, 256

if __name__ == "__main__":
    if not NODE.exists():
        sys.exit("js-libp2p is not installed: `make bench` does, where there is npm")
    figure, *window = sys.argv[1:]
    work = Work(scaled(COUNT), int(window[0]) if window else WINDOW, "unsigned")
    # The link stands where the packages are; node looks for them where the link stands.
    command = (str(NODE), "--preserve-symlinks-main", str(HOME / "gossip.mjs"))
    say(measure(figure, command, work))
