"""The edge API of the sources: `WhispurrNetIntegration`, a node and its gateway in seven calls.

The keys of its configuration are those of the sources; any other setting of ours may stand beside
them. What stealth can do today it does, and says what it cannot: see `enable_stealth_mode`.

Source: seeds/000, "Edge Node Integration" and "Edge Node Testing" (FEATURES.md A17, A18, A25).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final

import msgspec

from whispurrnet.base.errors import UsageError, WhispurrError
from whispurrnet.base.log import get
from whispurrnet.gateway.server import Gateway
from whispurrnet.node.node import Node
from whispurrnet.node.node import open as open_node
from whispurrnet.node.settings import Settings

log = get(__name__)

SOURCE: Final = "whispurrnet_p2p"
EMOTION: Final[dict[str, Any]] = {
    "device_id": "p2p_node",
    "emotion_label": "unknown",
    "confidence": 0.0,
    "intensity": 0.0,
}
"""What is taken for a field that a payload does not have."""

Handler = Callable[[dict[str, Any]], Awaitable[None] | None]
"""Takes what `process_emotion_data` makes, such as a sender to a cloud."""


class WhispurrNetIntegration:
    """A node for an edge application; an asynchronous context manager, too.

    Args:
        config: `whispurrnet_host`, `whispurrnet_port`, `enable_stealth_mode`, `resonance_timeout`,
            and any setting of ours.
        forward: Where emotion data goes; without it they are dropped, and that is logged.

    Raises:
        ConfigError: A key is unknown, or a value is wrong; names which.
    """

    def __init__(self, config: Mapping[str, Any], forward: Handler | None = None) -> None:
        self._settings, _ = Settings.load(flags=dict(config))
        self._forward = forward
        self._running: AsyncExitStack | None = None
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """The node itself, for all that this class has no call for.

        Raises:
            UsageError: `initialize` comes first.
        """
        if self._node is None:
            raise UsageError("the P2P layer is not started; await initialize() first")
        return self._node

    async def initialize(self) -> bool:
        """Start the node and its gateway; a second time changes nothing.

        Raises:
            HostError: A port is taken.
        """
        if self._running is None:
            await self._start()
            log.info("WhispurrNet P2P layer started")
        return True

    async def close(self) -> None:
        """Say goodbye and stop; a second time changes nothing."""
        running, self._running, self._node = self._running, None, None
        if running is not None:
            await running.aclose()

    async def __aenter__(self) -> WhispurrNetIntegration:
        await self.initialize()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def generate_ephemeral_identity(self) -> dict[str, Any]:
        """Take a new ephemeral identity; sessions go on. Tells what may be told of it."""
        self.node.rotate()
        identity = self.node.identity
        return {"id": identity.id, "name": identity.name, "expires_s": identity.expires_s}

    async def send_resonance_message(self, intent: str, payload: Mapping[str, Any]) -> bool:
        """Spread a payload to whoever listens to an intent.

        True means that it is on its way, or will be with the first neighbour. Who hears it, nobody
        can know.

        Raises:
            WhispurrError: The intent or the payload cannot be, or the node is not started.
        """
        try:
            body = msgspec.json.encode(dict(payload))
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError("the payload is not JSON; give texts, numbers, lists, maps") from error
        await self.node.resonate(intent, body)
        return True

    async def enable_stealth_mode(self) -> bool:
        """Do of stealth what this version can, by a fresh node under a new identity.

        It sends no beacons and does not have its address passed on. It does NOT shape traffic: who
        watches the line sees times and amounts, and that it is this protocol. That is logged, and
        stands in `status`. Sessions end; peers are called anew by whoever joins them.
        """
        await self._become(stealthy=True)
        log.warning("stealth is only partly there: no beacons; traffic is not shaped")
        return self.is_stealth_mode_active()

    async def disable_stealth_mode(self) -> bool:
        """Be found again, under a new identity."""
        await self._become(stealthy=False)
        return not self.is_stealth_mode_active()

    def is_stealth_mode_active(self) -> bool:
        """Whether beacons are off and the address is not passed on; no more than that."""
        return self._settings.enable_stealth

    async def process_emotion_data(self, payload: Mapping[str, Any]) -> None:
        """Forward emotion data that came from the mesh; never raises, and logs what failed."""
        try:
            emotion = {name: payload.get(name, usual) for name, usual in EMOTION.items()}
            emotion["source"] = SOURCE
            if self._forward is None:
                log.warning("emotion data were dropped: no handler was given to forward them")
                return
            done = self._forward(emotion)
            if inspect.isawaitable(done):
                await done
        except Exception as error:  # whatever a handler raises must not stop the edge node
            log.exception("Error processing emotion data: %s", type(error).__name__)

    async def _become(self, *, stealthy: bool) -> None:
        if self._settings.enable_stealth == stealthy:
            return
        before = self._settings
        self._settings = before.replace(enable_stealth=stealthy)
        if self._running is None:
            return
        await self.close()
        try:
            await self._start()
        except WhispurrError:
            self._settings = before
            raise

    async def _start(self) -> None:
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(open_node(self._settings))
            if self._settings.gateway.enabled:
                gateway = Gateway(node, self._settings)
                await gateway.start()
                stack.push_async_callback(gateway.stop)
            self._node = node
            self._running = stack.pop_all()
