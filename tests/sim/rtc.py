"""WebRTC in a simulated world: peer connections that take a while, and may come to nothing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from whispurrnet.sim.wire import link_s
from whispurrnet.sim.world import Observer, Pipe, World
from whispurrnet.stack import events

BINDING = b"\x02" + bytes(32)


class Rtc:
    """The shells of all nodes of a world: performs what `stack.signalling` wants.

    Args:
        seed: Of their chance.
        works: How likely it is that two find a path.
        binding: What the offerer sees of the DTLS; the other sees `BINDING`.
    """

    def __init__(self, seed: int, works: float = 1.0, binding: bytes = BINDING) -> None:
        self.world: World
        self.works = works
        self.binding = binding
        self.news: dict[str, list[events.Effect]] = {}
        self.starts = self.opened = 0
        self._rng = Random(seed)
        self._running: dict[tuple[str, int], events.RtcStart] = {}
        self._far: dict[tuple[str, int], tuple[str, int]] = {}

    def observe(self, more: Callable[[float, str, events.Effect], None] | None = None) -> Observer:
        """What a world tells its effects to."""

        def take(now: float, node: str, effect: events.Effect) -> None:
            self.news.setdefault(node, []).append(effect)
            self.perform(node, effect)
            if more is not None:
                more(now, node, effect)

        return take

    def ended(self, node: str) -> list[events.RtcEnded]:
        """What came of the attempts of a node."""
        return [one for one in self.news.get(node, []) if isinstance(one, events.RtcEnded)]

    def perform(self, node: str, effect: events.Effect) -> None:
        match effect:
            case events.RtcStart(rtc, offer):
                self.starts += 1
                self._running[node, rtc] = effect
                if offer:
                    other, number = offer.removeprefix("offer ").split()
                    self._far[node, rtc] = other, int(number)
                    self._far[other, int(number)] = node, rtc
                words = "answer" if offer else f"offer {node} {rtc}"
                self._say(node, events.RtcDescription(rtc, words))
                for n in range(self._rng.randrange(4)):
                    self._say(node, events.RtcFound(rtc, f"candidate:{n}", "0"))
            case events.RtcAccept(rtc):
                if self._rng.random() < self.works:
                    delay_s = self._rng.uniform(0.05, 3.0)
                    self.world.later(delay_s, lambda: self._open(node, rtc))
            case events.RtcStop(rtc):
                self._running.pop((node, rtc), None)
            case _:
                pass

    def _say(self, node: str, event: events.Event) -> None:
        self.world.inject(node, event, self._rng.uniform(0.001, 0.5))

    def _open(self, node: str, rtc: int) -> None:
        """The data channel is open, if both ends still want it."""
        world, far = self.world, self._far.get((node, rtc))
        near_start = self._running.pop((node, rtc), None)
        far_start = self._running.pop(far, None) if far is not None else None
        if near_start is None or far_start is None or far is None:
            return
        self.opened += 1
        other, number = far
        here, there = world._next_link, world._next_link + 1
        world._next_link += 2
        base_s = link_s(world.wire, self._rng)
        world._links.setdefault(node, {})[here] = Pipe(other, there, base_s)
        world._links.setdefault(other, {})[there] = Pipe(node, here, base_s)
        for one, link, id, dial, binding in (
            (other, there, number, far_start.dial, BINDING),
            (node, here, rtc, near_start.dial, self.binding),
        ):
            world.inject(one, events.RtcOpened(id))
            world.inject(one, events.LinkUp(link, "/webrtc", "webrtc", dial, binding))
